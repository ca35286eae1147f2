// SPDX-License-Identifier: Apache-2.0
// paths: the places of files that a policy names; for modules see modules.h.
#ifndef PERILUNE_LUA_PATHS_H
#define PERILUNE_LUA_PATHS_H

#include "base/str.h"

struct arena;
struct vm;

/* Sets vm->directory to that of the script. */
void paths_init(struct vm *vm, const char *script_path);
void paths_free(struct vm *vm);
/* A file named by the policy: relative names are relative to the script. In arena memory, terminated. */
struct str paths_of(const struct vm *vm, struct str name, struct arena *arena);
#endif
