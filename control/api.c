/* control/api.c: which handler answers a request. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

char *
mr_ctl_terminated(struct mr_ctl_request *request, struct mr_str text)
{
    char *copy;

    if (text.size < 0 || (text.size > 0 && memchr(text.data, 0, (size_t)text.size))) {
        return NULL;
    }
    copy = mr_bump_alloc(request->bump, (size_t)text.size + 1);
    if (copy && text.size > 0) {
        memcpy(copy, text.data, (size_t)text.size);
    }
    if (copy) {
        copy[text.size] = 0;
    }
    return copy;
}

struct mr_str
mr_ctl_copy(struct mr_ctl_request *request, const char *text)
{
    char *copy = mr_ctl_terminated(request, mr_str_from_c(text));

    return copy ? mr_str_from_c(copy) : mr_str_null();
}

struct named {
    struct mr_str name;
    int32_t at;
};

static int
compare_named(const void *a, const void *b)
{
    const struct named *left = a;
    const struct named *right = b;

    if (left->name.size != right->name.size || left->name.size <= 0) {
        return (left->name.size > right->name.size) - (left->name.size < right->name.size);
    }
    return memcmp(left->name.data, right->name.data, (size_t)left->name.size);
}

static int
compare_named_and_place(const void *a, const void *b)
{
    int order = compare_named(a, b);

    return order ? order : ((const struct named *)a)->at - ((const struct named *)b)->at;
}

/* Sorts, because a request may name hundreds of thousands and everybody waits for this thread. */
uint8_t *
mr_ctl_named_twice(struct mr_ctl_request *request, const struct mr_str *names, int32_t count)
{
    struct named *named = mr_ctl_array(request, count, sizeof(*named));
    uint8_t *twice = mr_ctl_array(request, count, sizeof(*twice));

    if (!named || !twice) {
        return NULL;
    }
    for (int32_t i = 0; i < count; i++) {
        named[i] = (struct named){names[i], i};
    }
    if (count > 0) {
        qsort(named, (size_t)count, sizeof(*named), compare_named_and_place);
    }
    for (int32_t i = 1; i < count; i++) {
        if (compare_named(&named[i - 1], &named[i]) == 0) {
            twice[named[i - 1].at] |= twice[named[i - 1].at] ? 0 : MR_CTL_FIRST;
            twice[named[i].at] = MR_CTL_LATER;
        }
    }
    return twice;
}

struct handler {
    int16_t api_key;
    /* One of the two: answers in time, or fills the response at once. */
    void (*start)(struct mr_control *control, struct mr_ctl_request *request, unsigned from);
    bool (*fill)(struct mr_control *control, struct mr_ctl_request *request);
};

static const struct handler handlers[] = {
    {MR_API_CREATE_TOPICS, mr_api_create_topics, NULL},
    {MR_API_DELETE_TOPICS, mr_api_delete_topics, NULL},
    {MR_API_INIT_PRODUCER_ID, mr_api_init_producer_id, NULL},
    {MR_API_DESCRIBE_ACLS, NULL, mr_api_describe_acls},
    {MR_API_CREATE_ACLS, NULL, mr_api_create_acls},
    {MR_API_DELETE_ACLS, NULL, mr_api_delete_acls},
    {MR_API_DESCRIBE_CONFIGS, mr_api_describe_configs, NULL},
    {MR_API_ALTER_CONFIGS, mr_api_alter_configs, NULL},
    {MR_API_ALTER_REPLICA_LOG_DIRS, NULL, mr_api_alter_log_dirs},
    {MR_API_DESCRIBE_LOG_DIRS, mr_api_log_dirs, NULL},
    {MR_API_CREATE_PARTITIONS, mr_api_create_partitions, NULL},
    {MR_API_ELECT_LEADERS, NULL, mr_api_elect_leaders},
    {MR_API_INCREMENTAL_ALTER_CONFIGS, mr_api_incremental_alter_configs, NULL},
    {MR_API_ALTER_PARTITION_REASSIGNMENTS, NULL, mr_api_alter_reassignments},
    {MR_API_LIST_PARTITION_REASSIGNMENTS, NULL, mr_api_list_reassignments},
    {MR_API_DESCRIBE_CLIENT_QUOTAS, NULL, mr_api_describe_quotas},
    {MR_API_ALTER_CLIENT_QUOTAS, mr_api_alter_quotas, NULL},
    {MR_API_DESCRIBE_USER_SCRAM_CREDENTIALS, NULL, mr_api_describe_scram},
    {MR_API_DESCRIBE_QUORUM, NULL, mr_api_describe_quorum},
    {MR_API_UPDATE_FEATURES, NULL, mr_api_update_features},
    {MR_API_UNREGISTER_BROKER, NULL, mr_api_unregister_broker},
    {MR_API_DESCRIBE_TRANSACTIONS, NULL, mr_api_describe_transactions},
    {MR_API_LIST_TRANSACTIONS, NULL, mr_api_list_transactions},
    {MR_API_LIST_CONFIG_RESOURCES, mr_api_list_config_resources, NULL},
};

void
mr_api_handle(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    for (unsigned i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        const struct handler *handler = &handlers[i];

        if (handler->api_key != request->api_key) {
            continue;
        }
        if (handler->start) {
            handler->start(control, request, from);
        } else if (handler->fill(control, request)) {
            mr_ctl_reply(control, request, from);
        } else {
            mr_ctl_fail(control, request, from);
        }
        return;
    }
    mr_api_groups(control, request, from);
}
