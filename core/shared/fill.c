// SPDX-License-Identifier: Apache-2.0
// fill: the bytes are the store's, written once by one thread, and read from there by others up to where they have
// been written. The writer, or the lease that takes its place, is held until the last reference goes: so a slice that
// is on its way to a slow client stays what it is, also of a fill that has failed.
#include "shared/fill.h"

#include <stdlib.h>

#include "base/memory.h"
#include "shared/cache.h"

struct fill *fill_new(struct cache *cache, struct str key, uint64_t now_ms) {
  struct fill *f = memory_zalloc(sizeof *f);
  pthread_mutex_init(&f->lock, NULL);
  atomic_init(&f->refs, 1);
  f->cache = cache_hold(cache);
  f->store = cache_store(cache);
  f->key = str_own(key);
  f->begun_ms = now_ms;
  f->number = purges_number(cache_purges(cache));
  list_init(&f->seats);
  return f;
}

void fill_release(struct fill *f) {
  if (atomic_fetch_sub(&f->refs, 1) != 1) return;
  CHECK(list_is_empty(&f->seats) && !f->is_listed);
  if (f->writer) store_drop(f->writer);
  store_release(f->store, &f->lease);
  buf_release(&f->window);
  pthread_mutex_destroy(&f->lock);
  free(f->head);
  free(f->variant);
  free((char *)f->key.ptr);
  cache_release(f->cache);
  free(f);
}

/* --- seats ------------------------------------------------------------------------------------------------ */

static void lock(struct fill *f) { pthread_mutex_lock(&f->lock); }
static void unlock(struct fill *f) { pthread_mutex_unlock(&f->lock); }

static void tell_all(struct fill *f) {
  LIST_EACH(node, &f->seats) {
    struct fill_seat *seat = LIST_ENTRY(node, struct fill_seat, link);
    if (seat != f->filler) seat->tell(seat);
  }
}

void fill_sit(struct fill *f, struct fill_seat *seat) {
  lock(f);
  seat->at = 0;
  list_push_back(&f->seats, &seat->link);
  unlock(f);
}

/* With the lock held. What all readers have is let go of. */
static void advance_window(struct fill *f) {
  uint64_t least = f->window_at + buf_len(&f->window);
  LIST_EACH(node, &f->seats) {
    const struct fill_seat *seat = LIST_ENTRY(node, struct fill_seat, link);
    if (seat->is_reader && seat->at < least) least = seat->at;
  }
  if (least <= f->window_at) return;
  buf_consume(&f->window, (size_t)(least - f->window_at));
  f->window_at = least;
  if (f->filler) f->filler->tell(f->filler);
}

static bool has_one_seat(const struct fill *f) { return f->seats.next == f->seats.prev; }

void fill_leave(struct fill *f, struct fill_seat *seat) {
  lock(f);
  list_remove(&seat->link);
  if (f->filler == seat) f->filler = NULL;
  seat->is_reader = false;
  if (f->overflows) advance_window(f);
  if (f->filler && (f->overflows || has_one_seat(f))) f->filler->tell(f->filler); /* it may be in vain now */
  unlock(f);
}

bool fill_begin_reading(struct fill *f, struct fill_seat *seat) {
  lock(f);
  seat->is_reader = !f->overflows || f->window_at == f->kept;
  bool may_read = seat->is_reader;
  unlock(f);
  return may_read;
}

void fill_set_filler(struct fill *f, struct fill_seat *seat) {
  lock(f);
  f->filler = seat;
  unlock(f);
}

enum fill_state fill_state(struct fill *f) {
  lock(f);
  enum fill_state state = f->state;
  unlock(f);
  return state;
}

/* --- the filler ------------------------------------------------------------------------------------------- */

bool fill_run(struct fill *f, const struct fill_head *head) {
  struct store_writer *w = store_begin(f->store, head->object_key, head->head, head->length);
  if (!w) return false;
  char *copy = str_to_cstring(head->head);
  char *variant = head->variant.ptr ? str_to_cstring(head->variant) : NULL;
  lock(f);
  CHECK(f->state == FILL_ASKED);
  f->writer = w;
  f->head = copy;
  f->head_bytes = head->head.len;
  f->variant = variant;
  f->length = head->length;
  f->state = FILL_RUNS;
  tell_all(f);
  unlock(f);
  return true;
}

/* With the lock held. What of the piece the store has taken is read from there. */
static struct str keep(struct fill *f, struct str bytes) {
  uint64_t before = f->kept;
  f->overflows = !store_write(f->writer, bytes);
  f->kept = f->window_at = store_written(f->writer);
  return str_from(bytes, (size_t)(f->kept - before));
}

bool fill_write(struct fill *f, struct str bytes) {
  lock(f);
  CHECK(f->state == FILL_RUNS);
  bool has_room = !f->overflows || !buf_len(&f->window) || buf_len(&f->window) + bytes.len <= FILL_WINDOW;
  if (has_room) {
    if (!f->overflows) bytes = keep(f, bytes);
    if (f->overflows) buf_append_str(&f->window, bytes);
    tell_all(f);
  }
  unlock(f);
  return has_room;
}

/* With the lock held. */
static bool has_readers(struct fill *f) {
  LIST_EACH(node, &f->seats) {
    if (LIST_ENTRY(node, struct fill_seat, link)->is_reader) return true;
  }
  return false;
}

bool fill_is_vain(struct fill *f) {
  lock(f);
  bool is_vain = f->overflows && !has_readers(f);
  unlock(f);
  return is_vain;
}

bool fill_is_unwanted(struct fill *f) {
  lock(f);
  bool is_unwanted = has_one_seat(f);
  unlock(f);
  return is_unwanted;
}

/* With the lock held. */
static void end(struct fill *f, enum fill_state state) {
  if (f->state == FILL_ASKED || f->state == FILL_RUNS) {
    f->state = state;
    tell_all(f);
  }
}

static bool is_whole(const struct fill *f) {
  uint64_t bytes = f->window_at + buf_len(&f->window);
  return f->length == STORE_LENGTH_UNKNOWN || f->length == bytes;
}

bool fill_finish(struct fill *f, bool is_published) {
  lock(f);
  CHECK(f->state == FILL_RUNS);
  bool is_fine = f->overflows ? is_whole(f) : store_finish_leased(f->writer, is_published, &f->lease);
  if (is_fine && !f->overflows) f->writer = NULL;
  end(f, is_fine ? FILL_WHOLE : FILL_FAILED);
  unlock(f);
  return is_fine;
}

void fill_end(struct fill *f, enum fill_state state) {
  lock(f);
  end(f, state);
  unlock(f);
}

/* --- readers ---------------------------------------------------------------------------------------------- */

/* With the lock held. */
static struct str kept_at(const struct fill *f, uint64_t offset) {
  off_t place;
  if (f->writer) return store_written_at(f->writer, offset);
  return f->lease.count ? store_lease_at(f->store, &f->lease, offset, &place) : (struct str){0};
}

/* With the lock held. The window moves: a copy. */
static struct str copy_window(struct fill *f, uint64_t offset, struct buf *copy) {
  CHECK(offset >= f->window_at);
  struct str rest = str_from(buf_str(&f->window), (size_t)(offset - f->window_at));
  buf_clear(copy);
  buf_append_str(copy, rest);
  return buf_str(copy);
}

static enum fill_io at_end(const struct fill *f) {
  switch (f->state) {
  case FILL_ASKED:
  case FILL_RUNS: return FILL_WAITS;
  case FILL_WHOLE: return FILL_END;
  case FILL_REFUSED:
  case FILL_FAILED:
  case FILL_OVER: break;
  }
  return FILL_BROKE;
}

enum fill_io fill_read(struct fill *f, struct fill_seat *seat, struct str *slice, struct buf *copy) {
  *slice = (struct str){0};
  lock(f);
  uint64_t has = f->overflows ? f->window_at + buf_len(&f->window) : f->kept;
  enum fill_io result = at_end(f);
  if (result != FILL_BROKE && seat->at < has) {
    *slice = seat->at < f->kept ? kept_at(f, seat->at) : copy_window(f, seat->at, copy);
    result = FILL_READ;
  }
  unlock(f);
  return result;
}

void fill_read_on(struct fill *f, struct fill_seat *seat, uint64_t bytes) {
  lock(f);
  seat->at += bytes;
  if (f->overflows) advance_window(f);
  unlock(f);
}
