// SPDX-License-Identifier: Apache-2.0
// pulse: once a second the control worker asks every worker to state how it is (connections, memory), notes
// how long the answer took, and adds a second to the history that status shows. A worker that does not come
// back to its loop is reported in the log.
#ifndef PERILUNE_RUNTIME_PULSE_H
#define PERILUNE_RUNTIME_PULSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct pulse;
struct server;

enum { PULSE_SECONDS = 120, PULSE_CLASSES = 6 };

/* What happened in one second. */
struct second {
  unsigned requests;
  unsigned classes[PULSE_CLASSES]; /* answers by their status: 1xx to 5xx, [0]: none was given */
  unsigned p50_us, p90_us, p99_us;
  uint64_t received, sent; /* bytes */
};

/* Before the workers start: their first times are measured with what is found out here. */
struct pulse *pulse_start(struct server *server);
/* The workers will not be asked any more; history goes on. */
void pulse_quieten(struct pulse *pulse);
/* The workers must have ended. NULL is fine. */
void pulse_free(struct pulse *pulse);
/* It has not come back to its loop for seconds. NULL: nothing is known yet, so no. */
bool pulse_is_stuck(const struct pulse *pulse, unsigned worker);
/* The same for 1.5 s, which is noticed 2 to 3 s after it went: others are to do its work. */
bool pulse_is_away(const struct pulse *pulse, unsigned worker);
/* The same for a second. */
bool pulse_is_silent(const struct pulse *pulse, unsigned worker);
/* At least one worker is not stuck. */
bool pulse_is_alive(const struct pulse *pulse);
/* "has not come back to its loop for 7 s": what is known of a worker that is waited for. */
void pulse_describe(const struct pulse *pulse, unsigned worker, char *text, size_t bytes);
/* From the last whole second (0) on; zeroes for what was before the start. */
const struct second *pulse_second(const struct pulse *pulse, unsigned age);

#endif
