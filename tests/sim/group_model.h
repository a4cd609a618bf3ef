/* The rules of consumer groups as an observer of the answers can judge them. It knows nothing of
 * how the coordinator works: only what was asked, what was answered, and what the log has kept.
 *
 * Owners: in one generation of a group a partition has one owner, and generations that assign
 * never go back (but after the group's deletion).
 * Fencing: nobody is served under another generation than the last one that was told, as long as
 * the coordinator lives.
 * Leaders: one member of a generation, and one only, is asked to assign.
 * Offsets: what was answered is never lost; what is fetched was committed. */
#ifndef GROUP_MODEL_H
#define GROUP_MODEL_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_GROUPS     3
#define MODEL_PARTITIONS 5
#define MODEL_ID_MAX     64
#define MODEL_MAYBE_MAX  512

/* The committed offset of one partition. */
struct model_offset {
    int64_t answered; /* the last one that a client was told is durable; negative: none */
    int64_t maybe[MODEL_MAYBE_MAX]; /* later ones, whose fate nobody was told */
    uint32_t maybe_count;
};

struct model_group {
    int32_t told; /* the last generation told in this life of the coordinator; -1: none yet */
    int32_t leader_generation;
    char leader[MODEL_ID_MAX]; /* who was asked to assign in it */
    int32_t owned_generation;
    char owner[MODEL_PARTITIONS][MODEL_ID_MAX];
    struct model_offset offsets[MODEL_PARTITIONS];
};

struct model {
    uint64_t seed;
    uint64_t owners_checked;
    uint64_t offsets_checked;
    struct model_group groups[MODEL_GROUPS];
};

/* Prints the seed and what is wrong, and ends the test. */
__attribute__((noreturn, format(printf, 2, 3))) void model_fail(const struct model *model,
                                                                const char *format, ...);

void model_init(struct model *model, uint64_t seed);

/* The coordinator of this group has begun anew from its log, or the group itself has. */
void model_reloaded(struct model *model, int group);

/* A member was told a generation; `assigns`: that it must assign. */
void model_told(struct model *model, int group, int32_t generation, const char *id, bool assigns);

/* A request of a generation was served. */
void model_served(struct model *model, int group, int32_t generation, const char *what);

/* A member was given these partitions (a bit each). `identity` stays when a static member comes
 * back. */
void model_owns(struct model *model, int group, int32_t generation, const char *identity,
                uint32_t partitions);

/* A commit was sent, each of another offset; a negative one is a deletion. */
void model_commit_sent(struct model *model, int group, int partition, int64_t offset);

/* It was answered: durable; or not (`kept`: though the log may have it). */
void model_commit_durable(struct model *model, int group, int partition, int64_t offset);
void model_commit_failed(struct model *model, int group, int partition, int64_t offset, bool kept);

void model_fetched(struct model *model, int group, int partition, int64_t offset);

/* The group may be deleted from now on: its generations may begin anew. */
void model_deletable(struct model *model, int group);

#endif
