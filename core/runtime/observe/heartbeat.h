// SPDX-License-Identifier: Apache-2.0
// heartbeat: once a second the control worker sends every worker a message. The worker answers from its loop with its
// figures (connections, memory); how long that took is its lag. A worker that does not answer is reported in the log.
// The control worker also keeps the figures of the last HEARTBEAT_SECONDS seconds, for status.
#ifndef PERILUNE_RUNTIME_HEARTBEAT_H
#define PERILUNE_RUNTIME_HEARTBEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct heartbeat;
struct server;

enum { HEARTBEAT_SECONDS = 120, HEARTBEAT_CLASSES = 6 };

/* What happened in one second. */
struct second {
  unsigned requests;
  unsigned classes[HEARTBEAT_CLASSES]; /* answers by their status: 1xx to 5xx, [0]: none was given */
  unsigned p50_us, p90_us, p99_us;
  uint64_t received, sent; /* bytes */
};

/* Before the workers start: their first times are measured with what is found out here. `each_second` is called in the
 * control worker, as long as workers are asked. */
struct heartbeat *heartbeat_start(struct server *server, void (*each_second)(struct server *server));
/* Workers are asked no more; the figures of each second go on. */
void heartbeat_quieten(struct heartbeat *heartbeat);
/* The workers must have ended. NULL is fine. */
void heartbeat_free(struct heartbeat *heartbeat);
/* It has not come back to its loop for 5 s. With NULL, before the start: false. */
bool heartbeat_is_stuck(const struct heartbeat *heartbeat, unsigned worker);
/* The same for 1.5 s: others take over its connections. Noticed 2 to 3 s after the worker blocked. */
bool heartbeat_is_away(const struct heartbeat *heartbeat, unsigned worker);
/* The same for 1 s. */
bool heartbeat_is_silent(const struct heartbeat *heartbeat, unsigned worker);
/* At least one worker is not stuck. */
bool heartbeat_is_alive(const struct heartbeat *heartbeat);
/* "has not come back to its loop for 7 s": what is known of a worker that is waited for. */
void heartbeat_describe(const struct heartbeat *heartbeat, unsigned worker, char *text, size_t bytes);
/* From the last whole second (0) on; zeroes for what was before the start. */
const struct second *heartbeat_second(const struct heartbeat *heartbeat, unsigned age);

#endif
