/* control/metadata_quota.c: from the settings to the quotas that shards look up. */
#include <stdlib.h>

#include "control/metadata_internal.h"
#include "control/quota.h"

#define ANONYMOUS "ANONYMOUS" /* the user of every client, as in Kafka without authentication */

/* Which of two levels that differ in whether the client is named, or there is none. */
static enum mr_quota_level
level_of(enum mr_quota_level client, enum mr_quota_level any_client, enum mr_quota_level no_client,
         const char *part, size_t size)
{
    if (!part) {
        return no_client;
    }
    return mr_quota_part_is_default(part, size) ? any_client : client;
}

/* MR_QUOTA_LEVELS: nobody can be this entity here. */
static enum mr_quota_level
entity_level(const char *entity)
{
    size_t client_size = 0;
    size_t user_size = 0;
    const char *client = mr_quota_part_find(entity, MR_QUOTA_ENTITY_CLIENT, &client_size);
    const char *user = mr_quota_part_find(entity, MR_QUOTA_ENTITY_USER, &user_size);

    if (!user) {
        return level_of(MR_QUOTA_CLIENT, MR_QUOTA_ANY_CLIENT, MR_QUOTA_LEVELS, client, client_size);
    }
    if (mr_quota_part_is_default(user, user_size)) {
        return level_of(MR_QUOTA_ANY_USER_CLIENT, MR_QUOTA_ANY_USER_ANY_CLIENT, MR_QUOTA_ANY_USER,
                        client, client_size);
    }
    if (user_size != strlen(ANONYMOUS) || memcmp(user, ANONYMOUS, user_size) != 0) {
        return MR_QUOTA_LEVELS;
    }
    return level_of(MR_QUOTA_USER_CLIENT, MR_QUOTA_USER_ANY_CLIENT, MR_QUOTA_USER, client,
                    client_size);
}

static int
set_client(struct mr_snapshot_quota *rule, const char *entity)
{
    size_t size = 0;
    const char *part = mr_quota_part_find(entity, MR_QUOTA_ENTITY_CLIENT, &size);
    char *client;

    if (!part || mr_quota_part_is_default(part, size)) {
        return 0;
    }
    client = malloc(size + 1);
    if (!client) {
        return -1;
    }
    rule->client_size = (uint32_t)mr_quota_part_name(part, size, client);
    rule->client = client;
    return 0;
}

/* Settings of one entity lie together: they are one rule. */
static int
take_setting(struct metadata_quotas *quotas, const struct metadata_setting *setting,
             const char **entity)
{
    const struct mr_quota_key_info *key = mr_quota_key_find(setting->name);
    enum mr_quota_level level = entity_level(setting->entity);
    struct mr_snapshot_quota *rule;

    if (!key || key->kind < 0 || level == MR_QUOTA_LEVELS) {
        return 0;
    }
    if (!*entity || strcmp(*entity, setting->entity) != 0) {
        *entity = setting->entity;
        rule = &quotas->rules[quotas->view.count];
        *rule = (struct mr_snapshot_quota){.level = level};
        for (unsigned i = 0; i < MR_QUOTA_KINDS; i++) {
            rule->limits[i] = -1;
        }
        if (set_client(rule, setting->entity) != 0) {
            return -1;
        }
        quotas->view.count++;
    }
    quotas->rules[quotas->view.count - 1].limits[key->kind] = strtod(setting->value, NULL);
    quotas->view.any[key->kind] = true;
    return 0;
}

static int
rule_order(const void *a, const void *b)
{
    const struct mr_snapshot_quota *left = a;
    const struct mr_snapshot_quota *right = b;

    if (left->level != right->level) {
        return left->level < right->level ? -1 : 1;
    }
    return topic_name_order(left->client ? left->client : "", left->client_size,
                            right->client ? right->client : "", right->client_size);
}

static struct metadata_quotas *
build(const struct mr_metadata *metadata)
{
    struct metadata_quotas *quotas = calloc(1, sizeof(*quotas));
    const char *entity = NULL;
    int error = 0;

    if (!quotas) {
        return NULL;
    }
    quotas->references = 1;
    quotas->rules = calloc(metadata->setting_count + 1, sizeof(*quotas->rules));
    quotas->view.rules = quotas->rules;
    if (!quotas->rules) {
        free(quotas);
        return NULL;
    }
    MR_LIST_FOR_EACH(node, &metadata->settings)
    {
        const struct metadata_setting *setting =
            MR_CONTAINER_OF(node, struct metadata_setting, node);

        if (setting->scope == MR_METADATA_QUOTA && !error) {
            error = take_setting(quotas, setting, &entity);
        }
    }
    if (error) {
        metadata_quotas_release(quotas);
        return NULL;
    }
    qsort(quotas->rules, quotas->view.count, sizeof(*quotas->rules), rule_order);
    return quotas;
}

struct metadata_quotas *
metadata_quotas_take(struct mr_metadata *metadata)
{
    if (!metadata->quotas) {
        metadata->quotas = build(metadata);
    }
    if (metadata->quotas) {
        metadata->quotas->references++;
    }
    return metadata->quotas;
}

void
metadata_quotas_release(struct metadata_quotas *quotas)
{
    if (!quotas || --quotas->references > 0) {
        return;
    }
    for (uint32_t i = 0; i < quotas->view.count; i++) {
        free((char *)(uintptr_t)quotas->rules[i].client);
    }
    free(quotas->rules);
    free(quotas);
}
