/* kafka/wire/types.h: the values the generated message structs are made of, and the descriptors
 * that tell the codec how each struct looks on the wire.
 *
 * Plain data; nothing here allocates. Users include messages.h (the structs) and wire.h (the
 * codec). */
#ifndef MR_KAFKA_WIRE_TYPES_H
#define MR_KAFKA_WIRE_TYPES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dataplane/base/uuid.h"

/* Text, not terminated; size -1 is null. */
struct mr_str {
    const char *data;
    int32_t size;
};

/* Bytes; size -1 is null. */
struct mr_bytes {
    const uint8_t *data;
    int32_t size;
};

/* Record batches, which are never copied: iov covers `size` bytes; size -1 is null. */
struct mr_wire_records {
    const struct iovec *iov;
    uint32_t iov_count;
    int32_t size;
};

enum mr_wire_kind {
    MR_WIRE_BOOL,
    MR_WIRE_INT8,
    MR_WIRE_INT16,
    MR_WIRE_INT32,
    MR_WIRE_INT64,
    MR_WIRE_UINT16,
    MR_WIRE_UINT32,
    MR_WIRE_FLOAT64,
    MR_WIRE_UUID,
    MR_WIRE_STRING,
    MR_WIRE_BYTES,
    MR_WIRE_RECORDS,
    MR_WIRE_STRUCT,
};

#define MR_WIRE_DEPTH_MAX 8 /* structs inside structs; generate.py checks the schema */

struct mr_wire_struct;

/* One member of a message struct. An array is a pointer at `offset` and an int32_t count at
 * `count_offset`, -1 for null; a nullable struct is a pointer. Version ranges include both ends;
 * an empty one has min above max. */
struct mr_wire_field {
    const char *name;
    const struct mr_wire_struct *type; /* of MR_WIRE_STRUCT, else NULL */
    uint8_t kind;                      /* enum mr_wire_kind, of the element for an array */
    bool array;
    bool pointer;
    bool inflexible; /* keeps its fixed-size length in flexible versions */
    int16_t version_min;
    int16_t version_max;
    int16_t null_min;
    int16_t null_max;
    int16_t tag; /* -1: not a tagged field */
    uint16_t offset;
    uint16_t count_offset;
};

/* Fields in wire order: `field_count` plain ones, then `tag_count` tagged ones by ascending tag. */
struct mr_wire_struct {
    const char *name;
    const struct mr_wire_field *fields;
    uint16_t field_count;
    uint16_t tag_count;
    uint16_t size; /* sizeof the C struct */
    int16_t version_min;
    const void *defaults;     /* an instance with every field at its default */
    const uint16_t *size_min; /* fewest bytes on the wire, by version from version_min */
};

struct mr_wire_message {
    const char *name; /* as Kafka writes it: "ProduceRequest" */
    int16_t key;      /* -1: not part of an API */
    int16_t version_min;
    int16_t version_max;
    int16_t flexible_min; /* INT16_MAX: never */
    const struct mr_wire_struct *root;
};

struct mr_wire_api {
    int16_t key;
    const char *name; /* "Produce" */
    int16_t version_min;
    int16_t version_max;
    int16_t flexible_min;
    const struct mr_wire_message *request;
    const struct mr_wire_message *response;
};

#endif
