/* Goal: what a client was told is durable survives a power cut of a machine with a network card of
 * its own and an NVMe drive, and every byte arrives as it was sent.
 *
 * Method: the "broker" is machine.sh, a QEMU whose SIGKILL with the replay of its disks' write logs
 * is a power cut. An idempotent producer writes numbered records to four partitions, is never told
 * of the cuts and never gives up. After each restart everything is read, and numbered_judge() says
 * what must hold.
 *
 * Usage: standin MACHINE CUTS EXPECTED ADDRESS BROKER-ARGUMENTS...; the broker's log has to hold
 * the text EXPECTED. Exit status: 0, or 1 with what is missing and what the machine's console said.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/power/numbered.h"

#define PARTITIONS      4
#define NUMBERS_MAX     1000000u
#define IN_QUEUE_MAX    200
#define ACKS_A_CUT      200u
#define TURNS_LATER_MAX 400 /* of about a millisecond */
#define ARGUMENTS_MAX   32

static struct numbered topic;
static bool passed;

/* Runs a shell command with the folder of the machine in it; its exit status. */
static int
shell(const char *format)
{
    char command[512];

    fflush(stdout);
    snprintf(command, sizeof(command), format, power_folder());
    return system(command);
}

static void
on_exit_failed(void)
{
    if (!passed && shell("tail -n 40 %s/console >&2") != 0) {
        fprintf(stderr, "the machine has no console\n");
    }
}

#define QUEUES_CUTS 5 /* with fewer, the few connections may all have been for one queue */

/* Requests came to both queues of the card: its RSS spreads connections. */
static void
check_queues(void)
{
    if (shell("grep -q 'requests_total{shard=\"0\"' %s/console") != 0 ||
        shell("grep -q 'requests_total{shard=\"1\"' %s/console") != 0) {
        power_die("one of the shards has got no request in all this time");
    }
}

/* The drive was driven as this run means to. */
static void
check_drive(const char *expected)
{
    setenv("MR_HW_EXPECTED", expected, 1);
    if (shell("grep -qF \"$MR_HW_EXPECTED\" %s/console") != 0) {
        power_die("the broker has not said '%s'", expected);
    }
}

static void
send_some(void)
{
    static unsigned turn;
    int32_t partition = (int32_t)(turn++ % PARTITIONS);

    if (rd_kafka_outq_len(topic.producers[0].handle) < IN_QUEUE_MAX) {
        numbered_send(&topic, 0, partition, turn % 64 == 0 ? 40000 : 64 + turn % 2048);
    }
    rd_kafka_poll(topic.producers[0].handle, 1);
}

static void
produce_until(uint64_t acks)
{
    time_t deadline = time(NULL) + POWER_DEADLINE_S;

    while (topic.acks < acks) {
        send_some();
        if (time(NULL) > deadline) {
            power_die("the producer does not go on");
        }
    }
}

/* An acknowledgement comes when all is flushed: a cut at that moment would meet nothing that can be
 * lost, hence at some time later. */
static void
produce_for(unsigned turns)
{
    for (unsigned i = 0; i < turns; i++) {
        send_some();
    }
}

int
main(int argc, char **argv)
{
    static const char *arguments[ARGUMENTS_MAX] = {"@"};
    unsigned seed = (unsigned)time(NULL);
    unsigned cuts;
    char text[16];

    if (argc < 5 || argc - 4 >= ARGUMENTS_MAX) {
        fprintf(stderr, "usage: %s MACHINE CUTS EXPECTED ADDRESS BROKER-ARGUMENTS...\n", argv[0]);
        return 1;
    }
    cuts = (unsigned)strtoul(argv[2], NULL, 10);
    memcpy(&arguments[1], &argv[5], (size_t)(argc - 5) * sizeof(*arguments));
    printf("seed %u\n", seed);
    srand(seed);
    snprintf(text, sizeof(text), "%u", seed);
    setenv("MR_HW_SEED", text, 1);
    power_prepare(argv[1], arguments);
    power_listen(argv[4]);
    atexit(on_exit_failed);
    power_start();
    numbered_init(&topic, "standin", PARTITIONS, NUMBERS_MAX);
    numbered_producer(&topic, 0, NULL);
    for (unsigned cut = 0; cut < cuts; cut++) {
        produce_until(topic.acks + ACKS_A_CUT + (unsigned)rand() % ACKS_A_CUT);
        produce_for((unsigned)rand() % TURNS_LATER_MAX);
        power_kill();
        power_start();
        numbered_judge(&topic, topic.producers[0].handle);
    }
    power_flush(topic.producers[0].handle);
    numbered_judge(&topic, topic.producers[0].handle);
    printf("%u cuts, %" PRIu64 " records found, every acknowledged one once and in order\n", cuts,
           topic.found);
    if (cuts >= QUEUES_CUTS) {
        check_queues();
    }
    check_drive(argv[3]);
    rd_kafka_destroy(topic.producers[0].handle);
    power_kill();
    passed = shell("cat %s/cuts") == 0;
    power_clean_up();
    return 0;
}
