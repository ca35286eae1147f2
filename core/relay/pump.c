// SPDX-License-Identifier: Apache-2.0
// pump: decodes, encodes, writes, and only then reads again. The hard problem is partial writes: the output is a
// list of slices (parts), so that a write that stops anywhere is resumed from there without copying. The input
// is consumed only when all of the output is written.
#include "relay/relay.h"

#include "base/check.h"
#include "net/pipe.h"
#include "relay/relay_read.h"

/* Reads of one pump: a fast pair of conns shall not keep the loop from the others. */
enum { READS_PER_PUMP = 8, GATHER_BYTES = 4096 };

void relay_begin(struct relay *r, struct body body, enum framing out, struct str head, struct str first) {
  decoder_begin(&r->decoder, body);
  r->bytes = r->received = 0;
  r->trailers.section = (struct str){0};
  r->trailers.received = NULL;
  r->trailers.fields = NULL;
  r->pipe = NULL;
  r->bulk = r->piped = r->source_broke = r->filter_ended = r->filtering = false;
  relay_restart(r, out, head, first);
}

void relay_restart(struct relay *r, enum framing out, struct str head, struct str first) {
  r->out = out;
  r->written = 0;
  r->used = 0;
  r->active = true;
  r->started = r->done = r->unsafe = r->has_more = false;
  r->parts[PART_HEAD] = head;
  r->parts[PART_CHUNK_HEAD] = r->parts[PART_TAIL] = (struct str){0};
  r->parts[PART_PAYLOAD] = first;
}

void relay_read_away(struct relay *r, const struct source *from) {
  CHECK(!r->active && !r->filtering && !r->pipe);
  relay_restart(r, FRAMING_NONE, (struct str){0}, (struct str){0});
  r->from = *from;
  r->to = (struct sink){0};
  r->copy.to = NULL;
  r->filter = NULL;
  r->trailers.arena = NULL;
  r->limit = 0;
}

static void consume(struct relay *r) {
  CHECK(!r->used || (r->from.in && r->used <= buf_len(r->from.in)));
  if (r->used) source_used(&r->from, r->used);
  if (r->from.ops) r->received += r->used;
  r->used = 0;
}

/* Nothing of the source is held any more, unless a filter has more to make of it: it may be gone before the relay
 * begins again. */
static void let_go(struct relay *r) {
  if (!r->has_more) consume(r);
  for (int i = 0; i < RELAY_PARTS; i++) r->parts[i].len = 0;
}

void relay_stop(struct relay *r) {
  if (r->filtering) r->filter->cancel(r->filter);
  if (r->filtering || r->has_more) r->copy.overflowed = true;
  r->filtering = r->has_more = false;
  let_go(r);
  relay_give_pipe(r);
  r->active = false;
}

/* The end of the message is in what is on its way out. */
static inline bool is_at_end(const struct relay *r) { return r->decoder.ended && !r->has_more; }

/* --- out ------------------------------------------------------------------------------------------------ */

/* Puts chunks around the payload that is in its part. */
static __attribute__((noinline)) void encode_chunk(struct relay *r) {
  struct chunk_frame frame;
  size_t payload = r->parts[PART_PAYLOAD].len;
  r->unsafe = !encoder_frame(payload, is_at_end(r), &r->trailers, r->chunk_head, &frame);
  r->parts[PART_CHUNK_HEAD] = frame.head;
  r->parts[PART_TAIL] = frame.tail;
}

static inline void encode(struct relay *r) {
  if (r->to.ops)
    r->unsafe = is_at_end(r) && !trailers_settle(&r->trailers);
  else if (r->out == FRAMING_CHUNKED)
    encode_chunk(r);
}

static bool is_pending(const struct relay *r) {
  return r->parts[PART_HEAD].len || r->parts[PART_PAYLOAD].len || r->parts[PART_TAIL].len;
}

static void advance(struct relay *r, size_t moved) {
  CHECK(moved > 0);
  for (int i = 0; i < RELAY_PARTS && moved; i++) {
    size_t part = moved < r->parts[i].len ? moved : r->parts[i].len;
    r->parts[i] = str_from(r->parts[i], part);
    moved -= part;
  }
}

/* One send(2) of a few copied bytes costs less than a sendmsg(2) of several parts. */
static __attribute__((noinline)) enum io write_together(struct conn *to, const struct iovec *parts, int count,
                                                        size_t *moved) {
  char together[GATHER_BYTES], *end = together;
  for (int i = 0; i < count; i++) end = mempcpy(end, parts[i].iov_base, parts[i].iov_len);
  struct iovec whole = {together, (size_t)(end - together)};
  return conn_write(to, &whole, 1, moved);
}

/* Of `*total` bytes. */
static enum io write_parts(struct relay *r, size_t *total, size_t *moved) {
  struct iovec vector[RELAY_PARTS];
  size_t bytes = 0;
  int count = 0;
  for (int i = 0; i < RELAY_PARTS; i++) {
    if (!r->parts[i].len) continue;
    vector[count++] = (struct iovec){(void *)r->parts[i].ptr, r->parts[i].len};
    bytes += r->parts[i].len;
  }
  *total = bytes;
  if (!r->at_once && !r->pipe && conn_stage(r->to.conn, vector, count, bytes)) {
    *moved = bytes;
    return IO_OK;
  }
  bool is_small = count > 1 && bytes <= GATHER_BYTES;
  return is_small ? write_together(r->to.conn, vector, count, moved)
                  : conn_write(r->to.conn, vector, count, moved);
}

static enum io flush_pipe(struct relay *r) {
  while (r->pipe->bytes) {
    size_t before = r->pipe->bytes;
    enum io result = conn_splice_out(r->to.conn, r->pipe);
    if (result != IO_OK) return result;
    r->written += before - r->pipe->bytes;
    r->bytes += before - r->pipe->bytes;
  }
  relay_give_pipe(r);
  return IO_OK;
}

/* The end goes with the last piece: that is what is in the parts once the decoder has seen it. */
static __attribute__((noinline)) enum io flush_by_ops(struct relay *r) {
  const struct trailers *end = is_at_end(r) && !r->unsafe ? &r->trailers : NULL;
  for (;;) {
    size_t total = 0, moved = 0;
    for (int i = 0; i < RELAY_PARTS; i++) total += r->parts[i].len;
    enum io result = r->to.ops->write(&r->to, r->parts, end, &moved);
    if (result != IO_OK) return result;
    r->written += moved;
    if (moved == total) break;
    advance(r, moved);
  }
  let_go(r);
  return relay_has_room(r) ? IO_OK : IO_AGAIN;
}

/* IO_OK: everything is written (or dropped, where there is no sink), and there is room for more. */
static enum io flush(struct relay *r) {
  if (r->to.ops) return flush_by_ops(r);
  while (is_pending(r) && r->to.conn) {
    size_t total, moved = 0;
    enum io result = write_parts(r, &total, &moved);
    if (result != IO_OK) return result;
    r->written += moved;
    if (moved == total) break;
    advance(r, moved);
  }
  let_go(r);
  return r->pipe ? flush_pipe(r) : IO_OK;
}

/* --- in ------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void keep_trailers(struct relay *r, struct str section) {
  if (r->trailers.arena) r->trailers.section = arena_dup(r->trailers.arena, section);
}

/* Takes the next piece of the message from what has been read; RELAY_READING: fine, there may be nothing. */
static enum relay_result decode(struct relay *r) {
  struct decoded piece;
  struct buf *in = r->from.in;
  if (!buf_len(in) || r->decoder.ended) return RELAY_READING;
  char *bytes = buf_ptr(in);
  bool is_fine = decoder_take(&r->decoder, bytes, buf_len(in), &piece);
  r->used = (unsigned)piece.used;
  if (!is_fine) return RELAY_MALFORMED;
  if (piece.trailers.len) keep_trailers(r, piece.trailers);
  r->bytes += piece.payload;
  if (r->limit && r->bytes > r->limit) return RELAY_TOO_LARGE;
  r->parts[PART_PAYLOAD] = (struct str){bytes, piece.payload};
  if (piece.payload == 0) consume(r);
  return RELAY_READING;
}

static __attribute__((noinline)) void keep_copy(struct relay *r) {
  struct str payload = r->parts[PART_PAYLOAD];
  if (!payload.len || r->copy.overflowed) return;
  if (buf_len(r->copy.to) + payload.len > r->copy.limit) {
    r->copy.overflowed = true;
    buf_release(r->copy.to);
    return;
  }
  buf_append_str(r->copy.to, payload);
}

/* --- between -------------------------------------------------------------------------------------------- */

static inline void to_parts(struct relay *r) {
  if (r->copy.to) keep_copy(r);
  encode(r);
}

void relay_filtered(struct relay *r, struct str chunk) {
  CHECK(r->filter && r->active);
  r->filtering = false;
  r->has_more = r->filter->has_more;
  r->parts[PART_PAYLOAD] = chunk;
  to_parts(r);
}

static enum relay_result take_filtered(struct relay *r, enum relay_result result, struct str chunk) {
  r->filtering = result == RELAY_FILTERING;
  if (result == RELAY_READING) relay_filtered(r, chunk);
  return result;
}

static __attribute__((noinline)) enum relay_result run_filter(struct relay *r) {
  struct str chunk = r->parts[PART_PAYLOAD];
  r->filter_ended = r->decoder.ended;
  enum relay_result result = r->filter->run(r->filter, &chunk, r->decoder.ended);
  return take_filtered(r, result, chunk);
}

static __attribute__((noinline)) enum relay_result run_filter_again(struct relay *r) {
  struct str chunk = {0};
  enum relay_result result = r->filter->run(r->filter, &chunk, r->filter_ended);
  return take_filtered(r, result, chunk);
}

/* What was decoded, and that it was the last of it, goes on to the parts: through the filter. */
static inline enum relay_result pass_on(struct relay *r) {
  if (r->filter && !r->filter_ended) return run_filter(r);
  to_parts(r);
  return RELAY_READING;
}

/* --- both ----------------------------------------------------------------------------------------------- */

static enum relay_result ended(struct relay *r, enum relay_result result) {
  CHECK(r->active && (result != RELAY_DONE || (r->decoder.ended && !r->used)));
  relay_give_pipe(r);
  r->has_more = false;
  if (result != RELAY_DONE) let_go(r); /* its end may have come in the midst of what was decoded */
  if (result == RELAY_DONE && r->unsafe) result = RELAY_UNSAFE;
  r->active = false;
  r->done = result == RELAY_DONE;
  if (!r->to.conn || conn_is_open(r->to.conn)) sink_want(&r->to, false);
  return result;
}

/* The sink may wait; the source must: its next bytes would lie behind those that the filter looks at. */
static __attribute__((noinline)) enum relay_result wait_for_filter(struct relay *r) {
  sink_want(&r->to, false);
  source_want(&r->from, false);
  return RELAY_FILTERING;
}

static enum relay_result ended_or_waits(struct relay *r, enum relay_result result) {
  return result == RELAY_FILTERING ? wait_for_filter(r) : ended(r, result);
}

static __attribute__((noinline)) enum relay_result wait_for_sink(struct relay *r) {
  sink_want(&r->to, true);
  if (!r->decoder.ended) source_want(&r->from, false);
  return RELAY_WRITING;
}

static __attribute__((noinline)) enum relay_result source_closed(struct relay *r) {
  return decoder_source_ended(&r->decoder) ? RELAY_READING : ended(r, RELAY_TRUNCATED);
}

/* Writes what is decoded, decodes what is read. RELAY_READING: both are exhausted. */
static enum relay_result write_on(struct relay *r) {
  for (;;) {
    enum io result = flush(r);
    if (result == IO_AGAIN) return wait_for_sink(r);
    if (result != IO_OK) return ended(r, RELAY_SINK_ERROR);
    if (r->has_more) {
      enum relay_result filtered = run_filter_again(r);
      if (filtered != RELAY_READING) return ended_or_waits(r, filtered);
      continue;
    }
    bool had_ended = r->decoder.ended;
    enum relay_result decoded = r->from.in ? decode(r) : RELAY_READING;
    if (decoded != RELAY_READING) return ended(r, decoded);
    if (r->parts[PART_PAYLOAD].len == 0 && r->decoder.ended == had_ended) return RELAY_READING;
    enum relay_result passed = pass_on(r);
    if (passed != RELAY_READING) return ended_or_waits(r, passed);
  }
}

/* The filter gives what must not wait for more of the source. */
static __attribute__((noinline)) enum relay_result pause_filter(struct relay *r) {
  for (;;) {
    struct str chunk = {0};
    enum relay_result result = r->filter->pause(r->filter, &chunk);
    result = take_filtered(r, result, chunk);
    if (result != RELAY_READING) return ended_or_waits(r, result);
    if (!r->parts[PART_PAYLOAD].len && !r->has_more) return RELAY_READING;
    result = write_on(r);
    if (result != RELAY_READING) return result;
  }
}

/* The start: a head, or payload from before, goes out together with the first payload that is here already.
 */
static enum relay_result first_round(struct relay *r) {
  r->started = true;
  if (r->parts[PART_PAYLOAD].len || !r->from.in) {
    encode(r);
    return RELAY_READING;
  }
  enum relay_result decoded = decode(r);
  if (decoded != RELAY_READING) return decoded;
  bool is_nothing = r->parts[PART_PAYLOAD].len == 0 && !r->decoder.ended;
  return is_nothing ? RELAY_READING : pass_on(r);
}

/* Is all that is to be sent here, as it is to be sent? */
static inline bool is_whole(const struct relay *r) {
  if (r->filter || r->copy.to || !r->to.conn || r->out == FRAMING_CHUNKED || r->parts[PART_PAYLOAD].len)
    return false;
  if (r->decoder.ended) return true;
  return r->decoder.body.framing == FRAMING_LENGTH && r->from.in && buf_len(r->from.in) >= r->decoder.left &&
         !r->limit;
}

/* The start and the end of such a message. */
static enum relay_result send_whole(struct relay *r) {
  r->started = true;
  if (!r->decoder.ended) {
    r->used = (unsigned)r->decoder.left;
    r->parts[PART_PAYLOAD] = (struct str){buf_ptr(r->from.in), r->used};
    r->bytes += r->decoder.left;
    decoder_pass(&r->decoder, r->decoder.left);
  }
  enum io result = flush(r);
  if (result == IO_AGAIN) return wait_for_sink(r);
  return ended(r, result == IO_OK ? RELAY_DONE : RELAY_SINK_ERROR);
}

enum relay_result relay_pump(struct relay *r) {
  CHECK(r->active && (!source_has_more(&r->from) || r->from.in));
  if (r->filtering) return wait_for_filter(r);
  bool filled = true;
  if (!r->started) filled = relay_read_ahead(r);
  if (!r->started && is_whole(r)) return send_whole(r);
  enum relay_result begun = r->started ? RELAY_READING : first_round(r);
  if (begun != RELAY_READING) return ended_or_waits(r, begun);
  for (int reads = 0; reads <= READS_PER_PUMP; reads++) {
    enum relay_result result = write_on(r);
    if (result != RELAY_READING) return result;
    if (r->decoder.ended) return ended(r, RELAY_DONE);
    if (!source_has_more(&r->from) || !filled || reads == READS_PER_PUMP) break;
    bool sent;
    enum relay_result passed = relay_send(r, &sent);
    if (passed == RELAY_WRITING) return wait_for_sink(r);
    if (passed == RELAY_SINK_ERROR) return ended(r, passed);
    if (sent) continue;
    enum io got = relay_read(r, &filled);
    if (got == IO_AGAIN) break;
    if (got == IO_ERROR) return ended(r, RELAY_SOURCE_ERROR);
    if (got == IO_EOF && source_closed(r) == RELAY_TRUNCATED) return RELAY_TRUNCATED;
    if (got == IO_EOF) begun = pass_on(r);
    if (begun != RELAY_READING) return ended_or_waits(r, begun);
  }
  if (r->filter && r->filter->pause) {
    enum relay_result paused = pause_filter(r);
    if (paused != RELAY_READING) return paused;
  }
  sink_want(&r->to, false);
  source_want(&r->from, true);
  if (r->from.in && !r->from.ops && buf_len(r->from.in) == 0) buf_release(r->from.in);
  return RELAY_READING;
}
