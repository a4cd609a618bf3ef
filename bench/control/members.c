/* bench/control/members.c: what members of groups ask, and what they do with the answers. */
#include "bench/control/members.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "bench/control/die.h"
#include "control/cli/client.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/kafka_err.h"
#include "dataplane/kafka/wire/wire.h"

#define CONNECT_MS      10000
#define SEND_TIMEOUT_NS (10 * MR_NS_PER_S)
#define SESSION_MS      30000
#define REBALANCE_MS    60000
#define IN_ROOM         4096u
#define EVENTS          64
#define SHARE_SIZE      32 /* bytes of an assignment */

/* Versions that every broker has and that need no second JoinGroup. */
#define VERSION_JOIN      3
#define VERSION_SYNC      2
#define VERSION_HEARTBEAT 2
#define VERSION_COMMIT    4
#define VERSION_LEAVE     1

static uint64_t
now_ns(void)
{
    return mr_clock_now_ns(&mr_clock_system);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void
send_all(const struct member *member, struct iovec *iov, uint32_t count)
{
    while (count > 0) {
        ssize_t sent = mr_client_sockets.send(member->handle, iov, count);

        if (sent == -EAGAIN) {
            sent = mr_client_sockets.wait(member->handle, POLLOUT, now_ns() + SEND_TIMEOUT_NS);
            sent = sent == 0 ? 0 : -ETIMEDOUT;
        }
        if (sent < 0) {
            die("a request could not be sent: %s", strerror((int)-sent));
        }
        while (count > 0 && (size_t)sent >= iov->iov_len) {
            sent -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            iov->iov_base = (char *)iov->iov_base + sent;
            iov->iov_len -= (size_t)sent;
        }
    }
}

static void
ask(struct members *members, struct member *member, int16_t key, int16_t version, const void *body)
{
    const struct mr_wire_api *api = mr_wire_api_find(key);
    struct mr_request_header header = {key, version, key, mr_str_from_c(MEMBERS_CLIENT_ID)};
    struct mr_wire_out out;
    uint8_t *length;

    mr_wire_out_init(&out, &members->bump);
    length = mr_wire_out_reserve_4(&out);
    mr_wire_request_header_encode(&out, &header);
    if (mr_wire_encode(api->request, version, body, &out) != 0) {
        die("%s could not be encoded", api->name);
    }
    mr_wire_out_patch_4(length, (uint32_t)out.size - 4);
    member->asked = key;
    member->sent_ns = now_ns();
    send_all(member, out.iov, out.iov_count);
    mr_bump_reset(&members->bump);
}

static struct mr_str
group_of(struct members *members, const struct member *member)
{
    char *name = mr_bump_alloc(&members->bump, 32);

    snprintf(name, 32, "bench-%u", member->group);
    return mr_str_from_c(name);
}

static void
ask_join(struct members *members, struct member *member)
{
    /* The consumer protocol's subscription: version 0, one topic, no user data. */
    static const uint8_t subscription[] = "\0\0\0\0\0\1\0\13" MEMBERS_TOPIC "\377\377\377\377";
    struct mr_join_group_request_protocol range = {mr_str_from_c("range"),
                                                   {subscription, sizeof(subscription) - 1}};
    struct mr_join_group_request join;

    mr_wire_init(&mr_join_group_request_message, &join);
    join.group_id = group_of(members, member);
    join.session_timeout_ms = SESSION_MS;
    join.rebalance_timeout_ms = REBALANCE_MS;
    join.member_id = mr_str_from_c(member->id);
    join.protocol_type = mr_str_from_c("consumer");
    join.protocols = &range;
    join.protocols_count = 1;
    ask(members, member, MR_API_JOIN_GROUP, VERSION_JOIN, &join);
}

/* The leader, who alone is told the members, gives each of them the same bytes. */
static void
ask_sync(struct members *members, struct member *member,
         const struct mr_join_group_response *joined)
{
    static const uint8_t share[SHARE_SIZE];
    struct mr_sync_group_request sync;

    mr_wire_init(&mr_sync_group_request_message, &sync);
    sync.group_id = group_of(members, member);
    sync.generation_id = member->generation;
    sync.member_id = mr_str_from_c(member->id);
    sync.assignments_count = joined->members_count;
    sync.assignments =
        mr_bump_array(&members->bump, (size_t)joined->members_count, sizeof(*sync.assignments));
    for (int32_t i = 0; i < joined->members_count; i++) {
        sync.assignments[i].member_id = joined->members[i].member_id;
        sync.assignments[i].assignment = (struct mr_bytes){share, sizeof(share)};
    }
    ask(members, member, MR_API_SYNC_GROUP, VERSION_SYNC, &sync);
}

static void
ask_heartbeat(struct members *members, struct member *member)
{
    struct mr_heartbeat_request heartbeat;

    mr_wire_init(&mr_heartbeat_request_message, &heartbeat);
    heartbeat.group_id = group_of(members, member);
    heartbeat.generation_id = member->generation;
    heartbeat.member_id = mr_str_from_c(member->id);
    ask(members, member, MR_API_HEARTBEAT, VERSION_HEARTBEAT, &heartbeat);
}

static void
ask_commit(struct members *members, struct member *member)
{
    struct mr_offset_commit_request_partition partition;
    struct mr_offset_commit_request_topic topic;
    struct mr_offset_commit_request commit;

    memset(&partition, 0, sizeof(partition));
    memset(&topic, 0, sizeof(topic));
    mr_wire_init(&mr_offset_commit_request_message, &commit);
    partition.committed_offset = 1;
    partition.committed_metadata = mr_str_from_c("");
    topic.name = mr_str_from_c(MEMBERS_TOPIC);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    commit.group_id = group_of(members, member);
    commit.generation_id_or_member_epoch = member->generation;
    commit.member_id = mr_str_from_c(member->id);
    commit.topics = &topic;
    commit.topics_count = 1;
    ask(members, member, MR_API_OFFSET_COMMIT, VERSION_COMMIT, &commit);
}

static void
ask_leave(struct members *members, struct member *member)
{
    struct mr_leave_group_request leave;

    mr_wire_init(&mr_leave_group_request_message, &leave);
    leave.group_id = group_of(members, member);
    leave.member_id = mr_str_from_c(member->id);
    ask(members, member, MR_API_LEAVE_GROUP, VERSION_LEAVE, &leave);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* Whether a whole answer has come. */
static bool
receive(struct member *member)
{
    for (;;) {
        uint32_t size = member->in_size < 4 ? 4 : mr_be32_get(member->in) + 4;
        ssize_t got;

        if (member->in_size >= 4 && member->in_size == size) {
            return true;
        }
        if (size > member->in_room) {
            member->in_room = size > IN_ROOM ? size : IN_ROOM;
            member->in = realloc(member->in, member->in_room);
            if (!member->in) {
                die("out of memory");
            }
        }
        got = mr_client_sockets.receive(member->handle, member->in + member->in_size,
                                        size - member->in_size);
        if (got == -EAGAIN) {
            return false;
        }
        if (got <= 0) {
            die("the broker has closed a connection");
        }
        member->in_size += (uint32_t)got;
    }
}

/* The answer's struct, in the bump's memory. */
static const void *
decode(struct members *members, struct member *member, int16_t version)
{
    const struct mr_wire_api *api = mr_wire_api_find(member->asked);
    void *answer = mr_bump_alloc(&members->bump, api->response->root->size);
    struct iovec slice = {member->in + 4, member->in_size - 4};
    struct mr_response_header header;
    struct mr_wire_in in;

    mr_wire_in_init(&in, &slice, 1, slice.iov_len);
    if (!answer ||
        mr_wire_response_header_decode(api, version, &in, &members->bump, &header) != 0 ||
        mr_wire_decode(api->response, version, &in, &members->bump, answer) != 0) {
        die("an answer to %s could not be read", api->name);
    }
    member->in_size = 0;
    member->asked = -1;
    return answer;
}

/* Calls `each` for every whole answer that comes, until `left` is 0. */
static void
await(struct members *members, uint32_t *left,
      void (*each)(struct members *members, struct member *member, void *context), void *context)
{
    while (*left > 0) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(members->epoll, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            struct member *member = events[i].data.ptr;

            if (receive(member)) {
                each(members, member, context);
                mr_bump_reset(&members->bump);
            }
        }
    }
}

/* ---- a rebalance ----------------------------------------------------------------------------- */

static int32_t
size_of(const struct members *members, uint32_t group)
{
    return (int32_t)(members->count / members->group_count +
                     (group < members->count % members->group_count));
}

/* The leader, whose answer comes before any member has its assignment, is told how many they are.
 */
static void
on_joined(struct members *members, struct member *member)
{
    const struct mr_join_group_response *joined = decode(members, member, VERSION_JOIN);

    if (joined->error_code != MR_KAFKA_NONE) {
        if (joined->error_code == MR_KAFKA_UNKNOWN_MEMBER_ID) {
            member->id[0] = '\0';
        }
        ask_join(members, member);
        return;
    }
    member->generation = joined->generation_id;
    snprintf(member->id, sizeof(member->id), "%.*s", (int)joined->member_id.size,
             joined->member_id.data);
    if (joined->members_count >= size_of(members, member->group)) {
        members->groups[member->group].whole = member->generation;
    }
    ask_sync(members, member, joined);
}

/* A broker that waits for nobody may have made a generation of those whose requests came first, or
 * have told a member the one from before. Who stayed in it would not hear of the next one, for
 * which the others then waited as long as it may be silent. */
static void
rebalance_step(struct members *members, struct member *member, void *context)
{
    const struct member_group *group = &members->groups[member->group];
    uint32_t *left = context;
    const struct mr_sync_group_response *synced;

    if (member->asked == MR_API_JOIN_GROUP) {
        on_joined(members, member);
        return;
    }
    synced = decode(members, member, VERSION_SYNC);
    /* Again also for REBALANCE_IN_PROGRESS and the like. */
    if (synced->error_code != MR_KAFKA_NONE || member->generation != group->whole ||
        group->whole == group->whole_before) {
        ask_join(members, member);
        return;
    }
    (*left)--;
}

uint64_t
members_rebalance(struct members *members)
{
    uint32_t left = members->count;
    uint64_t begin_ns = now_ns();

    for (uint32_t i = 0; i < members->group_count; i++) {
        members->groups[i].whole_before = members->groups[i].whole;
    }
    for (uint32_t i = 0; i < members->count; i++) {
        ask_join(members, &members->at[i]);
    }
    await(members, &left, rebalance_step, &left);
    return now_ns() - begin_ns;
}

/* ---- heartbeats and commits ------------------------------------------------------------------ */

struct asking {
    uint32_t left;
    enum members_load load;
    uint64_t end_ns;
    struct mr_histo *latency;
};

static void
ask_load(struct members *members, struct member *member, enum members_load load)
{
    if (load == MEMBERS_HEARTBEAT) {
        ask_heartbeat(members, member);
    } else {
        ask_commit(members, member);
    }
}

static int16_t
load_error(struct members *members, struct member *member)
{
    const struct mr_offset_commit_response *committed;

    if (member->asked == MR_API_HEARTBEAT) {
        return ((const struct mr_heartbeat_response *)decode(members, member, VERSION_HEARTBEAT))
            ->error_code;
    }
    committed = decode(members, member, VERSION_COMMIT);
    return committed->topics_count == 1 && committed->topics[0].partitions_count == 1
               ? committed->topics[0].partitions[0].error_code
               : MR_KAFKA_UNKNOWN_SERVER_ERROR;
}

static void
asking_step(struct members *members, struct member *member, void *context)
{
    struct asking *asking = context;
    uint64_t at_ns = now_ns();
    int16_t error = load_error(members, member);

    if (error != MR_KAFKA_NONE) {
        die("a heartbeat or commit was refused: %s", mr_kafka_err_text(error));
    }
    mr_histo_record(asking->latency, at_ns - member->sent_ns);
    if (at_ns < asking->end_ns) {
        ask_load(members, member, asking->load);
    } else {
        asking->left--;
    }
}

double
members_ask(struct members *members, uint32_t count, enum members_load load, double seconds,
            struct mr_histo *latency)
{
    uint64_t begin_ns = now_ns();
    struct asking asking = {
        .left = count < members->count ? count : members->count,
        .load = load,
        .end_ns = begin_ns + (uint64_t)(seconds * (double)MR_NS_PER_S),
        .latency = latency,
    };

    memset(latency, 0, sizeof(*latency));
    for (uint32_t i = 0; i < asking.left; i++) {
        ask_load(members, &members->at[i], load);
    }
    await(members, &asking.left, asking_step, &asking);
    return (double)latency->count / ((double)(now_ns() - begin_ns) / (double)MR_NS_PER_S);
}

/* ---- life ------------------------------------------------------------------------------------ */

void
members_open(struct members *members, const char *server, uint32_t count, uint32_t groups)
{
    char host[256], port[256];

    if (mr_client_split(server, strlen(server), host, port, sizeof(host)) != 0) {
        die("'%s' is no HOST:PORT", server);
    }
    members->count = count;
    members->group_count = groups;
    members->epoll = epoll_create1(EPOLL_CLOEXEC);
    members->at = calloc(count, sizeof(*members->at));
    members->groups = calloc(groups, sizeof(*members->groups));
    if (!members->at || !members->groups || members->epoll < 0) {
        die("out of memory");
    }
    mr_bump_init(&members->bump, members->scratch, sizeof(members->scratch), MEMBERS_HEAP_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct member *member = &members->at[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = member};

        member->group = i % groups;
        member->asked = -1;
        member->handle = mr_client_sockets.dial(host, port, CONNECT_MS);
        if (member->handle < 0) {
            die("cannot connect to %s: %s", server, strerror(-member->handle));
        }
        epoll_ctl(members->epoll, EPOLL_CTL_ADD, member->handle, &event);
    }
}

static void
left_step(struct members *members, struct member *member, void *context)
{
    uint32_t *left = context;

    decode(members, member, VERSION_LEAVE);
    (*left)--;
}

void
members_close(struct members *members)
{
    uint32_t left = members->count;

    for (uint32_t i = 0; i < members->count; i++) {
        ask_leave(members, &members->at[i]);
    }
    await(members, &left, left_step, &left);
    for (uint32_t i = 0; i < members->count; i++) {
        mr_client_sockets.close(members->at[i].handle);
        free(members->at[i].in);
    }
    free(members->at);
    free(members->groups);
}
