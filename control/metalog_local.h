/* control/metalog_local.h: the metadata log of one machine, on a device of its own.
 *
 * This process always leads. A command is committed when the write that carries it is on the medium
 * (FUA); commands that wait for the one in flight travel together in the next.
 *
 * The device (little-endian; every CRC is CRC-32C):
 *
 *   block 0, 1   a header for each of the two areas
 *   area 0       snapshot space (a quarter of the device), log space (a quarter)
 *   area 1       the same
 *
 *   header   0 magic "MRMETAH1"   8 generation u64   16 snapshot index u64   24 snapshot size u64
 *           32 snapshot crc u32  36 tail size u64    44 tail crc u32  48 tail commands u32
 *           52 zero              56 crc of [0, 56) u32
 *   record   0 magic "MRMETAR1"   8 generation u64   16 index of the first command u64
 *           24 size of the commands u32 28 count u32 32 crc of the record before u32
 *           36 crc u32 of the header with this field zero, then the commands
 *           40 commands: size u32, bytes; zeros up to the end of the block
 *
 *   snapshot the state, zeros up to the end of the block; the tail: commands, as in a record
 *
 * The area with the newest valid header counts. A snapshot goes to the other area while records are
 * still appended to this one. When the state is written, appending pauses: what was committed since
 * the state was taken, the tail, is written behind it, both are flushed, and then that area's
 * header is written with the next generation: from then on its log is appended to from the start.
 * The tail is not made of records of the new log: until its header is there, nothing of a
 * generation may be, so that a header torn by a crash can be told from one that has rotted. Records
 * of an earlier life of the area have another generation. Replay ends at the first record that is
 * not whole or does not chain; a whole one of the same generation behind it means corruption, not a
 * torn end, and the log refuses to open. */
#ifndef MR_CONTROL_METALOG_LOCAL_H
#define MR_CONTROL_METALOG_LOCAL_H

#include "control/metalog.h"
#include "storage/dev.h"

#define MR_METALOG_DEVICE_BYTES (32u * 1024 * 1024)

/* Makes an empty log. Blocking. 0 or -errno. */
int mr_metalog_local_format(struct mr_dev *dev);

/* Opens it and replays: `restore`, then `committed` for each command, then `leading`, all inside
 * this call (the one exception to metalog.h's rule). Takes `dev` over, also when it fails.
 * -ENODATA: never formatted; -EUCLEAN: corrupt, `reason` says where; -EIO; -ENOMEM. */
int mr_metalog_local_open(struct mr_dev *dev, const struct mr_metalog_events *events,
                          struct mr_metalog **out, char *reason, size_t reason_size);

#endif
