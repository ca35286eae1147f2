// SPDX-License-Identifier: Apache-2.0
// h2_stream: one stream, and what goes out over it. The one hard problem is back-pressure without copies: nghttp2 asks
// for body bytes when it has windows for them, the user has them when a buffer of its own is full. So a write lends its
// bytes for the length of the call, lets nghttp2 make as many frames of them as it may, straight into the connection's
// output, and tells what was left.
#include "base/memory.h"
#include "http/h2_parts.h"

enum {
  /* Control frames that a frame of body makes good for: whoever gets body must give windows back. */
  EARNED_BY_DATA = 2,
  /* But not one that a tiny window has cut short. */
  EARNING_BYTES = 1024,
  WHOLE_FRAME = 16384, /* the largest, to whoever has not asked for larger ones */
};

static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                       nghttp2_data_source *source, void *user);

struct h2_stream *h2_stream_new(struct h2_session *s, int32_t id, struct arena *arena) {
  struct h2_stream *stream = piece_zalloc(sizeof *stream);
  stream->session = s;
  stream->id = id;
  stream->arena = arena ? arena : &stream->own;
  stream->is_known = arena != NULL;
  stream->limits = &s->config.head;
  stream->length = stream->head_at = UINT64_MAX;
  stream->window = s->config.stream_window;
  stream->is_open = true;
  list_init(&stream->news_link);
  list_init(&stream->blocked_link);
  list_push_back(&s->streams, &stream->link);
  s->count++;
  s->open++;
  OBJ_INIT(stream, H2_STREAM_MAGIC);
  return stream;
}

void h2_stream_shut(struct h2_stream *stream) {
  if (stream->is_open) stream->session->open--;
  if (stream->session->found == stream) stream->session->found = NULL;
  stream->is_open = false;
}

static void drop_body(struct h2_stream *stream) {
  size_t left = buf_len(&stream->in) + buf_len(&stream->more);
  buf_release(&stream->in);
  buf_release(&stream->more);
  stream->in = stream->more = (struct buf){0};
  if (left) h2_session_let_in(stream->session, left);
}

void h2_stream_tell(struct h2_stream *stream, unsigned news) {
  if (stream->is_released) return;
  stream->is_known = true;
  if (!stream->news) list_push_back(&stream->session->news, &stream->news_link);
  stream->news |= news;
}

/* --- what the user takes ------------------------------------------------------------------------ */

struct h2_head *h2_stream_head(struct h2_stream *stream) {
  struct h2_header_block *block = stream->heads;
  CHECK_OBJ(stream, H2_STREAM_MAGIC);
  if (!block) return NULL;
  stream->heads = block->next;
  return &block->head;
}

struct arena h2_stream_give_arena(struct h2_stream *stream) {
  struct arena own = stream->own;
  CHECK(stream->arena == &stream->own);
  stream->own = (struct arena){0};
  return own;
}

void h2_stream_use_arena(struct h2_stream *stream, struct arena *arena) { stream->arena = arena; }

void h2_stream_limit(struct h2_stream *stream, const struct parser_limits *limits) {
  struct parser_limits *most = &stream->session->config.head;
  stream->limits = limits;
  if (most->head_bytes < limits->head_bytes) most->head_bytes = limits->head_bytes; /* of whole blocks */
}

/* False: there is not so much. */
static bool take_spare(struct h2_session *s, size_t bytes) {
  if (!s->config.spare) return true;
  if (*s->config.spare < bytes) return false;
  *s->config.spare -= bytes;
  return true;
}

static void give_spare(struct h2_session *s, size_t bytes) {
  if (s->config.spare) *s->config.spare += bytes;
}

/* A reader that keeps up gets a larger window: speed is at most window / round trip. */
static void widen(struct h2_stream *stream) {
  uint32_t most = stream->session->config.window_most;
  bool is_behind = buf_len(&stream->in) > 0;
  if (stream->window >= most || is_behind || stream->used < 2 * (uint64_t)stream->window) return;
  uint32_t wider = stream->window > most / 2 ? most : 2 * stream->window, more = wider - stream->window;
  stream->used = 0;
  if (!take_spare(stream->session, more)) return;
  if (nghttp2_session_set_local_window_size(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id,
                                            (int32_t)wider) == 0)
    stream->window = wider;
  else
    give_spare(stream->session, more);
}

static void next_part(struct h2_stream *stream) {
  buf_release(&stream->in);
  stream->in = stream->more;
  stream->more = (struct buf){0};
  stream->is_seen = buf_len(&stream->in) > 0;
}

void h2_stream_used(struct h2_stream *stream, size_t bytes) {
  struct h2_session *s = stream->session;
  CHECK_OBJ(stream, H2_STREAM_MAGIC);
  CHECK(bytes <= buf_len(&stream->in));
  buf_consume(&stream->in, bytes);
  if (!buf_len(&stream->in)) next_part(stream);
  stream->used += bytes;
  h2_session_use(s, bytes);
  if (!stream->is_open || stream->peer_ended) return;
  nghttp2_session_consume_stream(s->ng, stream->id, bytes);
  widen(stream);
}

struct buf h2_stream_take_body(struct h2_stream *stream) {
  struct buf body = stream->in;
  CHECK(!buf_len(&stream->more));
  stream->in = (struct buf){0};
  if (buf_len(&body)) h2_session_let_in(stream->session, buf_len(&body));
  return body;
}

/* --- what the user sends ------------------------------------------------------------------------ */

/* nghttp2 knows of heads and trailers that they come, and not what is in them: when it makes the frame, the fields are
 * put into it (h2_output.c). Of a response that is at once, by make_head. A request is released before its texts end,
 * and if it has not gone out, this cancels it. Trailers lie in the stream's own arena. */
static nghttp2_data_provider body_of(struct h2_stream *stream) {
  return (nghttp2_data_provider){.source.ptr = stream, .read_callback = on_read};
}

struct h2_stream *h2_session_request(struct h2_session *s, const struct h2_fields *fields, enum method method,
                                     bool ends, struct arena *arena) {
  CHECK(!s->config.is_server && fields->items);
  if (!h2_session_room(s)) return NULL;
  struct h2_stream *stream = h2_stream_new(s, 0, arena);
  nghttp2_data_provider body = body_of(stream);
  stream->head = *fields;
  stream->method = method;
  stream->ended = ends;
  stream->id = nghttp2_submit_request(s->ng, NULL, NULL, 0, ends ? NULL : &body, stream);
  if (stream->id > 0) return stream;
  h2_stream_shut(stream);
  h2_stream_release(stream);
  return NULL;
}

bool h2_stream_is_unsent(const struct h2_stream *stream, uint64_t written) {
  CHECK(!stream->session->config.is_server);
  return stream->head_at >= written;
}

/* Beyond the output's bound, if it has to be: what waited in nghttp2 took more. */
static void make_head(struct h2_stream *stream) {
  while (stream->head.items && h2_session_make_one(stream->session)) continue;
  stream->head.items = NULL;
}

void h2_stream_send_head(struct h2_stream *stream, const struct h2_fields *fields, bool is_interim,
                         bool ends) {
  struct h2_session *s = stream->session;
  CHECK_OBJ(stream, H2_STREAM_MAGIC);
  CHECK(s->config.is_server && fields->items && !stream->ended && !(is_interim && ends));
  if (!stream->is_open || stream->is_reset) return;
  nghttp2_data_provider body = body_of(stream);
  stream->head = *fields;
  if (is_interim) {
    nghttp2_submit_headers(s->ng, NGHTTP2_FLAG_NONE, stream->id, NULL, NULL, 0, NULL);
  } else {
    stream->ended = ends;
    nghttp2_submit_response(s->ng, stream->id, NULL, 0, ends ? NULL : &body);
  }
  make_head(stream);
}

static bool is_output_full(const struct h2_session *s) { return buf_len(&s->out) >= s->config.out_bytes; }

static void wait_for_room(struct h2_stream *stream) {
  list_remove(&stream->blocked_link);
  list_push_back(&stream->session->blocked, &stream->blocked_link);
}

bool h2_stream_takes_head(struct h2_stream *stream) {
  stream->waits_for_output = stream->is_open && !stream->is_reset && is_output_full(stream->session);
  if (stream->waits_for_output) wait_for_room(stream);
  return !stream->waits_for_output;
}

static size_t left_in(const struct h2_stream *stream) {
  size_t left = 0;
  for (unsigned i = 0; i < stream->part_count; i++) left += stream->parts[i].len;
  return left;
}

static void send_trailers(struct h2_stream *stream) {
  nghttp2_submit_trailer(stream->session->ng, stream->id, NULL, 0);
}

/* The end is the last bytes' own, if it is known with them. Trailers have a frame of theirs. */
static void end_in(struct h2_stream *stream, uint32_t *flags) {
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (!stream->last.count) return;
  *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  send_trailers(stream);
}

/* One nghttp2_session_mem_send makes all frames of a body that the windows allow: here it hears of the output. */
static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                       nghttp2_data_source *source, void *user) {
  struct h2_stream *stream = source->ptr;
  (void)ng, (void)id, (void)to, (void)user;
  CHECK_OBJ(stream, H2_STREAM_MAGIC);
  size_t left = left_in(stream), count = left < room ? left : room;
  bool ends = stream->part_count ? stream->write_ends && count == left : stream->ended;
  stream->is_deferred = (count && is_output_full(stream->session)) || (!count && !ends);
  if (stream->is_deferred) return NGHTTP2_ERR_DEFERRED;
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (ends) end_in(stream, flags);
  return (ssize_t)count;
}

int h2_stream_on_send(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *header, size_t length,
                      nghttp2_data_source *source, void *user) {
  struct h2_stream *stream = source->ptr;
  struct h2_session *s = user;
  (void)ng, (void)frame;
  h2_session_put(s, header, H2_FRAME_HEADER);
  if (length >= EARNING_BYTES || length == left_in(stream))
    h2_budget_earn(&s->budget, H2_COST_CONTROL, EARNED_BY_DATA);
  for (unsigned i = 0; length > 0; i++) {
    CHECK(i < stream->part_count);
    size_t count = stream->parts[i].len < length ? stream->parts[i].len : length;
    h2_session_put(s, stream->parts[i].ptr, count);
    stream->parts[i] = str_from(stream->parts[i], count);
    length -= count;
  }
  return 0;
}

static void resume(struct h2_stream *stream) {
  if (stream->is_deferred) nghttp2_session_resume_data(stream->session->ng, stream->id);
  stream->is_deferred = false;
}

size_t h2_stream_write(struct h2_stream *stream, struct str *parts, unsigned count, bool ends) {
  struct h2_session *s = stream->session;
  CHECK_OBJ(stream, H2_STREAM_MAGIC);
  CHECK(!stream->ended);
  if (!stream->is_open || stream->is_reset) return 0;
  stream->parts = parts;
  stream->part_count = count;
  stream->write_ends = ends;
  size_t before = left_in(stream);
  resume(stream);
  h2_session_make(s);
  size_t left = left_in(stream);
  stream->parts = NULL;
  stream->part_count = 0;
  list_remove(&stream->blocked_link);
  if (left) wait_for_room(stream);
  stream->ended = ends && !left;
  return before - left;
}

/* What is left of the output where that is less than a frame may be is not room: it is written soon, and then there is
 * more. */
static size_t room_in_output(const struct h2_session *s) {
  size_t used = buf_len(&s->out), most = s->config.out_bytes;
  return used == 0 || (used < most && most - used >= WHOLE_FRAME) ? most - used : 0;
}

size_t h2_stream_room(struct h2_stream *stream) {
  struct h2_session *s = stream->session;
  CHECK_OBJ(stream, H2_STREAM_MAGIC);
  if (!stream->is_open || stream->is_reset || stream->ended) return SIZE_MAX;
  int32_t of_stream = nghttp2_session_get_stream_remote_window_size(s->ng, stream->id);
  int32_t of_all = nghttp2_session_get_remote_window_size(s->ng);
  int32_t window = of_stream < of_all ? of_stream : of_all;
  size_t room = room_in_output(s);
  if (window <= 0) room = 0;
  if (!room) wait_for_room(stream);
  return (size_t)window < room ? (size_t)window : room;
}

static void keep_trailers(struct h2_stream *stream, const struct h2_fields *trailers) {
  struct arena *arena = &stream->own;
  stream->last.items = arena_alloc(arena, trailers->count * sizeof *trailers->items);
  for (unsigned i = 0; i < trailers->count; i++) {
    const struct h2_field *field = &trailers->items[i];
    stream->last.items[i] =
        (struct h2_field){arena_dup(arena, field->name), arena_dup(arena, field->value), field->is_sensitive};
  }
  stream->last.count = trailers->count;
}

bool h2_stream_is_shut(const struct h2_stream *stream) {
  nghttp2_session *ng = stream->session->ng;
  return nghttp2_session_get_stream_remote_window_size(ng, stream->id) <= 0 ||
         nghttp2_session_get_remote_window_size(ng) <= 0;
}

/* For body, or for a window. */
static bool waits(const struct h2_stream *stream) { return stream->is_deferred || h2_stream_is_shut(stream); }

/* nghttp2 holds an empty DATA back where the window is shut. Trailers are HEADERS, which no window stops: they go
 * without waiting for it. */
void h2_stream_end(struct h2_stream *stream, const struct h2_fields *trailers) {
  CHECK_OBJ(stream, H2_STREAM_MAGIC);
  CHECK(!stream->ended);
  stream->ended = true;
  if (!stream->is_open || stream->is_reset) return;
  if (trailers && trailers->count) keep_trailers(stream, trailers);
  if (stream->last.count && waits(stream))
    send_trailers(stream);
  else
    resume(stream);
}

void h2_stream_reset(struct h2_stream *stream, uint32_t code) {
  CHECK_OBJ(stream, H2_STREAM_MAGIC);
  if (stream->is_open && !stream->is_reset)
    nghttp2_submit_rst_stream(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id, code);
  stream->is_reset = true;
}

void h2_stream_blame(struct h2_stream *stream, uint32_t code, const char *why) {
  struct h2_session *s = stream->session;
  bool had_failed = s->failed;
  h2_stream_fault(stream, code, why);
  if (s->failed && !had_failed) nghttp2_session_terminate_session(s->ng, s->code);
}

/* --- the end ------------------------------------------------------------------------------------ */

/* What the user ended in good order goes out first, and is not torn off by its own RST_STREAM. */
static void let_go(struct h2_stream *stream) {
  struct h2_session *s = stream->session;
  if (!stream->is_open || stream->is_reset || (stream->ended && stream->peer_ended)) return;
  if (!stream->ended || !s->config.is_server) return h2_stream_reset(stream, H2_CANCEL);
  if (nghttp2_session_get_stream_local_close(s->ng, stream->id) == 1)
    return h2_stream_reset(stream, H2_NO_ERROR);
  stream->resets_when_sent = true;
}

void h2_stream_release(struct h2_stream *stream) {
  struct h2_session *s = stream->session;
  CHECK_OBJ(stream, H2_STREAM_MAGIC);
  CHECK(!stream->is_released);
  list_remove(&stream->news_link);
  list_remove(&stream->blocked_link);
  stream->news = 0;
  if (s->block_stream == stream) s->block_stream = NULL;
  drop_body(stream);
  let_go(stream);
  give_spare(s, stream->window - s->config.stream_window);
  stream->is_released = true;
  stream->owner = NULL;
  stream->head.items = NULL;
  stream->arena = &stream->own;
  CHECK(s->count > 0 && s->heads_held >= stream->head_bytes);
  s->count--;
  s->heads_held -= stream->head_bytes;
  stream->head_bytes = 0;
  if (!stream->is_open) h2_stream_forget(stream);
}

void h2_stream_forget(struct h2_stream *stream) {
  CHECK(!stream->is_open);
  if (!stream->is_released) {
    CHECK(!stream->is_known);
    h2_stream_release(stream); /* which comes back here */
    return;
  }
  list_remove(&stream->link);
  list_remove(&stream->news_link);
  list_remove(&stream->blocked_link);
  arena_free(&stream->own);
  OBJ_END(stream, H2_STREAM_MAGIC);
  piece_free(stream);
}
