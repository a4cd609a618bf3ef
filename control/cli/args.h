/* control/cli/args.h: what the user typed, parsed against the table of commands.
 *
 * Pure functions; parsed texts refer to argv. An option is `--name VALUE` or `--name=VALUE`, in any
 * place after or before the command's words; `--` ends the options. */
#ifndef MR_CONTROL_CLI_ARGS_H
#define MR_CONTROL_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes; part of the tool's contract with scripts. */
#define CLI_EXIT_OK      0
#define CLI_EXIT_FAILED  1
#define CLI_EXIT_USAGE   2

#define CLI_OPERANDS_MAX 256
#define CLI_CONFIGS_MAX  64
#define CLI_ERROR_SIZE   512

/* The values of every option of every command; a command reads those in its table. */
struct cli_args {
    bool help;
    bool json;
    bool from_beginning;
    bool exit_at_end;
    bool execute;
    bool force;
    bool repair;
    bool all;
    const char *bootstrap_server;
    const char *key_separator; /* NULL: records have no key */
    const char *compression;
    const char *acks;
    const char *offset; /* NULL: not given */
    const char *format;
    const char *topic;                    /* NULL: not given */
    const char *group;                    /* likewise */
    const char *topic_id;                 /* NULL: not given */
    const char *configs[CLI_CONFIGS_MAX]; /* "k=v" */
    size_t config_count;
    const char *delete_configs[CLI_CONFIGS_MAX]; /* keys */
    size_t delete_config_count;
    const char *client_id; /* NULL: not given */
    const char *user;      /* likewise */
    const char *ip;        /* likewise */
    const char *write;     /* likewise */
    const char *root;      /* likewise */
    const char *operands[CLI_OPERANDS_MAX];
    size_t operand_count;
    int64_t partitions;         /* -1: the broker's default */
    int64_t replication_factor; /* -1: the broker's default */
    int64_t partition;          /* -1: not given */
    int64_t max_messages;       /* -1: no limit */
    int64_t time_ms;            /* -1: not given */
    int64_t shift;              /* 0: not given */
    int64_t size_bytes;         /* -1: not given */
    int64_t timeout_ms;
};

enum cli_kind {
    CLI_FLAG,   /* bool */
    CLI_TEXT,   /* const char * */
    CLI_CHOICE, /* const char *, one of `value` split at '|' */
    CLI_NUMBER, /* int64_t in [min, max] */
    CLI_CONFIG, /* appends to configs: holds a '=' after its first byte */
    CLI_KEY,    /* appends to delete_configs */
};

struct cli_option {
    const char *name;  /* with its dashes */
    const char *value; /* how the help names the value, NULL for a flag */
    const char *help;
    enum cli_kind kind;
    size_t offset; /* in struct cli_args */
    int64_t min;
    int64_t max;
};

struct cli_command {
    const char *family; /* "topic"; NULL for a command of one word */
    const char *name;
    const char *operands; /* how the help names them: "NAME..." */
    const char *summary;  /* one line */
    const char *details;  /* paragraphs and examples for the help */
    const struct cli_option *options;
    size_t option_count;
    size_t operands_min;
    size_t operands_max;
    int (*run)(const struct cli_args *args); /* returns an exit code */
};

/* Parses argv[1..argc). Returns 0 with `command_out` set (NULL where only help was asked for);
 * or -EINVAL with one line for the user in `error` (CLI_ERROR_SIZE bytes). */
int cli_parse(const struct cli_command *const *commands, size_t command_count, int argc,
              const char *const *argv, struct cli_args *args,
              const struct cli_command **command_out, char *error);

/* The help of the tool, and of one command. */
void cli_help(const struct cli_command *const *commands, size_t command_count, FILE *file);
void cli_command_help(const struct cli_command *command, FILE *file);

/* What shells and people read of the table of commands: completion scripts and the manual page. */
void cli_completion_bash(const struct cli_command *const *commands, size_t command_count,
                         FILE *file);
void cli_completion_zsh(const struct cli_command *const *commands, size_t command_count,
                        FILE *file);
void cli_manual(const struct cli_command *const *commands, size_t command_count, FILE *file);

/* The options every command has. */
extern const struct cli_option cli_common_options[];
extern const size_t cli_common_option_count;

/* The fewest single-character insertions, deletions and replacements that turn one into the other;
 * texts are looked at up to 63 bytes. */
size_t cli_distance(const char *a, const char *b);

/* Reads a decimal integer that fills the whole text; -EINVAL outside [min, max]. */
int cli_number(const char *text, int64_t min, int64_t max, int64_t *out);

#endif
