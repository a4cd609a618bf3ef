/* control/cli/group_rows.h: what a consumer group has committed, how far its partitions reach, and
 * which member reads each: the table that people know from kafka-consumer-groups. */
#ifndef MR_CONTROL_CLI_GROUP_ROWS_H
#define MR_CONTROL_CLI_GROUP_ROWS_H

#include "control/cli/cli.h"
#include "dataplane/base/uuid.h"

#define CLI_GROUP_TEXT_SIZE 256

struct cli_group_row {
    char topic[CLI_GROUP_TEXT_SIZE];
    struct mr_uuid topic_id; /* zero: there is no such topic any more */
    int32_t partition;
    int64_t committed;                /* -1: nothing */
    int64_t end;                      /* high watermark; -1: not known */
    char member[CLI_GROUP_TEXT_SIZE]; /* "": nobody reads it now */
    char host[CLI_GROUP_TEXT_SIZE];
    char client[CLI_GROUP_TEXT_SIZE];
};

struct cli_group {
    char state[32];                     /* "Dead": there is no such group */
    char protocol[CLI_GROUP_TEXT_SIZE]; /* the assignor; "": none chosen */
    int32_t member_count;
    struct cli_group_row *rows; /* by topic and partition */
    size_t row_count;
    size_t row_max;
};

/* Asks the coordinator about `name`; `is_new`: it need not be there. CLI_EXIT_OK, or an exit code
 * after the error was printed. Afterwards cli_group_free(). */
int cli_group_read(struct mr_client *client, const char *name, bool is_new,
                   struct cli_group *group);
void cli_group_free(struct cli_group *group);

/* Fills `offset` with what ListOffsets says of `timestamp` (-1 end, -2 start, else a time in ms)
 * for each row. CLI_EXIT_OK, or an exit code after the error was printed. */
int cli_group_list_offsets(struct mr_client *client, const struct cli_group_row *rows,
                           size_t row_count, int64_t timestamp, int64_t *offsets);

/* The row of a partition, appended if there is none. */
struct cli_group_row *cli_group_row(struct cli_group *group, struct mr_str topic,
                                    int32_t partition);

/* Fills the rows' topic ids. CLI_EXIT_OK, or an exit code after the error was printed. */
int cli_group_topic_ids(struct mr_client *client, struct cli_group_row *rows, size_t row_count);

/* Waits until a coordinator serves the group; CLI_EXIT_OK, or an exit code after the error. */
int cli_group_find(struct mr_client *client, const char *name, unsigned timeout_ms);

#endif
