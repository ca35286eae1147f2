// SPDX-License-Identifier: Apache-2.0
// pulse: once a second the control worker asks every worker to state how it is (connections, memory), notes
// how long the answer took, and adds a second to the history that status shows. A worker that does not come
// back to its loop is reported in the log.
#ifndef PERILUNE_RUNTIME_PULSE_H
#define PERILUNE_RUNTIME_PULSE_H

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
/* From the last whole second (0) on; zeroes for what was before the start. */
const struct second *pulse_second(const struct pulse *pulse, unsigned age);

#endif
