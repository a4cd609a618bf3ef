/* tests/net/script_run.h: what script_run.c, script_calls.c and script_packets.c share. */
#ifndef MR_TESTS_SCRIPT_RUN_H
#define MR_TESTS_SCRIPT_RUN_H

#include "dataplane/tcp/tcp_priv.h"
#include "tests/net/script.h"

#define RUN_FDS_MAX      32
#define RUN_MAP_MAX      1024
#define RUN_DEFERRED_MAX 8
#define RUN_LOCAL        0xc0a80001u
#define RUN_REMOTE       0xc0000201u
#define RUN_LOCAL_PORT   8080
#define RUN_REMOTE_PORT  40000
/* The peer's sequence numbers are the script's and this, so that they wrap around at once. */
#define RUN_REMOTE_BASE 0xfffffc00u

/* A segment that the stack has sent, as the script would write it but for its numbers. */
struct run_out {
    struct mr_list node;
    uint64_t at_ns;
    struct script_packet packet;
};

struct run_chunk {
    struct mr_list node;
    struct mr_tcp_packet *packet;
    uint32_t taken;
    uint32_t size;
};

enum run_fd_kind {
    RUN_FD_FREE,
    RUN_FD_SOCKET,
    RUN_FD_LISTENER,
    RUN_FD_CONN,
};

struct run_fd {
    struct run *run;
    enum run_fd_kind kind;
    int number; /* -1: accepted by the stack, not yet by the script */
    struct mr_tcp_conn *conn;
    struct mr_list chunks;
    uint64_t order;
    bool connected;
    bool ended;
    bool closed;
    bool shut;
    bool reset_on_close; /* SO_LINGER with 0 s */
    int reason;
};

struct run_map {
    uint32_t script;
    uint32_t live;
};

struct run {
    const char *path;
    const struct script *script;
    bool verbose;
    bool unsupported;
    uint64_t start_ns;
    uint64_t now_ns;
    uint64_t before_ns; /* of the event before */
    uint64_t order;
    struct mr_tcp *tcp;
    struct mr_tcp_config config;
    struct mr_list outs;
    uint64_t live_packets;
    struct run_fd fds[RUN_FDS_MAX];
    const struct script_event *deferred[RUN_DEFERRED_MAX];
    uint64_t deferred_ns[RUN_DEFERRED_MAX];
    unsigned deferred_count;
    bool local_known;
    uint32_t local_base; /* live sequence number of the script's 0 */
    uint16_t local_port;
    uint16_t remote_port;
    struct run_map map[RUN_MAP_MAX];
    unsigned map_count;
};

/* The stack and its clock. */
void run_start(struct run *run);
void run_turn(struct run *run);
/* Lets time pass; true when something went out before `until_ns`, with `stop` set. */
bool run_until(struct run *run, uint64_t until_ns, bool stop);
void run_differs(const struct run *run, const struct script_event *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* script_packets.c. False: it differs, and has been said so. */
bool run_packet_in(struct run *run, const struct script_event *event);
bool run_packet_out(struct run *run, const struct script_event *event, uint64_t at_ns,
                    uint64_t tolerance_ns, uint64_t *seen_ns);
bool run_output(void *context, const struct mr_tcp_frame *frame);
void run_packet_free(void *context, struct mr_tcp_packet *packet);

/* script_calls.c. */
enum run_call {
    RUN_CALL_SAME,    /* as the script says */
    RUN_CALL_DIFFERS, /* and has been said so, if `final` */
};
enum run_call run_call(struct run *run, const struct script_event *event, bool final);
void run_events(struct mr_tcp_events *events, struct run *run);
void run_fds_close(struct run *run);

#endif
