// SPDX-License-Identifier: Apache-2.0
// profiling: runs in the control worker's thread. A slot has three stages: the workers whose turn it is are told to
// begin, and say that they have; they look; they are asked for what they saw. A worker with slow hooks may take a while
// to hear of it, so its time counts from then on. One that does not answer in time is left out.
#include "runtime/observe/profiling.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/server.h"

enum {
  SLOT_MOST_MS = 1000,
  SLOT_LEAST_MS = 50,
  SLOTS_EACH = 2,
  ANSWER_MS = 5000,
  SENT_MOST = 900 << 10,
  DAY_MS = 86400000
};

/* What a worker has told in all its slots. */
struct told {
  struct stacks stacks;
  uint64_t outside_us, slots_ms;
  const char *why; /* static; NULL: nothing went wrong */
  bool is_missing; /* it did not answer in time */
};

enum stage { BEGINS, LOOKS, COLLECTS };

struct profiling {
  struct command_client *client; /* borrowed; until it has gone */
  struct server *server;         /* borrowed */
  struct timer timer;
  enum profile_of of;
  uint64_t begun_ms, ends_ms, slot_began_ms;
  unsigned slot_ms, number; /* the number tells late answers of an earlier slot */
  unsigned turn, missing;   /* answers of this stage */
  enum stage stage;
  unsigned count;
  struct told told[]; /* of the workers, and of the control worker */
};

static unsigned slots; /* so far, of all profiles */

static struct worker *worker_of(const struct profiling *p, unsigned i) {
  return i < p->server->worker_count ? &p->server->workers[i] : &p->server->control;
}

static bool is_on(const struct profiling *p, unsigned i) { return p->of == PROFILE_WAIT || p->turn == i; }

/* --- end ------------------------------------------------------------------------------------------------ */

static void forget(struct profiling *p) {
  p->server->profiling = NULL;
  timer_stop(&p->timer);
  for (unsigned i = 0; i < p->count; i++) stacks_free(&p->told[i].stacks);
  free(p);
}

/* What the workers collect goes with their next order, or with them. */
static void on_gone(void *owner) {
  struct profiling *p = owner;
  for (unsigned i = 0; i < p->count; i++)
    if (is_on(p, i) && p->stage != COLLECTS) worker_end_profile(worker_of(p, i), 0);
  forget(p);
}

static const struct command_stream stream = {on_gone};

/* The directory that paths of the policy begin at. */
static void put_directory(const struct profiling *p, FILE *out) {
  char *path = realpath(p->server->options->source.name, NULL);
  if (path) fprintf(out, "# directory %s\n", dirname(path));
  free(path);
}

static double factor_of(const struct profiling *p, const struct told *told, uint64_t all_ms) {
  return p->of == PROFILE_WAIT || !told->slots_ms ? 1 : (double)all_ms / (double)told->slots_ms;
}

/* The whole as it is sent. */
static char *text_of(const struct profiling *p, uint64_t all_ms) {
  struct stacks sum = {0};
  char *text = NULL;
  size_t bytes;
  uint64_t outside_us = 0;
  FILE *out = open_memstream(&text, &bytes);
  for (unsigned i = 0; i < p->count; i++) {
    const struct told *told = &p->told[i];
    double factor = factor_of(p, told, all_ms);
    stacks_merge(&sum, &told->stacks, factor);
    outside_us += (uint64_t)((double)told->outside_us * factor);
  }
  fprintf(out, "# of %s\n# ms %llu\n# workers %u\n# outside_us %llu\n", p->of == PROFILE_CPU ? "cpu" : "wait",
          (unsigned long long)all_ms, p->server->worker_count, (unsigned long long)outside_us);
  put_directory(p, out);
  stacks_write(&sum, SENT_MOST, out);
  stacks_free(&sum);
  fclose(out);
  return text;
}

/* What people should know of it: "" where all is well. *fine: something was told. */
static char *notes_of(const struct profiling *p, bool *fine) {
  char *notes = str_to_cstring(STR(""));
  *fine = false;
  for (unsigned i = 0; i < p->count; i++) {
    const struct told *told = &p->told[i];
    char name[32] = "the control worker";
    *fine |= told->slots_ms > 0;
    if (i < p->server->worker_count) snprintf(name, sizeof name, "worker %u", i);
    if (!told->is_missing && !told->why) continue;
    char *more = why_text("%s%s: %s\n", notes, name,
                          told->why ? told->why : "it did not answer for a while: it is stuck");
    free(notes);
    notes = more;
  }
  return notes;
}

static void finish(struct profiling *p) {
  uint64_t all_ms = loop_now_ms(p->server->control.loop) - p->begun_ms;
  bool fine;
  char *text = text_of(p, all_ms), *notes = notes_of(p, &fine);
  struct command_client *client = p->client;
  forget(p);
  if (fine) command_send(client, '#', str_of(text));
  command_answer(client, fine ? EXIT_FINE : EXIT_FAILED, notes);
  free(text);
  free(notes);
}

/* --- slots ---------------------------------------------------------------------------------------------- */

static uint64_t left_ms(const struct profiling *p) {
  uint64_t now_ms = loop_now_ms(p->server->control.loop);
  return p->ends_ms > now_ms ? p->ends_ms - now_ms : 0;
}

static void begin_slot(struct profiling *p) {
  if (!left_ms(p) || phase_is_over(p->server->phase)) {
    finish(p);
    return;
  }
  p->number = ++slots;
  p->stage = BEGINS;
  p->missing = 0;
  timer_set(&p->timer, ANSWER_MS);
  for (unsigned i = 0; i < p->count; i++) {
    if (!is_on(p, i)) continue;
    p->missing++;
    worker_begin_profile(worker_of(p, i), p->number, p->of);
  }
}

static void look(struct profiling *p) {
  uint64_t left = left_ms(p);
  p->stage = LOOKS;
  p->slot_began_ms = loop_now_ms(p->server->control.loop);
  timer_set(&p->timer, left < SLOT_LEAST_MS ? SLOT_LEAST_MS : left < p->slot_ms ? left : p->slot_ms);
}

static void end_slot(struct profiling *p) {
  p->turn = (p->turn + 1) % p->count;
  begin_slot(p);
}

struct note {
  struct message message;
  struct profile *profile; /* owned */
  unsigned worker, number;
};

static void take(struct profiling *p, struct told *told, const struct profile *profile) {
  told->why = profile->why;
  told->is_missing = false;
  if (profile->why) return;
  stacks_merge(&told->stacks, &profile->stacks, 1);
  told->outside_us += profile->outside_us;
  told->slots_ms += loop_now_ms(p->server->control.loop) - p->slot_began_ms;
}

static void on_note(struct message *message, void *receiver) {
  struct note *note = (struct note *)message;
  struct server *s = ((struct worker *)receiver)->owner;
  struct profiling *p = s->profiling;
  enum stage stage = note->profile ? COLLECTS : BEGINS;
  bool is_wanted = p && p->number == note->number && p->stage == stage;
  if (is_wanted && note->profile) take(p, &p->told[note->worker], note->profile);
  if (note->profile) stacks_free(&note->profile->stacks);
  free(note->profile);
  free(note);
  if (!is_wanted || --p->missing) return;
  if (stage == COLLECTS)
    end_slot(p);
  else
    look(p);
}

/* In the worker's thread. */
static void on_profile(struct worker *worker, unsigned number, struct profile *profile) {
  struct server *s = worker->owner;
  struct note *note = memory_alloc(sizeof *note);
  *note = (struct note){{NULL, on_note}, profile, worker->host.worker, number};
  if (mailbox_post(&s->control.mailbox, &note->message)) return;
  if (profile) stacks_free(&profile->stacks);
  free(profile);
  free(note);
}

static void collect(struct profiling *p) {
  p->stage = COLLECTS;
  p->missing = 0;
  timer_set(&p->timer, ANSWER_MS);
  for (unsigned i = 0; i < p->count; i++) {
    if (!is_on(p, i)) continue;
    p->told[i].is_missing = true;
    p->missing++;
    worker_end_profile(worker_of(p, i), p->number);
  }
}

static void on_due(struct timer *timer) {
  struct profiling *p = CONTAINER_OF(timer, struct profiling, timer);
  if (p->stage == COLLECTS)
    end_slot(p);
  else if (p->stage == BEGINS)
    look(p);
  else
    collect(p);
}

/* --- begin ---------------------------------------------------------------------------------------------- */

static void begin(struct command_client *client, enum profile_of of, unsigned for_ms) {
  struct server *s = command_server_of(client);
  unsigned count = s->worker_count + 1, slot_ms = for_ms / (SLOTS_EACH * count);
  struct profiling *p = memory_zalloc(sizeof *p + count * sizeof *p->told);
  p->client = client;
  p->server = s;
  p->of = of;
  p->count = count;
  p->slot_ms = slot_ms > SLOT_MOST_MS ? SLOT_MOST_MS : slot_ms < SLOT_LEAST_MS ? SLOT_LEAST_MS : slot_ms;
  p->begun_ms = loop_now_ms(s->control.loop);
  p->ends_ms = p->begun_ms + for_ms;
  timer_init(&p->timer, s->control.loop, on_due);
  if (!command_stream(client, &stream, p)) {
    free(p);
    return;
  }
  char text[64];
  int length = snprintf(text, sizeof text, "profiling for %g s ...", for_ms / 1000.0);
  command_send(client, '+', (struct str){text, (size_t)length});
  s->profiling = p;
  begin_slot(p);
}

void profiling_heed(struct worker *worker) { worker->on_profile = on_profile; }

void profiling_obey(struct command_client *client, const char *line) {
  struct server *s = command_server_of(client);
  unsigned for_ms = 0;
  bool is_cpu = sscanf(line, "cpu %u", &for_ms) == 1, is_wait = sscanf(line, "wait %u", &for_ms) == 1;
  if ((!is_cpu && !is_wait) || !for_ms || for_ms > DAY_MS)
    command_answer(client, EXIT_BAD_INPUT, "malformed command\n");
  else if (s->profiling)
    command_answer(client, EXIT_FAILED,
                   "a profile is being made already; there is one at a time: end it, or wait\n");
  else if (phase_is_over(s->phase))
    command_answer(client, EXIT_FAILED, "the proxy is stopping, so there is nothing to profile\n");
  else
    begin(client, is_cpu ? PROFILE_CPU : PROFILE_WAIT, for_ms);
}
