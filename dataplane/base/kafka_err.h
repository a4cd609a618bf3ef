/* base/kafka_err.h: Kafka's error codes, one enum for all of Millrace.
 *
 * Source: the error table of the Kafka protocol guide (Apache Kafka 4.3.1). Storage and control
 * return them where a client must be told exactly what was wrong; elsewhere -errno is mapped by
 * mr_kafka_err_from_errno(). */
#ifndef MR_BASE_KAFKA_ERR_H
#define MR_BASE_KAFKA_ERR_H

#include <stdint.h>

/* X(NAME, code, description) */
#define MR_KAFKA_ERRS(X)                                                                           \
    X(UNKNOWN_SERVER_ERROR, -1, "an unexpected error")                                             \
    X(NONE, 0, "success")                                                                          \
    X(OFFSET_OUT_OF_RANGE, 1, "the offset is outside the partition's log")                         \
    X(CORRUPT_MESSAGE, 2, "the batch fails its checksum or is malformed")                          \
    X(UNKNOWN_TOPIC_OR_PARTITION, 3, "this broker has no such topic or partition")                 \
    X(INVALID_FETCH_SIZE, 4, "the fetch size is invalid")                                          \
    X(LEADER_NOT_AVAILABLE, 5, "the partition has no leader yet")                                  \
    X(NOT_LEADER_OR_FOLLOWER, 6, "this broker does not lead the partition")                        \
    X(REQUEST_TIMED_OUT, 7, "the request timed out")                                               \
    X(BROKER_NOT_AVAILABLE, 8, "the broker is not available")                                      \
    X(REPLICA_NOT_AVAILABLE, 9, "the replica is not available")                                    \
    X(MESSAGE_TOO_LARGE, 10, "the batch is larger than max.message.bytes")                         \
    X(OFFSET_METADATA_TOO_LARGE, 12, "the offset's metadata is too large")                         \
    X(NETWORK_EXCEPTION, 13, "the connection failed")                                              \
    X(COORDINATOR_LOAD_IN_PROGRESS, 14, "the coordinator is loading")                              \
    X(COORDINATOR_NOT_AVAILABLE, 15, "the coordinator is not available")                           \
    X(NOT_COORDINATOR, 16, "this broker is not the coordinator")                                   \
    X(INVALID_TOPIC_EXCEPTION, 17, "the topic name is invalid")                                    \
    X(RECORD_LIST_TOO_LARGE, 18, "the batch is larger than the segment")                           \
    X(NOT_ENOUGH_REPLICAS, 19, "too few in-sync replicas")                                         \
    X(NOT_ENOUGH_REPLICAS_AFTER_APPEND, 20, "too few in-sync replicas after the append")           \
    X(INVALID_REQUIRED_ACKS, 21, "acks must be -1, 0 or 1")                                        \
    X(ILLEGAL_GENERATION, 22, "the group generation is not valid")                                 \
    X(INCONSISTENT_GROUP_PROTOCOL, 23, "the member's protocols do not fit the group's")            \
    X(INVALID_GROUP_ID, 24, "the group id is invalid")                                             \
    X(UNKNOWN_MEMBER_ID, 25, "the coordinator does not know this member")                          \
    X(INVALID_SESSION_TIMEOUT, 26, "the session timeout is outside the broker's range")            \
    X(REBALANCE_IN_PROGRESS, 27, "the group is rebalancing")                                       \
    X(INVALID_COMMIT_OFFSET_SIZE, 28, "the committed offset's data is too large")                  \
    X(TOPIC_AUTHORIZATION_FAILED, 29, "not authorized for the topic")                              \
    X(GROUP_AUTHORIZATION_FAILED, 30, "not authorized for the group")                              \
    X(CLUSTER_AUTHORIZATION_FAILED, 31, "not authorized for the cluster")                          \
    X(INVALID_TIMESTAMP, 32, "the record's timestamp is out of range")                             \
    X(UNSUPPORTED_SASL_MECHANISM, 33, "the SASL mechanism is not supported")                       \
    X(ILLEGAL_SASL_STATE, 34, "the request does not fit the SASL state")                           \
    X(UNSUPPORTED_VERSION, 35, "the version is not supported")                                     \
    X(TOPIC_ALREADY_EXISTS, 36, "a topic with this name exists")                                   \
    X(INVALID_PARTITIONS, 37, "the number of partitions is invalid")                               \
    X(INVALID_REPLICATION_FACTOR, 38, "the replication factor is invalid")                         \
    X(INVALID_REPLICA_ASSIGNMENT, 39, "the replica assignment is invalid")                         \
    X(INVALID_CONFIG, 40, "the configuration is invalid")                                          \
    X(NOT_CONTROLLER, 41, "this is not the controller")                                            \
    X(INVALID_REQUEST, 42, "the request is invalid")                                               \
    X(UNSUPPORTED_FOR_MESSAGE_FORMAT, 43, "the message format does not support this")              \
    X(POLICY_VIOLATION, 44, "the request violates a policy")                                       \
    X(OUT_OF_ORDER_SEQUENCE_NUMBER, 45, "the producer's sequence has a gap")                       \
    X(DUPLICATE_SEQUENCE_NUMBER, 46, "the producer sent a duplicate sequence")                     \
    X(INVALID_PRODUCER_EPOCH, 47, "the producer's epoch is old")                                   \
    X(INVALID_TXN_STATE, 48, "the transaction is in the wrong state")                              \
    X(INVALID_PRODUCER_ID_MAPPING, 49, "the producer id does not belong to this transaction")      \
    X(INVALID_TRANSACTION_TIMEOUT, 50, "the transaction timeout is too large")                     \
    X(CONCURRENT_TRANSACTIONS, 51, "another transaction is still completing")                      \
    X(TRANSACTION_COORDINATOR_FENCED, 52, "the transaction coordinator is old")                    \
    X(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 53, "transactional use is not available")             \
    X(SECURITY_DISABLED, 54, "security features are disabled")                                     \
    X(OPERATION_NOT_ATTEMPTED, 55, "the operation was not attempted")                              \
    X(KAFKA_STORAGE_ERROR, 56, "the disk failed")                                                  \
    X(LOG_DIR_NOT_FOUND, 57, "there is no such log directory")                                     \
    X(SASL_AUTHENTICATION_FAILED, 58, "SASL authentication failed")                                \
    X(UNKNOWN_PRODUCER_ID, 59, "the producer id is unknown")                                       \
    X(REASSIGNMENT_IN_PROGRESS, 60, "a reassignment is in progress")                               \
    X(DELEGATION_TOKEN_AUTH_DISABLED, 61, "delegation tokens are disabled")                        \
    X(DELEGATION_TOKEN_NOT_FOUND, 62, "the delegation token is unknown")                           \
    X(DELEGATION_TOKEN_OWNER_MISMATCH, 63, "the delegation token has another owner")               \
    X(DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, 64, "no delegation tokens on this connection")         \
    X(DELEGATION_TOKEN_AUTHORIZATION_FAILED, 65, "not authorized for delegation tokens")           \
    X(DELEGATION_TOKEN_EXPIRED, 66, "the delegation token expired")                                \
    X(INVALID_PRINCIPAL_TYPE, 67, "the principal type is invalid")                                 \
    X(NON_EMPTY_GROUP, 68, "the group has members")                                                \
    X(GROUP_ID_NOT_FOUND, 69, "there is no such group")                                            \
    X(FETCH_SESSION_ID_NOT_FOUND, 70, "the fetch session is unknown")                              \
    X(INVALID_FETCH_SESSION_EPOCH, 71, "the fetch session epoch is invalid")                       \
    X(LISTENER_NOT_FOUND, 72, "the leader has no such listener")                                   \
    X(TOPIC_DELETION_DISABLED, 73, "topics cannot be deleted")                                     \
    X(FENCED_LEADER_EPOCH, 74, "the leader epoch is older than the broker's")                      \
    X(UNKNOWN_LEADER_EPOCH, 75, "the leader epoch is newer than the broker's")                     \
    X(UNSUPPORTED_COMPRESSION_TYPE, 76, "the compression type is not supported")                   \
    X(STALE_BROKER_EPOCH, 77, "the broker epoch is old")                                           \
    X(OFFSET_NOT_AVAILABLE, 78, "the offset is not available yet")                                 \
    X(MEMBER_ID_REQUIRED, 79, "the member must join again with its id")                            \
    X(PREFERRED_LEADER_NOT_AVAILABLE, 80, "the preferred leader is not available")                 \
    X(GROUP_MAX_SIZE_REACHED, 81, "the group is full")                                             \
    X(FENCED_INSTANCE_ID, 82, "another member has this group.instance.id")                         \
    X(ELIGIBLE_LEADERS_NOT_AVAILABLE, 83, "no eligible leader")                                    \
    X(ELECTION_NOT_NEEDED, 84, "no election is needed")                                            \
    X(NO_REASSIGNMENT_IN_PROGRESS, 85, "no reassignment is in progress")                           \
    X(GROUP_SUBSCRIBED_TO_TOPIC, 86, "the group consumes this topic")                              \
    X(INVALID_RECORD, 87, "a record failed validation")                                            \
    X(UNSTABLE_OFFSET_COMMIT, 88, "transactional offsets are pending")                             \
    X(THROTTLING_QUOTA_EXCEEDED, 89, "a throttling quota was exceeded")                            \
    X(PRODUCER_FENCED, 90, "a newer producer has this transactional id")                           \
    X(RESOURCE_NOT_FOUND, 91, "there is no such resource")                                         \
    X(DUPLICATE_RESOURCE, 92, "the resource is named twice")                                       \
    X(UNACCEPTABLE_CREDENTIAL, 93, "the credential is not acceptable")                             \
    X(INCONSISTENT_VOTER_SET, 94, "the voter set is inconsistent")                                 \
    X(INVALID_UPDATE_VERSION, 95, "the update version is invalid")                                 \
    X(FEATURE_UPDATE_FAILED, 96, "the feature update failed")                                      \
    X(PRINCIPAL_DESERIALIZATION_FAILURE, 97, "the forwarded principal is malformed")               \
    X(SNAPSHOT_NOT_FOUND, 98, "there is no such snapshot")                                         \
    X(POSITION_OUT_OF_RANGE, 99, "the position is out of range")                                   \
    X(UNKNOWN_TOPIC_ID, 100, "this broker has no topic with this id")                              \
    X(DUPLICATE_BROKER_REGISTRATION, 101, "the broker id is in use")                               \
    X(BROKER_ID_NOT_REGISTERED, 102, "the broker id is not registered")                            \
    X(INCONSISTENT_TOPIC_ID, 103, "the topic id does not belong to this log")                      \
    X(INCONSISTENT_CLUSTER_ID, 104, "the cluster id is another one")                               \
    X(TRANSACTIONAL_ID_NOT_FOUND, 105, "the transactional id is unknown")                          \
    X(FETCH_SESSION_TOPIC_ID_ERROR, 106, "the fetch session mixes topic names and ids")            \
    X(INELIGIBLE_REPLICA, 107, "the replica is not eligible")                                      \
    X(NEW_LEADER_ELECTED, 108, "a new leader was elected")                                         \
    X(OFFSET_MOVED_TO_TIERED_STORAGE, 109, "the offset is in tiered storage")                      \
    X(FENCED_MEMBER_EPOCH, 110, "the member epoch is fenced")                                      \
    X(UNRELEASED_INSTANCE_ID, 111, "the instance id is still in use")                              \
    X(UNSUPPORTED_ASSIGNOR, 112, "the assignor is not supported")                                  \
    X(STALE_MEMBER_EPOCH, 113, "the member epoch is stale")                                        \
    X(MISMATCHED_ENDPOINT_TYPE, 114, "the endpoint type is wrong")                                 \
    X(UNSUPPORTED_ENDPOINT_TYPE, 115, "the endpoint type is not supported")                        \
    X(UNKNOWN_CONTROLLER_ID, 116, "the controller id is unknown")                                  \
    X(UNKNOWN_SUBSCRIPTION_ID, 117, "the telemetry subscription is unknown")                       \
    X(TELEMETRY_TOO_LARGE, 118, "the telemetry is too large")                                      \
    X(INVALID_REGISTRATION, 119, "the broker registration is invalid")                             \
    X(TRANSACTION_ABORTABLE, 120, "the transaction must be aborted")                               \
    X(INVALID_RECORD_STATE, 121, "the record is in the wrong state")                               \
    X(SHARE_SESSION_NOT_FOUND, 122, "the share session is unknown")                                \
    X(INVALID_SHARE_SESSION_EPOCH, 123, "the share session epoch is invalid")                      \
    X(FENCED_STATE_EPOCH, 124, "the state epoch is fenced")                                        \
    X(INVALID_VOTER_KEY, 125, "the voter key is wrong")                                            \
    X(DUPLICATE_VOTER, 126, "the voter is there already")                                          \
    X(VOTER_NOT_FOUND, 127, "the voter is unknown")                                                \
    X(INVALID_REGULAR_EXPRESSION, 128, "the regular expression is invalid")                        \
    X(REBOOTSTRAP_REQUIRED, 129, "the client must bootstrap again")                                \
    X(STREAMS_INVALID_TOPOLOGY, 130, "the streams topology is invalid")                            \
    X(STREAMS_INVALID_TOPOLOGY_EPOCH, 131, "the streams topology epoch is invalid")                \
    X(STREAMS_TOPOLOGY_FENCED, 132, "the streams topology is fenced")                              \
    X(SHARE_SESSION_LIMIT_REACHED, 133, "there are too many share sessions")

enum mr_kafka_err {
#define MR_KAFKA_ERR_ENUM(name, code, text) MR_KAFKA_##name = (code),
    MR_KAFKA_ERRS(MR_KAFKA_ERR_ENUM)
#undef MR_KAFKA_ERR_ENUM
};

/* The code's name without prefix ("CORRUPT_MESSAGE"), or "UNKNOWN" for a code Kafka lacks. */
const char *mr_kafka_err_name(int code);

/* One sentence for people, without a final stop. */
const char *mr_kafka_err_text(int code);

/* The one mapping from -errno (or 0) to what a client is told. */
enum mr_kafka_err mr_kafka_err_from_errno(int error);

#endif
