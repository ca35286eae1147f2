// SPDX-License-Identifier: Apache-2.0
// line_watch: tells each line of the policy before it runs, for a replay (runtime/replaying.h). All is interpreted
// meanwhile, for compiled code calls no hook.
#ifndef PERILUNE_LUA_LINE_WATCH_H
#define PERILUNE_LUA_LINE_WATCH_H

struct vm;

/* From now on; on_line NULL: no longer. In a process with one such VM, while no Lua runs. */
void line_watch(struct vm *vm, void (*on_line)(void *owner, const char *place), void *owner);

#endif
