/* control/api_quotas.c: DescribeClientQuotas (key 48) and AlterClientQuotas (key 49). */
#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/api.h"
#include "control/quota.h"

/* ---- DescribeClientQuotas -------------------------------------------------------------------- */

enum {
    MATCH_EXACT = 0,
    MATCH_DEFAULT = 1,
    MATCH_ANY = 2,
};

/* What an entity must look like: by type, the component that names it, or NULL. */
struct filter {
    const struct mr_describe_client_quotas_request_component *by_type[MR_QUOTA_ENTITY_TYPES];
    bool strict;
};

struct describe {
    struct mr_ctl_request *request;
    struct filter filter;
    struct mr_describe_client_quotas_response *out;
    int32_t capacity;
    const char *entity; /* of the last entry */
    bool good;          /* false: no memory */
};

static enum mr_kafka_err
take_component(struct filter *filter,
               const struct mr_describe_client_quotas_request_component *component)
{
    enum mr_quota_entity type;

    if (component->entity_type.size <= 0) {
        return MR_KAFKA_INVALID_REQUEST;
    }
    type = mr_quota_entity_find(component->entity_type.data, (size_t)component->entity_type.size);
    if (type == MR_QUOTA_ENTITY_TYPES) {
        return MR_KAFKA_UNSUPPORTED_VERSION;
    }
    if (filter->by_type[type] || component->match_type < MATCH_EXACT ||
        component->match_type > MATCH_ANY ||
        (component->match_type == MATCH_EXACT) != (component->match.size >= 0)) {
        return MR_KAFKA_INVALID_REQUEST;
    }
    filter->by_type[type] = component;
    return MR_KAFKA_NONE;
}

static enum mr_kafka_err
take_filter(struct filter *filter, const struct mr_describe_client_quotas_request *body)
{
    filter->strict = body->strict;
    for (int32_t i = 0; i < body->components_count; i++) {
        enum mr_kafka_err error = take_component(filter, &body->components[i]);

        if (error) {
            return error;
        }
    }
    if (filter->by_type[MR_QUOTA_ENTITY_IP] &&
        (filter->by_type[MR_QUOTA_ENTITY_USER] || filter->by_type[MR_QUOTA_ENTITY_CLIENT])) {
        return MR_KAFKA_INVALID_REQUEST;
    }
    return MR_KAFKA_NONE;
}

static bool
part_matches(const struct mr_describe_client_quotas_request_component *component, const char *part,
             size_t size)
{
    char *name;
    size_t name_size;
    bool equal;

    if (component->match_type == MATCH_ANY) {
        return true;
    }
    if (component->match_type == MATCH_DEFAULT || mr_quota_part_is_default(part, size)) {
        return component->match_type == MATCH_DEFAULT && mr_quota_part_is_default(part, size);
    }
    name = malloc(size + 1);
    name_size = name ? mr_quota_part_name(part, size, name) : 0;
    equal = name && name_size == (size_t)component->match.size &&
            memcmp(name, component->match.data, name_size) == 0;
    free(name);
    return equal;
}

static bool
entity_matches(const struct filter *filter, const char *entity)
{
    bool any = false;

    for (unsigned type = 0; type < MR_QUOTA_ENTITY_TYPES; type++) {
        size_t size = 0;
        const char *part = mr_quota_part_find(entity, (enum mr_quota_entity)type, &size);

        any |= filter->by_type[type] != NULL;
        if (filter->by_type[type] && (!part || !part_matches(filter->by_type[type], part, size))) {
            return false;
        }
        if (!filter->by_type[type] && part && filter->strict) {
            return false;
        }
    }
    return any || !filter->strict;
}

static void
count_setting(void *context, const char *entity, const char *name, const char *value)
{
    int32_t *count = context;

    (void)entity;
    (void)name;
    (void)value;
    (*count)++;
}

static struct mr_str
part_name(struct mr_ctl_request *request, const char *part, size_t size)
{
    char *name = mr_bump_alloc(request->bump, size + 1);

    return name ? (struct mr_str){name, (int32_t)mr_quota_part_name(part, size, name)}
                : mr_str_null();
}

static void
begin_entry(struct describe *describe, const char *entity)
{
    struct mr_describe_client_quotas_response_entry *entry =
        &describe->out->entries[describe->out->entries_count++];

    describe->entity = entity;
    entry->entity = mr_ctl_array(describe->request, MR_QUOTA_ENTITY_TYPES, sizeof(*entry->entity));
    entry->values = mr_ctl_array(describe->request, describe->capacity, sizeof(*entry->values));
    describe->good = entry->entity && entry->values;
    for (unsigned type = 0; describe->good && type < MR_QUOTA_ENTITY_TYPES; type++) {
        size_t size = 0;
        const char *part = mr_quota_part_find(entity, (enum mr_quota_entity)type, &size);

        if (part) {
            entry->entity[entry->entity_count++] =
                (struct mr_describe_client_quotas_response_entity){
                    .entity_type = mr_str_from_c(mr_quota_entity_name((enum mr_quota_entity)type)),
                    .entity_name = mr_quota_part_is_default(part, size)
                                       ? mr_str_null()
                                       : part_name(describe->request, part, size),
                };
        }
    }
}

/* Settings of one entity come together, sorted by name: at most one for each thing. */
static void
describe_setting(void *context, const char *entity, const char *name, const char *value)
{
    struct describe *describe = context;
    struct mr_describe_client_quotas_response_entry *entry;

    if (!describe->good || !entity_matches(&describe->filter, entity)) {
        return;
    }
    if (!describe->entity || strcmp(describe->entity, entity) != 0) {
        begin_entry(describe, entity);
    }
    if (describe->good) {
        entry = &describe->out->entries[describe->out->entries_count - 1];
        entry->values[entry->values_count++] = (struct mr_describe_client_quotas_response_value){
            mr_ctl_copy(describe->request, name), strtod(value, NULL)};
    }
}

bool
mr_api_describe_quotas(struct mr_control *control, struct mr_ctl_request *request)
{
    struct describe describe = {
        .request = request, .out = request->response, .capacity = MR_QUOTA_KEYS, .good = true};
    int32_t count = 0;
    enum mr_kafka_err error;

    describe.out->error_message = mr_str_null();
    error = take_filter(&describe.filter, request->request);
    if (error) {
        describe.out->error_code = (int16_t)error;
        describe.out->error_message = mr_str_from_c(mr_kafka_err_text(error));
        describe.out->entries_count = -1;
        return true;
    }
    mr_metadata_settings(control->metadata, MR_METADATA_QUOTA, count_setting, &count);
    describe.out->entries = mr_ctl_array(request, count, sizeof(*describe.out->entries));
    if (!describe.out->entries) {
        return false;
    }
    mr_metadata_settings(control->metadata, MR_METADATA_QUOTA, describe_setting, &describe);
    return describe.good;
}

/* ---- AlterClientQuotas ----------------------------------------------------------------------- */

/* One entity of the request. */
struct alter {
    struct mr_ctl_request *request;
    const struct mr_alter_client_quotas_request_entry *in;
    struct mr_alter_client_quotas_response_entry *out;
    char *entity;
};

static void
refuse(struct alter *alter, enum mr_kafka_err error, struct mr_str message)
{
    alter->out->error_code = (int16_t)error;
    alter->out->error_message = message;
}

/* Host names are not looked up: that would hold up the control thread. */
static bool
valid_ip(struct mr_ctl_request *request, struct mr_str text)
{
    const char *ip = mr_ctl_terminated(request, text);
    struct in6_addr address;

    return ip && (inet_pton(AF_INET, ip, &address) == 1 || inet_pton(AF_INET6, ip, &address) == 1 ||
                  strcmp(ip, "localhost") == 0);
}

/* Finds the entity's parts, by type; the last of one type counts. False: refused. */
static bool
take_parts(struct alter *alter, const struct mr_str *parts[MR_QUOTA_ENTITY_TYPES])
{
    for (int32_t i = 0; i < alter->in->entity_count; i++) {
        const struct mr_alter_client_quotas_request_entity *part = &alter->in->entity[i];
        enum mr_quota_entity type =
            mr_quota_entity_find(part->entity_type.data, (size_t)part->entity_type.size);

        if (type == MR_QUOTA_ENTITY_TYPES) {
            refuse(alter, MR_KAFKA_INVALID_REQUEST,
                   mr_ctl_text(alter->request, "unknown type of entity %.*s",
                               (int)part->entity_type.size, part->entity_type.data));
            return false;
        }
        if (part->entity_name.size == 0) {
            refuse(alter, MR_KAFKA_INVALID_REQUEST, mr_str_from_c("an entity's name is empty"));
            return false;
        }
        parts[type] = &part->entity_name;
    }
    return true;
}

/* Writes the entity's text; false: refused, or no memory (then the text is NULL). */
static bool
take_entity(struct alter *alter)
{
    const struct mr_str *parts[MR_QUOTA_ENTITY_TYPES] = {NULL};
    const struct mr_str *ip;
    size_t room = 1;

    if (!take_parts(alter, parts)) {
        return false;
    }
    ip = parts[MR_QUOTA_ENTITY_IP];
    if (!!ip == (parts[MR_QUOTA_ENTITY_CLIENT] || parts[MR_QUOTA_ENTITY_USER])) {
        refuse(alter, MR_KAFKA_INVALID_REQUEST,
               mr_str_from_c("a quota is of a user, a client-id, both, or an ip"));
        return false;
    }
    if (ip && ip->size > 0 && !valid_ip(alter->request, *ip)) {
        refuse(alter, MR_KAFKA_INVALID_REQUEST, mr_str_from_c("no address"));
        return false;
    }
    for (unsigned type = 0; type < MR_QUOTA_ENTITY_TYPES; type++) {
        room += parts[type]
                    ? mr_quota_part_max(parts[type]->size > 0 ? (size_t)parts[type]->size : 0)
                    : 0;
    }
    alter->entity = mr_ctl_array(alter->request, (int64_t)room, 1);
    for (unsigned type = 0; alter->entity && type < MR_QUOTA_ENTITY_TYPES; type++) {
        if (parts[type]) {
            mr_quota_part_put(alter->entity, (enum mr_quota_entity)type,
                              parts[type]->size < 0 ? NULL : parts[type]->data,
                              parts[type]->size < 0 ? 0 : (size_t)parts[type]->size);
        }
    }
    if (alter->entity && strlen(alter->entity) > UINT16_MAX) {
        refuse(alter, MR_KAFKA_INVALID_REQUEST, mr_str_from_c("the entity's name is too long"));
        return false;
    }
    return alter->entity != NULL;
}

/* NULL: the operation may be carried out. */
static const char *
op_fault(const struct mr_quota_key_info *key, const char *entity, double value)
{
    size_t size;
    bool of_ip = mr_quota_part_find(entity, MR_QUOTA_ENTITY_IP, &size) != NULL;

    if (!key || key->of_ip != of_ip) {
        return "not something that this entity can have a quota of";
    }
    if (!(value > 0)) {
        return "the quota must be above 0";
    }
    if (!isfinite(value) || (key->whole && fabs(value - nearbyint(value)) > 1e-6)) {
        return "the quota must be a whole number";
    }
    return NULL;
}

/* False: refused. */
static bool
take_op(struct alter *alter, const struct mr_alter_client_quotas_request_op *op,
        struct mr_metadata_change *change)
{
    const char *name = mr_ctl_terminated(alter->request, op->key);
    const struct mr_quota_key_info *key = name ? mr_quota_key_find(name) : NULL;
    const char *fault = op->remove ? NULL : op_fault(key, alter->entity, op->value);

    if (fault) {
        refuse(alter, MR_KAFKA_INVALID_REQUEST, mr_str_from_c(fault));
        return false;
    }
    change->name = key ? key->name : ""; /* to remove what is not known changes nothing */
    change->op = op->remove ? MR_CONFIG_DELETE : MR_CONFIG_SET;
    change->value = "";
    if (!op->remove) {
        struct mr_str value = mr_ctl_text(alter->request, "%.17g", op->value);

        change->value = value.size >= 0 ? mr_ctl_terminated(alter->request, value) : NULL;
    }
    return change->value != NULL;
}

static void
on_altered(struct mr_proposal *proposal, const struct mr_metadata_outcome *outcome)
{
    if (outcome->error) {
        refuse(proposal->slot, outcome->error, mr_str_from_c(mr_kafka_err_text(outcome->error)));
    }
}

static void
propose(struct alter *alter, struct mr_op *op, const struct mr_metadata_change *changes,
        unsigned count)
{
    uint8_t *bytes = malloc(MR_METADATA_COMMAND_MAX);
    enum mr_kafka_err error = MR_KAFKA_UNKNOWN_SERVER_ERROR;

    if (bytes) {
        size_t size = mr_metadata_encode_settings(bytes, MR_METADATA_COMMAND_MAX, MR_METADATA_QUOTA,
                                                  alter->entity, false, changes, count);

        error = mr_propose(op->control, op, bytes, size, on_altered, alter);
    }
    if (error) {
        refuse(alter, error, mr_str_from_c(mr_kafka_err_text(error)));
    }
    free(bytes);
}

/* False: no memory. */
static bool
alter_entity(struct alter *alter, struct mr_op *op, bool validate_only)
{
    struct mr_metadata_change *changes =
        mr_ctl_array(alter->request, alter->in->ops_count, sizeof(*changes));
    struct mr_str *names = mr_ctl_array(alter->request, alter->in->ops_count, sizeof(*names));
    uint8_t *twice;

    if (!changes || !names) {
        return false;
    }
    if (!take_entity(alter)) {
        return alter->out->error_code != 0;
    }
    for (int32_t i = 0; i < alter->in->ops_count; i++) {
        names[i] = alter->in->ops[i].key;
    }
    twice = mr_ctl_named_twice(alter->request, names, alter->in->ops_count);
    for (int32_t i = 0; twice && i < alter->in->ops_count; i++) {
        if (twice[i]) {
            refuse(alter, MR_KAFKA_INVALID_REQUEST, mr_str_from_c("a quota is named twice"));
            return true;
        }
        if (!take_op(alter, &alter->in->ops[i], &changes[i])) {
            return alter->out->error_code != 0;
        }
    }
    if (twice && !validate_only) {
        propose(alter, op, changes, (unsigned)alter->in->ops_count);
    }
    return twice != NULL;
}

static bool
echo_entity(struct alter *alter)
{
    int32_t count = alter->in->entity_count;

    alter->out->error_message = mr_str_null();
    alter->out->entity = mr_ctl_array(alter->request, count, sizeof(*alter->out->entity));
    alter->out->entity_count = count;
    for (int32_t i = 0; alter->out->entity && i < count; i++) {
        alter->out->entity[i] = (struct mr_alter_client_quotas_response_entity){
            alter->in->entity[i].entity_type, alter->in->entity[i].entity_name};
    }
    return alter->out->entity != NULL;
}

void
mr_api_alter_quotas(struct mr_control *control, struct mr_ctl_request *request, unsigned from)
{
    const struct mr_alter_client_quotas_request *body = request->request;
    struct mr_alter_client_quotas_response *response = request->response;
    struct alter *alters = mr_ctl_array(request, body->entries_count, sizeof(*alters));
    struct mr_op *op;
    bool good;

    response->entries = mr_ctl_array(request, body->entries_count, sizeof(*response->entries));
    if (!alters || !response->entries) {
        mr_ctl_fail(control, request, from);
        return;
    }
    op = mr_op_begin(control, request, from);
    if (!op) {
        return;
    }
    response->entries_count = body->entries_count;
    good = true;
    for (int32_t i = 0; good && i < body->entries_count; i++) {
        alters[i] = (struct alter){
            .request = request, .in = &body->entries[i], .out = &response->entries[i]};
        good = echo_entity(&alters[i]) && alter_entity(&alters[i], op, body->validate_only);
    }
    request->failed |= !good;
    mr_op_go(op);
}
