// SPDX-License-Identifier: Apache-2.0
// text: Lua's strings as slices, and its numbers as text that reads back as the same number (base/number). Lua's own
// conversion, which lua_tolstring and luaL_checklstring use, keeps 14 digits: 1234567890123456 would be another number.
#ifndef PERILUNE_LUA_TEXT_H
#define PERILUNE_LUA_TEXT_H

#include <lua.h>

#include "base/str.h"

/* The string or number at `index`, which becomes a string in its place; ptr NULL: it is neither. Not for a key of
 * lua_next. -0 +0 */
struct str text_of(lua_State *L, int index);
/* The same where its type is known already. -0 +0 */
struct str text_of_type(lua_State *L, int index, int type);
/* The same for an argument: raises where it is neither. -0 +0 */
struct str text_at(lua_State *L, int index);
/* core.text(value): a number as such a text, anything else as tostring makes it. -1 +1 */
int text_make(lua_State *L);

/* An option that is a duration, in ms: a number of seconds, or a text (base/duration.h). False: it is none, or out of
 * bounds; DURATION_WANTED says what it must be. -0 +0 */
bool duration_at(lua_State *L, int index, unsigned *ms);

#endif
