// SPDX-License-Identifier: Apache-2.0
// relay_read: reads from the source of a relay: into its buffer, where the bytes are decoded; or, for a long payload
// that no filter has to see, into a pipe of the kernel (net/pipe.h), after what is in the buffer.
#ifndef PERILUNE_RELAY_RELAY_READ_H
#define PERILUNE_RELAY_RELAY_READ_H

#include "relay/relay.h"

/* Once, when all that was read before is written. *filled: there may be more. IO_EOF: the source has ended. */
enum io relay_read(struct relay *r, bool *filled);
/* Before the first write: what has come by now behind the start of a long body, so that both go out together. False:
 * something has, and the next read can wait until the source is readable again. The end of the source and a failure
 * are told by the next read. */
bool relay_read_ahead(struct relay *r);
/* All that was read before is written: what the source can send past us. RELAY_READING: nothing, it is to be read;
 * or *sent. RELAY_WRITING, RELAY_SINK_ERROR: as the sink says. */
enum relay_result relay_send(struct relay *r, bool *sent);
/* Asks a sink by ops for its room. False: it has none, and there is nothing to read before it has: all that was read is
 * written. Where nobody knows whether more follows, there is always room to look whether it does. */
bool relay_has_room(struct relay *r);
/* The pipe is empty, or what is in it is lost. */
void relay_give_pipe(struct relay *r);

#endif
