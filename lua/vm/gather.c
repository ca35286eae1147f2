// SPDX-License-Identifier: Apache-2.0
// gather: see gather.h.
#include "lua/vm/gather.h"

#include "lua/vm/vm.h"

enum { PART_COST = 16 }; /* as much as a value of an array takes, and more */

struct gather gather_begin(lua_State *L, struct buf *out) {
  return (struct gather){out, vm_of(L)->memory.cap_bytes};
}

bool gather_text(struct gather *g, struct str text) {
  if (g->left < PART_COST || text.len > g->left - PART_COST) {
    buf_release(g->out);
    return false;
  }
  g->left -= PART_COST + text.len;
  if (text.len) buf_append_str(g->out, text);
  return true;
}
