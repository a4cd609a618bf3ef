/* Goal: the local metadata log keeps what it has committed through every crash, invents nothing,
 * and refuses a rotten medium. Method: seeded schedules over the simulated disk against a model
 * that knows each command ever appended; faults put on known places of the layout. */
#include <errno.h>

#include "control/metalog_local.h"
#include "tests/mr_test.h"

#define SCHEDULES     500u
#define DEVICE_BYTES  (512u * 1024)
#define SPACE_BYTES   ((DEVICE_BYTES - 2 * MR_DEV_BLOCK) / 4 / MR_DEV_BLOCK * MR_DEV_BLOCK)
#define COMMANDS_MAX  4096u
#define COMMAND_SIZE  (16u * 1024)
#define LOG_SPACE_AT  (2u * MR_DEV_BLOCK + SPACE_BYTES)
#define SNAPSHOT_1_AT (2u * MR_DEV_BLOCK + 2u * SPACE_BYTES)

/* Commands are named by ids that rise with each append; the bytes follow from the id. */
struct model {
    uint64_t seed;
    struct mr_rng rng;
    struct mr_dev_sim *sim;
    struct mr_dev *dev;
    struct mr_metalog *log;
    uint64_t committed[COMMANDS_MAX]; /* ids by index; index 0 is not used */
    uint64_t count;
    uint64_t pending[COMMANDS_MAX]; /* appended in this life, not committed */
    unsigned pending_first;
    unsigned pending_count;
    uint64_t next_id;
    bool opening;
    bool failed;
    bool leading;
    bool calling; /* inside a call that must not call back */
    uint64_t replayed[COMMANDS_MAX];
    uint64_t replayed_count;
    uint8_t *saving; /* the state of a snapshot that has begun; NULL: none has */
    size_t saving_size;
};

static size_t
command_of(uint64_t id, uint8_t *out)
{
    struct mr_rng rng;
    size_t size;

    mr_rng_init(&rng, id);
    size = 8 + mr_rng_below(&rng, mr_rng_below(&rng, 8) ? 200 : COMMAND_SIZE - 8);
    memcpy(out, &id, 8);
    for (size_t i = 8; i < size; i++) {
        out[i] = (uint8_t)(id * 31 + i);
    }
    return size;
}

static uint64_t
id_of(const uint8_t *command, size_t size)
{
    static uint8_t want[COMMAND_SIZE];
    uint64_t id;

    MR_CHECK(size >= 8);
    memcpy(&id, command, 8);
    MR_CHECK_EQ(size, command_of(id, want));
    MR_CHECK(memcmp(command, want, size) == 0);
    return id;
}

static void
on_committed(void *context, uint64_t index, const uint8_t *command, size_t size, uint64_t token)
{
    struct model *model = context;
    uint64_t id = id_of(command, size);

    MR_CHECK(!model->calling);
    if (model->opening) {
        MR_CHECK_EQ(token, 0);
        MR_CHECK_EQ(index, model->replayed_count + 1);
        model->replayed[++model->replayed_count] = id;
        return;
    }
    MR_CHECK(!model->failed);
    MR_CHECK(model->pending_count > 0);
    MR_CHECK_EQ(token, model->pending[model->pending_first]);
    MR_CHECK_EQ(id, token);
    MR_CHECK_EQ(index, model->count + 1);
    model->pending_first++;
    model->pending_count--;
    model->committed[++model->count] = id;
}

static void
on_restore(void *context, uint64_t index, const uint8_t *snapshot, size_t size)
{
    struct model *model = context;

    MR_CHECK(model->opening);
    MR_CHECK_EQ(model->replayed_count, 0);
    MR_CHECK_EQ(size, (index + 1) * 8);
    memcpy(model->replayed, snapshot, size);
    model->replayed_count = index;
}

static void
on_leading(void *context, bool leads)
{
    ((struct model *)context)->leading = leads;
}

static void
on_dropped(void *context, uint64_t token)
{
    (void)context;
    (void)token;
    MR_CHECK(!"the local log drops nothing");
}

static void
on_failed(void *context, int error)
{
    struct model *model = context;

    MR_CHECK(!model->calling);
    MR_CHECK(error < 0);
    model->failed = true;
}

static const struct mr_metalog_events events = {
    .committed = on_committed,
    .restore = on_restore,
    .leading = on_leading,
    .dropped = on_dropped,
    .failed = on_failed,
};

static void
model_create(struct model *model, const struct mr_dev_sim_config *config)
{
    memset(model, 0, sizeof(*model));
    model->seed = config->seed;
    mr_rng_init(&model->rng, config->seed);
    model->next_id = 1;
    model->sim = mr_dev_sim_create(config);
    model->dev = mr_dev_sim_connect(model->sim);
    while (mr_metalog_local_format(model->dev) != 0) {
    }
}

static void
model_destroy(struct model *model)
{
    mr_metalog_close(model->log);
    mr_dev_sim_destroy(model->sim);
}

/* Opens over the connection; the result of the open. */
static int
model_open(struct model *model, char *reason)
{
    struct mr_metalog_events mine = events;
    int error;

    mine.context = model;
    model->opening = true;
    model->failed = false;
    model->leading = false;
    model->replayed_count = 0;
    error = mr_metalog_local_open(model->dev, &mine, &model->log, reason, 256);
    model->opening = false;
    if (error) {
        model->log = NULL;
    }
    return error;
}

/* All that was committed, in order, then perhaps some of what was under way, in order. */
static void
model_judge(struct model *model)
{
    MR_CHECK(model->leading);
    MR_CHECK(model->replayed_count >= model->count);
    for (uint64_t i = 1; i <= model->count; i++) {
        MR_CHECK_EQ(model->replayed[i], model->committed[i]);
    }
    for (uint64_t i = model->count + 1; i <= model->replayed_count; i++) {
        MR_CHECK(model->pending_count > 0);
        MR_CHECK_EQ(model->replayed[i], model->pending[model->pending_first]);
        model->pending_first++;
        model->pending_count--;
        model->committed[i] = model->replayed[i];
    }
    model->count = model->replayed_count;
    model->pending_first = 0;
    model->pending_count = 0;
}

static int
model_append(struct model *model)
{
    static uint8_t command[COMMAND_SIZE];
    uint64_t id = model->next_id++;
    size_t size = command_of(id, command);
    int error;

    model->calling = true;
    error = mr_metalog_append(model->log, command, size, id);
    model->calling = false;
    if (!error) {
        model->pending[model->pending_first + model->pending_count++] = id;
    } else {
        MR_CHECK_EQ(error, model->failed ? -EIO : -EAGAIN);
    }
    return error;
}

static int
model_snapshot_begin(struct model *model)
{
    int error;

    model->calling = true;
    error = mr_metalog_snapshot_begin(model->log, model->count);
    model->calling = false;
    if (!error) {
        MR_CHECK(!model->saving);
        model->saving_size = (model->count + 1) * 8;
        model->saving = aligned_alloc(MR_METALOG_ALIGN, SPACE_BYTES);
        MR_CHECK(model->saving && model->saving_size <= SPACE_BYTES);
        memcpy(model->saving, model->committed, model->saving_size);
    }
    return error;
}

static int
model_snapshot_end(struct model *model)
{
    uint8_t *state = model->saving;
    int error;

    model->saving = NULL;
    model->calling = true;
    error = mr_metalog_snapshot_end(model->log, state, model->saving_size);
    model->calling = false;
    return error;
}

static void
model_snapshot(struct model *model)
{
    MR_CHECK_EQ(model_snapshot_begin(model), 0);
    MR_CHECK_EQ(model_snapshot_end(model), 0);
}

/* Begins a snapshot, or ends it; now and then it is given up. */
static void
model_snapshot_step(struct model *model)
{
    int error;

    if (!model->saving) {
        error = model_snapshot_begin(model);
        MR_CHECK(error == 0 || error == (model->failed ? -EIO : -EBUSY));
        return;
    }
    if (mr_rng_below(&model->rng, 8) == 0) {
        free(model->saving);
        model->saving = NULL;
        MR_CHECK_EQ(mr_metalog_snapshot_end(model->log, NULL, 0), 0);
        return;
    }
    MR_CHECK_EQ(model_snapshot_end(model), model->failed ? -EIO : 0);
}

static void
crash(struct model *model)
{
    mr_dev_sim_cut_after(model->sim, 0, false);
    if (mr_rng_below(&model->rng, 2)) {
        mr_dev_sim_kill(model->sim);
    } else {
        mr_dev_sim_power_cut(model->sim);
    }
    mr_metalog_close(model->log);
    model->log = NULL;
    free(model->saving);
    model->saving = NULL;
}

/* Crashes and failed reads may hit the opening itself, several times in a row. */
static void
reopen(struct model *model)
{
    char reason[256];

    for (;;) {
        bool armed = mr_rng_below(&model->rng, 3) == 0;
        int error;

        model->dev = mr_dev_sim_connect(model->sim);
        if (armed) {
            mr_dev_sim_cut_after(model->sim, 1 + mr_rng_below(&model->rng, 4),
                                 mr_rng_below(&model->rng, 2));
        }
        error = model_open(model, reason);
        mr_dev_sim_cut_after(model->sim, 0, false);
        if (!error) {
            return;
        }
        if (error != -ECANCELED && error != -EIO) {
            fprintf(stderr, "seed %llu: open: %d (%s)\n", (unsigned long long)model->seed, error,
                    reason);
            exit(1);
        }
        if (error == -EIO) {
            mr_dev_sim_power_cut(model->sim);
        }
    }
}

/* One life of the process: appends, polls and snapshots until it dies; true: the device died. */
static void
live(struct model *model)
{
    unsigned steps = 1 + (unsigned)mr_rng_below(&model->rng, 60);

    if (mr_rng_below(&model->rng, 2)) {
        mr_dev_sim_cut_after(model->sim, 1 + mr_rng_below(&model->rng, 20),
                             mr_rng_below(&model->rng, 2));
    }
    for (unsigned i = 0; i < steps && !model->failed; i++) {
        switch (mr_rng_below(&model->rng, 8)) {
        case 0:
        case 1:
        case 2:
            if (model->next_id < COMMANDS_MAX - 1 && model_append(model) == -EAGAIN) {
                model_snapshot_step(model);
            }
            break;
        case 3:
            model_snapshot_step(model);
            break;
        default:
            if (mr_dev_poll(model->dev) < 0) {
                return;
            }
        }
    }
    if (model->failed) {
        MR_CHECK_EQ(model_append(model), -EIO);
        model_snapshot_step(model);
    }
}

static void
run_schedule(uint64_t seed)
{
    static struct model model;
    struct mr_dev_sim_config config = {
        .size_bytes = DEVICE_BYTES,
        .seed = seed,
        .write_fail = seed % 3 == 0 ? 0.03 : 0,
        .read_fail = seed % 5 == 0 ? 0.2 : 0,
        .garbage_on_cut = seed % 2 == 0 ? 0.5 : 0,
        .complete_max = 1,
    };
    char reason[256];
    int error;

    model_create(&model, &config);
    do {
        error = model_open(&model, reason);
    } while (error == -EIO);
    MR_CHECK_EQ(error, 0);
    for (unsigned life = 0; life < 12; life++) {
        live(&model);
        crash(&model);
        reopen(&model);
        model_judge(&model);
    }
    model_destroy(&model);
}

MR_TEST(committed_commands_survive_every_schedule_of_crashes)
{
    for (uint64_t seed = 1; seed <= SCHEDULES; seed++) {
        run_schedule(seed);
    }
}

/* ---- on a disk without faults ---------------------------------------------------------------- */

static struct model *
calm_model(void)
{
    static struct model model;
    struct mr_dev_sim_config config = {.size_bytes = DEVICE_BYTES, .seed = 1};
    char reason[256];

    model_create(&model, &config);
    MR_CHECK_EQ(model_open(&model, reason), 0);
    return &model;
}

/* A command of `size` bytes in a record of its own. */
static void
append_whole(struct model *model)
{
    uint64_t count = model->count;

    MR_CHECK_EQ(model_append(model), 0);
    while (model->count == count) {
        MR_CHECK(mr_dev_poll(model->dev) >= 0);
    }
}

static void
settle(struct model *model)
{
    for (unsigned i = 0; i < 100; i++) {
        MR_CHECK(mr_dev_poll(model->dev) >= 0);
    }
}

static int
close_and_open(struct model *model)
{
    char reason[256] = "";
    int error;

    mr_metalog_close(model->log);
    mr_dev_sim_power_cut(model->sim);
    model->dev = mr_dev_sim_connect(model->sim);
    error = model_open(model, reason);
    MR_CHECK(error == 0 || reason[0]);
    return error;
}

static uint64_t
used_bytes(const struct model *model)
{
    uint64_t used;
    uint64_t size;

    mr_metalog_fill(model->log, &used, &size);
    MR_CHECK_EQ(size, SPACE_BYTES);
    return used;
}

MR_TEST(rot_of_a_record_with_another_behind_it_is_refused)
{
    for (unsigned sector = 0;; sector++) {
        struct model *model = calm_model();
        uint64_t begin;
        uint64_t end;

        append_whole(model);
        begin = used_bytes(model);
        do { /* until a record has more than one block */
            begin = used_bytes(model);
            append_whole(model);
            end = used_bytes(model);
        } while (end - begin < 2 * MR_DEV_BLOCK);
        append_whole(model);
        end -= MR_DEV_BLOCK; /* the last block is padded: rot there may hit nothing */
        if (begin + sector * MR_DEV_SECTOR >= end) {
            model_destroy(model);
            return;
        }
        mr_dev_sim_rot(model->sim, LOG_SPACE_AT + begin + sector * MR_DEV_SECTOR);
        MR_CHECK_EQ(close_and_open(model), -EUCLEAN);
        model_destroy(model);
    }
}

MR_TEST(rot_of_the_snapshot_is_refused)
{
    struct model *model = calm_model();

    append_whole(model);
    append_whole(model);
    model_snapshot(model);
    settle(model);
    MR_CHECK_EQ(used_bytes(model), 0);
    mr_dev_sim_rot(model->sim, SNAPSHOT_1_AT);
    MR_CHECK_EQ(close_and_open(model), -EUCLEAN);
    model_destroy(model);
}

MR_TEST(an_unformatted_device_is_told_from_a_corrupt_one)
{
    struct model *model = calm_model();

    mr_dev_sim_rot(model->sim, 0);
    MR_CHECK_EQ(close_and_open(model), -ENODATA);
    model_destroy(model);
}

/* Rot of the only header must not turn a log with commands into a new one, and rot of the newer of
 * two must not lead back to the older area's state. */
MR_TEST(a_rotten_header_never_loses_what_its_area_holds)
{
    struct model *model = calm_model();

    append_whole(model);
    mr_dev_sim_rot(model->sim, 0);
    MR_CHECK_EQ(close_and_open(model), -EUCLEAN);
    model_destroy(model);

    model = calm_model();
    append_whole(model);
    model_snapshot(model);
    settle(model);
    append_whole(model);
    mr_dev_sim_rot(model->sim, MR_DEV_BLOCK);
    MR_CHECK_EQ(close_and_open(model), -EUCLEAN);
    model_destroy(model);
}

/* What commits while a snapshot is made and written travels behind the state. */
MR_TEST(commands_go_on_beside_a_snapshot_and_are_kept_with_it)
{
    struct model *model = calm_model();
    uint64_t before;

    append_whole(model);
    MR_CHECK_EQ(model_snapshot_begin(model), 0);
    MR_CHECK_EQ(model_snapshot_begin(model), -EBUSY);
    append_whole(model);
    before = model->count;
    MR_CHECK_EQ(model_snapshot_end(model), 0);
    MR_CHECK_EQ(model_append(model), 0); /* written beside the state */
    settle(model);
    MR_CHECK_EQ(model->count, before + 1);
    MR_CHECK_EQ(used_bytes(model), 0); /* the other area counts, and its log is empty */
    append_whole(model);
    MR_CHECK_EQ(close_and_open(model), 0);
    MR_CHECK_EQ(model->replayed_count, before + 2);
    model_judge(model);
    model_destroy(model);
}

/* Goal: nothing but a checksum tells rot in the middle of a command. Method: each sector of the
 * first block of what was kept rots in turn. */
MR_TEST(rot_of_what_was_kept_with_a_snapshot_is_refused)
{
    for (unsigned sector = 0;; sector++) {
        struct model *model = calm_model();
        uint64_t begin;
        uint64_t size;

        append_whole(model);
        begin = used_bytes(model);
        MR_CHECK_EQ(model_snapshot_begin(model), 0);
        do {
            append_whole(model);
            size = used_bytes(model) - begin;
        } while (size < 3 * MR_DEV_BLOCK);
        MR_CHECK_EQ(model_snapshot_end(model), 0);
        settle(model);
        MR_CHECK_EQ(used_bytes(model), 0);
        if (sector * MR_DEV_SECTOR >= MR_DEV_BLOCK) {
            model_destroy(model);
            return;
        }
        mr_dev_sim_rot(model->sim, SNAPSHOT_1_AT + MR_DEV_BLOCK + sector * MR_DEV_SECTOR);
        MR_CHECK_EQ(close_and_open(model), -EUCLEAN);
        model_destroy(model);
    }
}

/* A log full of commands behind the state cannot travel with it: the next snapshot has them in its
 * state. */
MR_TEST(a_snapshot_whose_commands_do_not_fit_is_given_up)
{
    struct model *model = calm_model();

    append_whole(model);
    MR_CHECK_EQ(model_snapshot_begin(model), 0);
    while (model_append(model) == 0) {
        settle(model);
    }
    free(model->saving);
    model->saving = aligned_alloc(MR_METALOG_ALIGN, SPACE_BYTES);
    memset(model->saving, 0, SPACE_BYTES);
    model->saving_size = SPACE_BYTES - MR_DEV_BLOCK;
    MR_CHECK_EQ(model_snapshot_end(model), 0);
    settle(model);
    MR_CHECK(used_bytes(model) > 0);
    model_snapshot(model);
    settle(model);
    MR_CHECK_EQ(used_bytes(model), 0);
    MR_CHECK_EQ(close_and_open(model), 0);
    model_judge(model);
    model_destroy(model);
}

MR_TEST(a_full_log_takes_commands_again_after_a_snapshot)
{
    struct model *model = calm_model();
    unsigned appended = 0;

    while (model_append(model) == 0) { /* all at once: none of them is written yet */
        appended++;
    }
    MR_CHECK(appended > 4);
    settle(model);
    MR_CHECK_EQ(model->count, appended);
    while (model_append(model) == 0) { /* merged records took less than was reserved */
        settle(model);
    }
    settle(model);
    MR_CHECK(!model->failed);
    model_snapshot(model);
    settle(model);
    append_whole(model);
    MR_CHECK_EQ(close_and_open(model), 0);
    model_judge(model);
    model_destroy(model);
}

MR_TEST(a_command_above_the_limit_is_refused)
{
    struct model *model = calm_model();
    uint8_t *bytes = calloc(1, MR_METALOG_COMMAND_MAX + 1);

    MR_CHECK_EQ(mr_metalog_append(model->log, bytes, MR_METALOG_COMMAND_MAX + 1, 1), -EMSGSIZE);
    free(bytes);
    model_destroy(model);
}

MR_TEST_MAIN(MR_TEST_CASE(committed_commands_survive_every_schedule_of_crashes),
             MR_TEST_CASE(rot_of_a_record_with_another_behind_it_is_refused),
             MR_TEST_CASE(rot_of_the_snapshot_is_refused),
             MR_TEST_CASE(a_rotten_header_never_loses_what_its_area_holds),
             MR_TEST_CASE(an_unformatted_device_is_told_from_a_corrupt_one),
             MR_TEST_CASE(commands_go_on_beside_a_snapshot_and_are_kept_with_it),
             MR_TEST_CASE(rot_of_what_was_kept_with_a_snapshot_is_refused),
             MR_TEST_CASE(a_snapshot_whose_commands_do_not_fit_is_given_up),
             MR_TEST_CASE(a_full_log_takes_commands_again_after_a_snapshot),
             MR_TEST_CASE(a_command_above_the_limit_is_refused))
