// SPDX-License-Identifier: Apache-2.0
// replay_command: first each policy decides alone, which leaves a checksum for each request. Only where these differ is
// a policy run again, with its lines watched: it decides the same again, and its heads and lines are kept then. So
// millions of requests need little memory, and a policy that has not changed is compared at full speed.
#include "cli/replay_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "base/memory.h"
#include "cli/replay_report.h"
#include "runtime/process.h"
#include "runtime/replaying.h"

enum { DETAILS_MOST = 5000 };

struct replaying {
  struct recording recording;
  struct policy_source policy, against; /* against.source is NULL: the recording itself */
  uint64_t *sums;                       /* owned: of the decisions of `policy` */
  bool *differs;                        /* owned */
  uint64_t differing, unknown, cached;
  uint64_t details, last; /* last: the number of the last one that is looked at closer */
  struct replay_report report;
  bool is_against; /* whose run it is */
};

static uint64_t sum_of(const struct replay_decision *d, bool has_peer) {
  const uint64_t numbers[] = {d->kind, d->status, d->error, has_peer ? d->attempts : 0, d->waited_ms};
  uint64_t sum = XXH3_64bits(numbers, sizeof numbers);
  if (has_peer) sum = XXH3_64bits_withSeed(d->peer, strlen(d->peer), sum);
  sum = XXH3_64bits_withSeed(buf_len(&d->request) ? buf_ptr(&d->request) : "", buf_len(&d->request), sum);
  return XXH3_64bits_withSeed(buf_len(&d->response) ? buf_ptr(&d->response) : "", buf_len(&d->response), sum);
}

static void mark(struct replaying *r, uint64_t number) {
  r->differs[number] = true;
  r->differing++;
  if (r->differing > DETAILS_MOST) return;
  r->last = number;
  r->details++;
}

/* What the recording says of the same. */
static bool is_as_recorded(const struct recorded *recorded, const struct replay_decision *d) {
  struct replay_decision was;
  replay_report_recorded(recorded, &was);
  if (recorded->is_cached && d->kind == REPLAY_ASKS) return true;
  return was.kind == d->kind && was.status == d->status && was.error == d->error;
}

static bool on_first(void *owner, uint64_t number, const struct recorded *recorded,
                     const struct replay_decision *d, const struct replay_lines *lines) {
  struct replaying *r = owner;
  (void)lines;
  replay_report_peer(&r->report, d, r->is_against);
  if (d->kind == REPLAY_UNKNOWN) r->sums[number] = 0;
  if (!r->is_against && d->kind != REPLAY_UNKNOWN) r->sums[number] = sum_of(d, true) | 1;
  if (!r->is_against && d->kind == REPLAY_UNKNOWN) r->unknown++;
  if (d->kind == REPLAY_UNKNOWN || !r->sums[number]) return true;
  if (!r->against.source && recorded->is_cached && d->kind == REPLAY_ASKS) r->cached++;
  if (r->is_against ? (sum_of(d, true) | 1) != r->sums[number]
                    : !r->against.source && !is_as_recorded(recorded, d))
    mark(r, number);
  return true;
}

static bool wants_lines(void *owner, uint64_t number) {
  const struct replaying *r = owner;
  return r->differs[number] && number <= r->last;
}

static bool on_detail(void *owner, uint64_t number, const struct recorded *recorded,
                      const struct replay_decision *d, const struct replay_lines *lines) {
  struct replaying *r = owner;
  if (r->differs[number]) replay_report_detail(&r->report, number, recorded, d, lines, r->is_against);
  return number < r->last;
}

/* --- the command ---------------------------------------------------------------------------------------- */

static int refuse(const char *what, char *why) {
  fprintf(stderr, "perilune: %s: %s\n", what, why);
  free(why);
  return EXIT_BAD_INPUT;
}

static bool run(struct replaying *r, bool is_against, bool is_first) {
  char *why = NULL;
  struct replay_run run = {
      .recording = &r->recording, .source = is_against ? r->against : r->policy, .owner = r};
  run.on_decision = is_first ? on_first : on_detail;
  run.wants_lines = is_first ? NULL : wants_lines;
  r->is_against = is_against;
  r->report.run = &run;
  bool fine = replaying_run(&run, &why);
  if (!is_against && is_first) r->report.refused = run.refused;
  if (!fine) refuse(run.source.name, why);
  return fine;
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool run_all(struct replaying *r) {
  double began = seconds();
  if (!run(r, false, true) || (r->against.source && !run(r, true, true))) return false;
  double took = seconds() - began;
  uint64_t decided = r->recording.count * (r->against.source ? 2 : 1);
  fprintf(stderr, "perilune: %llu decisions in %.2f s, %.0f a second\n", (unsigned long long)decided, took,
          (double)decided / (took > 0 ? took : 1));
  if (!r->details) return true;
  return run(r, false, false) && (!r->against.source || run(r, true, false));
}

static int replay(struct replaying *r) {
  r->sums = memory_zalloc((r->recording.count + 1) * sizeof *r->sums);
  r->differs = memory_zalloc((r->recording.count + 1) * sizeof *r->differs);
  r->report.is_recorded = !r->against.source;
  bool fine = run_all(r);
  if (fine) {
    printf("%llu request%s, %llu decided differently", (unsigned long long)r->recording.count,
           plural(r->recording.count), (unsigned long long)r->differing);
    if (r->unknown) printf("; %llu could not be decided without a network", (unsigned long long)r->unknown);
    putchar('\n');
    if (r->cached)
      printf("%llu request%s had come from the cache, which a replay has not: the policy would ask a peer\n",
             (unsigned long long)r->cached, plural(r->cached));
    replay_report_print(&r->report, stdout);
  }
  replay_report_free(&r->report);
  free(r->sums);
  free(r->differs);
  if (fine && !r->recording.count)
    fputs("perilune: the recording holds no request: nothing was tested\n", stderr);
  return !fine ? EXIT_BAD_INPUT : r->differing || !r->recording.count ? EXIT_FAILED : EXIT_FINE;
}

int replay_command(struct arguments *a, const struct policy_kind *kind) {
  struct replaying r = {.policy = {kind, a->look.policy, a->look.policy},
                        .against = {kind, a->look.against, a->look.against}};
  char *why = NULL;
  if (!a->operand)
    return arguments_refuse(COMMAND_REPLAY, "replay wants a FILE that 'perilune record' has written");
  if (!a->look.policy) return arguments_refuse(COMMAND_REPLAY, "replay wants --policy SCRIPT");
  int code = recording_open(&r.recording, a->operand, &why) ? replay(&r) : refuse(a->operand, why);
  recording_close(&r.recording);
  return code;
}
