/* control/cli/probe.h: what `millrace probe` makes of a machine.
 *
 * Findings say of each thing whether it is fit for the broker and what to change; a profile is what
 * fits without a change. Pure functions of the machine. */
#ifndef MR_CONTROL_CLI_PROBE_H
#define MR_CONTROL_CLI_PROBE_H

#include "control/machine.h"

#define CLI_FINDINGS_MAX (32u + 2 * (MR_MACHINE_NICS_MAX + MR_MACHINE_DRIVES_MAX))

enum cli_fitness {
    CLI_FIT,     /* as it is */
    CLI_BETTER,  /* works; a change makes it faster or safer */
    CLI_MISSING, /* a transport or way of storing needs it */
};

struct cli_finding {
    char what[64];
    char found[160];
    enum cli_fitness fitness;
    char change[512]; /* a command, or empty */
};

/* What of the kernel can only be tried, not read. */
struct cli_kernel {
    bool tried; /* this machine's, not one below another root */
    bool ring;  /* io_uring can be had */
    bool single_issuer;
    bool send_zc;
    bool uring_cmd;
    bool poll_ring;
};

/* Fills `out` (CLI_FINDINGS_MAX); returns how many. */
unsigned cli_findings(const struct mr_machine *machine, const struct cli_kernel *kernel,
                      struct cli_finding *out);

/* Tries what the kernel has. */
void cli_kernel_try(struct cli_kernel *kernel);

/* The text of a profile that starts on this machine as it is; the caller frees it. NULL without
 * memory. */
char *cli_probe_profile(const struct mr_machine *machine);

#endif
