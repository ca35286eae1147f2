// SPDX-License-Identifier: Apache-2.0
// borrow: the message that goes to a sibling and back. Its members belong to one side each, so that the asker may
// stop waiting while the sibling still has it: what the sibling reads and writes is said below.
#include "upstream/borrow.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "net/mailbox.h"
#include "shared/idle_counts.h"
#include "shared/metrics.h"
#include "upstream/pool.h"
#include "upstream/upstream.h"

struct borrow {
  struct message message; /* whose turn it is */
  /* Set once. */
  struct proxy *asker, *lender;    /* borrowed: they outlive their messages */
  struct idle_counts *idle_counts; /* reference */
  /* The asker's. */
  struct peer *peer;        /* reference */
  struct upstream *waiting; /* borrowed; NULL: nobody waits any more */
  bool late;                /* counted in asker->late */
  /* The lender's, until it answers. */
  bool granted;
  struct detached_conn detached;
};

static void on_question(struct message *message, void *receiver);
static void on_answer(struct message *message, void *receiver);

/* --- the siblings ------------------------------------------------------------------------------------------- */

struct siblings *siblings_new(unsigned count) {
  struct siblings *siblings = memory_zalloc(sizeof *siblings + count * sizeof *siblings->members);
  siblings->idle_counts = idle_counts_table_new(count);
  siblings->count = count;
  return siblings;
}

void siblings_join(struct siblings *siblings, struct proxy *proxy) {
  siblings->members[proxy->worker] = proxy;
  proxy->siblings = siblings;
  proxy->late = memory_zalloc(siblings->count * sizeof *proxy->late);
}

void siblings_leave(struct proxy *proxy) {
  proxy->siblings = NULL;
  LIST_EACH(node, &proxy->exchanges) {
    struct call *call = LIST_ENTRY(node, struct exchange, link)->now.call;
    if (call && call->upstream && call->upstream->borrow) borrow_cancel(call->upstream, false);
  }
}

void siblings_free(struct siblings *siblings) {
  if (!siblings) return;
  idle_counts_table_free(siblings->idle_counts);
  free(siblings);
}

/* --- the asker -------------------------------------------------------------------------------------------- */

static struct borrow *borrow_new(struct upstream *u, struct proxy *lender) {
  struct borrow *borrow = memory_zalloc(sizeof *borrow);
  borrow->message.run = on_question;
  borrow->asker = u->proxy;
  borrow->lender = lender;
  borrow->idle_counts = u->peer->idle_counts;
  idle_counts_hold(borrow->idle_counts);
  borrow->peer = u->peer;
  peer_hold(borrow->peer);
  borrow->waiting = u;
  return borrow;
}

/* Of an asker that has ended nothing is left to let go of. */
static void borrow_free(struct borrow *borrow) {
  idle_counts_release(borrow->idle_counts);
  free(borrow);
}

static void end(struct borrow *borrow) {
  peer_release(borrow->asker, borrow->peer);
  borrow_free(borrow);
}

bool borrow_ask(struct upstream *u) {
  struct proxy *proxy = u->proxy;
  struct siblings *siblings = proxy->siblings;
  if (!siblings || !u->peer->idle_counts) return false;
  int lender = idle_counts_most(u->peer->idle_counts, proxy->worker, proxy->late);
  if (lender == IDLE_COUNTS_NOBODY) return false;
  struct borrow *borrow = borrow_new(u, siblings->members[lender]);
  CHECK(!u->borrow);
  u->borrow = borrow;
  if (mailbox_post(borrow->lender->mailbox, &borrow->message)) return true;
  u->borrow = NULL;
  end(borrow);
  return false;
}

void borrow_cancel(struct upstream *u, bool late) {
  struct borrow *borrow = u->borrow;
  CHECK(borrow && borrow->waiting == u);
  u->borrow = NULL;
  borrow->waiting = NULL;
  borrow->late = late;
  if (!late) return;
  borrow->asker->late[borrow->lender->worker]++;
  cell_add(&borrow->asker->tally->upstream_late, 1);
}

static void on_answer(struct message *message, void *receiver) {
  struct borrow *borrow = (struct borrow *)message;
  struct upstream *u = borrow->waiting;
  CHECK(!u || u->borrow == borrow);
  (void)receiver;
  if (borrow->late) borrow->asker->late[borrow->lender->worker]--;
  if (u) {
    u->borrow = NULL;
    upstream_answered(u, borrow->granted ? &borrow->detached : NULL);
  } else if (borrow->granted) {
    upstream_keep(borrow->asker, borrow->peer, &borrow->detached);
  }
  end(borrow);
}

/* --- the lender ------------------------------------------------------------------------------------------- */

static void on_question(struct message *message, void *receiver) {
  struct borrow *borrow = (struct borrow *)message;
  struct peer *peer = idle_counts_owner(borrow->idle_counts, borrow->lender->worker);
  (void)receiver;
  borrow->granted = peer && pool_lend(peer, &borrow->detached);
  borrow->message.run = on_answer;
  if (mailbox_post(borrow->asker->mailbox, &borrow->message)) return;
  if (borrow->granted) detached_conn_close(&borrow->detached);
  borrow_free(borrow);
}
