// SPDX-License-Identifier: Apache-2.0
// recording: requests come from the workers as messages. The sender adds its bytes to a count before it posts one,
// and the receiver subtracts them: so the bound holds over all workers without a lock.
#include "runtime/observe/recording.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/container.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/version.h"
#include "base/why.h"
#include "exchange/recorder.h"
#include "runtime/server.h"
#include "shared/recording.h"

enum { QUEUED_MOST = 8 << 20, BODY_MOST = 1 << 20, ANSWER_MS = 5000, DAY_MS = 86400000, PROGRESS_MS = 2000 };

struct request_recording {
  struct command_client *client; /* borrowed; until it has gone */
  struct server *server;         /* borrowed */
  struct timer timer;
  struct recorder with; /* what the workers were told */
  uint64_t ends_ms, count, lost;
  unsigned missing; /* workers that have not ended yet, once they were told to */
};

static atomic_size_t queued;          /* bytes of messages under way */
static atomic_uint_fast64_t unqueued; /* requests for which there was no room, of the current recording */
static uint64_t recordings;

/* --- requests ------------------------------------------------------------------------------------------- */

struct request_note {
  struct message message;
  uint64_t number;
  size_t length;
  char bytes[];
};

static void send_frame(struct request_recording *r, char kind, struct str bytes) {
  struct buf frame = {0};
  recording_put_frame(&frame, kind, kind == 'H' ? 0 : r->count + 1, bytes);
  bool fits = command_send(r->client, '#', buf_str(&frame));
  if (kind == 'R') r->count += fits;
  if (!fits) r->lost++;
  buf_release(&frame);
}

static void on_note(struct message *message, void *receiver) {
  struct request_note *note = (struct request_note *)message;
  struct request_recording *r = ((struct server *)((struct worker *)receiver)->owner)->recording;
  atomic_fetch_sub(&queued, note->length);
  if (r && r->with.number == note->number) send_frame(r, 'R', (struct str){note->bytes, note->length});
  free(note);
}

/* In the worker's thread. */
static void on_request(struct recorder *recorder, struct str bytes) {
  struct server *s = recorder->owner;
  if (atomic_fetch_add(&queued, bytes.len) + bytes.len > QUEUED_MOST) {
    atomic_fetch_sub(&queued, bytes.len);
    atomic_fetch_add(&unqueued, 1);
    return;
  }
  struct request_note *note = memory_alloc(sizeof *note + bytes.len);
  note->message.run = on_note;
  note->number = recorder->number;
  note->length = bytes.len;
  memcpy(note->bytes, bytes.ptr, bytes.len);
  if (mailbox_post(&s->control.mailbox, &note->message)) return;
  atomic_fetch_sub(&queued, bytes.len);
  free(note);
}

/* --- end ------------------------------------------------------------------------------------------------ */

static void forget(struct request_recording *r) {
  r->server->recording = NULL;
  timer_stop(&r->timer);
  free(r);
}

static void tell_workers_to_end(struct request_recording *r) {
  for (unsigned i = 0; i < r->server->worker_count; i++) worker_end_record(&r->server->workers[i], &r->with);
}

static void on_gone(void *owner) {
  struct request_recording *r = owner;
  if (!r->missing) tell_workers_to_end(r);
  forget(r);
}

static const struct command_stream stream = {on_gone};

static void finish(struct request_recording *r) {
  struct command_client *client = r->client;
  uint64_t lost = r->lost + atomic_load(&unqueued);
  char *more = lost ? why_text(", and %llu were lost, because they came faster than they were written",
                               (unsigned long long)lost)
                    : str_to_cstring(STR(""));
  char *text = why_text("%llu request%s recorded%s\n", (unsigned long long)r->count, plural(r->count), more);
  forget(r);
  command_answer(client, EXIT_FINE, text);
  free(text);
  free(more);
}

struct end_note {
  struct message message;
  uint64_t number;
};

static void on_end_note(struct message *message, void *receiver) {
  struct end_note *note = (struct end_note *)message;
  struct request_recording *r = ((struct server *)((struct worker *)receiver)->owner)->recording;
  bool is_wanted = r && r->missing && r->with.number == note->number;
  free(note);
  if (is_wanted && --r->missing == 0) finish(r);
}

/* In the worker's thread. */
static void on_record_end(struct worker *worker, uint64_t number) {
  struct server *s = worker->owner;
  struct end_note *note = memory_alloc(sizeof *note);
  *note = (struct end_note){{NULL, on_end_note}, number};
  mailbox_tell(&s->control.mailbox, &note->message);
}

static void tell_progress(struct request_recording *r, uint64_t left_ms) {
  char text[96];
  int length = snprintf(text, sizeof text, "%llu recorded, %.0f s left", (unsigned long long)r->count,
                        (double)left_ms / 1000);
  command_send(r->client, '+', (struct str){text, (size_t)length});
}

static void on_due(struct timer *timer) {
  struct request_recording *r = CONTAINER_OF(timer, struct request_recording, timer);
  uint64_t now_ms = loop_now_ms(r->server->control.loop);
  if (r->missing) {
    finish(r);
  } else if (now_ms < r->ends_ms && !phase_is_over(r->server->phase)) {
    uint64_t left_ms = r->ends_ms - now_ms;
    if (left_ms > PROGRESS_MS) tell_progress(r, left_ms);
    timer_set(&r->timer, left_ms < PROGRESS_MS ? left_ms : PROGRESS_MS);
  } else {
    r->missing = r->server->worker_count;
    timer_set(&r->timer, ANSWER_MS);
    tell_workers_to_end(r);
  }
}

/* --- begin ---------------------------------------------------------------------------------------------- */

static void send_head(struct request_recording *r) {
  struct buf bytes = {0};
  char began[24], line[64];
  int length = snprintf(began, sizeof began, "%lld", (long long)time(NULL));
  buf_append(&bytes, line, (size_t)snprintf(line, sizeof line, "began %d\n%s\n", length, began));
  buf_append(&bytes, line,
             (size_t)snprintf(line, sizeof line, "version %zu\n%s\n", sizeof PERILUNE_VERSION - 1,
                              PERILUNE_VERSION));
  command_send(r->client, '#', STR(RECORDING_MAGIC));
  send_frame(r, 'H', buf_str(&bytes));
  buf_release(&bytes);
}

/* Equal secrets have equal marks in one recording, and nobody can tell what they were. */
static uint64_t new_key(void) {
  uint64_t key = 0;
  while (!key)
    if (!random_fill(&key, sizeof key, 0)) key = 0;
  return key;
}

static void begin(struct command_client *client, unsigned for_ms, const struct recorder *with) {
  struct server *s = command_server_of(client);
  struct request_recording *r = memory_zalloc(sizeof *r);
  r->client = client;
  r->server = s;
  r->with = *with;
  r->with.number = ++recordings;
  r->with.secrets.key = new_key();
  r->with.owner = s;
  r->with.on_request = on_request;
  if (!command_stream(client, &stream, r)) {
    free(r);
    return;
  }
  s->recording = r;
  atomic_store(&unqueued, 0);
  timer_init(&r->timer, s->control.loop, on_due);
  r->ends_ms = loop_now_ms(s->control.loop) + for_ms;
  timer_set(&r->timer, for_ms < PROGRESS_MS ? for_ms : PROGRESS_MS);
  send_head(r);
  tell_progress(r, for_ms);
  for (unsigned i = 0; i < s->worker_count; i++) worker_record(&s->workers[i], &r->with);
}

void recording_heed(struct worker *worker) { worker->on_record_end = on_record_end; }

void recording_obey(struct command_client *client, const char *line) {
  struct server *s = command_server_of(client);
  struct recorder with = {0};
  unsigned for_ms = 0;
  bool fine = sscanf(line, "%u %u %zu", &for_ms, &with.share, &with.body_most) == 3;
  if (!fine || !for_ms || for_ms > DAY_MS || with.share > 10000 || with.body_most > BODY_MOST)
    command_answer(client, EXIT_BAD_INPUT, "malformed command\n");
  else if (s->recording)
    command_answer(client, EXIT_FAILED,
                   "a recording is being made already; there is one at a time: end it, or wait\n");
  else if (phase_is_over(s->phase))
    command_answer(client, EXIT_FAILED, "the proxy is stopping, so there is nothing to record\n");
  else
    begin(client, for_ms, &with);
}
