/* control/metadata_config.c: topics' configurations and dynamic settings change.
 *
 * A change of a list (append, subtract) starts from the value at the time it is applied, so that
 * two of them that were proposed together both count. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/metadata_internal.h"

#define SETTINGS_MAX 65536u

/* One change as it lies in a command; the texts are terminated copies. */
struct change {
    uint8_t op;
    char *name;
    char *value;
    char *base; /* where a list starts that has no value yet */
};

static void
change_free(struct change *change)
{
    free(change->name);
    free(change->value);
    free(change->base);
}

/* 0, -EBADMSG or -ENOMEM; `change` is to be freed in any case. */
static int
change_get(struct metadata_reader *reader, struct change *change)
{
    *change = (struct change){.op = get_u8(reader)};
    change->name = metadata_get_text(reader, get_u16(reader));
    change->value = metadata_get_text(reader, get_u16(reader));
    change->base = metadata_get_text(reader, get_u16(reader));
    if (reader->bad || change->op > MR_CONFIG_SUBTRACT) {
        return -EBADMSG;
    }
    return change->name && change->value && change->base ? 0 : -ENOMEM;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static bool
list_has(const char *list, const char *part, size_t size)
{
    while (*list) {
        size_t length = strcspn(list, ",");

        if (length == size && memcmp(list, part, size) == 0) {
            return true;
        }
        list += length;
        list += *list == ',';
    }
    return false;
}

static void
list_add(char *list, const char *part, size_t size)
{
    size_t length = strlen(list);

    if (length > 0) {
        list[length++] = ',';
    }
    memcpy(list + length, part, size);
    list[length + size] = 0;
}

/* The parts of `from` that `without` (may be empty) does not have, behind what `list` has. */
static void
list_add_all(char *list, const char *from, const char *without)
{
    while (*from) {
        size_t size = strcspn(from, ",");

        if (size > 0 && !list_has(without, from, size) && !list_has(list, from, size)) {
            list_add(list, from, size);
        }
        from += size;
        from += *from == ',';
    }
}

char *
mr_config_op_apply(uint8_t op, const char *current, const char *value)
{
    char *result = calloc(1, strlen(current) + strlen(value) + 2);

    if (!result) {
        return NULL;
    }
    if (op == MR_CONFIG_APPEND) {
        list_add_all(result, current, "");
        list_add_all(result, value, "");
    } else if (op == MR_CONFIG_SUBTRACT) {
        list_add_all(result, current, value);
    } else {
        memcpy(result, value, strlen(value));
    }
    return result;
}

/* What the change makes of `current` (NULL: not set). 0 with the new value, NULL where it is to be
 * removed; or -ENOMEM. */
static int
change_value(const struct change *change, const char *current, char **out)
{
    *out = NULL;
    if (change->op == MR_CONFIG_DELETE) {
        return 0;
    }
    *out = mr_config_op_apply(change->op, current ? current : change->base, change->value);
    return *out ? 0 : -ENOMEM;
}

/* ---- a topic's configuration ----------------------------------------------------------------- */

static int
topic_change(struct mr_metadata *metadata, struct metadata_topic *topic,
             const struct change *change, struct mr_metadata_outcome *outcome)
{
    int key = mr_topic_key_find(change->name, strlen(change->name));
    char error[256];
    const char *current;
    char *value;

    if (key < 0) {
        outcome->error = change->op == MR_CONFIG_DELETE ? MR_KAFKA_NONE : MR_KAFKA_INVALID_CONFIG;
        return 0;
    }
    current = topic->overrides[key] ? topic->overrides[key] : metadata->effective.values[key];
    if (change_value(change, current, &value) != 0) {
        return -ENOMEM;
    }
    if (value && mr_topic_config_check(key, value, error, sizeof(error)) != 0) {
        outcome->error = MR_KAFKA_INVALID_CONFIG;
        free(value);
        return 0;
    }
    free(topic->overrides[key]);
    topic->overrides[key] = value;
    return 0;
}

static void
overrides_clear(struct metadata_topic *topic)
{
    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        free(topic->overrides[i]);
        topic->overrides[i] = NULL;
    }
}

/* All changes of the command, or none. */
int
metadata_apply_topic_config(struct mr_metadata *metadata, struct metadata_reader *reader,
                            struct mr_metadata_outcome *outcome)
{
    struct mr_uuid id = get_uuid(reader);
    bool replace = get_u8(reader) != 0;
    uint16_t count = get_u16(reader);
    struct metadata_topic *old = metadata_topic_find(&metadata->topics, &id);
    struct metadata_topic *topic;
    int error = 0;

    if (reader->bad) {
        return -EBADMSG;
    }
    if (!old) {
        outcome->error = MR_KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return 0;
    }
    topic = metadata_topic_clone(old, (uint32_t)old->view.partition_count);
    if (!topic) {
        return -ENOMEM;
    }
    if (replace) {
        overrides_clear(topic);
    }
    for (uint16_t i = 0; i < count && !error && !outcome->error; i++) {
        struct change change;

        error = change_get(reader, &change);
        error = error ? error : topic_change(metadata, topic, &change, outcome);
        change_free(&change);
    }
    if (!error && !outcome->error &&
        !metadata_has_room(metadata, metadata_topic_bytes(topic))) { /* the old one's bytes spare */
        outcome->error = MR_KAFKA_POLICY_VIOLATION;
    }
    if (!error && !outcome->error) {
        error = metadata_topics_own(&metadata->topics, old);
    }
    if (!error && !outcome->error) {
        mr_topic_limits_fill(&metadata->effective, topic->overrides, &topic->view.limits);
        metadata_topics_replace(&metadata->topics, old, topic);
        metadata_changed(metadata);
    }
    metadata_topic_release(topic);
    return error;
}

/* ---- dynamic settings ------------------------------------------------------------------------ */

static void
setting_free(struct metadata_setting *setting)
{
    free(setting->entity);
    free(setting->name);
    free(setting->value);
    free(setting);
}

void
metadata_settings_clear(struct mr_list *settings)
{
    struct mr_list *node;

    while ((node = mr_list_pop_front(settings))) {
        setting_free(MR_CONTAINER_OF(node, struct metadata_setting, node));
    }
}

static int
setting_order(const struct metadata_setting *setting, uint8_t scope, const char *entity,
              const char *name)
{
    int order = (setting->scope > scope) - (setting->scope < scope);

    order = order ? order : strcmp(setting->entity, entity);
    return order ? order : strcmp(setting->name, name);
}

/* The first setting that is not before the place, or the list's head. */
static struct mr_list *
setting_place(struct mr_list *settings, uint8_t scope, const char *entity, const char *name)
{
    struct mr_list *node = settings->next;

    while (node != settings && setting_order(MR_CONTAINER_OF(node, struct metadata_setting, node),
                                             scope, entity, name) < 0) {
        node = node->next;
    }
    return node;
}

static struct metadata_setting *
setting_find(struct mr_list *settings, uint8_t scope, const char *entity, const char *name)
{
    struct mr_list *node = setting_place(settings, scope, entity, name);
    struct metadata_setting *setting = MR_CONTAINER_OF(node, struct metadata_setting, node);

    return node != settings && setting_order(setting, scope, entity, name) == 0 ? setting : NULL;
}

/* Copies the texts. NULL without memory. */
static struct metadata_setting *
setting_add(struct mr_list *settings, uint8_t scope, const char *entity, const char *name,
            const char *value)
{
    struct metadata_setting *setting = calloc(1, sizeof(*setting));

    if (!setting) {
        return NULL;
    }
    setting->scope = scope;
    setting->entity = strdup(entity);
    setting->name = strdup(name);
    setting->value = strdup(value);
    if (!setting->entity || !setting->name || !setting->value) {
        setting_free(setting);
        return NULL;
    }
    mr_list_push_back(setting_place(settings, scope, entity, name), &setting->node);
    return setting;
}

static int
settings_copy(const struct mr_list *from, struct mr_list *to)
{
    MR_LIST_FOR_EACH(node, from)
    {
        const struct metadata_setting *setting =
            MR_CONTAINER_OF(node, struct metadata_setting, node);

        if (!setting_add(to, setting->scope, setting->entity, setting->name, setting->value)) {
            return -ENOMEM;
        }
    }
    return 0;
}

static uint32_t
settings_count(const struct mr_list *settings)
{
    uint32_t count = 0;

    MR_LIST_FOR_EACH(node, settings)
    {
        count++;
    }
    return count;
}

/* In a saved state. */
static uint64_t
settings_bytes(const struct mr_list *settings)
{
    uint64_t bytes = 0;

    MR_LIST_FOR_EACH(node, settings)
    {
        const struct metadata_setting *setting =
            MR_CONTAINER_OF(node, struct metadata_setting, node);

        bytes += 7 + strlen(setting->entity) + strlen(setting->name) + strlen(setting->value);
    }
    return bytes;
}

static int
setting_change(struct mr_list *settings, uint8_t scope, const char *entity,
               const struct change *change)
{
    struct metadata_setting *setting = setting_find(settings, scope, entity, change->name);
    char *value;
    bool added;

    if (change_value(change, setting ? setting->value : NULL, &value) != 0) {
        return -ENOMEM;
    }
    if (setting) {
        mr_list_remove(&setting->node);
        setting_free(setting);
    }
    added = !value || setting_add(settings, scope, entity, change->name, value);
    free(value);
    return added ? 0 : -ENOMEM;
}

static void
settings_drop_entity(struct mr_list *settings, uint8_t scope, const char *entity)
{
    struct mr_list *node = setting_place(settings, scope, entity, "");

    while (node != settings) {
        struct metadata_setting *setting = MR_CONTAINER_OF(node, struct metadata_setting, node);

        if (setting->scope != scope || strcmp(setting->entity, entity) != 0) {
            return;
        }
        node = node->next;
        mr_list_remove(&setting->node);
        setting_free(setting);
    }
}

static int
settings_change(struct mr_list *settings, struct metadata_reader *reader)
{
    uint8_t scope = get_u8(reader);
    char *entity = metadata_get_text(reader, get_u16(reader));
    bool replace = get_u8(reader) != 0;
    uint16_t count = get_u16(reader);
    int error = reader->bad ? -EBADMSG : entity ? 0 : -ENOMEM;

    if (!error && replace) {
        settings_drop_entity(settings, scope, entity);
    }
    for (uint16_t i = 0; i < count && !error; i++) {
        struct change change;

        error = change_get(reader, &change);
        error = error ? error : setting_change(settings, scope, entity, &change);
        change_free(&change);
    }
    free(entity);
    return error;
}

/* ---- topics follow the broker's defaults ----------------------------------------------------- */

/* The broker's own setting, else that of all brokers. */
static const char *
broker_setting(const struct mr_metadata *metadata, const char *name)
{
    char own[16];
    const char *value;

    snprintf(own, sizeof(own), "%d", metadata->node_id);
    value = mr_metadata_setting(metadata, MR_METADATA_BROKER, own, name);
    return value ? value : mr_metadata_setting(metadata, MR_METADATA_BROKER, "", name);
}

void
metadata_fill_effective(struct mr_metadata *metadata)
{
    for (unsigned i = 0; i < MR_TOPIC_KEYS; i++) {
        const char *synonym = mr_topic_key_at(i)->synonym;
        const char *value = synonym ? broker_setting(metadata, synonym) : NULL;

        metadata->effective.values[i] = value ? value : metadata->defaults->values[i];
    }
}

static int64_t
number_or(const char *value, int64_t otherwise)
{
    double number = value ? strtod(value, NULL) : -1;

    /* A default beyond what any device or clock gives means no limit. */
    return !value ? otherwise : number < 1e15 ? (int64_t)number : 0;
}

void
metadata_fill_settings(const struct mr_metadata *metadata, struct mr_snapshot_settings *out)
{
    *out = (struct mr_snapshot_settings){
        .cleaner_backoff_ms = number_or(broker_setting(metadata, "log.cleaner.backoff.ms"), -1),
        .cleaner_bytes_per_s =
            number_or(broker_setting(metadata, "log.cleaner.io.max.bytes.per.second"), -1),
        .connections_max = number_or(broker_setting(metadata, "max.connections"), -1),
    };
}

/* Copies of all topics, whose limits may be filled in place. 0 or -ENOMEM. */
static int
clone_topics(const struct mr_metadata *metadata, struct metadata_topics *clones)
{
    const struct metadata_topic *topic;
    struct mr_topic_walk walk;
    int error = 0;

    topic_tree_walk(&metadata->topics.by_name, NULL, &walk);
    while (!error && (topic = metadata_topic_next(&walk))) {
        struct metadata_topic *clone =
            metadata_topic_clone(topic, (uint32_t)topic->view.partition_count);

        error = clone ? metadata_topics_insert(clones, clone) : -ENOMEM;
        metadata_topic_release(clone);
    }
    return error;
}

static void
swap_settings(struct mr_metadata *metadata, struct mr_list *settings)
{
    struct mr_list *node;

    metadata_settings_clear(&metadata->settings);
    while ((node = mr_list_pop_front(settings))) {
        mr_list_push_back(&metadata->settings, node);
    }
    metadata->setting_count = settings_count(&metadata->settings);
    metadata->setting_bytes = settings_bytes(&metadata->settings);
    metadata_fill_effective(metadata);
    metadata_quotas_release(metadata->quotas);
    metadata->quotas = NULL;
}

void
metadata_fill_topics(struct mr_metadata *metadata)
{
    struct metadata_topic *topic;
    struct mr_topic_walk walk;

    metadata_fill_effective(metadata);
    topic_tree_walk(&metadata->topics.by_name, NULL, &walk);
    while ((topic = metadata_topic_next(&walk))) {
        mr_topic_limits_fill(&metadata->effective, topic->overrides, &topic->view.limits);
    }
}

/* Takes `topics` over. */
static void
swap_topics(struct mr_metadata *metadata, const struct metadata_topics *topics)
{
    metadata_topics_release(&metadata->topics);
    metadata->topics = *topics;
    metadata_fill_topics(metadata);
}

/* All changes of the command, or none. */
int
metadata_apply_settings(struct mr_metadata *metadata, struct metadata_reader *reader,
                        struct mr_metadata_outcome *outcome)
{
    struct mr_list settings;
    struct metadata_topics clones;
    bool of_brokers = reader->left > 0 && *reader->at == MR_METADATA_BROKER;
    int error;

    mr_list_init(&settings);
    metadata_topics_init(&clones);
    error = settings_copy(&metadata->settings, &settings);
    error = error ? error : settings_change(&settings, reader);
    if (!error && (settings_count(&settings) > SETTINGS_MAX ||
                   !metadata_has_room(metadata, settings_bytes(&settings)))) {
        outcome->error = MR_KAFKA_POLICY_VIOLATION;
    } else if (!error && of_brokers) {
        error = clone_topics(metadata, &clones);
    }
    if (error || outcome->error) {
        metadata_settings_clear(&settings);
        metadata_topics_release(&clones);
        return error;
    }
    swap_settings(metadata, &settings);
    if (of_brokers) {
        swap_topics(metadata, &clones);
    }
    metadata_changed(metadata);
    return 0;
}

/* ---- settings in a saved state --------------------------------------------------------------- */

static void
put_text(struct metadata_writer *writer, const char *text)
{
    put_u16(writer, (uint16_t)strlen(text));
    put_bytes(writer, text, strlen(text));
}

void
metadata_put_settings(struct metadata_writer *writer, const struct mr_metadata *metadata)
{
    put_u32(writer, metadata->setting_count);
    MR_LIST_FOR_EACH(node, &metadata->settings)
    {
        const struct metadata_setting *setting =
            MR_CONTAINER_OF(node, struct metadata_setting, node);

        put_u8(writer, setting->scope);
        put_text(writer, setting->entity);
        put_text(writer, setting->name);
        put_text(writer, setting->value);
    }
}

static int
get_setting(struct mr_metadata *metadata, struct metadata_reader *reader)
{
    uint8_t scope = get_u8(reader);
    char *entity = metadata_get_text(reader, get_u16(reader));
    char *name = metadata_get_text(reader, get_u16(reader));
    char *value = metadata_get_text(reader, get_u16(reader));
    int error = reader->bad ? -EBADMSG : entity && name && value ? 0 : -ENOMEM;

    if (!error && setting_find(&metadata->settings, scope, entity, name)) {
        error = -EBADMSG;
    }
    if (!error && !setting_add(&metadata->settings, scope, entity, name, value)) {
        error = -ENOMEM;
    }
    free(entity);
    free(name);
    free(value);
    return error;
}

int
metadata_get_settings(struct mr_metadata *metadata, struct metadata_reader *reader)
{
    uint32_t count = get_u32(reader);
    int error = reader->bad || count > SETTINGS_MAX ? -EBADMSG : 0;

    for (uint32_t i = 0; i < count && !error; i++) {
        error = get_setting(metadata, reader);
    }
    metadata->setting_count = settings_count(&metadata->settings);
    metadata->setting_bytes = settings_bytes(&metadata->settings);
    return error;
}

/* ---- reading --------------------------------------------------------------------------------- */

const char *
mr_metadata_setting(const struct mr_metadata *metadata, enum mr_metadata_scope scope,
                    const char *entity, const char *name)
{
    const struct metadata_setting *setting = setting_find(
        (struct mr_list *)(uintptr_t)&metadata->settings, (uint8_t)scope, entity, name);

    return setting ? setting->value : NULL;
}

void
mr_metadata_settings(const struct mr_metadata *metadata, enum mr_metadata_scope scope,
                     void (*each)(void *context, const char *entity, const char *name,
                                  const char *value),
                     void *context)
{
    MR_LIST_FOR_EACH(node, &metadata->settings)
    {
        const struct metadata_setting *setting =
            MR_CONTAINER_OF(node, struct metadata_setting, node);

        if (setting->scope == scope) {
            each(context, setting->entity, setting->name, setting->value);
        }
    }
}

const struct mr_topic_defaults *
mr_metadata_defaults(const struct mr_metadata *metadata)
{
    return &metadata->effective;
}
