// SPDX-License-Identifier: Apache-2.0
// logs: the sinks of the process: the error log's, and one for each access log that a policy in use names.
// Listeners that name the same one share it, and a reload that names it again finds it open.
#ifndef PERILUNE_RUNTIME_LOGS_H
#define PERILUNE_RUNTIME_LOGS_H

#include <stdint.h>

#include "runtime/policy.h"

struct config;
struct logs;

struct logs *logs_new(unsigned workers);
/* What is still to be written is written, for at most some seconds. */
void logs_free(struct logs *logs);

/* The error log goes there from now on (NULL: to standard error). False: *why is a malloc'd message. */
bool logs_open_errors(struct logs *logs, const char *target, char **why);

/* Opens the access logs that a policy's listeners name, or that of the process where they name none. False:
 * *why is a malloc'd message. Either way logs_release follows. */
bool logs_hold(struct logs *logs, struct policy_listener *listeners, unsigned count,
               const struct config *config, char **why);
/* The policy that opened them is in force, or on trial: they stay, also when it goes. */
void logs_commit(struct logs *logs);
/* Removes files that were made for a policy that has never been in force. Thread-safe. */
void logs_release(struct logs *logs, struct policy_listener *listeners, unsigned count);

/* Opens all files again. */
void logs_reopen(struct logs *logs);
/* Frees what was released and has been written; once a second. */
void logs_tend(struct logs *logs);
/* Files go over to the user that the process is about to become. */
void logs_give(struct logs *logs, const char *user);
/* What each sink has dropped, those included that are no longer in use. */
void logs_dropped(struct logs *logs, void (*each)(const char *target, uint64_t dropped, void *context),
                  void *context);

#endif
