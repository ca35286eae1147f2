// SPDX-License-Identifier: Apache-2.0
// inherited: listening sockets that come from outside, by the socket-activation protocol: descriptors from 3 on,
// LISTEN_FDS and LISTEN_PID in the environment. systemd uses it, and so does a proxy that
// is upgraded (deploy/handover.h).
#ifndef PERILUNE_RUNTIME_INHERITED_H
#define PERILUNE_RUNTIME_INHERITED_H

#include "base/str.h"
#include "net/addr.h"
#include "runtime/socket_file.h"

struct ancestors;

enum { INHERITED_FIRST_FD = 3 };

/* Reads what was handed to us, and the ancestors' pipe. Call once, before threads start and descriptors
 * are opened. */
void inherited_init(struct ancestors *ancestors);
/* The same of caches and of what people have said of backends, before a policy is loaded for the first time. */
void inherited_before_policy(void);
/* Sockets handed to us for this address (as the policy says it, and parsed): fills fds[0..count), duplicating
 * where there are fewer, and says whose their file is. False: there are none. Each socket is given out once. */
bool inherited_take(struct str said, const struct addr *addr, int *fds, unsigned count,
                    enum socket_owner *owner);
/* The store of the predecessor's cache of that name: a descriptor, borrowed until inherited_drop_rest; -1: none.
 * Thread-safe, but for inherited_init and inherited_drop_rest. */
int inherited_cache(struct str name);
/* Closes what nobody has asked for, and says so in the log. */
void inherited_drop_rest(void);

#endif
