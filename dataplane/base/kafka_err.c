/* base/kafka_err.c: names, texts and the errno mapping of Kafka's error codes. */
#include "dataplane/base/kafka_err.h"

#include <errno.h>
#include <stddef.h>

struct err_row {
    int code;
    const char *name;
    const char *text;
};

static const struct err_row rows[] = {
#define ERR_ROW(name, code, text) {code, #name, text},
    MR_KAFKA_ERRS(ERR_ROW)
#undef ERR_ROW
};

static const struct err_row *
find(int code)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].code == code) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *
mr_kafka_err_name(int code)
{
    const struct err_row *row = find(code);

    return row ? row->name : "UNKNOWN";
}

const char *
mr_kafka_err_text(int code)
{
    const struct err_row *row = find(code);

    return row ? row->text : "an error code Kafka does not define";
}

enum mr_kafka_err
mr_kafka_err_from_errno(int error)
{
    switch (error) {
    case 0:
        return MR_KAFKA_NONE;
    case -EIO:
    case -ENOSPC:
        return MR_KAFKA_KAFKA_STORAGE_ERROR;
    case -ERANGE:
        return MR_KAFKA_OFFSET_OUT_OF_RANGE;
    case -ENOENT:
        return MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    case -EAGAIN:
    case -ETIMEDOUT:
        return MR_KAFKA_REQUEST_TIMED_OUT;
    case -EINVAL:
        return MR_KAFKA_INVALID_REQUEST;
    default:
        return MR_KAFKA_UNKNOWN_SERVER_ERROR;
    }
}
