/* control/cli/write_up.c: what is written from the table of commands: completion for shells, and
 * the manual page. */
#include <string.h>

#include "control/cli/cli.h"

const struct cli_command *const *cli_commands;
size_t cli_command_count;

/* ---- completion ------------------------------------------------------------------------------ */

static bool
first_of_family(const struct cli_command *const *commands, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (commands[i]->family && commands[at]->family &&
            strcmp(commands[i]->family, commands[at]->family) == 0) {
            return false;
        }
    }
    return true;
}

/* The first words of commands, or the second words of a family's. */
static void
put_words(const struct cli_command *const *commands, size_t count, const char *family, FILE *file)
{
    for (size_t i = 0; i < count; i++) {
        const struct cli_command *command = commands[i];

        if (!family && first_of_family(commands, i)) {
            fprintf(file, "%s ", command->family ? command->family : command->name);
        } else if (family && command->family && strcmp(command->family, family) == 0) {
            fprintf(file, "%s ", command->name);
        }
    }
}

static void
put_options(const struct cli_command *command, FILE *file)
{
    for (size_t i = 0; i < command->option_count; i++) {
        fprintf(file, "%s ", command->options[i].name);
    }
    for (size_t i = 0; i < cli_common_option_count; i++) {
        fprintf(file, "%s ", cli_common_options[i].name);
    }
}

/* The cases of what may stand behind the words so far, which both shells read alike. */
static void
put_cases(const struct cli_command *const *commands, size_t count, FILE *file)
{
    fputs("    '') found='", file);
    put_words(commands, count, NULL, file);
    fputs("' ;;\n", file);
    for (size_t i = 0; i < count; i++) {
        const struct cli_command *command = commands[i];

        if (command->family && first_of_family(commands, i)) {
            fprintf(file, "    %s) found='", command->family);
            put_words(commands, count, command->family, file);
            fputs("' ;;\n", file);
        }
        fprintf(file, "    '%s%s%s'|'%s%s%s '*) found='", command->family ? command->family : "",
                command->family ? " " : "", command->name, command->family ? command->family : "",
                command->family ? " " : "", command->name);
        put_options(command, file);
        fputs("' ;;\n", file);
    }
}

void
cli_completion_bash(const struct cli_command *const *commands, size_t command_count, FILE *file)
{
    fputs("# bash completion for millrace: . <(millrace completion bash)\n"
          "_millrace() {\n"
          "    local found= before=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\"\n"
          "    case \"$before\" in\n",
          file);
    put_cases(commands, command_count, file);
    fputs("    esac\n"
          "    COMPREPLY=($(compgen -W \"$found\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
          "}\n"
          "complete -o default -F _millrace millrace\n",
          file);
}

void
cli_completion_zsh(const struct cli_command *const *commands, size_t command_count, FILE *file)
{
    fputs("#compdef millrace\n"
          "# zsh completion for millrace: . <(millrace completion zsh)\n"
          "_millrace() {\n"
          "    local found= before=\"${(j: :)words[2,CURRENT-1]}\"\n"
          "    case \"$before\" in\n",
          file);
    put_cases(commands, command_count, file);
    fputs("    esac\n"
          "    compadd -- ${=found}\n"
          "}\n"
          "compdef _millrace millrace\n",
          file);
}

static int
run_completion(const struct cli_args *args)
{
    if (strcmp(args->operands[0], "bash") == 0) {
        cli_completion_bash(cli_commands, cli_command_count, stdout);
    } else if (strcmp(args->operands[0], "zsh") == 0) {
        cli_completion_zsh(cli_commands, cli_command_count, stdout);
    } else {
        return cli_misused("there is completion for bash and zsh, not for \"%s\"",
                           args->operands[0]);
    }
    return CLI_EXIT_OK;
}

const struct cli_command cli_completion = {
    .name = "completion",
    .operands = "bash|zsh",
    .summary = "Writes a script that completes this tool's commands and options",
    .details = "For example, in ~/.bashrc:\n  . <(millrace completion bash)",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_completion,
};

/* ---- the manual page ------------------------------------------------------------------------- */

/* Text for roff: no line begins with a control character, and dashes stay dashes. */
static void
put_text(const char *text, FILE *file)
{
    bool line_begins = true;

    for (; *text; text++) {
        if (line_begins && (*text == '.' || *text == '\'')) {
            fputs("\\&", file);
        }
        if (*text == '-' || *text == '\\') {
            fputs(*text == '-' ? "\\-" : "\\\\", file);
        } else {
            fputc(*text, file);
        }
        line_begins = *text == '\n';
    }
}

static void
put_option(const struct cli_option *option, FILE *file)
{
    fputs(".TP\n.B ", file);
    put_text(option->name, file);
    if (option->value) {
        fputc(' ', file);
        put_text(option->value, file);
    }
    fputc('\n', file);
    put_text(option->help, file);
    fputc('\n', file);
}

static void
put_command(const struct cli_command *command, FILE *file)
{
    fprintf(file, ".SS \"%s%s%s%s%s\"\n", command->family ? command->family : "",
            command->family ? " " : "", command->name, command->operands ? " " : "",
            command->operands ? command->operands : "");
    put_text(command->summary, file);
    fputs(".\n", file);
    if (command->details) {
        fputs(".PP\n.nf\n", file);
        put_text(command->details, file);
        fputs("\n.fi\n", file);
    }
    for (size_t i = 0; i < command->option_count; i++) {
        put_option(&command->options[i], file);
    }
}

void
cli_manual(const struct cli_command *const *commands, size_t command_count, FILE *file)
{
    fputs(".TH MILLRACE 1\n.SH NAME\nmillrace \\- talks to a Millrace broker, or any other that "
          "speaks Kafka's protocol\n.SH SYNOPSIS\n.B millrace\nCOMMAND [OPTION]...\n"
          ".SH COMMANDS\n",
          file);
    for (size_t i = 0; i < command_count; i++) {
        put_command(commands[i], file);
    }
    fputs(".SH OPTIONS OF EVERY COMMAND\n", file);
    for (size_t i = 0; i < cli_common_option_count; i++) {
        put_option(&cli_common_options[i], file);
    }
    fputs(".SH EXIT STATUS\n0 done, 1 the operation failed, 2 wrong usage.\n"
          ".SH SEE ALSO\n.BR millraced (1)\n",
          file);
}

static int
run_man(const struct cli_args *args)
{
    (void)args;
    cli_manual(cli_commands, cli_command_count, stdout);
    return CLI_EXIT_OK;
}

const struct cli_command cli_man = {
    .name = "man",
    .summary = "Writes this tool's manual page",
    .details = "For example:\n  millrace man | man -l -",
    .run = run_man,
};
