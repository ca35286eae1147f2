// SPDX-License-Identifier: Apache-2.0
// purge_outbox: purges of a cache on their way to other proxies, in order, and how far this cache has followed theirs.
// Whoever purges puts them in; a task of the control worker (lua/perilune/cluster_purge.lua) sends them. It is bounded:
// what finds no room is not forgotten but remembered as one mark, which stands for everything. Thread-safe.
//
// Words. reader: the task of a generation of the policy; the newest one has the box, and without one nothing is kept.
// position: the last purge of others that is done, in the reader's terms; it outlives the reader.
#ifndef PERILUNE_SHARED_PURGE_OUTBOX_H
#define PERILUNE_SHARED_PURGE_OUTBOX_H

#include <stdbool.h>

#include "base/str.h"
#include "shared/purges.h"

enum { OUTBOX_MOST = 1000, OUTBOX_TEXT_MOST = 2048, OUTBOX_POSITION_BYTES = 64 };

struct buf;
struct purge_outbox;

struct purge_note {
  enum purge_kind kind;
  bool is_soft;
};

struct purge_outbox *purge_outbox_new(void);
void purge_outbox_free(struct purge_outbox *o);

/* Nothing happens without a reader. */
void purge_outbox_put(struct purge_outbox *o, struct purge_note note, struct str what);

/* The newest reader: its number. */
unsigned purge_outbox_enter(struct purge_outbox *o);
/* With the newest one, what waits is dropped: how much that was. */
unsigned purge_outbox_leave(struct purge_outbox *o, unsigned reader);
bool purge_outbox_is_newest(struct purge_outbox *o, unsigned reader);
/* The one at `index`, from 0, with `what` appended; false: there is none. */
bool purge_outbox_read(struct purge_outbox *o, unsigned index, struct purge_note *note, struct buf *what);
/* Did something find no room? Asking takes the mark away. */
bool purge_outbox_take_lost(struct purge_outbox *o);
/* The first `count` are sent. */
void purge_outbox_settle(struct purge_outbox *o, unsigned count);

/* At most OUTBOX_POSITION_BYTES - 1 characters; longer ones are none. */
void purge_outbox_set_position(struct purge_outbox *o, struct str position);
void purge_outbox_position(struct purge_outbox *o, char position[OUTBOX_POSITION_BYTES]);

#endif
