/* control/cli/main.c: `millrace`, the command-line tool. */
#include "control/cli/cli.h"

static const struct cli_command *const commands[] = {
    &cli_topic_create,
    &cli_topic_list,
    &cli_topic_describe,
    &cli_topic_alter,
    &cli_topic_delete,
    &cli_config_describe,
    &cli_config_alter,
    &cli_quota_describe,
    &cli_quota_alter,
    &cli_produce,
    &cli_consume,
    &cli_group_list,
    &cli_group_describe,
    &cli_group_reset_offsets,
    &cli_group_delete,
    &cli_broker_list,
    &cli_broker_api_versions,
    &cli_log_dump,
    &cli_log_check,
    &cli_log_format,
    &cli_probe,
    &cli_completion,
    &cli_man,
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

int
main(int argc, char **argv)
{
    const struct cli_command *command;
    struct cli_args args;
    char error[CLI_ERROR_SIZE];
    int status;

    cli_commands = commands;
    cli_command_count = COMMAND_COUNT;
    if (argc <= 1) {
        cli_help(commands, COMMAND_COUNT, stderr);
        return CLI_EXIT_USAGE;
    }
    if (cli_parse(commands, COMMAND_COUNT, argc, (const char *const *)argv, &args, &command,
                  error) != 0) {
        return cli_misused("%s", error);
    }
    if (args.help) {
        if (command) {
            cli_command_help(command, stdout);
        } else {
            cli_help(commands, COMMAND_COUNT, stdout);
        }
        return CLI_EXIT_OK;
    }
    status = command->run(&args);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == CLI_EXIT_OK) {
        status = cli_failed("cannot write the output");
    }
    return status;
}
