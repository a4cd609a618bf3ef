/* kafka/fetch_session.c: the cache of a shard's fetch sessions. */
#include "dataplane/kafka/fetch_session.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"
#include "dataplane/kafka/api.h"

#define VERSION_TOPIC_ID 13
#define VERSION_REPLICA  15 /* the replica id is in replica_state */
#define EPOCH_FULL       0
#define EPOCH_NONE       (-1)
#define EVICTION_NS      (120 * MR_NS_PER_S)
#define BUCKETS          256u /* of sessions by id */
#define NONE             UINT32_MAX

/* One partition: what the client asks, and what it was told. */
struct entry {
    struct mr_uuid topic_id;
    char *topic; /* NULL in a session of ids; not terminated */
    int32_t topic_size;
    struct mr_fetch_request_partition ask;
    int64_t high_watermark; /* -1: to be told again */
    int64_t log_start;
    uint32_t previous; /* in the order of answers; NONE ends */
    uint32_t next;     /* also of the free ones */
    uint32_t chain;    /* in the bucket */
};

struct session {
    struct mr_list node;      /* in the bucket of its id */
    struct mr_list used_node; /* least recently used first */
    int32_t id;
    int32_t epoch; /* of the next request */
    bool by_id;
    bool privileged; /* of a follower */
    uint64_t created_ns;
    uint64_t used_ns;
    struct entry *entries;
    uint32_t *buckets; /* as many as `capacity`, a power of two */
    uint32_t capacity;
    uint32_t count;
    uint32_t first, last, free;
};

struct mr_fetch_sessions {
    uint32_t slots;
    uint32_t shard, shard_count;
    uint32_t next_number;
    uint32_t count;
    uint32_t partition_count;
    struct mr_list used;
    struct mr_list by_id[BUCKETS];
};

/* ---- partitions of a session ----------------------------------------------------------------- */

/* A partition as a request or an answer names it. */
struct key {
    const struct mr_uuid *topic_id;
    struct mr_str topic;
    int32_t partition;
};

static uint32_t
hash_bytes(uint32_t hash, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 16777619u;
    }
    return hash;
}

static uint32_t
bucket_of(const struct session *session, const struct key *key)
{
    uint32_t hash = hash_bytes(2166136261u, &key->partition, sizeof(key->partition));

    hash = session->by_id ? hash_bytes(hash, key->topic_id->bytes, sizeof(key->topic_id->bytes))
                          : hash_bytes(hash, key->topic.data,
                                       key->topic.size > 0 ? (size_t)key->topic.size : 0);
    return hash & (session->capacity - 1);
}

static bool
entry_is(const struct session *session, const struct entry *entry, const struct key *key)
{
    if (entry->ask.partition != key->partition) {
        return false;
    }
    return session->by_id
               ? mr_uuid_equal(&entry->topic_id, key->topic_id)
               : mr_str_equal((struct mr_str){entry->topic, entry->topic_size}, key->topic);
}

static struct key
key_of(const struct entry *entry)
{
    return (struct key){&entry->topic_id, {entry->topic, entry->topic_size}, entry->ask.partition};
}

static uint32_t
entry_find(const struct session *session, const struct key *key)
{
    uint32_t at = session->capacity ? session->buckets[bucket_of(session, key)] : NONE;

    while (at != NONE && !entry_is(session, &session->entries[at], key)) {
        at = session->entries[at].chain;
    }
    return at;
}

static void
order_remove(struct session *session, uint32_t at)
{
    struct entry *entry = &session->entries[at];

    if (entry->previous == NONE) {
        session->first = entry->next;
    } else {
        session->entries[entry->previous].next = entry->next;
    }
    if (entry->next == NONE) {
        session->last = entry->previous;
    } else {
        session->entries[entry->next].previous = entry->previous;
    }
}

static void
order_push_back(struct session *session, uint32_t at)
{
    struct entry *entry = &session->entries[at];

    entry->previous = session->last;
    entry->next = NONE;
    if (session->last == NONE) {
        session->first = at;
    } else {
        session->entries[session->last].next = at;
    }
    session->last = at;
}

/* Room for one entry more; false without memory. */
static bool
session_grow(struct session *session)
{
    uint32_t capacity = session->capacity ? session->capacity * 2 : 4;
    struct entry *entries;
    uint32_t *buckets;

    if (session->free != NONE) {
        return true;
    }
    entries = realloc(session->entries, capacity * sizeof(*entries));
    session->entries = entries ? entries : session->entries;
    buckets = entries ? calloc(capacity, sizeof(*buckets)) : NULL;
    if (!buckets) {
        return false;
    }
    for (uint32_t i = session->capacity; i < capacity; i++) {
        entries[i] = (struct entry){.next = session->free};
        session->free = i;
    }
    free(session->buckets);
    session->buckets = buckets;
    session->capacity = capacity;
    memset(buckets, 0xFF, capacity * sizeof(*buckets)); /* NONE */
    for (uint32_t at = session->first; at != NONE; at = entries[at].next) {
        struct key key = key_of(&entries[at]);
        uint32_t bucket = bucket_of(session, &key);

        entries[at].chain = buckets[bucket];
        buckets[bucket] = at;
    }
    return true;
}

/* A new entry at the end; NONE without memory, or where the cache has too many. */
static uint32_t
entry_add(struct mr_fetch_sessions *sessions, struct session *session, const struct key *key)
{
    struct entry *entry;
    char *name = NULL;
    uint32_t bucket;
    uint32_t at;

    if (sessions->partition_count == MR_FETCH_SESSION_PARTITIONS_MAX ||
        key->topic.size > (int32_t)MR_TOPIC_NAME_MAX || !session_grow(session)) {
        return NONE;
    }
    if (!session->by_id && key->topic.size > 0) {
        name = malloc((size_t)key->topic.size);
        if (!name) {
            return NONE;
        }
        memcpy(name, key->topic.data, (size_t)key->topic.size);
    }
    at = session->free;
    entry = &session->entries[at];
    session->free = entry->next;
    bucket = bucket_of(session, key);
    *entry = (struct entry){
        .topic_id = *key->topic_id,
        .topic = name,
        .topic_size = name ? key->topic.size : 0,
        .high_watermark = -1,
        .log_start = -1,
        .chain = session->buckets[bucket],
    };
    entry->ask.partition = key->partition;
    session->buckets[bucket] = at;
    order_push_back(session, at);
    session->count++;
    sessions->partition_count++;
    return at;
}

static void
entry_remove(struct mr_fetch_sessions *sessions, struct session *session, uint32_t at)
{
    struct entry *entry = &session->entries[at];
    struct key key = key_of(entry);
    uint32_t *link = &session->buckets[bucket_of(session, &key)];

    while (*link != at) {
        link = &session->entries[*link].chain;
    }
    *link = entry->chain;
    order_remove(session, at);
    free(entry->topic);
    entry->topic = NULL;
    entry->next = session->free;
    session->free = at;
    session->count--;
    sessions->partition_count--;
}

/* ---- sessions -------------------------------------------------------------------------------- */

static struct mr_list *
bucket_by_id(struct mr_fetch_sessions *sessions, int32_t id)
{
    return &sessions->by_id[((uint32_t)id / sessions->shard_count) % BUCKETS];
}

static struct session *
session_find(struct mr_fetch_sessions *sessions, int32_t id)
{
    MR_LIST_FOR_EACH(node, bucket_by_id(sessions, id))
    {
        struct session *session = MR_CONTAINER_OF(node, struct session, node);

        if (session->id == id) {
            return session;
        }
    }
    return NULL;
}

static void
session_remove(struct mr_fetch_sessions *sessions, struct session *session)
{
    for (uint32_t at = session->first; at != NONE; at = session->entries[at].next) {
        free(session->entries[at].topic);
    }
    sessions->partition_count -= session->count;
    sessions->count--;
    mr_list_remove(&session->node);
    mr_list_remove(&session->used_node);
    free(session->entries);
    free(session->buckets);
    free(session);
}

static int32_t
next_id(struct mr_fetch_sessions *sessions)
{
    for (;;) {
        uint32_t limit = (uint32_t)INT32_MAX / sessions->shard_count - 1;
        uint32_t id;

        sessions->next_number = sessions->next_number % limit + 1; /* an id is never 0 */
        id = sessions->next_number * sessions->shard_count + sessions->shard;
        if (!session_find(sessions, (int32_t)id)) {
            return (int32_t)id;
        }
    }
}

/* Whether the session may give way to a new one, by Kafka's rules of age and size. */
static bool
evictable(const struct session *session, bool privileged, uint32_t size, uint64_t now_ns)
{
    bool old = now_ns - session->created_ns > EVICTION_NS;

    if (!old && !(privileged && !session->privileged)) {
        return false;
    }
    return session->privileged != privileged ? privileged : session->count < size;
}

static bool
evict_one(struct mr_fetch_sessions *sessions, bool privileged, uint32_t size, uint64_t now_ns)
{
    struct session *least = NULL;

    MR_LIST_FOR_EACH(node, &sessions->used)
    {
        struct session *session = MR_CONTAINER_OF(node, struct session, used_node);

        if (now_ns - session->used_ns > EVICTION_NS) {
            least = session;
            break;
        }
        if (evictable(session, privileged, size, now_ns) &&
            (!least || session->count < least->count)) {
            least = session;
        }
    }
    if (least) {
        session_remove(sessions, least);
    }
    return least != NULL;
}

static struct session *
session_make(struct mr_fetch_sessions *sessions, bool by_id, bool privileged, uint64_t now_ns)
{
    struct session *session = calloc(1, sizeof(*session));

    if (!session) {
        return NULL;
    }
    session->id = next_id(sessions);
    session->epoch = 1;
    session->by_id = by_id;
    session->privileged = privileged;
    session->created_ns = now_ns;
    session->used_ns = now_ns;
    session->first = NONE;
    session->last = NONE;
    session->free = NONE;
    mr_list_push_back(bucket_by_id(sessions, session->id), &session->node);
    mr_list_push_back(&sessions->used, &session->used_node);
    sessions->count++;
    return session;
}

/* ---- a request comes ------------------------------------------------------------------------- */

static bool
is_follower(const struct mr_request *request)
{
    const struct mr_fetch_request *body = request->body;

    return (request->version >= VERSION_REPLICA ? body->replica_state.replica_id
                                                : body->replica_id) >= 0;
}

/* Takes over what the request adds, changes and forgets. False: it cannot be kept. */
static bool
session_update(struct mr_fetch_sessions *sessions, struct session *session,
               const struct mr_fetch_request *body)
{
    for (int32_t t = 0; t < body->topics_count; t++) {
        const struct mr_fetch_request_topic *topic = &body->topics[t];

        for (int32_t p = 0; p < topic->partitions_count; p++) {
            struct key key = {&topic->topic_id, topic->topic, topic->partitions[p].partition};
            uint32_t at = entry_find(session, &key);

            at = at == NONE ? entry_add(sessions, session, &key) : at;
            if (at == NONE) {
                return false;
            }
            session->entries[at].ask = topic->partitions[p];
        }
    }
    for (int32_t t = 0; t < body->forgotten_topics_data_count; t++) {
        const struct mr_fetch_request_forgotten_topic *topic = &body->forgotten_topics_data[t];

        for (int32_t p = 0; p < topic->partitions_count; p++) {
            struct key key = {&topic->topic_id, topic->topic, topic->partitions[p]};
            uint32_t at = entry_find(session, &key);

            if (at != NONE) {
                entry_remove(sessions, session, at);
            }
        }
    }
    return true;
}

/* The topic that the entry belongs behind, a new one where it is another than the last. */
static struct mr_fetch_request_topic *
topic_for(const struct session *session, struct mr_fetch_request *body, const struct entry *entry,
          struct mr_fetch_request_partition *partitions)
{
    struct mr_str name = {entry->topic ? entry->topic : "", entry->topic_size};
    struct mr_fetch_request_topic *topic =
        body->topics_count > 0 ? &body->topics[body->topics_count - 1] : NULL;

    if (topic && (session->by_id ? mr_uuid_equal(&topic->topic_id, &entry->topic_id)
                                 : mr_str_equal(topic->topic, name))) {
        return topic;
    }
    topic = &body->topics[body->topics_count++];
    topic->topic_id = entry->topic_id;
    topic->topic = name;
    topic->partitions = partitions;
    topic->partitions_count = 0;
    return topic;
}

/* The request as if it named all of the session's partitions, in their order. Names are copied: the
 * session may go before the answer. NULL without memory. */
static const struct mr_fetch_request *
session_request(const struct session *session, struct mr_request *request)
{
    struct mr_fetch_request *body = mr_request_alloc(request, 1, sizeof(*body));
    struct mr_fetch_request_partition *partitions =
        mr_request_alloc(request, session->count, sizeof(*partitions));
    uint32_t count = 0;

    if (!body || !partitions) {
        return NULL;
    }
    *body = *(const struct mr_fetch_request *)request->body;
    body->topics_count = 0;
    body->topics = mr_request_alloc(request, session->count, sizeof(*body->topics));
    if (!body->topics) {
        return NULL;
    }
    for (uint32_t at = session->first; at != NONE; at = session->entries[at].next) {
        struct mr_fetch_request_topic *topic =
            topic_for(session, body, &session->entries[at], &partitions[count]);

        partitions[count++] = session->entries[at].ask;
        topic->partitions_count++;
    }
    for (int32_t t = 0; t < body->topics_count; t++) {
        struct mr_str *name = &body->topics[t].topic;
        char *copy = name->size > 0 ? mr_request_alloc(request, (size_t)name->size, 1) : NULL;

        if (name->size > 0 && !copy) {
            return NULL;
        }
        if (copy) {
            memcpy(copy, name->data, (size_t)name->size);
            name->data = copy;
        }
    }
    return body;
}

static enum mr_kafka_err
go_on(struct mr_fetch_sessions *sessions, struct mr_request *request,
      const struct mr_fetch_request **body_out, struct mr_fetch_use *use)
{
    const struct mr_fetch_request *body = request->body;
    struct session *session = session_find(sessions, body->session_id);

    if (!session) {
        return MR_KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    }
    if (session->epoch != body->session_epoch) {
        return MR_KAFKA_INVALID_FETCH_SESSION_EPOCH;
    }
    if (session->by_id != (request->version >= VERSION_TOPIC_ID)) {
        return MR_KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
    }
    if (!session_update(sessions, session, body)) {
        session_remove(sessions, session);
        return MR_KAFKA_FETCH_SESSION_ID_NOT_FOUND; /* the client begins again, without one */
    }
    if (session->count == 0) { /* all was forgotten: Kafka ends the session */
        session_remove(sessions, session);
        return MR_KAFKA_NONE;
    }
    *body_out = session_request(session, request);
    if (!*body_out) {
        session_remove(sessions, session);
        return MR_KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    }
    session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
    session->used_ns = request->server->shard->now_ns;
    mr_list_remove(&session->used_node);
    mr_list_push_back(&sessions->used, &session->used_node);
    use->incremental = true;
    use->id = session->id;
    return MR_KAFKA_NONE;
}

enum mr_kafka_err
mr_fetch_session_begin(struct mr_fetch_sessions *sessions, struct mr_request *request,
                       const struct mr_fetch_request **body_out, struct mr_fetch_use *use)
{
    const struct mr_fetch_request *body = request->body;
    struct session *session;

    *body_out = body;
    *use = (struct mr_fetch_use){.create = body->session_epoch == EPOCH_FULL};
    if (body->session_epoch != EPOCH_FULL && body->session_epoch != EPOCH_NONE) {
        return go_on(sessions, request, body_out, use);
    }
    session = body->session_id != 0 ? session_find(sessions, body->session_id) : NULL;
    if (session) { /* a full fetch ends the session that it names */
        session_remove(sessions, session);
    }
    return MR_KAFKA_NONE;
}

/* ---- its answer ------------------------------------------------------------------------------ */

static void
create(struct mr_fetch_sessions *sessions, struct mr_request *request,
       const struct mr_fetch_request *body, struct mr_fetch_response *response)
{
    uint64_t now_ns = request->server->shard->now_ns;
    bool privileged = is_follower(request);
    uint32_t size = 0;
    struct session *session;

    for (int32_t t = 0; t < body->topics_count; t++) {
        size += (uint32_t)mr_array_count(body->topics[t].partitions_count);
    }
    if (sessions->count >= sessions->slots &&
        (sessions->slots == 0 || !evict_one(sessions, privileged, size, now_ns))) {
        return;
    }
    session = session_make(sessions, request->version >= VERSION_TOPIC_ID, privileged, now_ns);
    if (!session) {
        return;
    }
    if (!session_update(sessions, session,
                        &(struct mr_fetch_request){.topics = body->topics,
                                                   .topics_count = body->topics_count})) {
        session_remove(sessions, session);
        return;
    }
    for (int32_t t = 0; t < response->responses_count; t++) {
        const struct mr_fetch_response_topic *topic = &response->responses[t];

        for (int32_t p = 0; p < topic->partitions_count; p++) {
            const struct mr_fetch_response_partition *partition = &topic->partitions[p];
            struct key key = {&topic->topic_id, topic->topic, partition->partition_index};
            uint32_t at = entry_find(session, &key);

            MR_ASSERT(at != NONE); /* the answer has what was asked */
            session->entries[at].high_watermark =
                partition->error_code ? -1 : partition->high_watermark;
            session->entries[at].log_start = partition->log_start_offset;
        }
    }
    response->session_id = session->id;
}

/* Whether the client is to be told of the partition; remembers what it is told. */
static bool
is_news(struct entry *entry, const struct mr_fetch_response_partition *partition)
{
    bool news = partition->records.size > 0;

    if (entry->high_watermark != partition->high_watermark) {
        news = true;
        entry->high_watermark = partition->high_watermark;
    }
    if (entry->log_start != partition->log_start_offset) {
        news = true;
        entry->log_start = partition->log_start_offset;
    }
    if (partition->error_code || partition->diverging_epoch.epoch >= 0) {
        news = true;
        entry->high_watermark = -1; /* told again when the error has gone */
    }
    return news;
}

static void
leave_out(struct session *session, struct mr_fetch_response *response)
{
    int32_t topics = 0;

    for (int32_t t = 0; t < response->responses_count; t++) {
        struct mr_fetch_response_topic *topic = &response->responses[t];
        int32_t kept = 0;

        for (int32_t p = 0; p < topic->partitions_count; p++) {
            struct key key = {&topic->topic_id, topic->topic, topic->partitions[p].partition_index};
            uint32_t at = entry_find(session, &key);

            if (at != NONE && !is_news(&session->entries[at], &topic->partitions[p])) {
                continue;
            }
            if (at != NONE && topic->partitions[p].records.size > 0) {
                order_remove(session, at); /* the others come first next time */
                order_push_back(session, at);
            }
            topic->partitions[kept++] = topic->partitions[p];
        }
        topic->partitions_count = kept;
        if (kept > 0) {
            response->responses[topics++] = *topic;
        }
    }
    response->responses_count = topics;
}

void
mr_fetch_session_end(struct mr_fetch_sessions *sessions, const struct mr_fetch_use *use,
                     struct mr_request *request, const struct mr_fetch_request *body,
                     struct mr_fetch_response *response)
{
    struct session *session = use->incremental ? session_find(sessions, use->id) : NULL;

    if (use->incremental) {
        response->session_id = use->id;
    }
    if (session) {
        leave_out(session, response);
    } else if (use->create && request->conn) {
        create(sessions, request, body, response);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

struct mr_fetch_sessions *
mr_fetch_sessions_create(uint32_t slots, uint32_t first_id, uint32_t shard, uint32_t shard_count)
{
    struct mr_fetch_sessions *sessions = calloc(1, sizeof(*sessions));

    if (!sessions) {
        return NULL;
    }
    sessions->slots = slots;
    sessions->shard = shard;
    sessions->shard_count = shard_count;
    sessions->next_number = first_id;
    mr_list_init(&sessions->used);
    for (unsigned i = 0; i < BUCKETS; i++) {
        mr_list_init(&sessions->by_id[i]);
    }
    return sessions;
}

void
mr_fetch_sessions_destroy(struct mr_fetch_sessions *sessions)
{
    while (sessions && !mr_list_empty(&sessions->used)) {
        session_remove(sessions, MR_CONTAINER_OF(sessions->used.next, struct session, used_node));
    }
    free(sessions);
}

size_t
mr_fetch_sessions_bytes(uint32_t slots)
{
    /* Capacities are powers of two, and a name has up to 249 bytes. */
    return sizeof(struct mr_fetch_sessions) + slots * sizeof(struct session) +
           (size_t)MR_FETCH_SESSION_PARTITIONS_MAX *
               (2 * (sizeof(struct entry) + sizeof(uint32_t)) + MR_TOPIC_NAME_MAX);
}

uint32_t
mr_fetch_sessions_count(const struct mr_fetch_sessions *sessions, uint32_t *partitions_out)
{
    *partitions_out = sessions->partition_count;
    return sessions->count;
}
