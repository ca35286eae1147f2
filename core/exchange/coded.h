// SPDX-License-Identifier: Apache-2.0
// coded: what a body filter (filter.c) has besides the hooks where content codings are undone before them, or put on
// behind them. A piece of the body becomes one text after another; each passes the hooks, and is encoded. What one call
// works on is bounded, and so is what all do in a turn of the loop (net/turns.h): then the filter waits, as for a hook.
#ifndef PERILUNE_EXCHANGE_CODED_H
#define PERILUNE_EXCHANGE_CODED_H

#include "exchange/hooks.h"
#include "net/timer.h"
#include "net/turns.h"
#include "relay/decoding.h"
#include "relay/encoding.h"
#include "relay/relay.h"

struct exchange;

/* Where a piece is. */
enum coded_place {
  PLACE_BEFORE, /* the next text of it is to be taken */
  PLACE_HOOKS,
  PLACE_BEHIND, /* what the hooks gave is to be encoded */
  PLACE_FLUSH,  /* nothing comes for now */
  PLACE_GIVE    /* what is ready goes on */
};

struct coded {
  struct exchange *x; /* borrowed */
  struct decoding decoding;
  struct encoding encoding;
  struct turn turn;             /* while it waits for one */
  struct timer timer;           /* of what is held back; inited where something is encoded */
  enum coded_place place, next; /* and where it goes on once what is given was written */
  struct str raw;               /* borrowed: the piece, where nothing is decoded */
  bool raw_is_last;
  bool has_more_text; /* of the piece */
  bool is_response;
  bool is_flush_due, flushes_at_once;
};

/* In the arena of x, of its response or its request: `undone` codings are undone, `encoder` (taken over) puts
 * one on. */
struct coded *coded_new(struct exchange *x, bool is_response);
void coded_add_decoding(struct coded *c, const enum coding *undone, unsigned count, uint64_t most_bytes);
void coded_add_encoding(struct coded *c, struct coding_claim *encoder, bool flushes_at_once);
/* Gives all back; the filter is not asked any more. */
void coded_end(struct coded *c);

/* A piece comes in. */
void coded_begin(struct coded *c, struct str piece, bool is_last);
/* A step of PLACE_BEFORE, PLACE_BEHIND and PLACE_FLUSH, which moves c->place; the text is in `piece`. RELAY_READING:
 * done; RELAY_FILTERING: it waits for its turn, c->turn.go follows; RELAY_FILTER_FAILED: the error is in `piece`. */
enum relay_result coded_step(struct coded *c, struct body_piece *piece);
/* PLACE_GIVE: what goes on; c->next says whether there is more. */
struct str coded_give(struct coded *c, const struct body_piece *piece);
static inline bool coded_has_more(const struct coded *c) { return c->next != PLACE_GIVE; }
/* Nothing comes for now. True: c->place is PLACE_FLUSH; else it is looked at again when the timer is due, or never. */
bool coded_pauses(struct coded *c);

#endif
