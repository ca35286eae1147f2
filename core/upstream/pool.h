// SPDX-License-Identifier: Apache-2.0
// pool: the idle connections to a peer. A connection is in it, or used by an exchange, never both (upstream.h). Each
// worker has its own; an idle one may move to a sibling (borrow.h).
#ifndef PERILUNE_UPSTREAM_POOL_H
#define PERILUNE_UPSTREAM_POOL_H

#include <stdbool.h>

struct detached_conn;
struct peer;
struct upstream;

/* The newest one, READY, which belongs to the caller from now on; NULL: there is none. One that will be found closed,
 * or with bytes that nobody asked for, is closed on the way. */
struct upstream *pool_take(struct peer *peer);
/* It becomes an idle one of its peer; nothing of it may be unread or unsent, and no exchange may use it. */
void pool_put(struct upstream *u);
/* Takes it out: it closes, or is taken. */
void pool_leave(struct upstream *u);
/* What has come of an idle one is no news (TLS session tickets). False: it is to be closed. */
bool pool_is_silent(struct upstream *u);
/* Nothing has come, and nothing is half done: it may move to another worker. */
bool pool_is_at_rest(struct upstream *u);
/* Takes one that is at rest off this worker's loop. False: there is none. */
bool pool_lend(struct peer *peer, struct detached_conn *detached);
/* Closes the one to this peer that has been idle for longest. False: there is none. */
bool pool_close_oldest(struct peer *peer);
/* Closes all idle connections to a peer. */
void pool_close_all(struct peer *peer);

#endif
