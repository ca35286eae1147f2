// SPDX-License-Identifier: Apache-2.0
// table: what the files of perilune.table share: table.c (the handle, and who loads) and table_csv.c (from a file).
#ifndef PERILUNE_LUA_TABLE_H
#define PERILUNE_LUA_TABLE_H

#include <lua.h>

#include "base/str.h"
#include "shared/lookup_table.h"

/* 's' a text, 'n' a number's text, 'b' "1" or "0", 'j' a table as JSON. */
enum table_type { TABLE_TEXT = 's', TABLE_NUMBER = 'n', TABLE_FLAG = 'b', TABLE_JSON = 'j' };

/* The table that the handle at `index` is to be filled by; raises where it is not this VM that fills it. -0 +0 */
struct lookup_table *table_to_fill(lua_State *L, int index, enum lookup_kind *kind);
/* A key as the policy or a file writes it goes in. NULL, or why it cannot: a static sentence. */
const char *table_add(struct lookup_table *table, enum lookup_kind kind, struct str key, char type,
                      struct str value);
/* table:csv(path, separator, has_names, key, value): rows of a file; nil and why -6 +1 | -6 +2 */
int table_csv(lua_State *L);

#endif
