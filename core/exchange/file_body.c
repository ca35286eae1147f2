// SPDX-License-Identifier: Apache-2.0
// file_body: a source over runs of an open file. It never waits for a disk: what the page cache has is read at once
// (preadv2(2), RWF_NOWAIT), or sent straight from there into a plain connection of HTTP/1 (sendfile(2)); the rest a
// thread of core/net/offload reads first. The hard problem is a file that changes while it is sent: its length has been
// said already. One that has become shorter, or was written, ends the response short, so that the client sees it; at
// its end a look at the file's times tells that.
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/container.h"
#include "base/memory.h"
#include "exchange/exchange.h"
#include "exchange/file_answer.h"
#include "exchange/proxy.h"
#include "exchange/walk.h"
#include "net/conn_file.h"

enum { READ_MOST = 32768, FIRST_MOST = 4096, SEND_MOST = 1 << 21, TEXT_MOST = 16 << 20 };
enum { CHUNK = 1 << 20, WARM_MS = 100 };

static void wait_for_disk(struct file_answer *f, uint64_t first, size_t bytes);

/* --- where it is ------------------------------------------------------------------------------------------ */

static struct file_piece *current(struct file_answer *f) {
  while (f->at < f->count) {
    struct file_piece *piece = &f->pieces[f->at];
    if (f->done < (piece->text.ptr ? piece->text.len : piece->bytes)) return piece;
    f->at++;
    f->done = 0;
  }
  return NULL;
}

static bool is_last(const struct file_answer *f, const struct file_piece *piece, uint64_t bytes) {
  bool is_behind = !piece->text.ptr && f->at + 2 >= f->count; /* a text may follow, which ends the parts */
  return is_behind && f->done + bytes == piece->bytes;
}

static enum io broken(struct file_answer *f) {
  f->is_broken = true;
  return IO_ERROR;
}

/* It is about to be sent to its end, and was not read in one go. */
static bool is_still_good(struct file_answer *f, const struct file_piece *piece, uint64_t bytes) {
  return !f->checks_end || !is_last(f, piece, bytes) || open_file_is_unchanged(f->file);
}

/* --- reading ---------------------------------------------------------------------------------------------- */

static ssize_t read_now(int fd, void *bytes, size_t count, uint64_t offset) {
  struct iovec part = {bytes, count};
#if defined RWF_NOWAIT
  return preadv2(fd, &part, 1, (off_t)offset, RWF_NOWAIT);
#else
  (void)fd, (void)part, (void)offset;
  errno = EOPNOTSUPP;
  return -1;
#endif
}

static bool is_cold(void) {
  return errno == EAGAIN || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINTR;
}

/* What goes out with the head is copied. If sendfile(2) sends the rest, a short first piece is enough. */
static size_t read_most(const struct file_answer *f, uint64_t left) {
  const struct conn *to = f->exchange->down.to.conn;
  bool is_first = !f->at && !f->done && left >= FIRST_MOST + READ_MOST;
  return is_first && to && conn_is_plain(to) && !f->is_only_read ? FIRST_MOST : READ_MOST;
}

static enum io read_piece(struct file_answer *f, const struct file_piece *piece) {
  uint64_t left = piece->bytes - f->done, at = piece->first + f->done;
  size_t most = read_most(f, left), room = relay_room(&f->exchange->down);
  size_t wanted = left < most ? (size_t)left : most;
  if (wanted > room) wanted = room;
  f->own.start = f->own.end = 0;
  buf_reserve(&f->own, wanted);
  ssize_t got = read_now(f->file->fd, buf_tail(&f->own), wanted, at);
  if (got < 0 && is_cold() && f->exchange->proxy->mailbox) {
    wait_for_disk(f, at, wanted);
    return f->wait ? IO_AGAIN : broken(f);
  }
  if (got < 0 && is_cold()) got = pread(f->file->fd, buf_tail(&f->own), wanted, (off_t)at);
  if (got <= 0 || !is_still_good(f, piece, (uint64_t)got)) return broken(f);
  f->in = (struct buf){f->own.data, 0, (size_t)got, (size_t)got};
  if ((size_t)got < left) f->checks_end = true;
  return IO_OK;
}

/* A body that is here as a whole says so: then it goes out with its head. */
static bool is_all(struct file_answer *f) {
  return f->count == 1 && !f->pieces[0].text.ptr && f->done + buf_len(&f->in) == f->pieces[0].bytes;
}

static enum io read_body(struct source *source, struct trailers *trailers) {
  struct file_answer *f = source->of;
  (void)trailers;
  if (f->is_broken) return IO_ERROR;
  if (f->wait) return IO_AGAIN;
  if (buf_len(&f->in)) return is_all(f) ? IO_EOF : IO_OK;
  struct file_piece *piece = current(f);
  if (!piece) return IO_EOF;
  if (piece->text.ptr) {
    size_t left = piece->text.len - (size_t)f->done;
    f->in = (struct buf){(char *)(uintptr_t)piece->text.ptr + f->done, 0, left, left};
    return IO_OK;
  }
  enum io result = read_piece(f, piece);
  return result == IO_OK && is_all(f) ? IO_EOF : result;
}

static void use_body(struct source *source, size_t bytes) {
  struct file_answer *f = source->of;
  CHECK(bytes <= buf_len(&f->in));
  f->in.start += bytes;
  f->done += bytes;
  if (f->in.start == f->in.end) f->in = (struct buf){0};
}

/* --- sending ---------------------------------------------------------------------------------------------- */

static bool is_here(const struct open_file *file, uint64_t place) {
  char byte;
  return read_now(file->fd, &byte, 1, place) >= 0;
}

/* Is that mebibyte of the file in the page cache, as far as two looks can tell? They are half a mebibyte apart, as are
 * those of its neighbours. The kernel reads ahead around what is used, so a gap that they miss is short. */
static bool looks_warm(const struct open_file *file, uint64_t chunk) {
  uint64_t last = (uint64_t)file->info.st_size - 1, first = chunk * CHUNK + CHUNK / 4,
           second = first + CHUNK / 2;
  if (first > last) first = last;
  if (second > last) second = last;
  return is_here(file, first) && (first == second || is_here(file, second));
}

/* The kernel keeps what was used a moment ago, so all answers of that moment share what was found. */
static bool is_warm(const struct file_answer *f, uint64_t chunk) {
  struct warm_chunks *warm = &f->file->warm;
  uint64_t now_ms = loop_now_ms(f->exchange->proxy->loop), bit = 1ull << chunk % WARM_CHUNKS;
  if (now_ms - warm->since_ms >= WARM_MS || warm->window != chunk / WARM_CHUNKS)
    *warm = (struct warm_chunks){.since_ms = now_ms, .window = chunk / WARM_CHUNKS};
  if (!(warm->bits & bit) && looks_warm(f->file, chunk)) warm->bits |= bit;
  return warm->bits & bit;
}

/* So much of [at, end) can be sent without a wait for the disk. */
static size_t warm_bytes(const struct file_answer *f, uint64_t at, uint64_t end) {
  uint64_t chunk = at / CHUNK;
  while (chunk * CHUNK < end && is_warm(f, chunk)) chunk++;
  uint64_t to = chunk * CHUNK < end ? chunk * CHUNK : end;
  return to > at ? (size_t)(to - at) : 0;
}

static enum source_sent send_body(struct source *source, struct conn *to, size_t *moved) {
  struct file_answer *f = source->of;
  struct file_piece *piece = f->is_broken || f->wait || buf_len(&f->in) ? NULL : current(f);
  if (!piece || f->is_only_read || piece->text.ptr || piece->bytes - f->done < READ_MOST ||
      conn_has_unsent(to))
    return SOURCE_READS;
  uint64_t left = piece->bytes - f->done, at = piece->first + f->done;
  size_t count = warm_bytes(f, at, at + (left < SEND_MOST ? left : SEND_MOST));
  if (!count) return SOURCE_READS;
  if (!is_still_good(f, piece, count)) {
    f->is_broken = true;
    return SOURCE_READS;
  }
  f->checks_end = true;
  switch (conn_send_file(to, f->file->fd, (off_t)at, count, moved)) {
  case IO_OK: f->done += *moved; return SOURCE_SENT;
  case IO_AGAIN: return SOURCE_FULL;
  case IO_EOF: f->is_only_read = true; return SOURCE_READS;
  case IO_ERROR: break;
  }
  return SOURCE_LOST;
}

/* --- its turns -------------------------------------------------------------------------------------------- */

static void go_on(struct file_answer *f) {
  struct exchange *x = f->exchange;
  if (!f->wants || !x->down.active || !x->stream) return;
  f->wants = false;
  transfer_down(x);
}

static void on_due(struct timer *timer) { go_on(CONTAINER_OF(timer, struct file_answer, timer)); }

static void want_body(struct source *source, bool on) {
  struct file_answer *f = source->of;
  f->wants = on;
  if (!on || f->wait) return;
  if (!f->has_timer) timer_init(&f->timer, f->exchange->proxy->loop, on_due);
  f->has_timer = true;
  if (!timer_is_set(&f->timer)) timer_set(&f->timer, 0);
}

static bool goes_on(const struct source *source) {
  struct file_answer *f = source->of;
  return !f->is_broken && !f->wait && current(f);
}

static const struct source_ops source_ops = {read_body, use_body, want_body, send_body, goes_on};

struct source file_source(struct file_answer *f) {
  return (struct source){.ops = &source_ops, .of = f, .in = &f->in};
}

void file_body_begin(struct file_answer *f, uint64_t first, uint64_t bytes) {
  f->pieces = arena_zalloc(&f->exchange->arena, sizeof *f->pieces);
  f->pieces[0] = (struct file_piece){.first = first, .bytes = bytes};
  f->count = 1;
  f->length = bytes;
}

struct str file_body_text(struct file_answer *f) {
  struct exchange *x = f->exchange;
  if (f->length > TEXT_MOST) return (struct str){0};
  char *text = arena_alloc(&x->arena, f->length + 1), *end = text;
  for (unsigned i = 0; i < f->count; i++) {
    const struct file_piece *piece = &f->pieces[i];
    if (piece->text.ptr) end = mempcpy(end, piece->text.ptr, piece->text.len);
    if (piece->text.ptr) continue;
    ssize_t got = pread(f->file->fd, end, piece->bytes, (off_t)piece->first);
    if (got > 0) end += got;
  }
  return (struct str){text, (size_t)(end - text)};
}

/* --- the disk --------------------------------------------------------------------------------------------- */

struct disk_wait {
  struct offload_job job; /* first */
  struct file_answer *of; /* NULL: nobody waits any more */
  struct open_file *file; /* reference */
  uint64_t first;
  size_t bytes;
  ssize_t got;
  char *text; /* owned */
};

static void read_from_disk(struct offload_job *job) {
  struct disk_wait *w = (struct disk_wait *)job;
  w->got = pread(w->file->fd, w->text, w->bytes, (off_t)w->first);
}

static void free_wait(struct offload_job *job) {
  struct disk_wait *w = (struct disk_wait *)job;
  open_file_release(w->file);
  free(w->text);
  free(w);
}

static void on_read(struct offload_job *job) {
  struct disk_wait *w = (struct disk_wait *)job;
  struct file_answer *f = w->of;
  if (f) {
    f->wait = NULL;
    f->own.start = f->own.end = 0;
    if (w->got > 0) buf_append(&f->own, w->text, (size_t)w->got);
    if (w->got > 0) f->in = (struct buf){f->own.data, 0, (size_t)w->got, (size_t)w->got};
    f->is_broken |= w->got <= 0;
    f->checks_end = true;
  }
  free_wait(job);
  if (f) go_on(f);
}

static void wait_for_disk(struct file_answer *f, uint64_t first, size_t bytes) {
  struct disk_wait *w = memory_zalloc(sizeof *w);
  w->job = (struct offload_job){.home = f->exchange->proxy->mailbox, .run = read_from_disk, .done = on_read};
  w->of = f;
  w->file = open_file_hold(f->file);
  w->first = first;
  w->bytes = bytes;
  w->text = memory_alloc(bytes);
  if (offload_submit(OFFLOAD_DISK, &w->job))
    f->wait = w;
  else
    free_wait(&w->job);
}

void file_answer_end(struct file_answer *f) {
  if (!f) return;
  if (f->wait) f->wait->of = NULL;
  f->wait = NULL;
  file_cancel(f);
  free(f->listing);
  f->listing = NULL;
  if (f->has_timer) timer_stop(&f->timer);
  f->has_timer = false;
  open_file_release(f->file);
  f->file = NULL;
  buf_release(&f->own);
}
