/* Goal: settings that contradict a machine are refused with where they stand, what is wrong and how
 * to mend it, and those that fit are not. Method: machines that are made up, and profiles in
 * temporary files. */
#include <errno.h>
#include <unistd.h>

#include "control/machine_check.h"
#include "control/profile.h"
#include "tests/mr_test.h"

#define ERROR_SIZE 1024u
#define GIB        (1ull << 30)

static struct mr_machine machine;

/* Four CPUs, 16 GiB of which two pages of 1 GiB are reserved and one is free, a card that vfio-pci
 * has, one that the kernel has and a ConnectX, and two NVMe drives. */
static void
make_machine(void)
{
    machine = (struct mr_machine){
        .cpu_count = 4,
        .cpus = {0, 1, 2, 3},
        .node_count = 1,
        .memory_bytes = 16 * GIB,
        .pages_1g = {2, 1},
        .nic_count = 3,
        .nics = {{.pci = "0000:01:00.0", .driver = "vfio-pci"},
                 {.name = "eth1", .pci = "0000:02:00.0", .driver = "ice"},
                 {.name = "eth2", .pci = "0000:03:00.0", .driver = "mlx5_core"}},
        .drive_count = 2,
        .drives = {{.name = "nvme0n1", .block_bytes = 512},
                   {.name = "nvme1n1", .block_bytes = 4096}},
    };
}

static int
check(const char *text, uint64_t pinned_bytes, char *error)
{
    struct mr_config *config = mr_config_create();
    char path[64] = "/tmp/millrace-machine-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    int result;

    MR_CHECK(config && file && fputs(text, file) >= 0);
    fclose(file);
    make_machine();
    result = mr_profile_load(config, path, error, ERROR_SIZE);
    result = result ? result : mr_profile_check(config, error, ERROR_SIZE);
    result = result ? result : mr_machine_check(config, &machine, error, ERROR_SIZE);
    if (!result) {
        result = mr_machine_check_memory(config, &machine, pinned_bytes, error, ERROR_SIZE);
    }
    unlink(path);
    mr_config_destroy(config);
    return result;
}

static void
fits(const char *text)
{
    char error[ERROR_SIZE] = "";

    if (check(text, 0, error) != 0) {
        fprintf(stderr, "refused: %s\n", error);
        exit(1);
    }
}

static void
refused(const char *text, const char *line, const char *fault, const char *hint)
{
    char error[ERROR_SIZE] = "";

    MR_CHECK_EQ(check(text, 3 * GIB, error), -EINVAL);
    if (!strstr(error, "/tmp/millrace-machine-") || !strstr(error, line) || !strstr(error, fault) ||
        !strstr(error, hint)) {
        fprintf(stderr, "\"%s\" lacks \"%s\", \"%s\" or \"%s\"\n", error, line, fault, hint);
        exit(1);
    }
}

MR_TEST(cpus_must_be_there_and_one_must_be_left)
{
    fits("[cores]\nshards = 2\ncpus = 2-3\ncontrol = 0,1\n[idle]\npolicy = spin\n");
    refused("[cores]\nshards = 2\ncpus = 3-4\n", ":3:", "no CPU 4", "this machine has 4, up to 3");
    refused("[cores]\ncontrol = 9\n", ":2:", "no CPU 9", "name some of those");
    refused("[cores]\nshards = 4\n[idle]\npolicy = spin\n", ":4:", "leave no CPU", "lower shards");
}

MR_TEST(huge_pages_must_be_free_and_enough)
{
    fits("[hugepages]\npages_1g = 1\n");
    refused("[hugepages]\npages_1g = 4\n", ":2:", "1 are free", "echo 5 >/sys/kernel/mm/hugepages");
    refused("[hugepages]\npages_1g = 1\n", ":2:", "1024 MiB in all, and 3072 MiB are needed",
            "lower memory.bytes");
    refused("[hugepages]\npages_2m = 2000\n", ":2:", "0 are free", "hugepages-2048kB/nr_hugepages");
    refused("[memory]\nbytes = 17179869185\n", ":2:", "this machine has 16384 MiB, 2048 of them",
            "give the broker less");
}

MR_TEST(a_card_must_be_one_that_dpdk_can_drive)
{
    fits("[nic]\ntransport = dpdk\naddress = 10.0.0.1\ndevice = 0000:01:00.0\n");
    fits("[nic]\ntransport = dpdk\naddress = 10.0.0.1\ndevice = 0000:03:00.0\n");
    fits("[nic]\ntransport = dpdk\naddress = 10.0.0.1\ndevice = "
         "net_af_packet0,iface=eth1,qpairs=1\n");
    fits("[nic]\ndevice = 0000:09:00.0\n"); /* kernel sockets do not want it */
    refused("[nic]\ntransport = dpdk\naddress = 10.0.0.1\ndevice = 0000:09:00.0\n",
            ":4:", "no network card there", "millrace probe");
    refused("[nic]\ntransport = dpdk\naddress = 10.0.0.1\ndevice = 0000:02:00.0\n",
            ":4:", "ice has the card", "echo 0000:02:00.0 >/sys/bus/pci/drivers_probe");
    refused("[nic]\ntransport = dpdk\naddress = 10.0.0.1\ndevice = net_af_xdp0,iface=eth\n",
            ":4:", "no network interface eth;", "ip link");
}

MR_TEST(a_drive_must_be_there_with_its_block_size)
{
    fits("[drives]\npaths = /dev/nvme1n1\nmetadata = /tmp\nblock_bytes = 4096\n");
    fits("[drives]\npaths = /srv/a,/srv/b\n");
    refused("[drives]\npaths = /dev/nvme1n1\npaths = /dev/nvme9n1\nmetadata = /tmp\n",
            ":3:", "no /dev/nvme9n1", "millrace probe");
    refused("[drives]\npaths = /dev/nvme1n1,/dev/nvme0n1\nmetadata = /tmp\nblock_bytes = 4096\n",
            ":4:", "/dev/nvme0n1 has blocks of 512 bytes", "nvme format --block-size=4096");
}

MR_TEST(cpu_lists_are_read_in_their_order)
{
    int cpus[4];

    MR_CHECK_EQ(mr_profile_cpus("", cpus, 4), 0);
    MR_CHECK_EQ(mr_profile_cpus("7,1-3", cpus, 4), 4);
    MR_CHECK_EQ(cpus[0], 7);
    MR_CHECK_EQ(cpus[3], 3);
    MR_CHECK_EQ(mr_profile_cpus("7,1-4", cpus, 4), -EINVAL);
    MR_CHECK_EQ(mr_profile_cpus("1,1", cpus, 4), -EINVAL);
    MR_CHECK_EQ(mr_profile_cpus("2-1", cpus, 4), -EINVAL);
    MR_CHECK_EQ(mr_profile_cpus("1,", cpus, 4), 1);
    MR_CHECK_EQ(mr_profile_cpus("-1", cpus, 4), -EINVAL);
    MR_CHECK_EQ(mr_profile_cpus("1-", cpus, 4), -EINVAL);
    MR_CHECK_EQ(mr_profile_cpus("1-99999999999", cpus, 4), -EINVAL);
}

MR_TEST_MAIN(MR_TEST_CASE(cpus_must_be_there_and_one_must_be_left),
             MR_TEST_CASE(huge_pages_must_be_free_and_enough),
             MR_TEST_CASE(a_card_must_be_one_that_dpdk_can_drive),
             MR_TEST_CASE(a_drive_must_be_there_with_its_block_size),
             MR_TEST_CASE(cpu_lists_are_read_in_their_order))
