// SPDX-License-Identifier: Apache-2.0
// replaying: the environment is that of tests (testing.c). Lines of a policy are watched only for requests of which
// they are wanted, since a policy is interpreted meanwhile.
#include "runtime/replaying.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/why.h"
#include "exchange/exchange.h"
#include "exchange/trace.h"
#include "net/loop.h"
#include "net/virtual_time.h"
#include "runtime/worker.h"
#include "shared/registry.h"

enum { BEGIN_MS = 1000000 };

enum { SEEN_MOST = 100 };

struct seen_head {
  const char *values[SEEN_MOST];
  unsigned count;
};

struct running_replay {
  struct replay_run *run;
  struct worker worker;
  void *policy;
  struct policy_listener *listeners;
  unsigned count;
  const struct exchange *x; /* whose hooks run; NULL: before the first */
  struct replay_lines lines;
  char last[REPLAY_PLACE_BYTES]; /* the line that runs */
  struct seen_head seen[4];      /* what the heads were when it was last looked */
};

static struct replay_run *caught_for; /* where log lines go; there is one thread */
static bool is_lost;

static void catch_line(enum log_level level, const char *text) {
  if (level == LOG_ERROR && caught_for) snprintf(caught_for->message, sizeof caught_for->message, "%s", text);
}

static void on_lost(const struct policy_host *host, const void *policy) {
  (void)host, (void)policy;
  is_lost = true;
}

/* --- lines ---------------------------------------------------------------------------------------------- */

/* A field is set by putting another text in: its address tells whether that has happened. */
static bool was_there(const struct seen_head *seen, const char *value) {
  for (unsigned i = 0; i < seen->count; i++)
    if (seen->values[i] == value) return true;
  return false;
}

static void look_at_head(struct running_replay *r, unsigned which, const struct headers *headers,
                         char *changes) {
  struct seen_head *seen = &r->seen[which];
  for (unsigned i = 0; changes && i < headers->count; i++) {
    size_t length = strlen(changes);
    if (!r->last[0] || was_there(seen, headers->items[i].value.ptr)) continue;
    struct str name = headers->items[i].name;
    if (length + name.len + strlen(r->last) + 3 > REPLAY_CHANGES_BYTES) continue;
    snprintf(changes + length, REPLAY_CHANGES_BYTES - length, "%.*s=%s;", STR_ARG(name), r->last);
  }
  seen->count = headers->count < SEEN_MOST ? headers->count : SEEN_MOST;
  for (unsigned i = 0; i < seen->count; i++) seen->values[i] = headers->items[i].value.ptr;
}

/* `counts`: what is new there was put in by the line that has run. */
static void look_at_heads(struct running_replay *r, bool counts) {
  static const struct headers none;
  const struct exchange *x = r->x;
  look_at_head(r, 0, &x->request.headers, counts ? r->lines.request : NULL);
  look_at_head(r, 1, &x->now.request.headers, counts ? r->lines.request : NULL);
  look_at_head(r, 2, &x->response.headers, counts ? r->lines.response : NULL);
  look_at_head(r, 3, x->answer ? &x->answer->response.headers : &none, counts ? r->lines.response : NULL);
}

static void on_line(void *owner, const char *place) {
  struct running_replay *r = owner;
  if (r->x) look_at_heads(r, true);
  snprintf(r->last, sizeof r->last, "%s", place);
}

static void on_step(void *owner, enum hook hook, struct exchange *x, bool is_over) {
  struct running_replay *r = owner;
  r->x = x;
  look_at_heads(r, is_over);
  if (is_over) memcpy(r->lines.hooks[hook], r->last, sizeof r->last);
  r->last[0] = '\0';
}

static void on_wait(void *owner) {
  struct running_replay *r = owner;
  if (!r->lines.wait[0]) memcpy(r->lines.wait, r->last, sizeof r->last);
}

static void watch_lines(struct running_replay *r, bool watches) {
  const struct policy_kind *kind = r->run->source.kind;
  r->lines = (struct replay_lines){0};
  r->x = NULL;
  if (kind->lines) kind->lines(r->policy, watches ? on_line : NULL, r);
}

/* --- requests ------------------------------------------------------------------------------------------- */

static struct str port_of(struct str address) {
  size_t at = address.len;
  while (at > 0 && address.ptr[at - 1] != ':') at--;
  return str_from(address, at);
}

/* Of the same address, or else of the same port, or the first. */
static const struct policy_listener *listener_for(const struct running_replay *r, struct str address) {
  for (unsigned i = 0; i < r->count; i++)
    if (str_equal(r->listeners[i].address, address)) return &r->listeners[i];
  for (unsigned i = 0; i < r->count; i++)
    if (str_equal(port_of(r->listeners[i].address), port_of(address))) return &r->listeners[i];
  return &r->listeners[0];
}

/* False: the hook did not come to its end. */
static bool is_sound(const struct running_replay *r, uint64_t number, const struct recorded *recorded,
                     const struct replay_decision *d, char **why) {
  bool over_time = d->kind == REPLAY_FAILS && d->error == ERROR_SCRIPT_TIMEOUT;
  if (!is_lost && !over_time) return true;
  size_t line = str_find(recorded->head, '\r');
  return why_say(why, "request %llu (%.*s): the policy does not come to its end: %.*s",
                 (unsigned long long)number + 1, (int)(line < 80 ? line : 80), recorded->head.ptr,
                 (int)strcspn(r->run->message, "\n"), r->run->message);
}

/* Each request draws on its own: whatever others have drawn, or another policy, it decides the same. */
static void begin_chance(struct running_replay *r, uint64_t number) {
  const struct policy_kind *kind = r->run->source.kind;
  struct proxy *proxy = &r->worker.proxy;
  random_repeat(number);
  proxy->dice = number;
  trace_seed(&proxy->trace_ids, ~number, number);
  if (kind->reseed) kind->reseed(r->policy, number);
}

static bool run_all(struct running_replay *r, char **why) {
  struct replay_run *run = r->run;
  struct replay_decision d = {0};
  struct recorded recorded;
  bool goes_on = true, fine = true;
  recording_rewind(run->recording);
  for (uint64_t number = 0; goes_on && fine && recording_next(run->recording, &recorded); number++) {
    const struct policy_listener *listener = listener_for(r, recorded.listener);
    bool watches = run->wants_lines && run->wants_lines(run->owner, number);
    struct replay_place place = {&r->worker.proxy,         listener->hooks,          &listener->settings,
                                 watches ? on_step : NULL, watches ? on_wait : NULL, r};
    uint64_t at_ms = BEGIN_MS + recorded.at_ms;
    if (at_ms > virtual_time.now_ms) virtual_time_advance(at_ms - virtual_time.now_ms);
    if (watches) watch_lines(r, true);
    run->message[0] = '\0';
    begin_chance(r, number);
    replay_decide(&place, &recorded, &d);
    if (watches) run->source.kind->lines(r->policy, NULL, NULL);
    fine = is_sound(r, number, &recorded, &d, why);
    if (fine) goes_on = run->on_decision(run->owner, number, &recorded, &d, &r->lines);
  }
  buf_release(&d.request);
  buf_release(&d.response);
  return fine;
}

/* --- life ----------------------------------------------------------------------------------------------- */

static bool run_policy(struct running_replay *r, char **why) {
  const struct policy_kind *kind = r->run->source.kind;
  r->policy = kind->load(r->run->source.source, &r->worker.host, why);
  if (!r->policy) return false;
  r->listeners = kind->listeners(r->policy, &r->count);
  if (kind->start) kind->start(r->policy);
  bool fine = r->count ? run_all(r, why) : why_say(why, "the policy listens nowhere");
  kind->retire(r->policy);
  kind->close(r->policy);
  return fine;
}

bool replaying_run(struct replay_run *run, char **why) {
  *why = NULL;
  struct ev_loop *loop = loop_open(why);
  if (!loop) return false;
  struct running_replay *r = memory_zalloc(sizeof *r);
  struct policy_use use = {0};
  struct registry *registry = registry_new();
  struct policy_host host = {
      .registry = registry, .workers = 1, .is_check = true, .clock = &clock_virtual, .use = &use};
  r->worker.loop = loop;
  virtual_time_begin(BEGIN_MS);
  random_repeat(0);
  virtual_time.is_replay = true;
  virtual_time.wall_s = (double)run->recording->began_s - BEGIN_MS / 1000.0;
  r->run = run;
  is_lost = false;
  caught_for = run;
  worker_init(&r->worker, &host);
  r->worker.host.on_lost = on_lost;
  log_catch(catch_line);
  bool fine = run_policy(r, why);
  log_catch(NULL);
  caught_for = NULL;
  run->refused = virtual_time.refused;
  worker_free(&r->worker);
  registry_free(registry);
  free(r);
  return fine;
}
