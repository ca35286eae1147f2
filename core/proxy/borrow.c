// SPDX-License-Identifier: Apache-2.0
// borrow: the message that goes to a sibling and back. Its members belong to one side each, so that the asker may
// stop waiting while the sibling still has it: what the sibling reads and writes is said below.
#include "proxy/borrow.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "net/mailbox.h"
#include "proxy/exchange.h"
#include "proxy/peer.h"
#include "proxy/pool.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"
#include "shared/metrics.h"
#include "shared/idle_counts.h"

struct loan {
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
  struct conn_parcel parcel;
};

static void on_question(struct message *message, void *receiver);
static void on_answer(struct message *message, void *receiver);

/* --- the circle ------------------------------------------------------------------------------------------- */

struct circle *circle_new(unsigned count) {
  struct circle *circle = memory_zalloc(sizeof *circle + count * sizeof *circle->members);
  circle->idle_counts = idle_counts_table_new(count);
  circle->count = count;
  return circle;
}

void circle_join(struct circle *circle, struct proxy *proxy) {
  circle->members[proxy->worker] = proxy;
  proxy->circle = circle;
  proxy->late = memory_zalloc(circle->count * sizeof *proxy->late);
}

void circle_leave(struct proxy *proxy) {
  proxy->circle = NULL;
  LIST_EACH(node, &proxy->exchanges) {
    struct upstream *u = LIST_ENTRY(node, struct exchange, link)->now.upstream;
    if (u && u->loan) borrow_cancel(u, false);
  }
}

void circle_free(struct circle *circle) {
  if (!circle) return;
  idle_counts_table_free(circle->idle_counts);
  free(circle);
}

/* --- the asker -------------------------------------------------------------------------------------------- */

static struct loan *loan_new(struct upstream *u, struct proxy *lender) {
  struct loan *loan = memory_zalloc(sizeof *loan);
  loan->message.run = on_question;
  loan->asker = u->proxy;
  loan->lender = lender;
  loan->idle_counts = u->peer->idle_counts;
  idle_counts_hold(loan->idle_counts);
  loan->peer = u->peer;
  peer_hold(loan->peer);
  loan->waiting = u;
  return loan;
}

/* Of an asker that has ended nothing is left to let go of. */
static void loan_free(struct loan *loan) {
  idle_counts_release(loan->idle_counts);
  free(loan);
}

static void end(struct loan *loan) {
  peer_release(loan->asker, loan->peer);
  loan_free(loan);
}

bool borrow_ask(struct upstream *u) {
  struct proxy *proxy = u->proxy;
  struct circle *circle = proxy->circle;
  if (!circle || !u->peer->idle_counts) return false;
  int lender = idle_counts_most(u->peer->idle_counts, proxy->worker, proxy->late);
  if (lender == IDLE_COUNTS_NOBODY) return false;
  struct loan *loan = loan_new(u, circle->members[lender]);
  CHECK(!u->loan);
  u->loan = loan;
  if (mailbox_post(loan->lender->mailbox, &loan->message)) return true;
  u->loan = NULL;
  end(loan);
  return false;
}

void borrow_cancel(struct upstream *u, bool late) {
  struct loan *loan = u->loan;
  CHECK(loan && loan->waiting == u);
  u->loan = NULL;
  loan->waiting = NULL;
  loan->late = late;
  if (!late) return;
  loan->asker->late[loan->lender->worker]++;
  cell_add(&loan->asker->tally->upstream_late, 1);
}

static void on_answer(struct message *message, void *receiver) {
  struct loan *loan = (struct loan *)message;
  struct upstream *u = loan->waiting;
  CHECK(!u || u->loan == loan);
  (void)receiver;
  if (loan->late) loan->asker->late[loan->lender->worker]--;
  if (u) {
    u->loan = NULL;
    upstream_answered(u, loan->granted ? &loan->parcel : NULL);
  } else if (loan->granted) {
    upstream_keep(loan->asker, loan->peer, &loan->parcel);
  }
  end(loan);
}

/* --- the lender ------------------------------------------------------------------------------------------- */

static void on_question(struct message *message, void *receiver) {
  struct loan *loan = (struct loan *)message;
  struct peer *peer = idle_counts_owner(loan->idle_counts, loan->lender->worker);
  (void)receiver;
  loan->granted = peer && pool_lend(peer, &loan->parcel);
  loan->message.run = on_answer;
  if (mailbox_post(loan->asker->mailbox, &loan->message)) return;
  if (loan->granted) conn_drop(&loan->parcel);
  loan_free(loan);
}
