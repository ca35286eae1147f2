// SPDX-License-Identifier: Apache-2.0
// live/tracers: the commands `perilune trace` that look on at the moment, and the recent exchanges that are kept
// whoever looks on: failures, and those with the slowest calls of hooks.
#ifndef PERILUNE_RUNTIME_LIVE_TRACERS_H
#define PERILUNE_RUNTIME_LIVE_TRACERS_H

#include <stdint.h>

#include "base/str.h"

struct command_client;
struct server;
struct tracers;

/* Before the workers start; and when they have ended. NULL is fine. */
struct tracers *tracers_new(struct server *server);
void tracers_free(struct tracers *tracers);
/* The queue that workers put records into (struct proxy's live_queue). */
struct span_queue *tracers_queue(struct tracers *tracers);
/* Takes what workers have put in: once a second, and more often while somebody looks on. */
void tracers_collect(struct tracers *tracers);
/* Looks on for the client, as live/rule.h says; it is answered at the end. */
void tracers_begin(struct command_client *client, const char *line);

/* Since the start. */
struct tracers_figures {
  unsigned under_way, begun;
  uint64_t sent, lost;
};
struct tracers_figures tracers_figures(const struct tracers *tracers);

/* --- recent ones --- */

enum { RECENT_FAILURES = 32, RECENT_HOOKS = 32 };

/* The bytes of the records that are kept, newest first: failures; slowest calls of hooks. False: there are not so many.
 * Valid until the next tracers_collect. */
bool tracers_failure(const struct tracers *tracers, unsigned age, struct str *record);
bool tracers_slow_hook(const struct tracers *tracers, unsigned number, struct str *record);
/* Sends them to the client, as a trace; and ends. */
void tracers_show_recent(struct command_client *client);

#endif
