/* control/cli/message.h: how a consumed record is printed.
 *
 * Pure but for the FILE. A message borrows everything. */
#ifndef MR_CONTROL_CLI_MESSAGE_H
#define MR_CONTROL_CLI_MESSAGE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CLI_MESSAGE_HEADERS_MAX 64 /* further headers are not printed */

struct cli_bytes {
    const void *data; /* NULL: null */
    size_t size;
};

struct cli_message_header {
    const char *name;
    struct cli_bytes value;
};

struct cli_message {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* -1: none */
    struct cli_bytes key;
    struct cli_bytes value;
    struct cli_message_header headers[CLI_MESSAGE_HEADERS_MAX];
    size_t header_count;
};

/* Returns NULL for a format that cli_message_print() understands, else the first place it does
 * not. %t topic, %p partition, %o offset, %k key, %v value, %T timestamp in ms, %h headers as
 * name=value,..., %% a percent sign, \n \t \r \\ as in C. */
const char *cli_format_check(const char *format);

/* Prints one message by a checked format; null keys and values print as nothing. */
void cli_message_print(const struct cli_message *message, const char *format, FILE *file);

/* The message as an object; the caller owns it. Text that is not UTF-8 becomes base64 under the
 * name with "_base64" appended, so that nothing is lost. */
json_t *cli_message_json(const struct cli_message *message);

#endif
