// SPDX-License-Identifier: Apache-2.0
// steer/drain: a client of `perilune backend drain` waits until its backend has no more requests.
#ifndef PERILUNE_RUNTIME_STEER_DRAIN_H
#define PERILUNE_RUNTIME_STEER_DRAIN_H

#include <stdint.h>

#include "base/str.h"

struct command_client;
struct registry_entry;

/* Answers when the backend has no request left, when somebody has put it back, or after that time. `warning` is said
 * first; both it and the address are copied. */
void drain_await(struct command_client *client, struct registry_entry *set, struct str address,
                 uint64_t for_ms, const char *warning);

#endif
