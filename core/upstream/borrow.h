// SPDX-License-Identifier: Apache-2.0
// borrow: a worker without an idle connection to a peer gets one of a sibling before it connects anew. Three
// things make that safe.
//
// Words. siblings: the workers of the process, which lend connections to each other. borrow: one question to a sibling,
// until its answer has come. lender: the sibling that is asked.
//
// It is a message (invariant I1). The sibling takes a connection out of its pool, looks that nothing waits to be
// read, takes it off its loop and sends it back with the message; the asker puts it on its own loop and looks
// again. No two workers have it at the same time, and what may lie between two looks is what lies between any
// two requests on a kept connection: the retry's business.
//
// Who waits, waits for a bounded time. After BORROW_MS the asker connects as if nobody had a connection, and
// does not ask that sibling again until it has answered. An answer that comes when nobody waits for it any
// more, because of that or because the exchange has ended, brings a connection for the asker's own pool.
//
// Each message ends. A mailbox takes it or refuses it, and runs what it took, at the latest when its worker
// ends. A refusal of the question means that the sibling has gone, a refusal of the answer that the asker has:
// then the connection is closed.
//
// Cost: one store for a request that finds an idle connection of its own worker; one load for each sibling for a
// request that does not.
#ifndef PERILUNE_UPSTREAM_BORROW_H
#define PERILUNE_UPSTREAM_BORROW_H

#include <stdbool.h>

struct detached_conn;
struct borrow;
struct proxy;
struct idle_counts_table;
struct upstream;

enum { BORROW_MS = 50 };

/* The workers that lend connections to each other. */
struct siblings {
  struct idle_counts_table *idle_counts; /* owned */
  unsigned count;
  struct proxy *members[]; /* borrowed; by worker */
};

struct siblings *siblings_new(unsigned count);
/* Before the workers start; they must stay where they are until all have ended. Proxies can do without: then
 * they neither ask nor lend. */
void siblings_join(struct siblings *siblings, struct proxy *proxy);
/* The worker ends: it asks no more and waits for no answer. Before its mailbox is stopped. */
void siblings_leave(struct proxy *proxy);
/* After all members' peers are gone. */
void siblings_free(struct siblings *siblings);

/* Asks the sibling with the most idle connections to u's peer, and sets u->borrow. True:
 * upstream_answered(u) follows, unless borrow_cancel comes first. False: nobody is there to be asked. */
bool borrow_ask(struct upstream *u);
/* No answer is waited for any more; `late`: because it takes the sibling too long. */
void borrow_cancel(struct upstream *u, bool late);

#endif
