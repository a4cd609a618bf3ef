/* tests/net/script.h: packet scripts in packetdrill's notation, as events.
 *
 * A script is options (--name=value), then events: a time, and what happens: a packet in (<) or
 * expected out (>), a system call with its result, a shell line in backquotes, or code in %{ }%.
 * What this runner has no use for is parsed all the same. */
#ifndef MR_TESTS_SCRIPT_H
#define MR_TESTS_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#define SCRIPT_ARGS_MAX    10
#define SCRIPT_OPTIONS_MAX 12
#define SCRIPT_BLOCKS_MAX  4
#define SCRIPT_TEXT_MAX    256

enum script_kind {
    SCRIPT_PACKET,
    SCRIPT_CALL,
    SCRIPT_SHELL,
    SCRIPT_CODE,
};

enum script_when {
    SCRIPT_RELATIVE, /* +t: after the event before */
    SCRIPT_ABSOLUTE, /* t: after the script's start */
    SCRIPT_ANY,      /* *: whenever */
};

enum script_option_kind {
    SCRIPT_OPTION_NOP,
    SCRIPT_OPTION_EOL,
    SCRIPT_OPTION_MSS,
    SCRIPT_OPTION_WSCALE,
    SCRIPT_OPTION_SACK_OK,
    SCRIPT_OPTION_SACK,
    SCRIPT_OPTION_TS,
    SCRIPT_OPTION_OTHER, /* Fast Open, MD5, accurate ECN */
};

struct script_option {
    enum script_option_kind kind;
    uint32_t value; /* mss, wscale, ts val */
    uint32_t ecr;
    unsigned block_count;
    uint32_t blocks[SCRIPT_BLOCKS_MAX][2];
};

struct script_packet {
    bool out;
    bool icmp;
    bool other; /* UDP, tunnels: not ours */
    uint8_t flags;
    int ecn; /* -1: not said; -2: either ECT */
    uint32_t seq;
    uint32_t end;
    uint32_t size;
    bool has_ack;
    uint32_t ack;
    int32_t window; /* -1: not said */
    bool any_options;
    unsigned option_count;
    struct script_option options[SCRIPT_OPTIONS_MAX];
    /* ICMP */
    char icmp_type[32];
    char icmp_code[32];
    uint32_t mtu;
    bool has_quote;
};

struct script_call {
    char name[32];
    unsigned arg_count;
    char args[SCRIPT_ARGS_MAX][SCRIPT_TEXT_MAX];
    char result[32];
    char error[32]; /* empty: none */
    bool blocking;
    uint64_t end_ns; /* of a blocking call, after the script's start or the event before */
    bool has_result;
};

struct script_event {
    unsigned line;
    enum script_kind kind;
    enum script_when when;
    uint64_t at_ns;
    uint64_t until_ns; /* a range: at the latest; else at_ns */
    struct script_packet packet;
    struct script_call call;
};

struct script {
    char *text;
    struct script_event *events;
    unsigned event_count;
    unsigned event_size;
    uint64_t tolerance_ns;
    unsigned skipped; /* options, shell lines and code that are not run */
    /* «// millrace: name=value ...» lines, for the stack's configuration. */
    char settings[512];
};

/* Prints what is wrong and returns -1. */
int script_parse(const char *path, struct script *out);
void script_free(struct script *script);

/* 0: as the script says; 1: not, and the first difference is printed; 77: it wants what this runner
 * has not. `strict`: nothing may be sent that the script does not tell of. */
int script_run(const char *path, const struct script *script, bool strict, bool verbose);

#endif
