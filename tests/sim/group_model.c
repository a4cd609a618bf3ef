/* The rules of consumer groups as an observer of the answers can judge them. */
#include "group_model.h"

#include <stdarg.h>

void
model_fail(const struct model *model, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    printf("group_sim: seed %" PRIu64 ": ", model->seed);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    exit(1);
}

void
model_init(struct model *model, uint64_t seed)
{
    memset(model, 0, sizeof(*model));
    model->seed = seed;
    for (int g = 0; g < MODEL_GROUPS; g++) {
        model->groups[g].told = -1;
        for (int p = 0; p < MODEL_PARTITIONS; p++) {
            model->groups[g].offsets[p].answered = -1;
        }
    }
}

void
model_reloaded(struct model *model, int group)
{
    model->groups[group].told = -1;
    model->groups[group].leader_generation = -1;
}

void
model_told(struct model *model, int group, int32_t generation, const char *id, bool assigns)
{
    struct model_group *at = &model->groups[group];

    if (generation < at->told) {
        model_fail(model, "group %d: told generation %d after %d", group, generation, at->told);
    }
    at->told = generation;
    if (!assigns) {
        return;
    }
    if (at->leader_generation == generation && strcmp(at->leader, id) != 0) {
        model_fail(model, "group %d, generation %d: %s and %s both lead", group, generation,
                   at->leader, id);
    }
    at->leader_generation = generation;
    snprintf(at->leader, sizeof(at->leader), "%s", id);
}

void
model_served(struct model *model, int group, int32_t generation, const char *what)
{
    int32_t told = model->groups[group].told;

    if (told >= 0 && generation != told) {
        model_fail(model, "group %d: %s served under generation %d, %d was told", group, what,
                   generation, told);
    }
}

void
model_owns(struct model *model, int group, int32_t generation, const char *identity,
           uint32_t partitions)
{
    struct model_group *at = &model->groups[group];

    if (generation < at->owned_generation) {
        model_fail(model, "group %d: assigned in generation %d after %d", group, generation,
                   at->owned_generation);
    }
    if (generation > at->owned_generation) {
        memset(at->owner, 0, sizeof(at->owner));
        at->owned_generation = generation;
    }
    for (int p = 0; p < MODEL_PARTITIONS; p++) {
        if (!(partitions & 1u << p)) {
            continue;
        }
        if (at->owner[p][0] != '\0' && strcmp(at->owner[p], identity) != 0) {
            model_fail(model, "group %d, generation %d: partition %d belongs to %s and to %s",
                       group, generation, p, at->owner[p], identity);
        }
        snprintf(at->owner[p], sizeof(at->owner[p]), "%s", identity);
        model->owners_checked++;
    }
}

/* ---- offsets -----------------------------------------------------------------------------------
 */

static struct model_offset *
offset_at(struct model *model, int group, int partition)
{
    return &model->groups[group].offsets[partition];
}

void
model_commit_sent(struct model *model, int group, int partition, int64_t offset)
{
    struct model_offset *at = offset_at(model, group, partition);

    if (at->maybe_count == MODEL_MAYBE_MAX) {
        model_fail(model, "the model has no room");
    }
    at->maybe[at->maybe_count++] = offset;
}

static uint32_t
find(const struct model *model, const struct model_offset *at, int64_t offset)
{
    for (uint32_t i = 0; i < at->maybe_count; i++) {
        if (at->maybe[i] == offset) {
            return i;
        }
    }
    model_fail(model, "an offset %" PRId64 " that was not sent, or was overtaken, is answered",
               offset);
}

void
model_commit_durable(struct model *model, int group, int partition, int64_t offset)
{
    struct model_offset *at = offset_at(model, group, partition);
    uint32_t index = find(model, at, offset);

    at->answered = offset;
    at->maybe_count -= index + 1;
    memmove(at->maybe, at->maybe + index + 1, at->maybe_count * sizeof(at->maybe[0]));
}

void
model_commit_failed(struct model *model, int group, int partition, int64_t offset, bool kept)
{
    struct model_offset *at = offset_at(model, group, partition);
    uint32_t index;

    if (kept) {
        return;
    }
    index = find(model, at, offset);
    at->maybe_count--;
    memmove(at->maybe + index, at->maybe + index + 1,
            (at->maybe_count - index) * sizeof(at->maybe[0]));
}

/* Every deletion looks alike. */
static bool
same(int64_t a, int64_t b)
{
    return a == b || (a < 0 && b < 0);
}

void
model_fetched(struct model *model, int group, int partition, int64_t offset)
{
    const struct model_offset *at = offset_at(model, group, partition);
    bool good = same(offset, at->answered);

    for (uint32_t i = 0; i < at->maybe_count && !good; i++) {
        good = same(offset, at->maybe[i]);
    }
    if (!good) {
        model_fail(model, "group %d, partition %d: fetched %" PRId64 ", answered was %" PRId64,
                   group, partition, offset, at->answered);
    }
    model->offsets_checked++;
}

void
model_deletable(struct model *model, int group)
{
    model->groups[group].owned_generation = 0;
    model->groups[group].told = -1;
    model->groups[group].leader_generation = -1;
    memset(model->groups[group].owner, 0, sizeof(model->groups[group].owner));
}
