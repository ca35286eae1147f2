// SPDX-License-Identifier: Apache-2.0
// descriptors: how the process's limit of descriptors is divided. Some are reserved for what must always work: the
// admin listener, commands, a reload, an upgrade, logs, name lookups, sockets of policies. The rest is for
// connections to clients and peers, in equal parts for the workers. Each worker counts its own, so no number is
// written by all.
#ifndef PERILUNE_NET_DESCRIPTORS_H
#define PERILUNE_NET_DESCRIPTORS_H

#include <stdbool.h>

/* Before the workers start, once all that is open for long is open. Without it there is no limit. */
void descriptors_begin(unsigned workers);
/* How many connections one worker may hold, to clients and to peers together; UINT_MAX: no limit. */
unsigned descriptors_share(void);
/* A failure (errno) for want of descriptors or memory on this machine. */
bool descriptors_want(int code);

#endif
