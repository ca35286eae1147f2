// SPDX-License-Identifier: Apache-2.0
// admin: the listener for operators: GET / is the status page, /status.json its data, /metrics the same for
// Prometheus. It is read-only: commands use runtime/command, which knows the user. The control worker serves it,
// by the same code as for every client.
#ifndef PERILUNE_RUNTIME_ADMIN_H
#define PERILUNE_RUNTIME_ADMIN_H

#include <stdbool.h>

#include "base/str.h"
#include "runtime/socket_file.h"

struct admin;
struct config;
struct policy_listener;
struct server;

/* Could the address that is set as `admin` be listened on? Without admin_public it must be a loopback address or a unix
 * socket. False: *why is a malloc'd message. */
bool admin_check(const struct config *config, char **why);
/* Does none of the listeners have the address that is set as `admin`? True where none is set. False: as above. */
bool admin_is_apart(const struct config *config, const struct policy_listener *said, unsigned count,
                    char **why);
/* NULL: *why is a malloc'd message. */
struct admin *admin_open(struct server *server, const struct config *config, char **why);
/* Its listening socket, for a successor, who finds it under this name, which is no address of a policy. */
#define ADMIN_NAME "admin"
int admin_socket(const struct admin *admin);
/* For the owner of its file to change, and for its removal. */
struct socket_file *admin_file(struct admin *admin);
/* Listens no longer, and removes its file if that is ours; what is open goes on. NULL is fine. */
void admin_stop(struct admin *admin);
/* Once the control worker is gone, whose connections use it. NULL is fine. */
void admin_free(struct admin *admin);

#endif
