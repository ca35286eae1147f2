// SPDX-License-Identifier: Apache-2.0
// purge_outbox: an array behind a lock. Purges are seldom, and at most OUTBOX_MOST wait.
#include "shared/purge_outbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/memory.h"

struct entry {
  struct purge_note note;
  char *what; /* owned */
};

struct purge_outbox {
  pthread_mutex_t lock;
  struct entry *entries; /* owned array */
  unsigned count, readers;
  bool has_reader, has_lost;
  char position[OUTBOX_POSITION_BYTES];
};

struct purge_outbox *purge_outbox_new(void) {
  struct purge_outbox *o = memory_zalloc(sizeof *o);
  pthread_mutex_init(&o->lock, NULL);
  return o;
}

/* The first `count` of them. Under the lock. */
static void drop(struct purge_outbox *o, unsigned count) {
  CHECK(count <= o->count);
  for (unsigned i = 0; i < count; i++) free(o->entries[i].what);
  if (count) memmove(o->entries, o->entries + count, (o->count - count) * sizeof *o->entries);
  o->count -= count;
}

void purge_outbox_free(struct purge_outbox *o) {
  if (!o) return;
  drop(o, o->count);
  free(o->entries);
  pthread_mutex_destroy(&o->lock);
  free(o);
}

static void add(struct purge_outbox *o, struct purge_note note, struct str what) {
  if (o->count == OUTBOX_MOST || what.len > OUTBOX_TEXT_MOST) {
    o->has_lost = true;
    return;
  }
  if (!o->entries) o->entries = memory_alloc(OUTBOX_MOST * sizeof *o->entries);
  o->entries[o->count++] = (struct entry){note, str_to_cstring(what)};
}

void purge_outbox_put(struct purge_outbox *o, struct purge_note note, struct str what) {
  pthread_mutex_lock(&o->lock);
  if (o->has_reader) add(o, note, what);
  pthread_mutex_unlock(&o->lock);
}

/* --- for readers -------------------------------------------------------------------------------------------- */

unsigned purge_outbox_enter(struct purge_outbox *o) {
  pthread_mutex_lock(&o->lock);
  unsigned reader = ++o->readers;
  o->has_reader = true;
  pthread_mutex_unlock(&o->lock);
  return reader;
}

unsigned purge_outbox_leave(struct purge_outbox *o, unsigned reader) {
  unsigned dropped = 0;
  pthread_mutex_lock(&o->lock);
  if (reader == o->readers) {
    dropped = o->count;
    drop(o, dropped);
    o->has_reader = o->has_lost = false;
  }
  pthread_mutex_unlock(&o->lock);
  return dropped;
}

bool purge_outbox_is_newest(struct purge_outbox *o, unsigned reader) {
  pthread_mutex_lock(&o->lock);
  bool is_newest = reader == o->readers;
  pthread_mutex_unlock(&o->lock);
  return is_newest;
}

bool purge_outbox_read(struct purge_outbox *o, unsigned index, struct purge_note *note, struct buf *what) {
  pthread_mutex_lock(&o->lock);
  bool is_there = index < o->count;
  if (is_there) {
    *note = o->entries[index].note;
    buf_append_str(what, str_of(o->entries[index].what));
  }
  pthread_mutex_unlock(&o->lock);
  return is_there;
}

bool purge_outbox_take_lost(struct purge_outbox *o) {
  pthread_mutex_lock(&o->lock);
  bool has_lost = o->has_lost;
  o->has_lost = false;
  pthread_mutex_unlock(&o->lock);
  return has_lost;
}

void purge_outbox_settle(struct purge_outbox *o, unsigned count) {
  pthread_mutex_lock(&o->lock);
  drop(o, count < o->count ? count : o->count);
  pthread_mutex_unlock(&o->lock);
}

void purge_outbox_set_position(struct purge_outbox *o, struct str position) {
  if (position.len >= OUTBOX_POSITION_BYTES) return;
  pthread_mutex_lock(&o->lock);
  memset(o->position, 0, sizeof o->position);
  if (position.len) memcpy(o->position, position.ptr, position.len);
  pthread_mutex_unlock(&o->lock);
}

void purge_outbox_position(struct purge_outbox *o, char position[OUTBOX_POSITION_BYTES]) {
  pthread_mutex_lock(&o->lock);
  memcpy(position, o->position, sizeof o->position);
  pthread_mutex_unlock(&o->lock);
}
