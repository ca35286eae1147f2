// SPDX-License-Identifier: Apache-2.0
// replay: what the hooks of a policy decide for one recorded request: the walk of steps.c on a rehearsal, without
// connections, with the peer's answer as it was recorded. Bodies of responses are not recorded, so their filters do not
// run; nor does the cache.
#ifndef PERILUNE_EXCHANGE_REPLAY_H
#define PERILUNE_EXCHANGE_REPLAY_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "exchange/hooks.h"

struct proxy;
struct recorded;
struct settings;

enum replay_kind {
  REPLAY_ASKS,    /* a peer */
  REPLAY_ANSWERS, /* by itself */
  REPLAY_FAILS,   /* is answered with an error of the proxy */
  REPLAY_UNKNOWN  /* a hook waits for what a replay has not; or the head cannot be read again */
};

enum { REPLAY_PEER_BYTES = 96 };

struct replay_decision {
  enum replay_kind kind;
  unsigned status;   /* the client gets */
  enum error error;  /* REPLAY_FAILS */
  unsigned attempts; /* peers that were asked */
  unsigned waited_ms;
  enum hook hook;               /* that answered, or failed; else upstream_peer */
  enum hook waiter;             /* that waited longest, if any did */
  char peer[REPLAY_PEER_BYTES]; /* address of the last, and how: "1.2.3.4:443 tls=name" */
  struct buf request, response; /* heads as they go to the peer, and to the client */
};

/* Where it runs. Borrowed. */
struct replay_place {
  struct proxy *proxy;
  const struct hooks *hooks;
  const struct settings *settings;
  /* Before and after each hook; may be NULL. */
  void (*on_step)(void *owner, enum hook hook, struct exchange *x, bool is_over);
  void (*on_wait)(void *owner); /* a hook has begun to wait; may be NULL */
  void *owner;
};

/* The buffers of the decision are used again: they begin zeroed, and are the caller's to release. */
void replay_decide(const struct replay_place *place, const struct recorded *recorded,
                   struct replay_decision *d);

#endif
