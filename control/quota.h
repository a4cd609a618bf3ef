/* control/quota.h: whose quotas there are, and of what.
 *
 * An entity is a text in the settings of the metadata, its parts in this order and with commas
 * between them: "client-id=NAME,ip=NAME,user=NAME". Parts that the entity has not are left out;
 * "<default>" stands for all that have no quota of their own; in a name every byte but letters,
 * digits, '-', '.' and '_' is %XX.
 *
 * Pure; any thread. */
#ifndef MR_CONTROL_QUOTA_H
#define MR_CONTROL_QUOTA_H

#include <stdbool.h>
#include <stddef.h>

#include "control/ctl_msg.h"

enum mr_quota_entity {
    MR_QUOTA_ENTITY_CLIENT,
    MR_QUOTA_ENTITY_IP,
    MR_QUOTA_ENTITY_USER,
    MR_QUOTA_ENTITY_TYPES,
};

#define MR_QUOTA_ENTITY_DEFAULT "<default>"

/* The name of a type on the wire: "client-id", "ip", "user". */
const char *mr_quota_entity_name(enum mr_quota_entity type);

/* The type with this name, or MR_QUOTA_ENTITY_TYPES. */
enum mr_quota_entity mr_quota_entity_find(const char *name, size_t size);

/* The bytes that a part of `size` bytes needs at most, with its type and its comma. */
size_t mr_quota_part_max(size_t size);

/* Appends a part to `text`, a terminated text with room for it; NULL name: the default. */
void mr_quota_part_put(char *text, enum mr_quota_entity type, const char *name, size_t size);

/* Finds a part: its escaped text, not terminated; NULL: the entity has none. */
const char *mr_quota_part_find(const char *text, enum mr_quota_entity type, size_t *size);

bool mr_quota_part_is_default(const char *part, size_t size);

/* Writes the name of a part that is no default to `out`, which has room for `size` bytes; returns
 * its size. */
size_t mr_quota_part_name(const char *part, size_t size, char *out);

/* One of the things a quota may be of. */
struct mr_quota_key_info {
    const char *name;
    bool of_ip; /* for ip entities; else for users and clients */
    bool whole; /* a whole number */
    int kind;   /* enum mr_quota_kind, or -1: kept and told, and not enforced */
};

#define MR_QUOTA_KEYS 5

/* NULL: unknown. */
const struct mr_quota_key_info *mr_quota_key_find(const char *name);

#endif
