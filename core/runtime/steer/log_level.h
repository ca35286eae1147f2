// SPDX-License-Identifier: Apache-2.0
// steer/log_level: `perilune log-level`: the level of the error log of a running proxy, for good or for a while. A
// reload leaves it as it is; a successor begins with the configured one.
#ifndef PERILUNE_RUNTIME_STEER_LOG_LEVEL_H
#define PERILUNE_RUNTIME_STEER_LOG_LEVEL_H

#include <stddef.h>

struct command_client;
struct server;

/* Before the first command, and behind the last. */
void steer_log_level_init(struct server *server);
void steer_log_level_end(struct server *server);
/* "LEVEL FOR_MS", or "": asks for it; LEVEL may be "default". Answers the client. */
void steer_log_level(struct command_client *client, const char *line);
/* Of now. */
const char *steer_log_level_name(void);
/* "debug for 9 min, then info"; "": as configured. Gives `room`. */
const char *steer_log_level_describe(const struct server *server, char *room, size_t bytes);

#endif
