// SPDX-License-Identifier: Apache-2.0
// switching: which worker uses which generation. A worker switches when it returns to its loop; one that is stuck in
// a hook may never do so. So a reload is answered within a time limit, with the names of the workers that have not
// switched; they switch later, to the generation that is the newest then.
#ifndef PERILUNE_RUNTIME_SWITCHING_H
#define PERILUNE_RUNTIME_SWITCHING_H

#include <stdbool.h>
#include <stddef.h>

struct server;
struct switching;
struct worker;

void switching_init(struct switching *switching, struct server *server);
void switching_free(struct switching *switching);
/* The workers were told of the server's newest generation: its outcome is logged, noted and told within the limit. */
void switching_begin(struct server *server);
/* Nobody waits any more: the process stops. */
void switching_abandon(struct server *server);
/* In the worker's thread: it has come to its generation. */
void switching_report(struct worker *worker);
/* How many workers have not come to the generation in force. */
unsigned switching_behind(const struct server *server);
/* "is stuck in request_filter at policy.lua:14 for 7 s", or that it "has not come back to its loop for 7 s".
 * True: it is the policy that keeps it. */
bool switching_describe_worker(const struct server *server, unsigned worker, char *text, size_t bytes);
/* What to do about it then. */
#define SWITCHING_ADVICE                                                                                     \
  "take the call that blocks out of the policy; then 'perilune upgrade' replaces the process without "       \
  "losing a request"
/* "worker 0 is stuck in ... for 7 s" for each that is behind or does not come back to its loop; "" for none. */
void switching_describe(const struct server *server, char *text, size_t bytes);

#endif
