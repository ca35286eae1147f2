// SPDX-License-Identifier: Apache-2.0
// live/tracers: each change of the tracers gives every worker a new set of rules, by its mailbox. Records come by the
// workers' rings (shared/span_queue.h) and go to the clients as they are. The hard problem is what is still on its way
// when a tracer's place is given to another one: a record carries the version of the rules that it was made by.
#include "runtime/live/tracers.h"

#include <stdlib.h>

#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/command.h"
#include "runtime/live/recent.h"
#include "runtime/live/rule.h"
#include "runtime/server.h"
#include "shared/span_queue.h"

enum { QUEUE_BYTES = 2 << 20, BATCH_BYTES = 512 << 10, RUN_BYTES = 16 << 10, POLL_MS = 20, TELL_MS = 2000 };

struct tracer {
  struct tracers *of;            /* borrowed */
  struct command_client *client; /* borrowed: it says when it goes */
  struct live_wish wish;
  unsigned place;
  uint8_t since; /* of the rules' version */
  uint64_t sent, lost, told_lost, told_ms;
  struct str run; /* of the batch: records one behind the other, which are sent together */
  unsigned run_count;
};

struct tracers {
  struct server *server;    /* borrowed */
  struct span_queue *queue; /* owned */
  unsigned reader;
  uint64_t version, dropped;
  struct tracers_figures figures; /* of tracers that have ended; but for under_way */
  struct timer poll;
  struct tracer *places[LIVE_RULES_MOST]; /* owned; NULL: free */
  char *batch;                            /* owned */
  struct recent recent;
};

static void on_poll(struct timer *timer);

struct tracers *tracers_new(struct server *server) {
  struct span_queue_config config = {QUEUE_BYTES};
  struct tracers *t = memory_zalloc(sizeof *t);
  t->server = server;
  t->queue = span_queue_kind.make(&config);
  t->reader = span_queue_enter(t->queue);
  t->batch = memory_alloc(BATCH_BYTES);
  timer_init(&t->poll, server->control.loop, on_poll);
  return t;
}

void tracers_free(struct tracers *t) {
  if (!t) return;
  timer_stop(&t->poll);
  span_queue_kind.free(t->queue);
  recent_free(&t->recent);
  free(t->batch);
  free(t);
}

struct span_queue *tracers_queue(struct tracers *t) {
  return t->queue;
}

/* --- rules ------------------------------------------------------------------------------------------------ */

struct rules_order {
  struct message message; /* first */
  struct live_rules *rules;
};

static void take_rules(struct message *message, void *receiver) {
  struct rules_order *order = (struct rules_order *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  live_trace_rule(&worker->proxy, order->rules);
  free(order);
}

static struct live_rules *make_rules(const struct tracers *t) {
  struct live_rules *rules = NULL;
  for (unsigned i = 0; i < LIVE_RULES_MOST; i++) {
    if (!t->places[i]) continue;
    if (!rules) rules = memory_zalloc(sizeof *rules);
    struct live_rule *rule = &rules->rules[rules->count++];
    *rule = live_wish_rule(&t->places[i]->wish);
    rule->mark = (uint8_t)(1u << i);
    rules->version = t->version;
  }
  return rules;
}

static void tell_workers(struct tracers *t) {
  t->version++;
  for (unsigned i = 0; i < t->server->worker_count; i++) {
    struct rules_order *order = memory_alloc(sizeof *order);
    *order = (struct rules_order){{NULL, take_rules}, make_rules(t)};
    if (mailbox_post(&t->server->workers[i].mailbox, &order->message)) continue;
    live_rules_free(order->rules);
    free(order);
  }
}

/* --- the life of a tracer --------------------------------------------------------------------------------- */

static void end(struct tracer *tracer) {
  struct tracers *t = tracer->of;
  t->places[tracer->place] = NULL;
  t->figures.sent += tracer->sent;
  t->figures.lost += tracer->lost;
  log_info("a trace has ended: %llu sent, %llu lost", (unsigned long long)tracer->sent,
           (unsigned long long)tracer->lost);
  free(tracer);
  tell_workers(t);
}

static void on_gone(void *owner) { end(owner); }

static const struct command_stream kind = {on_gone};

static void finish(struct tracer *tracer) {
  struct command_client *client = tracer->client;
  char *text = tracer->lost ? why_text("%llu more were lost: they came faster than they were read\n",
                                       (unsigned long long)tracer->lost)
                            : str_to_cstring(STR(""));
  end(tracer);
  command_answer(client, EXIT_FINE, text);
  free(text);
}

/* A free place, the one that was free for longest first: a record on its way may still be marked for the last one. */
static int free_place(const struct tracers *t) {
  for (unsigned i = 0; i < LIVE_RULES_MOST; i++) {
    unsigned place = (unsigned)(t->version + i) % LIVE_RULES_MOST;
    if (!t->places[place]) return (int)place;
  }
  return -1;
}

void tracers_begin(struct command_client *client, const char *line) {
  struct tracers *t = command_server_of(client)->tracers;
  struct tracer *tracer = memory_zalloc(sizeof *tracer);
  char *why = NULL;
  int place = free_place(t);
  *tracer = (struct tracer){.of = t, .client = client, .place = (unsigned)place};
  if (!live_wish_read(str_of(line), &tracer->wish, &why)) {
    command_refuse(client, EXIT_BAD_INPUT, why);
  } else if (place < 0) {
    command_refuse(client, EXIT_FAILED,
                   why_text("%d traces are under way already; end one", (int)LIVE_RULES_MOST));
  } else if (command_stream(client, &kind, tracer)) {
    t->places[place] = tracer;
    t->figures.begun++;
    tell_workers(t);
    tracer->since = (uint8_t)t->version;
    log_info("a trace has begun");
    if (!timer_is_set(&t->poll)) timer_set(&t->poll, POLL_MS);
    return;
  }
  free(tracer);
}

/* --- records ---------------------------------------------------------------------------------------------- */

/* False: they were the last ones. */
static bool send_run(struct tracer *tracer) {
  struct str run = tracer->run;
  unsigned count = tracer->run_count;
  tracer->run_count = 0;
  if (!count) return true;
  if (!command_send(tracer->client, '#', run))
    tracer->lost += count;
  else
    tracer->sent += count;
  return !tracer->wish.count || tracer->sent < tracer->wish.count;
}

static bool give(struct tracer *tracer, struct str record) {
  bool follows = tracer->run_count && tracer->run.ptr + tracer->run.len == record.ptr &&
                 tracer->run.len + record.len <= RUN_BYTES;
  if (!follows) {
    if (!send_run(tracer)) return false;
    tracer->run = (struct str){record.ptr, 0};
  }
  tracer->run.len += record.len;
  tracer->run_count++;
  return tracer->sent + tracer->run_count != tracer->wish.count || send_run(tracer);
}

static void distribute(struct tracers *t, const struct live_head *head, struct str record) {
  for (unsigned i = 0; i < LIVE_RULES_MOST; i++) {
    struct tracer *tracer = t->places[i];
    bool is_for_it = tracer && (head->marks >> i & 1) && (int8_t)(head->since - tracer->since) >= 0;
    if (is_for_it && !give(tracer, record)) finish(tracer);
  }
}

static void send_runs(struct tracers *t) {
  for (unsigned i = 0; i < LIVE_RULES_MOST; i++)
    if (t->places[i] && !send_run(t->places[i])) finish(t->places[i]);
}

static void read_batch(struct tracers *t, struct str bytes) {
  struct live_head head;
  struct str items;
  while (live_record_open(bytes, &head, &items)) {
    struct str record = {bytes.ptr, head.bytes};
    if (head.marks & LIVE_KEPT) recent_keep(&t->recent, record, items);
    distribute(t, &head, record);
    bytes = str_from(bytes, head.bytes);
  }
  send_runs(t);
}

/* What the rings had no room for was for somebody: it counts as lost for all. */
static void note_dropped(struct tracers *t) {
  uint64_t dropped = span_queue_figures(t->queue).dropped, more = dropped - t->dropped;
  t->dropped = dropped;
  for (unsigned i = 0; i < LIVE_RULES_MOST; i++)
    if (t->places[i]) t->places[i]->lost += more;
}

static void tell_lost(struct tracer *tracer, uint64_t now_ms) {
  char text[120];
  if (tracer->lost == tracer->told_lost || now_ms < tracer->told_ms + TELL_MS) return;
  snprintf(text, sizeof text, "%llu lost so far: they come faster than they are read",
           (unsigned long long)tracer->lost);
  if (!command_send(tracer->client, '+', str_of(text))) return;
  tracer->told_lost = tracer->lost;
  tracer->told_ms = now_ms;
}

void tracers_collect(struct tracers *t) {
  unsigned records;
  size_t bytes, most = 4; /* batches: the loop has other things to do */
  while (most-- > 0 && (bytes = span_queue_take(t->queue, t->reader, t->batch, BATCH_BYTES, &records)) > 0) {
    read_batch(t, (struct str){t->batch, bytes});
    span_queue_settle(t->queue, t->reader, false);
  }
  note_dropped(t);
}

static void on_poll(struct timer *timer) {
  struct tracers *t = CONTAINER_OF(timer, struct tracers, poll);
  bool is_needed = false;
  tracers_collect(t);
  for (unsigned i = 0; i < LIVE_RULES_MOST; i++) {
    if (!t->places[i]) continue;
    is_needed = true;
    tell_lost(t->places[i], loop_now_ms(timer->loop));
  }
  if (is_needed) timer_set(timer, POLL_MS);
}

struct tracers_figures tracers_figures(const struct tracers *t) {
  struct tracers_figures sum = t->figures;
  for (unsigned i = 0; i < LIVE_RULES_MOST; i++) {
    if (!t->places[i]) continue;
    sum.under_way++;
    sum.sent += t->places[i]->sent;
    sum.lost += t->places[i]->lost;
  }
  return sum;
}

/* --- recent ones ------------------------------------------------------------------------------------------ */

bool tracers_failure(const struct tracers *t, unsigned age, struct str *record) {
  return recent_failure(&t->recent, age, record);
}

bool tracers_slow_hook(const struct tracers *t, unsigned number, struct str *record) {
  return recent_slow_hook(&t->recent, number, record);
}

static void on_reader_gone(void *owner) { (void)owner; }

void tracers_show_recent(struct command_client *client) {
  static const struct command_stream once = {on_reader_gone};
  struct tracers *t = command_server_of(client)->tracers;
  struct str record;
  if (!command_stream(client, &once, NULL)) return;
  tracers_collect(t);
  for (unsigned i = RECENT_FAILURES; i-- > 0;)
    if (tracers_failure(t, i, &record)) command_send(client, '#', record);
  for (unsigned i = 0; i < RECENT_HOOKS; i++)
    if (tracers_slow_hook(t, i, &record)) command_send(client, '#', record);
  command_answer(client, EXIT_FINE, "");
}
