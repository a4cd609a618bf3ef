/* kafka/wire/tables.h: the generated lists behind mr_wire_apis() and mr_wire_messages().
 *
 * Private to mr_wire; others use wire.h. */
#ifndef MR_KAFKA_WIRE_TABLES_H
#define MR_KAFKA_WIRE_TABLES_H

#include "dataplane/kafka/wire/types.h"

extern const struct mr_wire_api mr_wire_api_table[];
extern const struct mr_wire_message *const mr_wire_message_table[];

#endif
