// SPDX-License-Identifier: Apache-2.0
// fields: header fields between Lua and struct headers, for sessions, messages and answers. Argument 2 is the
// name, argument 3 the value. Fields that the proxy writes itself can be read, but not set (invariant I9).
#ifndef PERILUNE_LUA_FIELDS_H
#define PERILUNE_LUA_FIELDS_H

#include <lua.h>

#include "http/message.h"

/* The first value, for use at once; Content-Length and Transfer-Encoding are told from the body. False: there is none.
 * -0 +0 | -0 +1 */
bool fields_look(lua_State *L, const struct headers *headers, const struct body *body, struct str name,
                 struct str *value);
/* The fields of the session or message that is argument 1; in lua/api/message.c. -0 +0 */
const struct headers *message_fields(lua_State *L, const struct body **body);
/* An array of all values, empty where there is none. -0 +1 */
int fields_get_all(lua_State *L, const struct headers *headers, const struct body *body);
/* The field that arguments 2 and 3 say, checked; its text is Lua's. Where the value is a table it has none: its
 * pointer is NULL. -0 +0 */
struct field fields_read(lua_State *L);
/* Takes the place of the first field of that name, and of all others. */
void fields_set(struct headers *headers, struct field field);
void fields_add(struct headers *headers, struct field field);
/* The values of an array go to the end, in place of all fields of that name. -0 +0 */
void fields_set_all(lua_State *L, struct headers *headers);
/* How many there were. -0 +1 */
int fields_remove(lua_State *L, struct headers *headers);
/* for name, value in m:headers(): in order, as they were when it was called, so the loop may change them. The
 * handle is argument 1. -0 +1 */
int fields_each(lua_State *L, const struct headers *headers);

/* core.check_field, in lua/api/message.c's noun. -3 +0 */
int fields_check(lua_State *L);

/* Adds what is at `value` (string, number or array) under the name at `name`, checked. -0 +0 */
void fields_append(lua_State *L, struct headers *headers, int name, int value);

#endif
