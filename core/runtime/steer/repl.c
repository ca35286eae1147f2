// SPDX-License-Identifier: Apache-2.0
// repl: see repl.h. A job belongs to the control thread; the worker has its address only to give it back. It ends with
// the worker's answer, and not with its client, which may go before, or be told that the worker is stuck.
#include "runtime/steer/repl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/command.h"
#include "runtime/server.h"

enum { ANSWER_MS = 45000, LOGGED_BYTES = 200 };

struct job {
  struct command_client *client; /* borrowed; NULL: it has gone */
  struct timer timer;
};

/* To the worker, and back. */
struct note {
  struct message message;
  struct job *job;
  struct worker *worker; /* borrowed */
  enum evaluated how;
  char *text; /* owned: what is to be evaluated, then what was said */
};

/* --- in the worker's thread ------------------------------------------------------------------------------- */

static void on_outcome(struct message *message, void *receiver);

static void on_evaluated(void *owner, enum evaluated how, char *text) {
  struct note *note = owner;
  struct server *s = note->worker->owner;
  free(note->text);
  note->how = how;
  note->text = text;
  note->message = (struct message){NULL, on_outcome};
  if (mailbox_post(&s->control.mailbox, &note->message)) return;
  free(note->text); /* the process ends, and the clients of commands have gone */
  free(note->job);
  free(note);
}

static void on_order(struct message *message, void *receiver) {
  struct note *note = (struct note *)message;
  const struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  const struct policy_kind *kind = worker->instance ? worker->instance->source->kind : NULL;
  if (kind && kind->evaluate)
    kind->evaluate(worker->instance->policy, note->text, on_evaluated, note);
  else
    on_evaluated(note, EVALUATED_WITH_ERROR,
                 str_to_cstring(str_of(kind ? "the proxy runs without a script, so there is no Lua\n"
                                            : "no policy is in force yet\n")));
}

/* --- in the control thread -------------------------------------------------------------------------------- */

static void on_gone(void *owner) {
  struct job *job = owner;
  job->client = NULL;
  timer_stop(&job->timer);
}

static const struct command_stream stream = {on_gone};

static void on_outcome(struct message *message, void *receiver) {
  struct note *note = (struct note *)message;
  struct command_client *client = note->job->client;
  (void)receiver;
  timer_stop(&note->job->timer);
  if (client) {
    char *text = why_text("%d%s", (int)note->how, note->text);
    command_send(client, '#', str_of(text));
    command_answer(client, EXIT_FINE, "");
    free(text);
  }
  free(note->job);
  free(note->text);
  free(note);
}

static void on_late(struct timer *timer) {
  struct job *job = CONTAINER_OF(timer, struct job, timer);
  struct command_client *client = job->client;
  on_gone(job);
  command_answer(client, EXIT_FAILED, "the worker does not answer: it is stuck; see 'perilune status'\n");
}

static void log_use(const struct command_client *client, const char *where, const char *text) {
  char shown[4 * LOGGED_BYTES + 8];
  struct ucred who = command_peer(client);
  size_t length = strlen(text);
  while (length && text[length - 1] == '\r') length--;
  struct str cut = {text, length < LOGGED_BYTES ? length : LOGGED_BYTES};
  struct str escaped = {shown, escape_line(shown, sizeof shown, str_trim(cut))};
  log_unthrottled(LOG_WARN, "repl: user %u (process %d) evaluates in worker %s: %.*s%s", (unsigned)who.uid,
                  (int)who.pid, where, STR_ARG(escaped), cut.len < length ? " ..." : "");
}

static struct worker *worker_named(struct server *s, const char *name) {
  uint64_t number;
  if (strcmp(name, "control") == 0) return &s->control;
  return str_to_u64(str_of(name), &number) && number < s->worker_count ? &s->workers[number] : NULL;
}

static void begin(struct command_client *client, struct worker *worker, const char *text) {
  struct job *job = memory_zalloc(sizeof *job);
  if (!command_stream(client, &stream, job)) { /* which says why */
    free(job);
    return;
  }
  struct note *note = memory_alloc(sizeof *note);
  *note = (struct note){{NULL, on_order}, job, worker, EVALUATED, str_to_cstring(str_of(text))};
  job->client = client;
  timer_init(&job->timer, command_server_of(client)->control.loop, on_late);
  timer_set(&job->timer, ANSWER_MS);
  if (mailbox_post(&worker->mailbox, &note->message)) return;
  on_gone(job);
  command_answer(client, EXIT_FAILED, "that worker has ended\n");
  free(note->text);
  free(note);
  free(job);
}

void steer_repl(struct command_client *client, const char *line) {
  struct server *s = command_server_of(client);
  char name[16];
  size_t length = strcspn(line, "\t");
  snprintf(name, sizeof name, "%.*s", (int)length, line);
  struct worker *worker = worker_named(s, name);
  if (!config_number(s->options->config, CONFIG_repl))
    command_refuse(
        client, EXIT_FAILED,
        why_text("the repl is switched off: start the proxy with --repl, where people may change what it "
                 "does while it runs"));
  else if (!line[length])
    command_answer(client, EXIT_BAD_INPUT, "malformed command\n");
  else if (!worker)
    command_refuse(
        client, EXIT_BAD_INPUT,
        why_text("there is no worker %s: there are 0 to %u, and control", name, s->worker_count - 1));
  else {
    const char *text = line + length + 1;
    if (*text && *text != '\r') log_use(client, name, text);
    begin(client, worker, text);
  }
}
