// SPDX-License-Identifier: Apache-2.0
// h2_receive: what comes in over an HTTP/2 connection. The one hard problem is that nghttp2 calls back in the middle of
// its work, where neither it nor a stream may be ended. So a callback only notes what is new, in the list of streams
// with news, and the user asks for it when nghttp2 has returned. nghttp2 does frames, HPACK, windows and the states of
// streams. It does not judge messages: its checks differ by version, and do not say which rule was broken.
#include "http/h2_parts.h"

#include <stdio.h>

#include "base/memory.h"

enum {
  INTERIMS_MOST = 32, /* heads before the final one */
  HELD_STREAMS = 2    /* as many times more may be held as may be open */
};

static struct h2_session *session_of(void *user) {
  struct h2_session *s = user;
  CHECK_OBJ(s, H2_SESSION_MAGIC);
  return s;
}

static struct h2_stream *find_stream(struct h2_session *s, int32_t id) {
  if (s->found && s->found->id == id) return s->found; /* callbacks come in rows */
  struct h2_stream *stream = nghttp2_session_get_stream_user_data(s->ng, id);
  if (!stream) return NULL;
  CHECK_OBJ(stream, H2_STREAM_MAGIC);
  if (stream->is_open && stream->id == id) s->found = stream;
  return stream;
}

struct h2_stream *h2_stream_live(struct h2_session *s, int32_t id) {
  struct h2_stream *stream = find_stream(s, id);
  return stream && !stream->is_released && !stream->is_reset ? stream : NULL;
}

/* NGHTTP2_ERR_CALLBACK_FAILURE ends h2_session_receive, which then sends the GOAWAY. */
static int verdict(const struct h2_session *s) { return s->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0; }

void h2_stream_fault(struct h2_stream *stream, uint32_t code, const char *why) {
  if (stream->is_reset || !stream->is_open) return;
  stream->code = code;
  stream->why = why;
  h2_stream_reset(stream, code);
  h2_stream_tell(stream, H2_NEWS_RESET);
  h2_session_spend(stream->session, H2_COST_RESET, "too many streams that had to be reset");
}

/* --- heads ------------------------------------------------------------------------------------- */

/* A new stream of a client. One too many is refused: its block is decoded all the same, for HPACK's sake. Streams that
 * are over for the client, but not for us, count as well, or it could have any number of them; but not at once, for a
 * client that has its answers cannot know what is still done behind them. */
static struct h2_stream *accept_stream(struct h2_session *s, int32_t id) {
  bool is_one_too_many = s->open >= s->config.streams || s->count >= HELD_STREAMS * s->config.streams;
  if (s->is_leaving || is_one_too_many) {
    nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, id, H2_REFUSED_STREAM);
    if (!s->is_leaving) h2_session_spend(s, H2_COST_RESET, "too many streams at once");
    return NULL;
  }
  struct h2_stream *stream = h2_stream_new(s, id, NULL);
  nghttp2_session_set_stream_user_data(s->ng, id, stream);
  return stream;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
  struct h2_session *s = session_of(user);
  (void)ng;
  bool is_request = frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
  struct h2_stream *stream =
      is_request ? accept_stream(s, frame->hd.stream_id) : h2_stream_live(s, frame->hd.stream_id);
  s->block_stream = stream;
  if (!stream) return verdict(s);
  enum h2_block kind = is_request          ? H2_BLOCK_REQUEST
                       : stream->has_final ? H2_BLOCK_TRAILERS
                                           : H2_BLOCK_RESPONSE;
  s->block = arena_alloc(stream->arena, sizeof *s->block);
  *s->block = (struct h2_header_block){0};
  h2_head_begin(&s->block->head, kind, stream->limits, stream->arena);
  return verdict(s);
}

/* How much body the stream may carry (section 8.1.1). What is wrong with the length is the judge's to say. Behind a
 * 2xx to CONNECT is a tunnel, which has none (RFC 9110 section 9.3.6). */
static uint64_t length_of(const struct h2_stream *stream, const struct h2_head *head) {
  const struct field *field = headers_find_id(&head->headers, FIELD_CONTENT_LENGTH);
  struct str status = head->pseudo[H2_PSEUDO_STATUS];
  bool is_bodiless =
      head->block == H2_BLOCK_RESPONSE &&
      (stream->method == METHOD_HEAD || str_equal(status, STR("204")) || str_equal(status, STR("304")));
  bool is_tunnel = head->block == H2_BLOCK_RESPONSE && stream->method == METHOD_CONNECT && status.len == 3 &&
                   status.ptr[0] == '2';
  uint64_t length = UINT64_MAX;
  if (is_bodiless) return 0;
  if (is_tunnel) return UINT64_MAX;
  return field && str_to_u64(field->value, &length) ? length : UINT64_MAX;
}

static void end_peer(struct h2_stream *stream) {
  stream->peer_ended = true;
  if (stream->length != UINT64_MAX && stream->taken < stream->length)
    return h2_stream_fault(stream, H2_PROTOCOL_ERROR, "less body than Content-Length says");
  h2_stream_tell(stream, H2_NEWS_END);
}

static void push_head(struct h2_stream *stream, struct h2_header_block *block) {
  struct h2_header_block **at = &stream->heads;
  while (*at) at = &(*at)->next;
  *at = block;
  h2_stream_tell(stream, H2_NEWS_HEAD);
}

/* Keeps it in mind; false: all of them together are too long. */
static bool holds_head(struct h2_stream *stream, size_t bytes) {
  struct h2_session *s = stream->session;
  stream->head_bytes += bytes;
  s->heads_held += bytes;
  return !s->config.heads_bytes || s->heads_held <= s->config.heads_bytes;
}

/* Nobody has heard of the stream yet, so the client may ask again later. */
static void refuse_head(struct h2_stream *stream) {
  h2_stream_reset(stream, H2_REFUSED_STREAM);
  h2_session_spend(stream->session, H2_COST_RESET, "too many long heads at once");
}

static void take_trailers(struct h2_stream *stream, struct h2_header_block *block) {
  if (h2_head_trailers(&block->head, &stream->trailers) != ERROR_NONE)
    return h2_stream_fault(stream, H2_PROTOCOL_ERROR, block->head.why);
  if (!holds_head(stream, block->head.bytes))
    return h2_stream_fault(stream, H2_ENHANCE_YOUR_CALM, "too many long trailers at once");
  end_peer(stream);
}

static void take_head(struct h2_stream *stream, struct h2_header_block *block) {
  struct str status = block->head.pseudo[H2_PSEUDO_STATUS];
  bool is_interim = block->head.block == H2_BLOCK_RESPONSE && status.len == 3 && status.ptr[0] == '1';
  bool is_held = holds_head(stream, block->head.bytes);
  if (!is_held && block->head.block == H2_BLOCK_REQUEST) return refuse_head(stream);
  if (is_interim && ++stream->interims > INTERIMS_MOST)
    return h2_stream_fault(stream, H2_ENHANCE_YOUR_CALM, "too many interim responses");
  if (!is_interim) {
    stream->has_final = true;
    stream->length = length_of(stream, &block->head);
  }
  push_head(stream, block);
  if (block->head.ends && !is_interim) end_peer(stream);
}

static void on_block(struct h2_session *s, const nghttp2_frame *frame) {
  struct h2_stream *stream = s->block_stream;
  s->block_stream = NULL;
  if (!stream || stream->is_reset || stream->is_released) return;
  s->block->head.ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (s->block->head.block == H2_BLOCK_TRAILERS)
    take_trailers(stream, s->block);
  else
    take_head(stream, s->block);
}

/* --- bodies and the rest ----------------------------------------------------------------------- */

/* Bodies of clients that nobody reads are what a hostile connection can make us hold, a little on each of many streams:
 * so small ones get no whole block. */
static void make_room(struct buf *buf, size_t count) {
  enum { STEP = 256, WHOLE = 16384 }; /* from where blocks are not much larger than what is in them */
  size_t length = buf_len(buf), wanted = (length + count + length / 4 + STEP - 1) / STEP * STEP;
  if (buf_space(buf) >= count || wanted >= WHOLE) return;
  struct buf tight = {.data = memory_alloc(wanted), .cap = wanted};
  if (length) buf_append(&tight, buf_ptr(buf), length);
  buf_release(buf);
  *buf = tight;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *bytes, size_t count,
                   void *user) {
  struct h2_session *s = session_of(user);
  struct h2_stream *stream = h2_stream_live(s, id);
  const char *why = NULL;
  (void)flags;
  if (stream && !stream->has_final) why = "DATA before the head";
  if (stream && count > stream->length - stream->taken) why = "more body than Content-Length says";
  if (why) h2_stream_fault(stream, H2_PROTOCOL_ERROR, why);
  if (!stream || why) {
    nghttp2_session_consume_connection(ng, count);
    return verdict(s);
  }
  stream->taken += count;
  struct buf *to = stream->is_seen ? &stream->more : &stream->in;
  if (s->config.is_server) make_room(to, count);
  buf_append(to, bytes, count);
  h2_session_hold(s, count);
  h2_stream_tell(stream, H2_NEWS_DATA);
  return 0;
}

/* Rapid reset: what counts is that we were asked for work and then not waited for. */
static void on_peer_reset(struct h2_session *s, int32_t id, uint32_t code) {
  struct h2_stream *stream = find_stream(s, id);
  if (s->config.is_server && (!stream || !stream->ended))
    h2_session_spend(s, H2_COST_RESET, "too many streams were cancelled");
  if (!stream || stream->is_reset) return;
  stream->code = code;
  stream->was_refused = code == H2_REFUSED_STREAM;
  h2_stream_tell(stream, H2_NEWS_RESET);
}

/* What waits for room in the output will not be sent any more, and shall not wait for that room to hear so. */
static void refuse_unsent(struct h2_session *s) {
  LIST_EACH(node, &s->streams) {
    struct h2_stream *stream = LIST_ENTRY(node, struct h2_stream, link);
    if (stream->head_at != UINT64_MAX || !stream->is_open || stream->is_reset) continue;
    stream->was_refused = true;
    stream->code = H2_REFUSED_STREAM;
    h2_stream_tell(stream, H2_NEWS_RESET);
  }
}

static void on_goaway(struct h2_session *s, uint32_t code) {
  s->is_left = true;
  if (!s->config.is_server) refuse_unsent(s);
  if (code == H2_NO_ERROR || s->failed) return;
  s->code = code;
  s->by_peer = true;
  s->why = "the other side ended the connection";
}

/* nghttp2 begins the next block with what they mean for the table. */
static void take_settings(struct h2_session *s, const nghttp2_settings *settings) {
  h2_inspect_windows(s);
  for (size_t i = 0; i < settings->niv; i++)
    if (settings->iv[i].settings_id == NGHTTP2_SETTINGS_HEADER_TABLE_SIZE)
      h2_encoder_limit(&s->encoder, settings->iv[i].value);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
  struct h2_session *s = session_of(user);
  (void)ng;
  bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0,
       is_ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
  struct h2_stream *stream;
  switch (frame->hd.type) {
  case NGHTTP2_HEADERS:
    h2_blocks_read(s);
    if (!s->failed) on_block(s, frame);
    break;
  case NGHTTP2_DATA:
    stream = h2_stream_live(s, frame->hd.stream_id);
    if (stream && ends) end_peer(stream);
    if (!ends && frame->hd.length && frame->hd.length == frame->data.padlen)
      h2_session_spend(s, H2_COST_CONTROL, "too many DATA frames of padding alone");
    break;
  case NGHTTP2_RST_STREAM: on_peer_reset(s, frame->hd.stream_id, frame->rst_stream.error_code); break;
  case NGHTTP2_GOAWAY: on_goaway(s, frame->goaway.error_code); break;
  case NGHTTP2_SETTINGS:
    s->has_settings = s->has_settings || !is_ack;
    if (!is_ack) take_settings(s, &frame->settings);
    break;
  case NGHTTP2_PING: s->pongs += is_ack; break;
  default: break;
  }
  return verdict(s);
}

/* A frame that broke a rule of HTTP/2 itself: nghttp2 resets the stream, or ends the connection. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user) {
  struct h2_session *s = session_of(user);
  struct h2_stream *stream = h2_stream_live(s, frame->hd.stream_id);
  (void)ng;
  if (stream) stream->why = nghttp2_strerror(error);
  h2_session_spend(s, H2_COST_RESET, "too many invalid frames");
  return verdict(s);
}

/* Only its words: what it means for the connection comes with a GOAWAY. */
static int on_error(nghttp2_session *ng, int error, const char *text, size_t length, void *user) {
  struct h2_session *s = session_of(user);
  (void)ng;
  (void)error;
  if (!s->failed) snprintf(s->text, sizeof s->text, "%.*s", (int)length, text);
  return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user) {
  struct h2_session *s = session_of(user);
  struct h2_stream *stream = find_stream(s, id);
  (void)ng;
  if (!stream) return 0;
  h2_stream_shut(stream);
  if (s->block_stream == stream) s->block_stream = NULL;
  bool is_whole = stream->peer_ended && stream->ended;
  if (is_whole && code == H2_NO_ERROR) h2_budget_earn(&s->budget, H2_COST_RESET, 1);
  if (!stream->is_known || stream->is_released) {
    h2_stream_forget(stream);
    return 0;
  }
  if (is_whole || stream->news & H2_NEWS_RESET || stream->is_reset) return 0;
  stream->code = code;
  stream->was_refused = stream->was_refused || code == H2_REFUSED_STREAM;
  h2_stream_tell(stream, H2_NEWS_RESET);
  return 0;
}

/* --- what is sent ------------------------------------------------------------------------------ */

/* A frame is about to be made. */
static int on_sending(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
  struct h2_session *s = session_of(user);
  struct h2_stream *stream = frame->hd.type == NGHTTP2_HEADERS ? find_stream(s, frame->hd.stream_id) : NULL;
  (void)ng;
  if (!stream) return 0;
  h2_session_put_block(s, stream->head.items ? &stream->head : &stream->last);
  stream->head.items = NULL;
  if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) stream->head_at = s->made;
  return 0;
}

static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
  struct h2_session *s = session_of(user);
  bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
              (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA);
  if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != H2_NO_ERROR)
    h2_session_fail(s, frame->goaway.error_code, s->text[0] ? s->text : NULL);
  if (frame->hd.type == NGHTTP2_RST_STREAM) h2_ids_note_reset(&s->ids, frame->hd.stream_id);
  struct h2_stream *stream = ends ? find_stream(s, frame->hd.stream_id) : NULL;
  if (stream && stream->resets_when_sent && !stream->peer_ended)
    nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, stream->id, H2_NO_ERROR);
  return 0;
}

nghttp2_session_callbacks *h2_callbacks_new(void) {
  nghttp2_session_callbacks *c;
  if (nghttp2_session_callbacks_new(&c) != 0) return NULL;
  nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
  nghttp2_session_callbacks_set_before_frame_send_callback(c, on_sending);
  nghttp2_session_callbacks_set_on_frame_send_callback(c, on_sent);
  nghttp2_session_callbacks_set_send_data_callback(c, h2_stream_on_send);
  nghttp2_session_callbacks_set_error_callback2(c, on_error);
  return c;
}
