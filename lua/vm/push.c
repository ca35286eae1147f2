// SPDX-License-Identifier: Apache-2.0
// push: what takes more than a line.
#include "lua/vm/push.h"

#include "http/headers.h"

void push_fields(lua_State *L, const struct headers *headers) {
  lua_createtable(L, (int)headers->count * 2, 0);
  for (unsigned i = 0; i < headers->count; i++) {
    push_text(L, headers->items[i].name);
    lua_rawseti(L, -2, (int)i * 2 + 1);
    push_text(L, headers->items[i].value);
    lua_rawseti(L, -2, (int)i * 2 + 2);
  }
}
