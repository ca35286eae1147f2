// SPDX-License-Identifier: Apache-2.0
// body: the policy's body hooks, called for each piece of a body.
#ifndef PERILUNE_LUA_BODY_H
#define PERILUNE_LUA_BODY_H

#include "exchange/hooks.h"

/* For struct hooks. */
enum hook_status body_run(struct body_piece *piece);
void body_cancel(struct body_piece *piece);

#endif
