// SPDX-License-Identifier: Apache-2.0
// streamed_answer: see the header. The hard problem is who may free whom: the writer is Lua, and what it writes may end
// the exchange, which frees the writer. So a call of the writer's only notes what it wants, and `on_turn`, from the
// loop, does it: one after the other, in the order in which they are safe. What is put goes behind the bytes that the
// relay looks at, never among them: these must not move while they are on their way.
#include "exchange/streamed_answer.h"

#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "exchange/describe.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "exchange/stream.h"
#include "exchange/walk.h"

enum { REHEARSED_MOST = 16 << 20 };

static struct streamed_answer *of(const struct exchange *x) { return x->rare ? x->rare->streamed : NULL; }

static void take_turn(struct streamed_answer *s) {
  if (!timer_is_set(&s->turn)) timer_set(&s->turn, 0);
}

/* Was all that was put before this one written? */
static bool is_empty(const struct streamed_answer *s) { return !buf_len(&s->in) && !buf_len(&s->next); }

static struct streamed_wait *first_wait(const struct streamed_answer *s) {
  return list_is_empty(&s->waits) ? NULL : LIST_ENTRY(s->waits.next, struct streamed_wait, link);
}

static bool is_served(const struct streamed_answer *s, const struct streamed_wait *wait) {
  if (s->is_closed) return true;
  return wait->is_flush ? is_empty(s) || s->is_rehearsed : !wait->rest.len;
}

/* Is what somebody waits for there? */
static bool is_due(const struct streamed_answer *s) {
  const struct streamed_wait *first = first_wait(s);
  if (s->state == WRITER_BEGINS) return s->has_left && (s->has_begun || s->is_closed);
  return first && is_served(s, first);
}

/* Has somebody text that waits? */
static bool has_rest(const struct streamed_answer *s) {
  LIST_EACH(node, &s->waits) {
    if (LIST_ENTRY(node, struct streamed_wait, link)->rest.len) return true;
  }
  return false;
}

/* Nobody reads any more. */
static void close_for_all(struct streamed_answer *s) {
  s->is_closed = true;
  timer_stop(&s->quiet);
  LIST_EACH(node, &s->waits) { LIST_ENTRY(node, struct streamed_wait, link)->rest = (struct str){0}; }
}

/* --- its turns -------------------------------------------------------------------------------------------- */

static bool has_news(const struct streamed_answer *s) {
  return buf_len(&s->in) || buf_len(&s->next) || s->is_finished || !list_is_empty(&s->waits);
}

/* What the writer has left to be done. The exchange may be gone afterwards. */
static void go_on(struct streamed_answer *s) {
  struct exchange *x = s->exchange;
  if (s->is_rehearsed) return;
  if (s->error && x->step < STEP_logging)
    exchange_fail(x, s->error);
  else if (s->wants && x->down.active && x->stream && has_news(s))
    transfer_down(x);
  else if (!streamed_answer_runs(x))
    exchange_run(x);
}

static void take_from_queue(struct streamed_wait *wait) {
  list_remove(&wait->link);
  wait->rest = (struct str){0};
}

/* One after the other: the first may put again, and is the last then. Who is woken may end itself, or others of the
 * queue, but neither frees the exchange at once. */
static void wake_served(struct streamed_answer *s) {
  for (struct streamed_wait *first; (first = first_wait(s)) && is_served(s, first);) {
    take_from_queue(first);
    first->wake(first, s->is_closed);
  }
}

static void wake_writer(struct streamed_wait *own, bool is_closed) {
  (void)is_closed;
  struct streamed_answer *s = CONTAINER_OF(own, struct streamed_answer, own);
  s->state = WRITER_WORKS;
  s->writer->wake(s->owner);
}

static void on_turn(struct timer *timer) {
  struct streamed_answer *s = CONTAINER_OF(timer, struct streamed_answer, turn);
  if (s->state == WRITER_BEGINS && !s->has_left) {
    s->has_left = true;
    s->writer->leave(s->owner);
    return;
  }
  if (s->error) close_for_all(s);
  if (s->state == WRITER_BEGINS && is_due(s)) wake_writer(&s->own, s->is_closed);
  wake_served(s);
  if (s->is_closed) streamed_answer_cut(s->exchange); /* it has seen that, or does not look */
  go_on(s);
}

/* Nobody else can say why. From the next turn on it is a failure of the exchange. */
static __attribute__((cold)) void end_short(struct streamed_answer *s, enum error error, const char *why) {
  char request[DESCRIBE_BYTES];
  log_about(LOG_ERROR, str_of(why), "an answer ends short: %s%s", why,
            exchange_describe(s->exchange, request));
  s->error = error;
  take_turn(s);
}

/* Nobody has put anything for as long as it may stay open; or the client is slow, which has a time of its own. */
static void on_quiet(struct timer *timer) {
  struct streamed_answer *s = CONTAINER_OF(timer, struct streamed_answer, quiet);
  bool is_slow = !s->is_rehearsed && (!is_empty(s) || !list_is_empty(&s->waits));
  if (is_slow)
    timer_set(&s->quiet, s->open_ms);
  else
    end_short(s, ERROR_SCRIPT_TIMEOUT,
              "it was left open, and nothing was sent for the time that it may stay so");
}

/* --- the writer ------------------------------------------------------------------------------------------- */

struct streamed_answer *streamed_answer_begin(struct exchange *x, const struct streamed_writer *writer,
                                              void *owner) {
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  CHECK(x->answer && !streamed_answer_runs(x));
  struct rare *rare = exchange_rare(x);
  streamed_answer_end(rare->streamed);
  rare->streamed = arena_zalloc(&x->arena, sizeof *rare->streamed);
  struct streamed_answer *s = rare->streamed;
  s->exchange = x;
  s->writer = writer;
  s->owner = owner;
  s->own.wake = wake_writer;
  s->has_length = x->answer->has_length;
  s->left = x->answer->length;
  x->answer->is_streamed = true;
  list_init(&s->waits);
  list_init(&s->own.link);
  timer_init(&s->turn, x->proxy->loop, on_turn);
  timer_init(&s->quiet, x->proxy->loop, on_quiet);
  take_turn(s);
  return s;
}

/* A client that has many streams, of which it takes nothing for now, has less of each. */
static size_t most_that_waits(const struct streamed_answer *s) {
  const struct stream *stream = s->exchange->stream;
  size_t room, most = 2 * STREAMED_MOST;
  if (s->is_rehearsed) return REHEARSED_MOST;
  if (!stream || !stream->codec->share) return STREAMED_MOST;
  size_t share = stream->codec->share(stream, &room);
  if (room > share) share = room;
  return share < most ? share : most;
}

static size_t room_for(const struct streamed_answer *s, size_t bytes) {
  size_t most = most_that_waits(s), used = buf_len(&s->next);
  size_t room = used < most ? most - used : 0;
  return room < bytes ? room : bytes;
}

/* What there is room for. */
static void take(struct streamed_answer *s, struct str *text) {
  size_t bytes = room_for(s, text->len);
  if (s->is_rehearsed) s->exchange->down.bytes += bytes;
  if (bytes) buf_reserve_tight(&s->next, bytes);
  if (bytes) buf_append(&s->next, text->ptr, bytes);
  *text = str_from(*text, bytes);
}

/* Something is put, or is about to be. */
static void note_put(struct streamed_answer *s, size_t bytes) {
  if (s->has_length) s->left -= bytes;
  if (timer_is_set(&s->quiet)) timer_set(&s->quiet, s->open_ms);
}

static void queue(struct streamed_answer *s, struct streamed_wait *wait, struct str rest, bool is_flush) {
  wait->of = s;
  wait->rest = rest;
  wait->is_flush = is_flush;
  list_push_back(&s->waits, &wait->link);
}

bool streamed_answer_put_beside(struct streamed_answer *s, struct str text, struct streamed_wait *wait) {
  CHECK(!s->is_finished || !text.len);
  CHECK(!s->has_length || text.len <= s->left);
  if (s->is_closed || !text.len) return true;
  size_t length = text.len;
  note_put(s, length);
  if (list_is_empty(&s->waits)) take(s, &text);
  if (s->wants) take_turn(s);
  if (!text.len) return true;
  queue(s, wait, text, false);
  wait->is_begun = text.len < length;
  return false;
}

bool streamed_answer_flush_beside(struct streamed_answer *s, struct streamed_wait *wait) {
  bool is_done = is_empty(s) && list_is_empty(&s->waits);
  if (is_done || s->is_closed || s->is_rehearsed) return true;
  queue(s, wait, (struct str){0}, true);
  return false;
}

static bool writer_waits(struct streamed_answer *s, bool is_done) {
  if (!is_done) s->state = WRITER_WAITS;
  return is_done;
}

bool streamed_answer_put(struct streamed_answer *s, struct str text) {
  CHECK(s->state == WRITER_WORKS);
  return writer_waits(s, streamed_answer_put_beside(s, text, &s->own));
}

bool streamed_answer_flush(struct streamed_answer *s) {
  CHECK(s->state == WRITER_WORKS);
  return writer_waits(s, streamed_answer_flush_beside(s, &s->own));
}

/* The writer is over. */
static void forget(struct streamed_answer *s) {
  s->state = WRITER_OVER;
  take_from_queue(&s->own);
}

/* Half a piece, with another one behind it, would be told apart by no client. */
void streamed_wait_leave(struct streamed_wait *wait, bool is_lost) {
  struct streamed_answer *s = wait->of;
  if (list_is_empty(&wait->link)) return;
  struct str rest = wait->rest;
  take_from_queue(wait);
  if (!rest.len || s->error) return;
  if (wait->is_begun && !is_lost)
    buf_append(&s->next, rest.ptr, rest.len);
  else if (wait->is_begun || s->has_length)
    end_short(s, ERROR_SCRIPT, "a task that waited in session:send was stopped");
}

void streamed_answer_stop_waiting(struct streamed_answer *s, bool is_lost) {
  if (s->state == WRITER_WAITS) {
    s->state = WRITER_WORKS;
    streamed_wait_leave(&s->own, is_lost);
  } else if (s->state == WRITER_BEGINS) {
    streamed_answer_over(s, ERROR_NONE);
  }
}

void streamed_answer_finish(struct streamed_answer *s, struct headers *trailers) {
  if (!s->is_finished) s->trailers = trailers;
  s->is_finished = true;
  timer_stop(&s->quiet);
  if (s->wants) take_turn(s);
}

void streamed_answer_leave_open(struct streamed_answer *s, unsigned ms) {
  s->open_ms = ms;
  if (s->state == WRITER_OVER && !s->is_finished) timer_set(&s->quiet, ms);
}

void streamed_answer_over(struct streamed_answer *s, enum error error) {
  bool stays_open = s->open_ms && !s->is_finished && !s->is_closed && error == ERROR_NONE;
  forget(s);
  s->error = error;
  if (stays_open) timer_set(&s->quiet, s->open_ms);
  if (!stays_open) s->is_finished = true;
  take_turn(s);
}

bool streamed_answer_is_shared(const struct streamed_answer *s) {
  return s->has_begun || s->is_closed || s->is_rehearsed;
}

/* --- the walk --------------------------------------------------------------------------------------------- */

bool streamed_answer_runs(const struct exchange *x) {
  const struct streamed_answer *s = of(x);
  return s && (s->state != WRITER_OVER || (s->open_ms && !s->is_finished && s->error == ERROR_NONE));
}

void streamed_answer_cut(struct exchange *x) {
  struct streamed_answer *s = of(x);
  if (!streamed_answer_runs(x)) return;
  bool has_writer = s->state != WRITER_OVER;
  forget(s);
  close_for_all(s);
  s->is_finished = true;
  if (has_writer) s->writer->end(s->owner);
  take_turn(s);
}

void streamed_answer_give_up(struct exchange *x) {
  struct streamed_answer *s = of(x);
  if (!streamed_answer_runs(x)) return;
  close_for_all(s);
  if (s->state == WRITER_BEGINS || s->state == WRITER_WAITS)
    take_turn(s);
  else
    streamed_answer_cut(x);
}

/* --- the content ------------------------------------------------------------------------------------------ */

/* What waits takes its room, in its order; behind who flushes, nobody does before that is done. */
static void take_rests(struct streamed_answer *s) {
  LIST_EACH(node, &s->waits) {
    struct streamed_wait *wait = LIST_ENTRY(node, struct streamed_wait, link);
    if (wait->is_flush) return;
    size_t length = wait->rest.len;
    take(s, &wait->rest);
    if (wait->rest.len < length) wait->is_begun = true;
    if (wait->rest.len) return;
  }
}

static void move_on(struct streamed_answer *s) {
  struct buf empty = s->in;
  s->in = s->next;
  s->next = empty;
  take_rests(s);
  if (is_due(s)) take_turn(s);
}

static enum io read_text(struct source *source, struct trailers *trailers) {
  struct streamed_answer *s = source->of;
  if (!buf_len(&s->in)) move_on(s);
  if (!buf_len(&s->in)) move_on(s); /* `next` was empty, and has the first of what waits now */
  if (s->error) return IO_ERROR;
  if (s->is_finished && !buf_len(&s->next) && !has_rest(s)) {
    trailers->fields = s->trailers;
    return IO_EOF;
  }
  return buf_len(&s->in) ? IO_OK : IO_AGAIN;
}

/* One that waits for the next event holds no memory. */
static void use_text(struct source *source, size_t bytes) {
  struct streamed_answer *s = source->of;
  buf_consume(&s->in, bytes);
  if (!buf_len(&s->in)) buf_release(&s->in);
  if (is_due(s)) take_turn(s);
}

static void want_text(struct source *source, bool on) {
  struct streamed_answer *s = source->of;
  s->wants = on;
  if (on && has_news(s)) take_turn(s);
}

static bool goes_on(const struct source *source) { return !is_empty(source->of); }

static const struct source_ops source_ops = {read_text, use_text, want_text, NULL, goes_on};

struct source streamed_answer_source(struct streamed_answer *s) {
  s->has_begun = true;
  take_turn(s);
  return (struct source){.ops = &source_ops, .of = s, .in = &s->in};
}

void streamed_answer_rehearse(struct streamed_answer *s) {
  s->has_begun = s->is_rehearsed = true;
  if (s->exchange->request.method == METHOD_HEAD) streamed_answer_cut(s->exchange);
  take_turn(s);
}

struct str streamed_answer_text(const struct streamed_answer *s) {
  return buf_len(&s->next) ? buf_str(&s->next) : (struct str){"", 0};
}

void streamed_answer_end(struct streamed_answer *s) {
  if (!s) return;
  CHECK(s->state == WRITER_OVER);
  close_for_all(s);
  wake_served(s);
  timer_stop(&s->turn);
  buf_release(&s->in);
  buf_release(&s->next);
}
