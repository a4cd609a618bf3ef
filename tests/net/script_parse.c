/* tests/net/script_parse.c: see script.h. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/clock.h"
#include "dataplane/tcp/tcp_priv.h"
#include "tests/net/script.h"

struct reader {
    const char *path;
    const char *at;
    unsigned line;
    bool failed;
    struct script *script;
};

static void
fail(struct reader *reader, const char *want)
{
    char seen[24] = "";

    if (!reader->failed) {
        snprintf(seen, sizeof(seen), "%.20s", reader->at);
        seen[strcspn(seen, "\n")] = 0;
        printf("%s:%u: expected %s, found «%s»\n", reader->path, reader->line, want, seen);
    }
    reader->failed = true;
}

/* ---- characters -------------------------------------------------------------------------------
 */

static void
step(struct reader *reader)
{
    reader->line += *reader->at == '\n';
    reader->at++;
}

static void
note_settings(struct reader *reader)
{
    static const char mark[] = "// millrace:";
    struct script *script = reader->script;

    if (strncmp(reader->at, mark, sizeof(mark) - 1) == 0) {
        size_t used = strlen(script->settings);
        size_t size = strcspn(reader->at, "\n") - (sizeof(mark) - 1);

        if (used + size + 2 < sizeof(script->settings)) {
            memcpy(script->settings + used, reader->at + sizeof(mark) - 1, size);
            script->settings[used + size] = ' ';
        }
    }
}

static void
blanks(struct reader *reader)
{
    for (;;) {
        if (isspace((unsigned char)*reader->at)) {
            step(reader);
        } else if (reader->at[0] == '/' && reader->at[1] == '/') {
            note_settings(reader);
            while (*reader->at && *reader->at != '\n') {
                step(reader);
            }
        } else if (reader->at[0] == '/' && reader->at[1] == '*') {
            while (*reader->at && !(reader->at[0] == '*' && reader->at[1] == '/')) {
                step(reader);
            }
            reader->at += *reader->at ? 2 : 0;
        } else {
            return;
        }
    }
}

static bool
take(struct reader *reader, const char *text)
{
    size_t size = strlen(text);

    blanks(reader);
    if (strncmp(reader->at, text, size) != 0) {
        return false;
    }
    if (isalnum((unsigned char)text[size - 1]) &&
        (isalnum((unsigned char)reader->at[size]) || reader->at[size] == '_')) {
        return false;
    }
    reader->at += size;
    return true;
}

static void
want(struct reader *reader, const char *text)
{
    if (!take(reader, text)) {
        fail(reader, text);
    }
}

static uint32_t
number(struct reader *reader)
{
    char *end;
    unsigned long long value;

    blanks(reader);
    value = strtoull(reader->at, &end, strncmp(reader->at, "0x", 2) == 0 ? 16 : 10);
    if (end == reader->at) {
        fail(reader, "a number");
        return 0;
    }
    reader->at = end;
    return (uint32_t)value;
}

static void
word(struct reader *reader, char *out, size_t size)
{
    size_t used = 0;

    blanks(reader);
    while (isalnum((unsigned char)*reader->at) || *reader->at == '_') {
        if (used + 1 < size) {
            out[used++] = *reader->at;
        }
        step(reader);
    }
    out[used] = 0;
    if (used == 0) {
        fail(reader, "a word");
    }
}

/* ---- times ------------------------------------------------------------------------------------
 */

static uint64_t
time_ns(struct reader *reader)
{
    char *end;
    double value;
    const char *at;

    blanks(reader);
    at = reader->at;
    while (isdigit((unsigned char)*at) || (*at == '.' && at[1] != '.')) {
        at++;
    }
    value = strtod(reader->at, &end);
    if (end == reader->at || at == reader->at) {
        fail(reader, "a time");
        return 0;
    }
    reader->at = at;
    return (uint64_t)(value * 1e9 + 0.5);
}

static void
event_time(struct reader *reader, struct script_event *event)
{
    if (take(reader, "*")) {
        event->when = SCRIPT_ANY;
        return;
    }
    event->when = take(reader, "+") ? SCRIPT_RELATIVE : SCRIPT_ABSOLUTE;
    event->at_ns = time_ns(reader);
    event->until_ns = event->at_ns;
    if (take(reader, "~")) {
        take(reader, "+");
        event->until_ns = time_ns(reader);
    }
}

/* ---- packets ----------------------------------------------------------------------------------
 */

static void
sack_blocks(struct reader *reader, struct script_option *option)
{
    for (;;) {
        blanks(reader);
        if (!isdigit((unsigned char)*reader->at) || option->block_count == SCRIPT_BLOCKS_MAX) {
            return;
        }
        option->blocks[option->block_count][0] = number(reader);
        want(reader, ":");
        option->blocks[option->block_count][1] = number(reader);
        option->block_count++;
        if (reader->failed) {
            return;
        }
    }
}

static void
one_option(struct reader *reader, struct script_option *option)
{
    if (take(reader, "nop")) {
        option->kind = SCRIPT_OPTION_NOP;
    } else if (take(reader, "eol")) {
        option->kind = SCRIPT_OPTION_EOL;
    } else if (take(reader, "mss")) {
        option->kind = SCRIPT_OPTION_MSS;
        option->value = number(reader);
    } else if (take(reader, "wscale")) {
        option->kind = SCRIPT_OPTION_WSCALE;
        option->value = number(reader);
    } else if (take(reader, "sackOK")) {
        option->kind = SCRIPT_OPTION_SACK_OK;
    } else if (take(reader, "sack")) {
        option->kind = SCRIPT_OPTION_SACK;
        sack_blocks(reader, option);
    } else if (take(reader, "TS")) {
        option->kind = SCRIPT_OPTION_TS;
        want(reader, "val");
        option->value = number(reader);
        want(reader, "ecr");
        option->ecr = number(reader);
    } else {
        option->kind = SCRIPT_OPTION_OTHER;
        blanks(reader);
        if (!isalpha((unsigned char)*reader->at)) {
            fail(reader, "a TCP option");
        }
        while (*reader->at && *reader->at != ',' && *reader->at != '>') {
            step(reader);
        }
    }
}

static void
packet_options(struct reader *reader, struct script_packet *packet)
{
    if (!take(reader, "<")) {
        return;
    }
    if (take(reader, "...")) {
        packet->any_options = true;
        want(reader, ">");
        return;
    }
    do {
        if (packet->option_count == SCRIPT_OPTIONS_MAX) {
            fail(reader, "fewer options");
            return;
        }
        one_option(reader, &packet->options[packet->option_count++]);
    } while (!reader->failed && take(reader, ","));
    want(reader, ">");
}

static void
packet_flags(struct reader *reader, struct script_packet *packet)
{
    static const char names[] = "FSRP.UEW";

    blanks(reader);
    if (take(reader, "-")) {
        return;
    }
    for (; *reader->at && !isspace((unsigned char)*reader->at); reader->at++) {
        const char *name = strchr(names, *reader->at);

        if (!name) {
            /* A digit after the dot is accurate ECN's counter. */
            packet->other = true;
            if (!isalnum((unsigned char)*reader->at)) {
                fail(reader, "TCP flags");
                return;
            }
            continue;
        }
        packet->flags |= (uint8_t)(1 << (name - names));
    }
}

static void
range(struct reader *reader, struct script_packet *packet)
{
    packet->seq = number(reader);
    want(reader, ":");
    packet->end = number(reader);
    want(reader, "(");
    packet->size = number(reader);
    want(reader, ")");
    if (packet->end - packet->seq != packet->size && !reader->failed) {
        fail(reader, "a range of the length that it states");
    }
}

/* What stands in brackets before the flags. */
static void
ip_info(struct reader *reader, struct script_packet *packet)
{
    static const struct {
        const char *name;
        int value;
    } names[] = {{"noecn", 0}, {"ect0", 2}, {"ect1", 1}, {"ce", 3}, {"ect01", -2}};
    const char *close = NULL;

    packet->ecn = -1;
    blanks(reader);
    if (*reader->at == '[') {
        close = "]";
    } else if (*reader->at == '(') {
        close = ")";
    } else {
        return;
    }
    step(reader);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (take(reader, names[i].name)) {
            packet->ecn = names[i].value;
        }
    }
    while (*reader->at && *reader->at != *close) {
        step(reader); /* flow labels, times to live, whole types of service */
    }
    want(reader, close);
}

static void
icmp_packet(struct reader *reader, struct script_packet *packet)
{
    packet->icmp = true;
    word(reader, packet->icmp_type, sizeof(packet->icmp_type));
    blanks(reader);
    if (isalpha((unsigned char)*reader->at) && strncmp(reader->at, "mtu", 3) != 0) {
        word(reader, packet->icmp_code, sizeof(packet->icmp_code));
    }
    if (take(reader, "mtu")) {
        packet->mtu = number(reader);
    }
    if (take(reader, "[")) {
        packet->has_quote = true;
        range(reader, packet);
        want(reader, "]");
    }
}

static void
rest_of_line(struct reader *reader)
{
    while (*reader->at && *reader->at != '\n') {
        step(reader);
    }
}

static void
tcp_packet(struct reader *reader, struct script_packet *packet)
{
    packet->window = -1;
    ip_info(reader, packet);
    if (take(reader, "icmp")) {
        icmp_packet(reader, packet);
        return;
    }
    blanks(reader);
    if (take(reader, "udp") || take(reader, "ipv4") || take(reader, "ipv6") ||
        take(reader, "gre") || take(reader, "mpls") || take(reader, "encap") ||
        isdigit((unsigned char)*reader->at)) {
        packet->other = true;
        rest_of_line(reader);
        return;
    }
    packet_flags(reader, packet);
    range(reader, packet);
    if (take(reader, "ack")) {
        packet->has_ack = true;
        packet->ack = number(reader);
    }
    if (take(reader, "win")) {
        packet->window = (int32_t)number(reader);
    }
    if (take(reader, "urg")) {
        number(reader);
    }
    packet_options(reader, packet);
}

/* ---- calls ------------------------------------------------------------------------------------
 */

/* One argument, whatever it contains, up to the comma or bracket that ends it. */
static void
argument(struct reader *reader, char *out)
{
    unsigned depth = 0;
    size_t used = 0;
    bool quoted = false;

    blanks(reader);
    while (*reader->at) {
        char c = *reader->at;

        if (c == '"' && (used == 0 || reader->at[-1] != '\\')) {
            quoted = !quoted;
        }
        if (!quoted && depth == 0 && (c == ',' || c == ')')) {
            break;
        }
        if (!quoted) {
            depth += strchr("([{", c) != NULL;
            depth -= strchr(")]}", c) != NULL;
        }
        if (used + 1 < SCRIPT_TEXT_MAX && (quoted || !isspace((unsigned char)c))) {
            out[used++] = c;
        }
        step(reader);
    }
    out[used] = 0;
}

static void
call(struct reader *reader, struct script_call *out)
{
    word(reader, out->name, sizeof(out->name));
    want(reader, "(");
    blanks(reader);
    while (!reader->failed && *reader->at && *reader->at != ')') {
        if (out->arg_count == SCRIPT_ARGS_MAX) {
            fail(reader, "fewer arguments");
            return;
        }
        argument(reader, out->args[out->arg_count++]);
        if (!take(reader, ",")) {
            break;
        }
    }
    want(reader, ")");
    want(reader, "=");
    blanks(reader);
    if (take(reader, "...")) {
        return;
    }
    out->has_result = true;
    if (take(reader, "-")) {
        out->result[0] = '-';
        word(reader, out->result + 1, sizeof(out->result) - 1);
    } else {
        word(reader, out->result, sizeof(out->result));
    }
    blanks(reader);
    if (*reader->at == 'E') {
        word(reader, out->error, sizeof(out->error));
        blanks(reader);
    }
    if (*reader->at == '(') {
        while (*reader->at && *reader->at != ')') {
            step(reader);
        }
        want(reader, ")");
    }
}

/* ---- the script -------------------------------------------------------------------------------
 */

static void
option_line(struct reader *reader)
{
    static const char tolerance[] = "--tolerance_usecs=";

    if (strncmp(reader->at, tolerance, sizeof(tolerance) - 1) == 0) {
        reader->at += sizeof(tolerance) - 1;
        reader->script->tolerance_ns = number(reader) * 1000ull;
        return;
    }
    reader->script->skipped++;
    while (*reader->at && !isspace((unsigned char)*reader->at)) {
        if (*reader->at == '"' || *reader->at == '`') {
            char quote = *reader->at;

            do {
                step(reader);
            } while (*reader->at && *reader->at != quote);
        }
        if (*reader->at) {
            step(reader);
        }
    }
}

static void
skip_delimited(struct reader *reader, const char *close)
{
    while (*reader->at && strncmp(reader->at, close, strlen(close)) != 0) {
        if (*reader->at == '\\' && *close == '`' && reader->at[1]) {
            step(reader);
        }
        step(reader);
    }
    want(reader, close);
}

static struct script_event *
event_new(struct reader *reader)
{
    struct script *script = reader->script;

    if (script->event_count == script->event_size) {
        script->event_size = script->event_size ? 2 * script->event_size : 64;
        script->events = realloc(script->events, script->event_size * sizeof(*script->events));
        if (!script->events) {
            abort();
        }
    }
    memset(&script->events[script->event_count], 0, sizeof(*script->events));
    return &script->events[script->event_count++];
}

static void
event(struct reader *reader)
{
    struct script_event *out = event_new(reader);

    out->line = reader->line;
    event_time(reader, out);
    blanks(reader);
    if (reader->at[0] == '`') {
        out->kind = SCRIPT_SHELL;
        step(reader);
        skip_delimited(reader, "`");
        reader->script->skipped++;
    } else if (reader->at[0] == '%' && reader->at[1] == '{') {
        out->kind = SCRIPT_CODE;
        skip_delimited(reader, "}%");
        reader->script->skipped++;
    } else if (reader->at[0] == '<' || reader->at[0] == '>') {
        out->kind = SCRIPT_PACKET;
        out->packet.out = *reader->at == '>';
        step(reader);
        tcp_packet(reader, &out->packet);
    } else {
        out->kind = SCRIPT_CALL;
        if (take(reader, "...")) {
            out->call.blocking = true;
            take(reader, "+");
            out->call.end_ns = time_ns(reader);
        }
        call(reader, &out->call);
    }
}

static char *
read_all(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    size_t size;

    if (!file || !text) {
        printf("%s: %s\n", path, strerror(errno));
        free(text);
        return NULL;
    }
    size = fread(text, 1, (1 << 20) - 1, file);
    text[size] = 0;
    fclose(file);
    return text;
}

int
script_parse(const char *path, struct script *out)
{
    struct reader reader = {.path = path, .line = 1, .script = out};

    memset(out, 0, sizeof(*out));
    out->tolerance_ns = 4 * MR_NS_PER_MS;
    out->text = read_all(path);
    if (!out->text) {
        return -1;
    }
    reader.at = out->text;
    for (;;) {
        blanks(&reader);
        if (!*reader.at || reader.failed) {
            break;
        }
        if (reader.at[0] == '-' && reader.at[1] == '-') {
            option_line(&reader);
        } else if (*reader.at == '`') {
            step(&reader);
            skip_delimited(&reader, "`");
            out->skipped++;
        } else {
            event(&reader);
        }
    }
    return reader.failed ? -1 : 0;
}

void
script_free(struct script *script)
{
    free(script->text);
    free(script->events);
}
