// SPDX-License-Identifier: Apache-2.0
// cache_body: a source over stored bytes, of a lease or of a fill that still comes. The relay reads them in place:
// its input buffer is the store's memory, which nobody changes while the lease or the fill is held. The relay only
// consumes from the front.
//
// What is long goes from the store's file straight into a plain connection of HTTP/1 (sendfile(2)), but for the piece
// that goes out with the head. The socket may have its pages long after the lease has ended: the store never writes to
// such pages again (store.h).
#include "exchange/cache_parts.h"

#include "exchange/proxy.h"
#include "exchange/stream.h"
#include "net/conn_file.h"

/* A page that is sent costs about what it costs to copy it, and what is sent at once costs a system call more than what
 * goes with the head: so it pays for long bodies only. */
enum { SLICE_MOST = 1 << 20, SEND_LEAST = 1 << 17, SEND_MOST = 1 << 20, FIRST_MOST = 1 << 14 };

/* One that copies has a seat, too, but it is the other end of it. */
static bool reads_fill(const struct cache_visit *v) { return v->seat && v->state == VISIT_READS; }

static void show(struct cache_body *b, struct str slice) {
  if (slice.len > SLICE_MOST) slice.len = SLICE_MOST;
  b->in = (struct buf){(char *)(uintptr_t)slice.ptr, 0, slice.len, slice.len};
}

/* What follows of a piece that is kept, as far as it is in one place. */
static struct str kept_at(const struct cache_visit *v, const struct cache_piece *piece, off_t *place) {
  const struct store_lease *lease = v->coded ? v->coded : &v->lease;
  uint64_t done = v->body.done, left = piece->bytes - done;
  struct str slice = store_lease_at(cache_store(visit_cache(v)), lease, piece->first + done, place);
  if (slice.len > left) slice.len = (size_t)left;
  CHECK(slice.len);
  return slice;
}

static enum io show_kept(struct cache_visit *v, const struct cache_piece *piece) {
  off_t place;
  struct str slice = kept_at(v, piece, &place);
  bool is_first = !v->body.at && !v->body.done;
  if (is_first && piece->bytes >= SEND_LEAST && slice.len > FIRST_MOST) slice.len = FIRST_MOST;
  show(&v->body, slice);
  return IO_OK;
}

static enum io show_fill(struct cache_visit *v, const struct cache_piece *piece) {
  struct cache_body *b = &v->body;
  struct fill *f = v->seat->fill;
  struct str slice;
  uint64_t left = piece->bytes - b->done;
  uint64_t wanted = piece->first + b->done;
  if (v->seat->seat.at < wanted) fill_read_on(f, &v->seat->seat, wanted - v->seat->seat.at);
  switch (fill_read(f, &v->seat->seat, &slice, &b->copy)) {
  case FILL_WAITS: b->is_dry = true; return IO_AGAIN;
  case FILL_END: return IO_EOF;
  case FILL_BROKE: return IO_ERROR;
  case FILL_READ: break;
  }
  if (slice.len > left) slice.len = (size_t)left;
  show(b, slice);
  return IO_OK;
}

static enum io show_text(struct cache_body *b, struct str text) {
  show(b, str_from(text, (size_t)b->done));
  return IO_OK;
}

static bool is_through(const struct cache_body *b) {
  const struct cache_piece *piece = &b->pieces[b->at];
  return b->done == (piece->text.ptr ? piece->text.len : piece->bytes);
}

/* NULL: its end. */
static const struct cache_piece *current(struct cache_body *b) {
  while (b->at < b->count && is_through(b)) {
    b->at++;
    b->done = 0;
  }
  return b->at < b->count ? &b->pieces[b->at] : NULL;
}

static enum io read_body(struct source *source, struct trailers *trailers) {
  struct cache_visit *v = source->of;
  struct cache_body *b = &v->body;
  (void)trailers;
  b->is_dry = false;
  if (b->in.end > b->in.start) return IO_OK;
  const struct cache_piece *piece = current(b);
  if (!piece) return IO_EOF;
  if (piece->text.ptr) return show_text(b, piece->text);
  return reads_fill(v) ? show_fill(v, piece) : show_kept(v, piece);
}

static void use_body(struct source *source, size_t bytes) {
  struct cache_visit *v = source->of;
  struct cache_body *b = &v->body;
  CHECK(bytes <= b->in.end - b->in.start);
  bool is_of_fill = reads_fill(v) && !b->pieces[b->at].text.ptr;
  b->in.start += bytes;
  b->done += bytes;
  cache_count(visit_cache(v), served_bytes, bytes);
  if (is_of_fill) fill_read_on(v->seat->fill, &v->seat->seat, bytes);
  if (b->in.start == b->in.end) b->in = (struct buf){0};
}

static enum source_sent send_body(struct source *source, struct conn *to, size_t *moved) {
  struct cache_visit *v = source->of;
  struct cache_body *b = &v->body;
  int fd = store_descriptor_to_send(cache_store(visit_cache(v)));
  bool is_read = fd < 0 || b->is_only_read || reads_fill(v) || b->in.end > b->in.start || conn_has_unsent(to);
  const struct cache_piece *piece = is_read ? NULL : current(b);
  if (!piece || piece->text.ptr || piece->bytes < SEND_LEAST) return SOURCE_READS;
  off_t at;
  struct str slice = kept_at(v, piece, &at);
  switch (conn_send_file(to, fd, at, slice.len < SEND_MOST ? slice.len : SEND_MOST, moved)) {
  case IO_OK: break;
  case IO_AGAIN: return SOURCE_FULL;
  case IO_EOF: b->is_only_read = true; return SOURCE_READS;
  case IO_ERROR: return SOURCE_LOST;
  }
  b->done += *moved;
  cache_count(visit_cache(v), served_bytes, *moved);
  cache_count(visit_cache(v), sent_bytes, *moved);
  return SOURCE_SENT;
}

/* A turn of the relay ends before the body does. Where there is nothing more yet, the fill tells when there is. */
static void want_body(struct source *source, bool on) {
  struct cache_visit *v = source->of;
  v->body.wants = on;
  if (on && !v->body.is_dry && !(v->has_timer && timer_is_set(&v->timer))) cache_wake_later(v, 0);
}

static bool goes_on(const struct source *source) {
  struct cache_visit *v = source->of;
  return !reads_fill(v) && current(&v->body);
}

static const struct source_ops source_ops = {read_body, use_body, want_body, send_body, goes_on};

void cache_body_begin(struct cache_visit *v, uint64_t first, uint64_t bytes) {
  struct cache_body *b = &v->body;
  b->pieces = arena_zalloc(&v->exchange->arena, sizeof *b->pieces);
  b->pieces[0] = (struct cache_piece){.first = first, .bytes = bytes};
  b->count = 1;
}

static bool is_vain(const struct cache_visit *v) {
  struct fill *f = v->seat->fill;
  return fill_is_vain(f) || (v->exchange->proxy->stopping && fill_is_unwanted(f));
}

void cache_body_news(struct cache_visit *v) {
  struct exchange *x = v->exchange;
  bool is_fed = v->state == VISIT_FILLS || v->body.wants;
  if (v->state == VISIT_FILLS && x->stream && is_vain(v)) {
    stream_reset(x->stream, ERROR_CLIENT_GONE);
    return;
  }
  if (!is_fed || !x->down.active || !x->stream) return;
  v->body.wants = false;
  transfer_down(x);
}

bool cache_has_response(const struct exchange *x) { return x->cache->state == VISIT_READS; }

struct source cache_source(struct exchange *x) {
  struct cache_visit *v = x->cache;
  return (struct source){.ops = &source_ops, .of = v, .in = &v->body.in};
}

void cache_body_end(struct cache_visit *v) { buf_release(&v->body.copy); }
