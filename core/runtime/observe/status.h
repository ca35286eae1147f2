// SPDX-License-Identifier: Apache-2.0
// status: the state of a running proxy, as text for a terminal, and as JSON for the status page and for programs.
// Both are malloc'd, and made in the control worker's thread.
#ifndef PERILUNE_RUNTIME_STATUS_H
#define PERILUNE_RUNTIME_STATUS_H

struct server;

char *status_text(const struct server *server); /* status.c */
char *status_json(const struct server *server); /* status_json.c */

/* In one line, by which people tell it from others: "hello.lua on 127.0.0.1:8080, up 2 h". */
char *status_summary(const struct server *server);

#endif
