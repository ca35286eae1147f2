// SPDX-License-Identifier: Apache-2.0
// paths: the directory of the script, with its slash at the end.
#include "lua/vm/paths.h"

#include <stdlib.h>

#include "base/arena.h"
#include "lua/vm/vm.h"

static struct str directory_of(const char *path) {
  const char *slash = strrchr(path, '/');
  size_t length = slash ? (size_t)(slash - path) + 1 : 0;
  return (struct str){str_to_cstring((struct str){path, length}), length};
}

void paths_init(struct vm *vm, const char *script_path) { vm->directory = directory_of(script_path); }

void paths_free(struct vm *vm) {
  free((char *)vm->directory.ptr);
  free((char *)vm->library.ptr);
}

struct str paths_of(const struct vm *vm, struct str name, struct arena *arena) {
  bool is_absolute = name.len == 0 || name.ptr[0] == '/';
  return arena_printf(arena, "%.*s%.*s", is_absolute ? 0 : (int)vm->directory.len, vm->directory.ptr,
                      STR_ARG(name));
}
