// SPDX-License-Identifier: Apache-2.0
// steer/list: `perilune backend list`: the backends of the sets in force, with what people have said of them.
#ifndef PERILUNE_RUNTIME_STEER_LIST_H
#define PERILUNE_RUNTIME_STEER_LIST_H

#include <stdbool.h>

#include "base/str.h"

struct command_client;

/* Of that set, or of all where it is empty. */
void steer_list(struct command_client *client, struct str set, bool as_json);

#endif
