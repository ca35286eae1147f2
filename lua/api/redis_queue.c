// SPDX-License-Identifier: Apache-2.0
// redis_queue: the commands of a link in the order in which they were sent, and the replies, which come in that
// order. The hard problem is that waking a task runs Lua, which may send commands or release the link. So the command
// is removed from the queue before, and is not used after that.
#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "base/memory.h"
#include "lua/api/redis.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"

enum { SPARE_MOST = 64 };

static void on_due(struct timer *timer);

/* --- commands ------------------------------------------------------------------------------------------- */

static struct redis_command *make(struct redis_link *l) {
  struct redis_command *c;
  if (list_is_empty(&l->queue.spare)) {
    c = memory_zalloc(sizeof *c);
    c->owner = l;
    list_init(&c->link);
    timer_init_patient(&c->timer, l->vm->host.loop, on_due);
  } else {
    c = LIST_ENTRY(l->queue.spare.next, struct redis_command, link);
    list_remove(&c->link);
    l->queue.spare_count--;
  }
  c->task = NULL;
  c->is_probe = c->is_long = false;
  c->begun_us = loop_now_us(l->vm->host.loop);
  return c;
}

static void dispose(struct redis_command *c) {
  list_remove(&c->link);
  timer_stop(&c->timer);
  free(c);
}

static void give_back(struct redis_command *c) {
  struct redis_queue *q = &c->owner->queue;
  if (q->spare_count == SPARE_MOST) {
    dispose(c);
    return;
  }
  list_remove(&c->link);
  list_push_front(&q->spare, &c->link);
  q->spare_count++;
}

static struct redis_command *first(struct redis_link *l) {
  return LIST_ENTRY(l->queue.commands.next, struct redis_command, link);
}

static bool is_sending(const struct redis_link *l) { return l->state == REDIS_READY && !l->health.is_stale; }

/* --- adding --------------------------------------------------------------------------------------------- */

static void append(struct redis_link *l, struct redis_command *c, struct str bytes) {
  struct redis_queue *q = &l->queue;
  list_push_back(&q->commands, &c->link);
  q->count++;
  if (is_sending(l)) {
    q->sent++;
    buf_append_str(&q->out, bytes);
    redis_link_send(l);
  } else {
    buf_append_str(&q->held, bytes);
  }
}

static struct redis_command *refuse(struct redis_link *l, struct task *task, enum redis_outcome outcome) {
  l->told = (struct redis_told){.task = task, .outcome = outcome};
  metric_add(l->results[outcome], 1);
  if (outcome == REDIS_BUSY) redis_link_fault(l, outcome, l->why);
  return NULL;
}

static bool has_room(struct redis_link *l, size_t bytes) {
  size_t waiting = buf_len(&l->queue.out) + buf_len(&l->queue.held);
  if (l->queue.count >= l->options.queue) {
    snprintf(l->why, sizeof l->why, "%u commands wait already", l->queue.count);
    return false;
  }
  if (waiting + bytes <= l->options.queue_bytes) return true;
  snprintf(l->why, sizeof l->why, "%zu bytes wait to be sent, and there may be %zu", waiting + bytes,
           l->options.queue_bytes);
  return false;
}

struct redis_command *redis_queue_add(struct redis_link *l, struct task *task, struct str bytes,
                                      unsigned replies, unsigned timeout_ms) {
  if (!redis_link_wanted(l)) return refuse(l, task, REDIS_DOWN);
  if (!has_room(l, bytes.len)) return refuse(l, task, REDIS_BUSY);
  struct redis_command *c = make(l);
  c->task = task;
  c->replies = replies;
  timer_set(&c->timer, timeout_ms);
  append(l, c, bytes);
  return c;
}

void redis_queue_probe(struct redis_link *l) {
  struct redis_command *c = make(l);
  c->is_probe = true;
  c->replies = 1;
  append(l, c, STR("*1\r\n$4\r\nPING\r\n"));
}

void redis_queue_release(struct redis_link *l) {
  struct redis_queue *q = &l->queue;
  CHECK(q->sent == 0 && buf_len(&q->out) == 0);
  buf_release(&q->out);
  q->out = q->held;
  q->held = (struct buf){0};
  q->sent = q->count;
  if (q->sent) redis_link_send(l);
}

/* --- telling -------------------------------------------------------------------------------------------- */

/* Wakes the task of a command that is told something, if there is one still: the last thing done with the command. */
static void tell(struct redis_link *l, struct task *task, const struct redis_told *told) {
  if (!task) return;
  metric_add(l->results[told->outcome == REDIS_OK && told->reply.ptr[0] == '-' ? REDIS_ERROR : told->outcome],
             1);
  l->told = *told;
  l->told.task = task;
  task_wake(task);
  l->told.task = NULL; /* the link's memory is there until the loop's turn ends */
}

static struct task *take_task(struct redis_command *c) {
  struct task *task = c->task;
  c->task = NULL;
  timer_clear(&c->timer);
  return task;
}

static void on_due(struct timer *timer) {
  struct redis_command *c = CONTAINER_OF(timer, struct redis_command, timer);
  struct redis_link *l = c->owner;
  CHECK_OBJ(l, REDIS_LINK_MAGIC);
  struct task *task = take_task(c);
  redis_link_fault(l, REDIS_TIMEOUT, redis_link_is_short(l) ? l->why : "no reply in time");
  redis_link_missed(l);
  tell(l, task, &(struct redis_told){.outcome = REDIS_TIMEOUT});
}

void redis_queue_cancel(void *command) {
  struct redis_command *c = command;
  metric_add(c->owner->results[REDIS_DROPPED], 1);
  take_task(c);
}

void redis_queue_fail(struct redis_link *l) {
  struct redis_queue *q = &l->queue;
  unsigned sent = q->sent;
  while (!list_is_empty(&q->commands)) {
    struct redis_command *c = first(l);
    list_remove(&c->link);
    list_push_back(&q->failing, &c->link);
  }
  q->count = q->sent = q->collected = 0;
  buf_release(&q->out);
  buf_release(&q->held);
  while (!list_is_empty(&q->failing)) {
    struct redis_command *c = LIST_ENTRY(q->failing.next, struct redis_command, link);
    struct task *task = take_task(c);
    give_back(c);
    tell(l, task, &(struct redis_told){.outcome = sent ? REDIS_CLOSED : REDIS_DOWN});
    if (sent) sent--;
  }
}

/* A waiting task is woken from the loop, since this may run while another task does. */
static void drop_all(struct list *commands) {
  LIST_EACH(node, commands) {
    struct redis_command *c = LIST_ENTRY(node, struct redis_command, link);
    struct task *task = take_task(c);
    if (task) task_wake_soon(task);
    dispose(c);
  }
}

void redis_queue_free(struct redis_link *l) {
  drop_all(&l->queue.commands);
  drop_all(&l->queue.failing);
  drop_all(&l->queue.spare);
  buf_release(&l->queue.out);
  buf_release(&l->queue.held);
  buf_release(&l->in);
}

/* --- replies -------------------------------------------------------------------------------------------- */

static const char *const codes[] = {
#define X(code) #code,
    REDIS_CODES(X)
#undef X
};

/* Errors that say how the server is are logged; READONLY also means that another one may be the right one now. */
static void look_at_error(struct redis_link *l, struct str reply) {
  size_t end = str_find(reply, '\r');
  char text[160];
  struct str line = {reply.ptr + 1, end - 1}, code = {line.ptr, str_find(line, ' ')};
  for (unsigned i = 0; i < REDIS_CODE_COUNT; i++) {
    if (!str_equal(code, str_of(codes[i]))) continue;
    snprintf(text, sizeof text, "%.*s", (int)line.len, line.ptr);
    redis_link_fault(l, REDIS_OUTCOMES + i, text);
    if (i == REDIS_CODE_READONLY) l->health.is_stale = true;
  }
}

static void consume(struct redis_link *l, size_t count) {
  buf_consume(&l->in, count);
  resp_scan_forget(&l->scan, count);
}

static bool is_in_time(const struct redis_link *l, const struct redis_command *c) {
  uint64_t took_us = loop_now_us(l->vm->host.loop) - c->begun_us;
  return c->is_probe ? took_us <= l->options.timeout_ms * 1000ull : c->task != NULL;
}

/* All replies of the first command are there: they end at scan.at. */
static void deliver(struct redis_link *l) {
  struct redis_command *c = first(l);
  struct redis_told told = {.outcome = c->is_long ? REDIS_LONG : REDIS_OK};
  told.reply = (struct str){buf_ptr(&l->in), l->scan.at};
  if (c->task && !c->is_long)
    metric_observe(l->seconds, (double)(loop_now_us(l->vm->host.loop) - c->begun_us) / 1e6);
  if (c->is_long) redis_link_fault(l, REDIS_LONG, "a reply is longer than allowed");
  if (!c->is_long && told.reply.ptr[0] == '-') look_at_error(l, told.reply);
  bool is_well = is_in_time(l, c);
  struct task *task = take_task(c);
  l->queue.collected = 0;
  l->queue.count--;
  l->queue.sent--;
  give_back(c);
  if (is_well) redis_link_well(l);
  tell(l, task, &told);
  if (l->is_ended) return;
  consume(l, told.reply.len);
  if (l->queue.sent == 0) redis_link_quiet(l);
}

/* One reply is whole. */
static void take_one(struct redis_link *l) {
  l->health.heard = true;
  if (l->scan.is_push) {
    if (l->queue.collected)
      redis_link_fail(l, "a message that was not asked for, within replies");
    else
      consume(l, l->scan.at);
    return;
  }
  if (l->state == REDIS_GREETING) {
    struct str reply = {buf_ptr(&l->in), l->scan.at};
    unsigned session = l->session;
    redis_link_greeted(l, reply);
    if (l->session == session && !l->is_ended) consume(l, reply.len);
    return;
  }
  if (l->queue.sent == 0) {
    redis_link_fail(l, "a reply without a request");
    return;
  }
  if (++l->queue.collected == first(l)->replies) deliver(l);
}

/* What is longer than allowed is thrown away as it comes, and its task told at the end: the others' replies follow. */
static void throw_away(struct redis_link *l) {
  bool is_awaited = l->state == REDIS_READY && l->queue.sent > 0;
  bool is_long = buf_len(&l->in) > l->options.reply_bytes || (is_awaited && first(l)->is_long);
  if (!is_long) return;
  if (!is_awaited) {
    redis_link_fail(l, "a reply that is too long");
    return;
  }
  first(l)->is_long = true;
  consume(l, l->scan.at);
}

bool redis_queue_take(struct redis_link *l) {
  unsigned session = l->session;
  while (l->scan.at < buf_len(&l->in)) {
    enum resp_result result = resp_scan(&l->scan, buf_ptr(&l->in), buf_len(&l->in));
    if (result == RESP_WHOLE)
      take_one(l);
    else if (result == RESP_BAD)
      redis_link_fail(l, "what came is no reply of Redis");
    else
      throw_away(l);
    if (l->is_ended || l->session != session) return false;
    if (result == RESP_MORE) break;
  }
  if (buf_len(&l->in) == 0) buf_release(&l->in);
  return true;
}
