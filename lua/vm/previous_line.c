// SPDX-License-Identifier: Apache-2.0
// previous_line: the instruction is set back for the time of a question, and then put where it was.
#include "lua/vm/previous_line.h"

#include <stdint.h>

#if defined __x86_64__ && defined __linux__
/* Of LuaJIT 2.1 with GC64, which the VM needs for its allocator. */
enum { FRAME_OF_STATE = 80, STATE_OF_FRAME = 16, PC_OF_FRAME = 24, NEAR_BYTES = 64 << 10, FLAGS = 3 };

/* NULL: it is not where it was expected. A frame lies on the C stack, above ours. */
static const uint32_t **pc_of(lua_State *L) {
  uintptr_t frame = *(uintptr_t *)((char *)L + FRAME_OF_STATE) & ~(uintptr_t)FLAGS,
            here = (uintptr_t)__builtin_frame_address(0);
  if (frame % sizeof(void *) != 0 || frame < here || frame - here > NEAR_BYTES) return NULL;
  if (*(lua_State **)(frame + STATE_OF_FRAME) != L) return NULL;
  return (const uint32_t **)(frame + PC_OF_FRAME);
}

int previous_line(lua_State *L, const lua_Debug *at) {
  const uint32_t **pc = pc_of(L), *now;
  lua_Debug before = *at;
  if (!pc) return at->currentline;
  now = *pc;
  *pc = now - 1;
  int known = lua_getinfo(L, "l", &before);
  *pc = now;
  return known && before.currentline > 0 ? before.currentline : at->currentline;
}
#else
int previous_line(lua_State *L, const lua_Debug *at) {
  (void)L;
  return at->currentline;
}
#endif
