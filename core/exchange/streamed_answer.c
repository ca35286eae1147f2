// SPDX-License-Identifier: Apache-2.0
// streamed_answer: see the header. The hard problem is who may free whom: the writer is Lua, and what it writes may end
// the exchange, which frees the writer. So a call of the writer's only notes what it wants, and `on_turn`, from the
// loop, does it: one after the other, in the order in which they are safe. What is put goes behind the bytes that the
// relay looks at, never among them: these must not move while they are on their way.
#include "exchange/streamed_answer.h"

#include "base/check.h"
#include "base/container.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "exchange/walk.h"

enum { REHEARSED_MOST = 16 << 20 };

static struct streamed_answer *of(const struct exchange *x) { return x->rare ? x->rare->streamed : NULL; }

static void take_turn(struct streamed_answer *s) {
  if (!timer_is_set(&s->turn)) timer_set(&s->turn, 0);
}

static bool is_empty(const struct streamed_answer *s) {
  return !buf_len(&s->in) && !buf_len(&s->next) && !s->rest.len;
}

/* Is what the writer waits for there? */
static bool is_due(const struct streamed_answer *s) {
  switch (s->state) {
  case WRITER_BEGINS: return s->has_left && (s->has_begun || s->is_closed);
  case WRITER_ROOM: return !s->rest.len || s->is_closed;
  case WRITER_EMPTY: return is_empty(s) || s->is_rehearsed || s->is_closed;
  case WRITER_WORKS:
  case WRITER_OVER: break;
  }
  return false;
}

/* --- its turns -------------------------------------------------------------------------------------------- */

static bool has_news(const struct streamed_answer *s) {
  return buf_len(&s->in) || buf_len(&s->next) || s->is_finished;
}

/* What the writer has left to be done. The exchange may be gone afterwards. */
static void go_on(struct streamed_answer *s) {
  struct exchange *x = s->exchange;
  if (s->is_rehearsed) return;
  if (s->error && x->step < STEP_logging)
    exchange_fail(x, s->error);
  else if (s->wants && x->down.active && x->stream && has_news(s))
    transfer_down(x);
  else if (s->state == WRITER_OVER)
    exchange_run(x);
}

static void on_turn(struct timer *timer) {
  struct streamed_answer *s = CONTAINER_OF(timer, struct streamed_answer, turn);
  if (s->state == WRITER_BEGINS && !s->has_left) {
    s->has_left = true;
    s->writer->leave(s->owner);
    return;
  }
  if (is_due(s)) {
    s->state = WRITER_WORKS;
    s->writer->wake(s->owner);
  }
  if (s->is_closed) streamed_answer_cut(s->exchange); /* it has seen that, or does not look */
  go_on(s);
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
  x->answer->is_streamed = true;
  timer_init(&s->turn, x->proxy->loop, on_turn);
  take_turn(s);
  return s;
}

static size_t room_for(const struct streamed_answer *s, size_t bytes) {
  size_t most = s->is_rehearsed ? REHEARSED_MOST : STREAMED_MOST, used = buf_len(&s->next);
  size_t room = used < most ? most - used : 0;
  return room < bytes ? room : bytes;
}

/* What there is room for. */
static void take(struct streamed_answer *s, struct str *text) {
  size_t bytes = room_for(s, text->len);
  if (s->is_rehearsed) s->exchange->down.bytes += bytes;
  if (bytes) buf_append(&s->next, text->ptr, bytes);
  *text = str_from(*text, bytes);
}

bool streamed_answer_put(struct streamed_answer *s, struct str text) {
  CHECK(s->state == WRITER_WORKS && !s->is_finished);
  if (s->is_closed) return true;
  take(s, &text);
  if (s->wants) take_turn(s);
  if (!text.len) return true;
  s->rest = text;
  s->state = WRITER_ROOM;
  return false;
}

bool streamed_answer_flush(struct streamed_answer *s) {
  CHECK(s->state == WRITER_WORKS);
  if (is_empty(s) || s->is_closed || s->is_rehearsed) return true;
  s->state = WRITER_EMPTY;
  return false;
}

void streamed_answer_forget(struct streamed_answer *s) {
  s->state = WRITER_OVER;
  s->rest = (struct str){0};
}

void streamed_answer_finish(struct streamed_answer *s) {
  s->is_finished = true;
  if (s->wants) take_turn(s);
}

void streamed_answer_over(struct streamed_answer *s, enum error error) {
  streamed_answer_forget(s);
  s->error = error;
  s->is_finished = true;
  take_turn(s);
}

/* --- the walk --------------------------------------------------------------------------------------------- */

bool streamed_answer_runs(const struct exchange *x) {
  const struct streamed_answer *s = of(x);
  return s && s->state != WRITER_OVER;
}

void streamed_answer_cut(struct exchange *x) {
  struct streamed_answer *s = of(x);
  if (!streamed_answer_runs(x)) return;
  streamed_answer_forget(s);
  s->is_closed = s->is_finished = true;
  s->writer->end(s->owner);
  take_turn(s);
}

void streamed_answer_give_up(struct exchange *x) {
  struct streamed_answer *s = of(x);
  if (!streamed_answer_runs(x)) return;
  s->is_closed = true;
  s->rest = (struct str){0};
  if (s->state == WRITER_WORKS)
    streamed_answer_cut(x);
  else
    take_turn(s);
}

/* --- the content ------------------------------------------------------------------------------------------ */

static enum io read_text(struct source *source, struct trailers *trailers) {
  struct streamed_answer *s = source->of;
  (void)trailers;
  if (!buf_len(&s->in)) {
    struct buf empty = s->in;
    s->in = s->next;
    s->next = empty;
    take(s, &s->rest);
    if (is_due(s)) take_turn(s);
  }
  if (s->error) return IO_ERROR;
  if (s->is_finished && !buf_len(&s->next) && !s->rest.len) return IO_EOF;
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

static const struct source_ops source_ops = {read_text, use_text, want_text, NULL};

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
  timer_stop(&s->turn);
  buf_release(&s->in);
  buf_release(&s->next);
}
