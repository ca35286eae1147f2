// SPDX-License-Identifier: Apache-2.0
// h2_session: the life of an HTTP/2 connection. The one hard problem is that neither nghttp2_session_mem_recv nor
// nghttp2_session_mem_send may be called from a callback of the other: callbacks (http/h2_receive, http/h2_stream) only
// note and submit, and the user's calls come in between.
#include <stdlib.h>

#include "base/memory.h"
#include "http/h2_parts.h"

enum {
  ACKS_MOST = 1000, /* answers to PING and SETTINGS that wait for the wire: beyond, the other side floods */
  LAST_IDS = 1000,  /* of a client, at the end of all ids: time for a new connection */
  FIRST_WINDOW = 65535, /* RFC 9113 section 6.9.2 */
};

const char *h2_code_name(uint32_t code) {
  return code < H2_CODES ? nghttp2_http2_strerror(code) : "unknown error code";
}

/* nghttp2 fails here for want of memory only, for which there is one answer in this program. */
static void must(int result) {
  if (result != 0) abort();
}

static void wake_up(struct h2_session *s);
static void wake_streams(struct h2_session *s);

static nghttp2_session *new_nghttp2(struct h2_session *s) {
  nghttp2_session *ng;
  nghttp2_option *option = NULL;
  nghttp2_session_callbacks *callbacks = h2_callbacks_new();
  must(callbacks ? nghttp2_option_new(&option) : -1);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_http_messaging(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_outbound_ack(option, ACKS_MOST);
  nghttp2_option_set_peer_max_concurrent_streams(option, s->config.streams);
  nghttp2_mem mem = h2_memory_begin(&s->memory);
  must(s->config.is_server ? nghttp2_session_server_new3(&ng, callbacks, s, option, &mem)
                           : nghttp2_session_client_new3(&ng, callbacks, s, option, &mem));
  h2_memory_born(&s->memory);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  return ng;
}

static void send_settings(struct h2_session *s) {
  nghttp2_settings_entry entries[6];
  size_t count = 0;
#define PUT(id, number)                                                                                      \
  entries[count++] = (nghttp2_settings_entry) { NGHTTP2_SETTINGS_##id, (uint32_t)(number) }
  if (s->config.is_server) {
    PUT(MAX_CONCURRENT_STREAMS, UINT32_MAX);
    PUT(NO_RFC7540_PRIORITIES, 1);
    if (s->config.connect_protocol) PUT(ENABLE_CONNECT_PROTOCOL, 1);
  } else {
    PUT(ENABLE_PUSH, 0);
  }
  PUT(INITIAL_WINDOW_SIZE, s->config.stream_window);
  PUT(MAX_HEADER_LIST_SIZE, s->config.head.head_bytes);
#undef PUT
  must(nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, entries, count));
  must(nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0,
                                             (int32_t)s->config.connection_window));
}

/* nghttp2 would end the connection of a client that has one stream too many. It is refused alone (h2_receive.c): so it
 * hears of no limit, and the client, in the first of the SETTINGS that were just made, of the one that there is. */
static void announce_streams(struct h2_session *s) {
  enum { VALUE_AT = H2_FRAME_HEADER + 2 };
  CHECK(buf_len(&s->out) > VALUE_AT + 4);
  for (int i = 0; i < 4; i++) buf_ptr(&s->out)[VALUE_AT + i] = (char)(s->config.streams >> (24 - 8 * i));
}

struct h2_session *h2_session_new(const struct h2_config *config, uint64_t now_ms) {
  struct h2_session *s = memory_zalloc(sizeof *s);
  CHECK(config->held_bytes <= INT32_MAX && config->connection_window <= INT32_MAX && config->out_bytes > 0);
  CHECK(config->stream_window <= INT32_MAX);
  s->config = *config;
  if (!config->connection_window) s->config.connection_window = (uint32_t)config->held_bytes;
  list_init(&s->streams);
  list_init(&s->news);
  list_init(&s->blocked);
  h2_budget_begin(&s->budget, config->allowances, now_ms);
  OBJ_INIT(s, H2_SESSION_MAGIC);
  s->preface_left = config->is_server ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
  s->peer_window = FIRST_WINDOW;
  if (!config->is_server) h2_decoder_keep_repeats(&s->decoder);
  s->ng = new_nghttp2(s);
  send_settings(s);
  h2_session_send(s);
  if (config->is_server) announce_streams(s);
  return s;
}

void h2_session_free(struct h2_session *s) {
  LIST_EACH(node, &s->streams) {
    struct h2_stream *stream = LIST_ENTRY(node, struct h2_stream, link);
    CHECK(stream->is_released || !stream->is_known);
    h2_stream_shut(stream);
    h2_stream_forget(stream);
  }
  wake_up(s);
  nghttp2_session_del(s->ng);
  h2_memory_end(&s->memory);
  h2_encoder_free(&s->encoder);
  h2_decoder_free(&s->decoder);
  buf_release(&s->arriving.parts);
  buf_release(&s->out);
  OBJ_END(s, H2_SESSION_MAGIC);
  free(s);
}

/* --- bytes in, bytes out ----------------------------------------------------------------------- */

void h2_session_fail(struct h2_session *s, uint32_t code, const char *why) {
  if (s->failed) return;
  s->failed = true;
  s->code = code;
  s->why = why;
}

void h2_session_spend(struct h2_session *s, enum h2_cost cost, const char *why) {
  if (!h2_budget_spend(&s->budget, cost, s->now_ms)) h2_session_fail(s, H2_ENHANCE_YOUR_CALM, why);
}

/* Of an error that nghttp2 did not answer itself. What is no HTTP/2 at all gets no GOAWAY (section 3.4). */
static void end_by(struct h2_session *s, int error) {
  if (error == NGHTTP2_ERR_NOMEM) abort();
  if (error == NGHTTP2_ERR_BAD_CLIENT_MAGIC) h2_session_fail(s, H2_PROTOCOL_ERROR, "no HTTP/2 preface");
  if (error == NGHTTP2_ERR_FLOODED)
    h2_session_fail(s, H2_ENHANCE_YOUR_CALM, "answers that nobody reads pile up");
  h2_session_fail(s, H2_INTERNAL_ERROR, nghttp2_strerror(error));
  nghttp2_session_terminate_session(s->ng, s->code);
}

void h2_session_feed(struct h2_session *s, const uint8_t *bytes, size_t count) {
  ssize_t taken = nghttp2_session_mem_recv(s->ng, bytes, count);
  if (taken < 0) end_by(s, (int)taken);
}

/* Of a client: what comes before its frames (section 3.4). */
static void take_preface(struct h2_session *s, const uint8_t **bytes, size_t *count) {
  unsigned taken = *count < s->preface_left ? (unsigned)*count : s->preface_left;
  h2_session_feed(s, *bytes, taken);
  s->preface_left -= taken;
  *bytes += taken;
  *count -= taken;
}

/* Frame by frame: each is looked at when nghttp2 knows all before it. */
static void take_frame(struct h2_session *s, const uint8_t **bytes, size_t *count) {
  struct h2_piece piece = h2_walk_step(&s->walk, bytes, count);
  if (!piece.count) return;
  bool is_passed = !piece.begins || h2_inspect(s, &piece.head);
  if (!s->failed && s->is_in_head_frame)
    h2_blocks_take(s, &piece);
  else if (!s->failed && is_passed)
    return h2_session_feed(s, piece.bytes, piece.count);
  if (s->failed) nghttp2_session_terminate_session(s->ng, s->code);
}

bool h2_session_receive(struct h2_session *s, const char *bytes, size_t count, uint64_t now_ms) {
  CHECK_OBJ(s, H2_SESSION_MAGIC);
  const uint8_t *at = (const uint8_t *)bytes;
  wake_up(s);
  s->now_ms = now_ms;
  if (!s->failed && s->preface_left) take_preface(s, &at, &count);
  while (!s->failed && count) take_frame(s, &at, &count);
  return h2_session_send(s);
}

bool h2_session_send(struct h2_session *s) {
  wake_up(s);
  s->may_wake = true;
  return h2_session_make(s);
}

struct h2_stream *h2_session_next(struct h2_session *s, unsigned *news) {
  CHECK_OBJ(s, H2_SESSION_MAGIC);
  if (s->may_wake) wake_streams(s);
  if (list_is_empty(&s->news)) return NULL;
  struct h2_stream *stream = LIST_ENTRY(s->news.next, struct h2_stream, news_link);
  CHECK_OBJ(stream, H2_STREAM_MAGIC);
  list_remove(&stream->news_link);
  *news = stream->news;
  stream->news = 0;
  stream->is_seen = buf_len(&stream->in) > 0;
  return stream;
}

struct h2_stream *h2_session_peek(const struct h2_session *s) {
  return list_is_empty(&s->news) ? NULL : LIST_ENTRY(s->news.next, struct h2_stream, news_link);
}

size_t h2_session_rest(struct h2_session *s) {
  CHECK_OBJ(s, H2_SESSION_MAGIC);
  bool is_idle = s->config.is_server && list_is_empty(&s->streams) && !s->block_stream && !buf_len(&s->out);
  if (!is_idle || !s->ng || nghttp2_session_want_write(s->ng)) return 0;
  size_t given = h2_memory_rest(&s->memory);
  if (!given) return 0;
  s->resting = s->ng;
  s->ng = NULL;
  return given;
}

/* Before whatever asks nghttp2. Where there are streams it is awake. */
static void wake_up(struct h2_session *s) {
  if (s->ng) return;
  h2_memory_wake(&s->memory);
  s->ng = s->resting;
}

/* Fields that are whole lie in the stream's arena, the one that is coming in with nghttp2. */
size_t h2_session_part_of_head(const struct h2_session *s) {
  bool is_part = s->is_in_block || (s->is_in_head_frame && s->walk.left);
  if (!is_part) return 0;
  return s->block_bytes + (s->block_stream ? s->block->head.bytes : 0) + 1;
}

bool h2_session_is_over(const struct h2_session *s) {
  if (buf_len(&s->out)) return false;
  if (s->failed) return true;
  return s->ng && !nghttp2_session_want_read(s->ng) && !nghttp2_session_want_write(s->ng);
}

uint32_t h2_session_fault(const struct h2_session *s, const char **why, bool *by_peer) {
  *why = s->why;
  *by_peer = s->by_peer;
  return s->code;
}

/* --- windows ----------------------------------------------------------------------------------- */

/* What waits beyond held_bytes is owed, and nothing else. */
static void settle(struct h2_session *s) {
  size_t kept = s->held > s->config.held_bytes ? s->held - s->config.held_bytes : 0;
  if (s->owed <= kept) return;
  nghttp2_session_consume_connection(s->ng, s->owed - kept);
  s->owed = kept;
}

void h2_session_hold(struct h2_session *s, size_t bytes) {
  s->held += bytes;
  s->owed += bytes;
  settle(s);
}

void h2_session_let_in(struct h2_session *s, size_t bytes) {
  CHECK(bytes <= s->held);
  s->held -= bytes;
  settle(s);
}

/* As that of a stream: who has shown that its bodies are used may have more of them on their way. */
static void widen(struct h2_session *s) {
  uint32_t window = s->config.connection_window, most = s->config.connection_most;
  if (window >= most || s->held > window / 2 || s->used < 2 * (uint64_t)window) return;
  uint32_t wider = window > most / 2 ? most : 2 * window;
  s->used = 0;
  if (nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)wider) == 0)
    s->config.connection_window = wider;
}

void h2_session_use(struct h2_session *s, size_t bytes) {
  h2_session_let_in(s, bytes);
  s->used += bytes;
  widen(s);
}

/* The streams that h2_stream_write kept waiting, in the order in which they came to wait, so that each gets its turn.
 * Once for each piece of room: one that still cannot write (nghttp2 may be about to end) waits for the next. */
static void wake_streams(struct h2_session *s) {
  s->may_wake = false;
  if (list_is_empty(&s->blocked) || buf_len(&s->out) > s->config.out_bytes / 2) return;
  bool is_shut = nghttp2_session_get_remote_window_size(s->ng) <= 0;
  LIST_EACH(node, &s->blocked) {
    struct h2_stream *stream = LIST_ENTRY(node, struct h2_stream, blocked_link);
    bool needs_window = stream->is_open && !stream->waits_for_output;
    if (needs_window && (is_shut || nghttp2_session_get_stream_remote_window_size(s->ng, stream->id) <= 0))
      continue;
    stream->waits_for_output = false;
    list_remove(node);
    if (stream->is_open) h2_stream_tell(stream, H2_NEWS_ROOM);
  }
}

/* --- the end ----------------------------------------------------------------------------------- */

void h2_session_announce_end(struct h2_session *s) {
  wake_up(s);
  if (s->config.is_server) nghttp2_submit_shutdown_notice(s->ng);
}

void h2_session_end(struct h2_session *s, enum h2_code code) {
  wake_up(s);
  s->is_leaving = true;
  if (code == H2_NO_ERROR)
    nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s->ng), code,
                          NULL, 0);
  else
    nghttp2_session_terminate_session(s->ng, code);
}

/* Nothing is received any more. */
static void drop_part_of_head(struct h2_session *s) {
  struct h2_stream *stream = s->block_stream;
  if (stream && !stream->is_known) arena_free(&stream->own);
  s->block_stream = NULL;
  s->block_bytes = 0;
  s->is_in_block = s->is_in_head_frame = false;
}

void h2_session_blame(struct h2_session *s, enum h2_code code, const char *why) {
  wake_up(s);
  h2_session_fail(s, code, why);
  drop_part_of_head(s);
  nghttp2_session_terminate_session(s->ng, s->code);
}

void h2_session_ping(struct h2_session *s) {
  wake_up(s);
  nghttp2_submit_ping(s->ng, NGHTTP2_FLAG_NONE, NULL);
}

unsigned h2_session_pongs(const struct h2_session *s) { return s->pongs; }

/* --- a client's side --------------------------------------------------------------------------- */

unsigned h2_session_streams(const struct h2_session *s) { return s->count; }

uint32_t h2_session_limit(const struct h2_session *s, bool *is_settled) {
  *is_settled = s->has_settings;
  if (!s->has_settings) return 0;
  return nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool h2_session_takes_connect(const struct h2_session *s) {
  if (!s->has_settings) return false;
  return nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

bool h2_session_is_leaving(const struct h2_session *s) {
  return s->failed || s->is_left || s->is_leaving || !nghttp2_session_check_request_allowed(s->ng) ||
         nghttp2_session_get_next_stream_id(s->ng) >= (uint32_t)INT32_MAX - LAST_IDS;
}

unsigned h2_session_room(const struct h2_session *s) {
  bool is_settled;
  uint32_t most = h2_session_limit(s, &is_settled);
  if (!is_settled) most = s->config.streams;
  return s->count < most && !h2_session_is_leaving(s) ? most - s->count : 0;
}
