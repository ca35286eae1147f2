// SPDX-License-Identifier: Apache-2.0
// test_bench: exchanges without connections, for the files of lua/test.
#ifndef PERILUNE_LUA_TEST_BENCH_H
#define PERILUNE_LUA_TEST_BENCH_H

#include <lua.h>

struct rehearsal;

/* Of the bench at that index; an error where it has ended. -0 +0 */
struct rehearsal *test_bench_check(lua_State *L, int index);

#endif
