// SPDX-License-Identifier: Apache-2.0
// loop: makes the loops of libev. It ends the process where it cannot wake a loop of its own, so that is looked at
// before anything depends on one.
#ifndef PERILUNE_NET_LOOP_H
#define PERILUNE_NET_LOOP_H

#include <ev.h>

/* A loop that can be woken; the caller's, until loop_close. NULL: this machine lacks what it needs; *why says what, and
 * is the caller's to free. */
struct ev_loop *loop_open(char **why);
/* NULL is harmless. */
void loop_close(struct ev_loop *loop);

#endif
