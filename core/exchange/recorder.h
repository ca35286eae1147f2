// SPDX-License-Identifier: Apache-2.0
// recorder: takes down a share of a worker's requests, as they came and as they ended, without their secrets
// (http/secrets.h). While nobody records, proxy->recorder is NULL, and that is all that an exchange looks at.
//
// A request is taken down in two pieces: its head before the first hook, which may change it; the rest at its end.
#ifndef PERILUNE_EXCHANGE_RECORDER_H
#define PERILUNE_EXCHANGE_RECORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/secrets.h"

struct exchange;

/* How a worker records. Owned by the worker; the proxy and its exchanges borrow it while it is set. */
struct recorder {
  unsigned share;         /* of 10,000 requests */
  size_t body_most;       /* bytes of a body; what is longer is cut */
  struct secrets secrets; /* the key of this recording */
  uint64_t began_ms;      /* on the loop's clock */
  uint64_t number;        /* of the recording */
  void *owner;
  /* A request has ended: the bytes of its frame (shared/recording.h), borrowed for the call. */
  void (*on_request)(struct recorder *recorder, struct str bytes);
};

/* Called where x->proxy->recorder is set: takes the head down, or does not, by the share. */
void recorder_begin(struct exchange *x);
/* Called where x->account.recording is set: the head of the peer's response, before a hook sees it; the end. */
void recorder_answer(struct exchange *x);
void recorder_end(struct exchange *x);
/* It is not to be recorded after all. */
void recorder_drop(struct exchange *x);

#endif
