#include "control/cli/args.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 63

const struct cli_option cli_common_options[] = {
    {.name = "--bootstrap-server",
     .value = "HOST:PORT",
     .help = "a broker to talk to (default 127.0.0.1:9092)",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_args, bootstrap_server)},
    {.name = "--timeout",
     .value = "MS",
     .help = "how long to wait for an answer (default 10000)",
     .kind = CLI_NUMBER,
     .offset = offsetof(struct cli_args, timeout_ms),
     .min = 1,
     .max = 3600000},
    {.name = "--json",
     .help = "print JSON for programs instead of a table",
     .kind = CLI_FLAG,
     .offset = offsetof(struct cli_args, json)},
    {.name = "--help",
     .help = "print this help",
     .kind = CLI_FLAG,
     .offset = offsetof(struct cli_args, help)},
};

#define COMMON_COUNT (sizeof(cli_common_options) / sizeof(cli_common_options[0]))

const size_t cli_common_option_count = COMMON_COUNT;

struct parse {
    const struct cli_command *const *commands;
    size_t command_count;
    const struct cli_command *command; /* NULL until its words are read */
    const char *family;                /* read, its second word not yet */
    struct cli_args *args;
    char *error;
};

__attribute__((format(printf, 2, 3))) static int
refuse(struct parse *parse, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(parse->error, CLI_ERROR_SIZE, format, list);
    va_end(list);
    return -EINVAL;
}

size_t
cli_distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1];
    size_t a_size = strnlen(a, WORD_MAX);
    size_t b_size = strnlen(b, WORD_MAX);

    for (size_t j = 0; j <= b_size; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[b_size];
}

int
cli_number(const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *end;
    long long value;

    if ((*text < '0' || *text > '9') && *text != '-') {
        return -EINVAL;
    }
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < min || value > max) {
        return -EINVAL;
    }
    *out = value;
    return 0;
}

/* ---- Options ---- */

static const struct cli_option *
find_option(const struct cli_option *options, size_t count, const char *name, size_t name_size)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(options[i].name) == name_size &&
            strncmp(options[i].name, name, name_size) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

static void
nearer(const char *word, const char *candidate, const char **best, size_t *best_distance)
{
    size_t distance = cli_distance(word, candidate);

    if (distance < *best_distance) {
        *best = candidate;
        *best_distance = distance;
    }
}

static int
unknown_option(struct parse *parse, const char *name, size_t name_size)
{
    const struct cli_command *command = parse->command;
    char word[WORD_MAX + 1];
    const char *best = NULL;
    size_t distance = SIZE_MAX;

    snprintf(word, sizeof(word), "%.*s", (int)(name_size < WORD_MAX ? name_size : WORD_MAX), name);
    for (size_t i = 0; command && i < command->option_count; i++) {
        nearer(word, command->options[i].name, &best, &distance);
    }
    for (size_t i = 0; i < COMMON_COUNT; i++) {
        nearer(word, cli_common_options[i].name, &best, &distance);
    }
    return refuse(parse, "unknown option \"%s\"; the nearest is \"%s\"", word, best);
}

static bool
is_choice(const char *choices, const char *text)
{
    size_t size = strlen(text);

    while (size > 0) {
        size_t span = strcspn(choices, "|");

        if (span == size && strncmp(choices, text, size) == 0) {
            return true;
        }
        if (choices[span] == '\0') {
            return false;
        }
        choices += span + 1;
    }
    return false;
}

static int
set_option(struct parse *parse, const struct cli_option *option, const char *text)
{
    char *at = (char *)parse->args + option->offset;

    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)(void *)at = true;
        return 0;
    case CLI_CHOICE:
        if (!is_choice(option->value, text)) {
            return refuse(parse, "%s takes %s, not \"%s\"", option->name, option->value, text);
        }
        *(const char **)(void *)at = text;
        return 0;
    case CLI_TEXT:
        *(const char **)(void *)at = text;
        return 0;
    case CLI_NUMBER:
        if (cli_number(text, option->min, option->max, (int64_t *)(void *)at) != 0) {
            return refuse(parse, "%s takes a number from %" PRId64 " to %" PRId64 ", not \"%s\"",
                          option->name, option->min, option->max, text);
        }
        return 0;
    case CLI_CONFIG:
        if (strchr(text, '=') == NULL || text[0] == '=') {
            return refuse(parse, "%s takes KEY=VALUE, not \"%s\"", option->name, text);
        }
        if (parse->args->config_count == CLI_CONFIGS_MAX) {
            return refuse(parse, "%s is given more than %d times", option->name, CLI_CONFIGS_MAX);
        }
        parse->args->configs[parse->args->config_count++] = text;
        return 0;
    case CLI_KEY:
        if (parse->args->delete_config_count == CLI_CONFIGS_MAX) {
            return refuse(parse, "%s is given more than %d times", option->name, CLI_CONFIGS_MAX);
        }
        parse->args->delete_configs[parse->args->delete_config_count++] = text;
        return 0;
    }
    return -EINVAL;
}

/* Reads the option in `word`; `next` is the argument after it or NULL. Returns how many arguments
 * were used, or -EINVAL. */
static int
read_option(struct parse *parse, const char *word, const char *next)
{
    const struct cli_command *command = parse->command;
    size_t size = strcspn(word, "=");
    const char *attached = word[size] == '=' ? word + size + 1 : NULL;
    const struct cli_option *option = find_option(cli_common_options, COMMON_COUNT, word, size);
    int rc;

    if (!option && strcmp(word, "-h") == 0) {
        parse->args->help = true;
        return 1;
    }
    if (!option && command) {
        option = find_option(command->options, command->option_count, word, size);
    }
    if (!option) {
        return unknown_option(parse, word, size);
    }
    if (option->kind == CLI_FLAG) {
        if (attached) {
            return refuse(parse, "%s takes no value", option->name);
        }
        return set_option(parse, option, NULL) == 0 ? 1 : -EINVAL;
    }
    if (!attached && !next) {
        return refuse(parse, "%s needs a value: %s %s", option->name, option->name, option->value);
    }
    rc = set_option(parse, option, attached ? attached : next);
    return rc != 0 ? rc : attached ? 1 : 2;
}

/* ---- The command's words ---- */

static int
unknown_command(struct parse *parse, const char *word)
{
    const char *family = parse->family;
    const char *best = NULL;
    size_t distance = SIZE_MAX;

    for (size_t i = 0; i < parse->command_count; i++) {
        const struct cli_command *command = parse->commands[i];

        if (!family) {
            nearer(word, command->family ? command->family : command->name, &best, &distance);
        } else if (command->family && strcmp(command->family, family) == 0) {
            nearer(word, command->name, &best, &distance);
        }
    }
    return refuse(parse, "unknown command \"%s%s%s\"; the nearest is \"%s%s%s\"",
                  family ? family : "", family ? " " : "", word, family ? family : "",
                  family ? " " : "", best);
}

static int
read_command_word(struct parse *parse, const char *word)
{
    for (size_t i = 0; i < parse->command_count; i++) {
        const struct cli_command *command = parse->commands[i];

        if (parse->family) {
            if (command->family && strcmp(command->family, parse->family) == 0 &&
                strcmp(command->name, word) == 0) {
                parse->command = command;
                return 0;
            }
        } else if (command->family && strcmp(command->family, word) == 0) {
            parse->family = command->family;
            return 0;
        } else if (!command->family && strcmp(command->name, word) == 0) {
            parse->command = command;
            return 0;
        }
    }
    return unknown_command(parse, word);
}

static int
read_operand(struct parse *parse, const char *word)
{
    struct cli_args *args = parse->args;

    if (args->operand_count == parse->command->operands_max) {
        return refuse(parse, "\"%s\" is one argument too many", word);
    }
    args->operands[args->operand_count++] = word;
    return 0;
}

static int
check_complete(struct parse *parse)
{
    const struct cli_command *command = parse->command;

    if (parse->args->help) {
        return 0;
    }
    if (!command) {
        return refuse(parse, "%s needs a command; see millrace --help",
                      parse->family ? parse->family : "millrace");
    }
    if (parse->args->operand_count < command->operands_min) {
        return refuse(parse, "%s%s%s needs %s", command->family ? command->family : "",
                      command->family ? " " : "", command->name, command->operands);
    }
    return 0;
}

int
cli_parse(const struct cli_command *const *commands, size_t command_count, int argc,
          const char *const *argv, struct cli_args *args, const struct cli_command **command_out,
          char *error)
{
    struct parse parse = {
        .commands = commands, .command_count = command_count, .args = args, .error = error};
    bool options_ended = false;
    int i = 1;

    *args = (struct cli_args){.bootstrap_server = "127.0.0.1:9092",
                              .compression = "none",
                              .acks = "all",
                              .partitions = -1,
                              .replication_factor = -1,
                              .partition = -1,
                              .max_messages = -1,
                              .time_ms = -1,
                              .size_bytes = -1,
                              .timeout_ms = 10000};
    *command_out = NULL;
    while (i < argc) {
        const char *word = argv[i];
        int rc;

        if (!options_ended && strcmp(word, "--") == 0) {
            options_ended = true;
            i++;
            continue;
        }
        if (!options_ended && word[0] == '-' && word[1] != '\0') {
            rc = read_option(&parse, word, i + 1 < argc ? argv[i + 1] : NULL);
            if (rc < 0) {
                return rc;
            }
            i += rc;
            continue;
        }
        rc = parse.command ? read_operand(&parse, word) : read_command_word(&parse, word);
        if (rc != 0) {
            return rc;
        }
        i++;
    }
    *command_out = parse.command;
    return check_complete(&parse);
}

/* ---- Help ---- */

static void
print_options(const struct cli_option *options, size_t count, FILE *file)
{
    for (size_t i = 0; i < count; i++) {
        char left[64];

        snprintf(left, sizeof(left), "%s%s%s", options[i].name, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "");
        if (strlen(left) > 30) {
            fprintf(file, "  %s\n  %-30s %s\n", left, "", options[i].help);
        } else {
            fprintf(file, "  %-30s %s\n", left, options[i].help);
        }
    }
}

void
cli_command_help(const struct cli_command *command, FILE *file)
{
    fprintf(file, "%s.\n\nUsage: millrace %s%s%s%s%s [OPTION]...\n", command->summary,
            command->family ? command->family : "", command->family ? " " : "", command->name,
            command->operands ? " " : "", command->operands ? command->operands : "");
    if (command->details) {
        fprintf(file, "\n%s\n", command->details);
    }
    fputs("\nOptions:\n", file);
    print_options(command->options, command->option_count, file);
    print_options(cli_common_options, COMMON_COUNT, file);
    fputs("\nExit status: 0 done, 1 the operation failed, 2 wrong usage.\n", file);
}

void
cli_help(const struct cli_command *const *commands, size_t command_count, FILE *file)
{
    fputs("millrace: talks to a Millrace broker, or any other that speaks Kafka's protocol.\n\n"
          "Usage: millrace COMMAND [OPTION]...\n\nCommands:\n",
          file);
    for (size_t i = 0; i < command_count; i++) {
        const struct cli_command *command = commands[i];
        char left[64];

        snprintf(left, sizeof(left), "%s%s%s%s%s", command->family ? command->family : "",
                 command->family ? " " : "", command->name, command->operands ? " " : "",
                 command->operands ? command->operands : "");
        fprintf(file, "  %-30s %s\n", left, command->summary);
    }
    fputs("\nOptions of every command:\n", file);
    print_options(cli_common_options, COMMON_COUNT, file);
    fputs("\nStart here:\n"
          "  millrace topic create greetings --partitions 3\n"
          "  echo hello | millrace produce greetings\n"
          "  millrace consume greetings --from-beginning --exit-at-end\n"
          "\n\"millrace COMMAND --help\" explains a command.\n"
          "Exit status: 0 done, 1 the operation failed, 2 wrong usage.\n",
          file);
}
