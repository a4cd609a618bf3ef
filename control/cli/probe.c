/* control/cli/probe.c: `millrace probe`: what this machine is fit for. It changes nothing. */
#include "control/cli/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/table.h"

static const char *const words[] = {"fit", "better", "missing"};

static void
print_table(const struct cli_finding *findings, unsigned count)
{
    static const char *const columns[] = {"WHAT", "FOUND", "FITNESS", "CHANGE"};
    struct cli_table table;

    cli_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (unsigned i = 0; i < count; i++) {
        cli_table_cell(&table, "%s", findings[i].what);
        cli_table_cell(&table, "%s", findings[i].found);
        cli_table_cell(&table, "%s", words[findings[i].fitness]);
        cli_table_cell(&table, "%s", findings[i].change[0] ? findings[i].change : "-");
    }
    cli_table_print(&table, stdout);
    cli_table_free(&table);
}

static json_t *
number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *
json_nic(const struct mr_machine_nic *nic)
{
    json_t *out = json_object();

    json_object_set_new(out, "name", json_string(nic->name));
    json_object_set_new(out, "pci", json_string(nic->pci));
    json_object_set_new(out, "driver", json_string(nic->driver));
    json_object_set_new(out, "vendor", number(nic->vendor));
    json_object_set_new(out, "device", number(nic->device));
    json_object_set_new(out, "node", json_integer(nic->node));
    json_object_set_new(out, "queues", number(nic->queues));
    json_object_set_new(out, "mtu", number(nic->mtu));
    json_object_set_new(out, "speed_mbits", json_integer(nic->speed_mbits));
    json_object_set_new(out, "up", json_boolean(nic->up));
    json_object_set_new(out, "routes", json_boolean(nic->has_address));
    json_object_set_new(out, "iommu_group", json_integer(nic->iommu_group));
    return out;
}

static json_t *
json_drive(const struct mr_machine_drive *drive)
{
    json_t *out = json_object();

    json_object_set_new(out, "name", json_string(drive->name));
    json_object_set_new(out, "model", json_string(drive->model));
    json_object_set_new(out, "bytes", number(drive->size_bytes));
    json_object_set_new(out, "block_bytes", number(drive->block_bytes));
    json_object_set_new(out, "write_cache", json_boolean(drive->write_cache));
    json_object_set_new(out, "fua", json_boolean(drive->fua));
    json_object_set_new(out, "poll_queues", json_boolean(drive->poll_queues));
    json_object_set_new(out, "nvme_commands", json_boolean(drive->character));
    json_object_set_new(out, "atomic_bytes", number(drive->atomic_bytes));
    json_object_set_new(out, "node", json_integer(drive->node));
    json_object_set_new(out, "in_use", json_boolean(drive->in_use));
    return out;
}

static json_t *
json_findings(const struct cli_finding *findings, unsigned count)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < count; i++) {
        json_t *out = json_object();

        json_object_set_new(out, "what", json_string(findings[i].what));
        json_object_set_new(out, "found", json_string(findings[i].found));
        json_object_set_new(out, "fitness", json_string(words[findings[i].fitness]));
        json_object_set_new(out, "change", json_string(findings[i].change));
        json_array_append_new(list, out);
    }
    return list;
}

static void
print_json(const struct mr_machine *machine, const struct cli_finding *findings, unsigned count)
{
    json_t *out = json_object();
    json_t *cpus = json_array();
    json_t *nics = json_array();
    json_t *drives = json_array();

    for (unsigned i = 0; i < machine->cpu_count; i++) {
        json_t *cpu = json_object();

        json_object_set_new(cpu, "cpu", json_integer(machine->cpus[i]));
        json_object_set_new(cpu, "node", json_integer(machine->cpu_nodes[i]));
        json_object_set_new(cpu, "core", json_integer(machine->siblings[i]));
        json_array_append_new(cpus, cpu);
    }
    for (unsigned i = 0; i < machine->nic_count; i++) {
        json_array_append_new(nics, json_nic(&machine->nics[i]));
    }
    for (unsigned i = 0; i < machine->drive_count; i++) {
        json_array_append_new(drives, json_drive(&machine->drives[i]));
    }
    json_object_set_new(out, "kernel", json_string(machine->kernel));
    json_object_set_new(out, "cpus", cpus);
    json_object_set_new(out, "memory_bytes", number(machine->memory_bytes));
    json_object_set_new(out, "hugepages_2m_free", number(machine->pages_2m.free));
    json_object_set_new(out, "hugepages_1g_free", number(machine->pages_1g.free));
    json_object_set_new(out, "iommu_groups", number(machine->iommu_groups));
    json_object_set_new(out, "nics", nics);
    json_object_set_new(out, "drives", drives);
    json_object_set_new(out, "findings", json_findings(findings, count));
    cli_json_print(out, false);
}

static int
write_profile(const struct mr_machine *machine, const char *path, bool force)
{
    char *text = cli_probe_profile(machine);
    FILE *file = text ? fopen(path, force ? "w" : "wx") : NULL;
    int status = CLI_EXIT_OK;

    if (!text) {
        return cli_failed("no memory");
    }
    if (!file) {
        status = errno == EEXIST ? cli_failed("%s is there already; --force overwrites it", path)
                                 : cli_failed("%s: %s", path, strerror(errno));
    } else if (fputs(text, file) < 0 || fclose(file) != 0) {
        status = cli_failed("%s: %s", path, strerror(errno));
    }
    free(text);
    return status;
}

static int
run_probe(const struct cli_args *args)
{
    struct mr_machine *machine = calloc(1, sizeof(*machine));
    struct cli_finding *findings = calloc(CLI_FINDINGS_MAX, sizeof(*findings));
    struct cli_kernel kernel = {0};
    const char *root = args->root ? args->root : "";
    int status = CLI_EXIT_OK;

    if (!machine || !findings) {
        status = cli_failed("no memory");
    } else if (mr_machine_read(root, machine) != 0 || machine->cpu_count == 0) {
        status = cli_failed("%s/sys shows no machine", root);
    } else {
        unsigned count;

        if (!root[0]) {
            cli_kernel_try(&kernel);
        }
        count = cli_findings(machine, &kernel, findings);
        if (args->json) {
            print_json(machine, findings, count);
        } else {
            print_table(findings, count);
        }
        status = args->write ? write_profile(machine, args->write, args->force) : CLI_EXIT_OK;
    }
    free(findings);
    free(machine);
    return status;
}

static const struct cli_option options[] = {
    {.name = "--write",
     .value = "FILE",
     .help = "a profile with which millraced starts on this machine as it is",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_args, write)},
    {.name = "--force",
     .help = "overwrites FILE",
     .kind = CLI_FLAG,
     .offset = offsetof(struct cli_args, force)},
    {.name = "--root",
     .value = "DIR",
     .help = "reads DIR/sys and DIR/proc instead of this machine's",
     .kind = CLI_TEXT,
     .offset = offsetof(struct cli_args, root)},
};

const struct cli_command cli_probe = {
    .family = NULL,
    .name = "probe",
    .summary = "Shows what this machine has for the broker, and what to change",
    .details = "CPUs, memory and huge pages, io_uring, IOMMU and VFIO, network cards, drives. Fit "
               "is what works as it\n"
               "is; better, what a change would make faster or safer; missing, what has to change. "
               "Nothing is changed.\n"
               "The profile of --write is for `millraced --profile FILE`.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .operands_min = 0,
    .operands_max = 0,
    .run = run_probe,
};
