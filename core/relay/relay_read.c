// SPDX-License-Identifier: Apache-2.0
// relay_read: the choice between buffer and pipe. A pipe costs two system calls and nothing for each byte: about as
// much as a buffer of 16 KB. Its bytes cannot be taken back into user space, so it is used only without a filter,
// without a copy for a retry, without TLS, and if the framing stays as it came.
#include "relay/relay_read.h"

#include "net/pipe.h"

void relay_give_pipe(struct relay *r) {
  if (r->pipe) pipe_give(r->pipe);
  r->pipe = NULL;
}

static bool may_pass_unseen(const struct relay *r) {
  size_t here = buf_len(r->from.in);
  if (r->out != r->decoder.body.framing || !r->to.conn || r->filter || (r->copy.to && !r->copy.overflowed))
    return false;
  if (!conn_is_plain(r->from.conn) || !conn_is_plain(r->to.conn)) return false;
  switch (r->out) {
  case FRAMING_LENGTH:
    if (r->decoder.left <= here || (r->limit && r->bytes + r->decoder.left > r->limit)) return false;
    return r->piped || r->decoder.left - here >= RELAY_PIPED;
  case FRAMING_CLOSE:
  case FRAMING_TUNNEL: return r->bulk && !here && !r->limit;
  case FRAMING_NONE:
  case FRAMING_CHUNKED: break;
  }
  return false;
}

/* One pipe full at a time: others shall have their turn. IO_AGAIN: nothing came, or none of this may pass. */
static enum io fill_pipe(struct relay *r) {
  size_t here = buf_len(r->from.in), wanted = PIPE_BYTES;
  if (!may_pass_unseen(r)) return IO_AGAIN;
  r->pipe = pipe_take();
  if (!r->pipe) return IO_AGAIN;
  if (r->out == FRAMING_LENGTH && r->decoder.left - here < wanted) wanted = (size_t)r->decoder.left - here;
  enum io result = conn_splice_in(r->from.conn, r->pipe, wanted);
  if (result != IO_OK) {
    relay_give_pipe(r);
    return result;
  }
  r->piped = true;
  r->received += r->pipe->bytes;
  decoder_pass(&r->decoder, r->pipe->bytes);
  return IO_OK;
}

static bool goes_on(const struct relay *r) {
  const struct source *from = &r->from;
  if (from->conn) return r->decoder.body.framing == FRAMING_LENGTH;
  return from->ops->goes_on && from->ops->goes_on(from);
}

bool relay_has_room(struct relay *r) {
  r->room = UINT_MAX;
  if (r->decoder.ended || !source_has_more(&r->from) || !r->to.ops->room) return true;
  size_t room = r->to.ops->room(&r->to);
  r->room = room < UINT_MAX ? (unsigned)room : UINT_MAX;
  if (r->room) return true;
  if (!buf_len(r->from.in) && goes_on(r)) {
    if (r->from.conn) buf_release(r->from.in);
    return false;
  }
  r->room = RELAY_LOOK;
  return true;
}

/* Of a sink by ops: makes room for `wanted` bytes, or as many as it takes, and returns how many these are. Who
 * has filled a buffer before, if only the one that its head was read into, fills a large one. */
static __attribute__((noinline)) size_t reserve_for_sink(struct relay *r, size_t wanted) {
  if (r->bytes >= RELAY_BUFFER) wanted = RELAY_BUFFER_LARGE;
  if (wanted > r->room) wanted = r->room;
  buf_reserve_tight(r->from.in, wanted);
  return wanted;
}

static inline size_t reserve(struct relay *r, size_t wanted) {
  struct buf *in = r->from.in;
  if (r->to.ops) return reserve_for_sink(r, wanted);
  if (buf_space(in) < wanted / 2) buf_reserve(in, wanted);
  return buf_space(in);
}

static enum io fill_buffer(struct relay *r, bool *filled) {
  size_t moved = 0, space = reserve(r, r->bulk ? RELAY_BUFFER_LARGE : RELAY_BUFFER);
  struct buf *in = r->from.in;
  enum io result = conn_read(r->from.conn, buf_tail(in), space, &moved);
  if (result == IO_OK) {
    buf_commit(in, moved);
    r->received += moved;
  }
  *filled = result == IO_OK && moved == space;
  if (*filled) r->bulk = true;
  return result;
}

/* The end is known with the last bytes: so it goes on with them. */
static __attribute__((noinline)) enum io read_by_ops(struct relay *r, bool *filled) {
  enum io result = r->from.ops->read(&r->from, &r->trailers);
  size_t here = buf_len(r->from.in);
  if (result == IO_EOF && here && !r->decoder.ended) {
    if (r->decoder.body.framing == FRAMING_LENGTH && r->decoder.left != here)
      return IO_OK; /* it ends short */
    decoder_begin(&r->decoder, (struct body){FRAMING_LENGTH, here});
    result = IO_OK;
  }
  *filled = result == IO_OK;
  return result;
}

/* Where the pipe finds nothing, the buffer has a look: recv(2) passes over an urgent byte, splice(2) stands before it
 * for ever. */
enum io relay_read(struct relay *r, bool *filled) {
  *filled = false;
  if (r->from.ops) return read_by_ops(r, filled);
  if (r->source_broke) return IO_ERROR;
  enum io result = fill_pipe(r);
  return result == IO_AGAIN ? fill_buffer(r, filled) : result;
}

/* The bytes must need nothing of ours: no coding, no copy, no filter. */
static bool may_send(const struct relay *r) {
  return r->from.ops && r->from.ops->send && r->to.conn && conn_is_plain(r->to.conn) && !r->filter &&
         !r->copy.to && r->out == FRAMING_LENGTH;
}

enum relay_result relay_send(struct relay *r, bool *sent) {
  size_t moved = 0;
  *sent = false;
  if (!may_send(r)) return RELAY_READING;
  switch (r->from.ops->send(&r->from, r->to.conn, &moved)) {
  case SOURCE_READS: return RELAY_READING;
  case SOURCE_FULL: return RELAY_WRITING;
  case SOURCE_LOST: return RELAY_SINK_ERROR;
  case SOURCE_SENT: break;
  }
  r->bytes += moved;
  r->received += moved;
  r->written += moved;
  *sent = true;
  return RELAY_READING;
}

/* Of a message that is sent again from a copy the filter has not seen the end yet. */
static __attribute__((noinline)) bool ahead_by_ops(struct relay *r) {
  bool filled, is_anew = r->parts[PART_PAYLOAD].len == 0;
  if (r->to.ops && !relay_has_room(r)) return true;
  if (r->from.ops && is_anew && !r->decoder.ended && read_by_ops(r, &filled) == IO_EOF)
    decoder_source_ended(&r->decoder);
  return true;
}

bool relay_read_ahead(struct relay *r) {
  if (!r->from.conn) return ahead_by_ops(r);
  if (!r->from.in || !buf_len(r->from.in) || r->decoder.ended) return true;
  enum io result = fill_pipe(r);
  r->source_broke = result == IO_ERROR; /* a socket tells it once */
  return result != IO_OK;
}
