// SPDX-License-Identifier: Apache-2.0
// h2_inspect: each frame that comes in, before nghttp2 sees it: what it costs, and the rules nghttp2 does not keep.
// The one hard problem is what comes for a stream that is over: it is late and harmless where we have reset the stream,
// which the other side may not know yet, and else a fault (RFC 9113 section 5.1).
#include "http/h2_parts.h"

#include "base/big_endian.h"

enum {
  FRAME_MOST = 16384,     /* as our SETTINGS say nothing else */
  BLOCK_OVERHEAD = 16384, /* a compressed block may be so much longer than the list of its fields */
  CONTINUATIONS_MOST = 8
};

/* --- streams -------------------------------------------------------------------------------------- */

/* Section 5.1.1: ids of a client are odd and rise. */
static void open_id(struct h2_session *s, int32_t id) {
  if (id % 2 == 0)
    h2_session_fail(s, H2_PROTOCOL_ERROR, "a stream of a client with an even id");
  else
    h2_ids_open(&s->ids, id);
}

static void check_over(struct h2_session *s, const struct h2_frame_head *frame) {
  if (nghttp2_session_find_stream(s->ng, frame->id)) return;
  switch (h2_ids_state(&s->ids, frame->id)) {
  case H2_ID_RESET: return;
  case H2_ID_OLD:
    if (frame->type == NGHTTP2_DATA) return;
    break;
  case H2_ID_NEVER: h2_session_fail(s, H2_PROTOCOL_ERROR, "a stream id lower than one before"); return;
  case H2_ID_NEW:
  case H2_ID_OPENED: break;
  }
  h2_session_fail(s, H2_STREAM_CLOSED, "a frame for a stream that is over");
}

static void check_id(struct h2_session *s, const struct h2_frame_head *frame) {
  if (!s->config.is_server) return;
  bool is_new = frame->id > s->ids.last;
  if (frame->type == NGHTTP2_HEADERS && is_new)
    open_id(s, frame->id);
  else if (!is_new && frame->id % 2)
    check_over(s, frame);
}

/* --- heads and bodies ----------------------------------------------------------------------------- */

/* Section 4.2: too small for what its flags say that it has. */
static void check_padding(struct h2_session *s, const struct h2_frame_head *frame) {
  if (frame->flags & NGHTTP2_FLAG_PADDED && frame->length == 0)
    h2_session_fail(s, H2_FRAME_SIZE_ERROR, "a padded frame without the length of its padding");
}

/* Section 6.10: the frames of a block come in a row. */
static bool is_in_order(const struct h2_session *s, const struct h2_frame_head *frame) {
  if (frame->type != NGHTTP2_CONTINUATION) return !s->is_in_block;
  return s->is_in_block && frame->id == s->arriving.begun.id;
}

static void take_block(struct h2_session *s, const struct h2_frame_head *frame) {
  if (frame->length > FRAME_MOST)
    return h2_session_fail(s, H2_FRAME_SIZE_ERROR, "a frame longer than allowed");
  if (!frame->id) return h2_session_fail(s, H2_PROTOCOL_ERROR, "a header block of no stream");
  if (frame->type == NGHTTP2_HEADERS) {
    check_id(s, frame);
    check_padding(s, frame);
    s->block_bytes = s->continuations = 0;
    s->arriving.begun = *frame;
  }
  s->is_in_block = !(frame->flags & NGHTTP2_FLAG_END_HEADERS);
  s->block_bytes += frame->length + H2_FRAME_HEADER;
  if (frame->type == NGHTTP2_CONTINUATION && ++s->continuations > CONTINUATIONS_MOST)
    h2_session_fail(s, H2_ENHANCE_YOUR_CALM, "a header block in too many pieces");
  if (s->block_bytes > s->config.head.head_bytes + BLOCK_OVERHEAD)
    h2_session_fail(s, H2_ENHANCE_YOUR_CALM, "a header block longer than allowed");
}

static void take_data(struct h2_session *s, const struct h2_frame_head *frame) {
  bool is_empty = frame->length == 0 && !(frame->flags & NGHTTP2_FLAG_END_STREAM);
  check_id(s, frame);
  check_padding(s, frame);
  if (is_empty) h2_session_spend(s, H2_COST_CONTROL, "too many empty DATA frames");
}

/* --- frames of a few bytes ------------------------------------------------------------------------ */

static uint32_t number_at(const uint8_t *at) { return big_endian_32(at) & 0x7fffffff; }

/* Obsolete, which our SETTINGS say, but not without rules (section 6.3). True: nghttp2 says what is wrong. */
static bool take_priority(struct h2_session *s, const struct h2_frame_head *frame) {
  enum { LENGTH = 5 };
  if (frame->length != LENGTH || !s->has_settings) return true;
  if (!frame->id)
    h2_session_fail(s, H2_PROTOCOL_ERROR, "a PRIORITY of no stream");
  else if (number_at(frame->payload) == (uint32_t)frame->id)
    h2_session_fail(s, H2_PROTOCOL_ERROR, "a stream that depends on itself");
  return false;
}

static bool is_idle(const struct h2_session *s, int32_t id) {
  if (s->config.is_server) return id > s->ids.last;
  return id % 2 == 0 || (uint32_t)id >= nghttp2_session_get_next_stream_id(s->ng);
}

/* Section 6.9: of a stream it is an error of that stream alone. */
static bool take_window(struct h2_session *s, const struct h2_frame_head *frame) {
  bool is_zero = frame->payload && frame->length == 4 && !number_at(frame->payload);
  bool is_of_stream = frame->id && !is_idle(s, frame->id);
  if (!is_zero || !is_of_stream) return true;
  struct h2_stream *stream = h2_stream_live(s, frame->id);
  if (stream) h2_stream_fault(stream, H2_PROTOCOL_ERROR, "a WINDOW_UPDATE of 0");
  return false;
}

/* --- the connection ------------------------------------------------------------------------------- */

static void note_windows(struct h2_session *s) {
  LIST_EACH(node, &s->streams) {
    struct h2_stream *stream = LIST_ENTRY(node, struct h2_stream, link);
    stream->window_before =
        stream->is_open ? nghttp2_session_get_stream_remote_window_size(s->ng, stream->id) : 0;
  }
}

/* Section 6.9.2: nghttp2 would reset the stream alone. */
void h2_inspect_windows(struct h2_session *s) {
  int64_t now = nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
  int64_t wider = now - s->peer_window;
  s->peer_window = now;
  if (wider <= 0) return;
  LIST_EACH(node, &s->streams) {
    struct h2_stream *stream = LIST_ENTRY(node, struct h2_stream, link);
    if (stream->is_open && stream->window_before + wider > INT32_MAX)
      h2_session_fail(s, H2_FLOW_CONTROL_ERROR, "SETTINGS that make a window too large");
  }
}

bool h2_inspect(struct h2_session *s, const struct h2_frame_head *frame) {
  s->is_in_head_frame = frame->type == NGHTTP2_HEADERS || frame->type == NGHTTP2_CONTINUATION;
  if (!is_in_order(s, frame)) {
    h2_session_fail(s, H2_PROTOCOL_ERROR, "a header block that another frame interrupts, or none has begun");
    return true;
  }
  switch (frame->type) {
  case NGHTTP2_HEADERS:
  case NGHTTP2_CONTINUATION: take_block(s, frame); return true;
  case NGHTTP2_DATA: take_data(s, frame); return true;
  case NGHTTP2_RST_STREAM:
  case NGHTTP2_GOAWAY: return true;
  case NGHTTP2_PUSH_PROMISE: /* section 8.4: a server knows of our ENABLE_PUSH before it knows of any request */
    h2_session_fail(s, H2_PROTOCOL_ERROR, "a PUSH_PROMISE, which nobody may send");
    return true;
  case NGHTTP2_SETTINGS: note_windows(s); break;
  }
  h2_session_spend(s, H2_COST_CONTROL, "too many frames without head or body");
  if (frame->type == NGHTTP2_PRIORITY) return take_priority(s, frame);
  return frame->type != NGHTTP2_WINDOW_UPDATE || take_window(s, frame);
}
