// SPDX-License-Identifier: Apache-2.0
// live_record: what is told of one exchange by `perilune trace`, as bytes: a length, and items one behind the other.
// A worker writes them (exchange/live_encode.c), the control worker passes them on as they are, and the command makes
// text or JSON of them (runtime/observe/live_text.h). Both ends run on one machine; the version says whether they are
// of one kind.
#ifndef PERILUNE_SHARED_LIVE_RECORD_H
#define PERILUNE_SHARED_LIVE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { LIVE_VERSION = 2 };

/* Before the items. */
struct live_head {
  uint32_t bytes; /* of all, this included */
  uint16_t version;
  uint8_t marks; /* whom it is for: a bit for each tracer; LIVE_KEPT */
  uint8_t since; /* of the rules' version, its last byte: an older one is not for a tracer that came later */
};
enum { LIVE_KEPT = 0x80 }; /* for the ring of recent ones, whoever else gets it */

enum live_kind {
  LIVE_TEXT,      /* code: enum live_text */
  LIVE_NUMBER,    /* code: enum live_number; the number in `text`'s place */
  LIVE_FIELD,     /* code: enum live_fields; "name: value", or several with the ends of lines between them */
  LIVE_STEP,      /* a step of the walk begins: its name */
  LIVE_HOOK,      /* a hook has ended: its name, how long it took; code 1: it failed */
  LIVE_WAIT,      /* it has waited so long: for what, and where in the policy */
  LIVE_PEER,      /* an attempt begins: the peer's address; code 1: by TLS */
  LIVE_CONNECTED, /* code 1: by a connection that was there */
  LIVE_ANSWERED,  /* the head of a response: its status */
  LIVE_FAILED,    /* name and text of the error */
  LIVE_RETRIED,   /* another attempt follows: why */
  LIVE_HEDGED,    /* another peer is asked beside, or the slow one was first */
  LIVE_KINDS
};

enum live_text {
  LIVE_CLIENT,
  LIVE_LISTENER,
  LIVE_PROTOCOL,
  LIVE_METHOD,
  LIVE_HOST,
  LIVE_TARGET,
  LIVE_UPSTREAM, /* where the items have no LIVE_PEER: the last peer */
  LIVE_ERROR,
  LIVE_CACHE,
  LIVE_SLOW_HOOK, /* it is kept because this call of a hook was the slowest so far */
  LIVE_TRACE_ID,
  LIVE_TEXTS
};

enum live_number {
  LIVE_TIME_US, /* of day, when it began */
  LIVE_WORKER,
  LIVE_STATUS,
  LIVE_DURATION_US,
  LIVE_RECEIVED,
  LIVE_SENT,
  LIVE_ATTEMPTS,
  LIVE_FIRST_BYTE_US, /* of the last attempt */
  LIVE_GENERATION,
  LIVE_MISSED, /* items that there was no room for */
  LIVE_NUMBERS
};

enum live_fields { LIVE_FROM_CLIENT, LIVE_TO_PEER, LIVE_TO_CLIENT, LIVE_FIELD_LISTS };

struct live_item {
  enum live_kind kind;
  unsigned code;
  uint32_t at_us, us; /* since the exchange began; how long it took */
  struct str text;
  uint64_t number;
};

/* On the wire: this, and `length` bytes of text. */
struct live_item_head {
  uint8_t kind, code;
  uint16_t length;
  uint32_t at_us, us;
};

/* Takes the next item off `rest`, which begins behind the head. False: it is over, or not whole. */
bool live_record_next(struct str *rest, struct live_item *item);
/* Its text or number; false: there is none. */
bool live_record_find(struct str record, enum live_kind kind, unsigned code, struct live_item *item);
/* Takes the next line off the text of a LIVE_FIELD; false at the end. */
bool live_record_line(struct str *rest, struct str *line);
/* The record at the front of `bytes`: its items and head; false: it is not whole, or of another version. */
bool live_record_open(struct str bytes, struct live_head *head, struct str *items);

#endif
