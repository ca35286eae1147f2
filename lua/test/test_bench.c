// SPDX-License-Identifier: Apache-2.0
// test_bench: the test bench of `perilune test` (not a benchmark: those are in bench/): exchanges without connections,
// whose hooks a spec calls one by one (exchange/rehearsal.h). Requests are text here; lua/perilune/test/exchange.lua
// makes them from tables and offers the rest to specs.
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "lua/api/peer.h"
#include "lua/api/timer.h"
#include "lua/test/test_bench.h"
#include "lua/test/test_cache.h"
#include "lua/vm/ctx.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/policy.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/text.h"
#include "lua/vm/token.h"
#include "lua/vm/vm.h"
#include "net/addr.h"
#include "net/virtual_time.h"
#include "exchange/access_log.h"
#include "http/h2_session.h"
#include "exchange/file_answer.h"
#include "exchange/rehearsal.h"
#include "exchange/streamed_answer.h"

struct test_bench {
  struct handle handle;
  struct rehearsal *rehearsal; /* owned; NULL: ended */
  struct settings settings;    /* a copy: the policy's list of listeners moves while it grows */
};

/* --- exchanges ------------------------------------------------------------------------------------------ */

/* nil and a sentence -0 +2 */
static int refuse(lua_State *L, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why ? why : "the head is malformed");
  return 2;
}

/* core.test_open(listener, head, client, body, secure): an exchange with the hooks of the listener
 * -5 +1 | -5 +2 */
static int open(lua_State *L) {
  struct vm *vm = vm_of(L);
  lua_Integer index = luaL_checkinteger(L, 1);
  struct str client = text_at(L, 3);
  const char *why = NULL;
  struct addr addr;
  luaL_argcheck(L, index >= 1 && (unsigned)index <= vm->policy->count, 1, "no such listener");
  const struct policy_listener *listener = &vm->policy->listeners[index - 1];
  if (!addr_parse_client(client, &addr, &why)) return refuse(L, why);
  struct test_bench *bench = handle_new(L, HANDLE_TEST_BENCH, sizeof *bench);
  bench->settings = listener->settings;
  struct rehearsal_setup setup = {vm->host.proxy, listener->hooks, &bench->settings,   &addr,
                                  text_at(L, 2),  text_at(L, 4),   lua_toboolean(L, 5)};
  bench->rehearsal = rehearsal_new(&setup, &why);
  return bench->rehearsal ? 1 : refuse(L, why);
}

struct rehearsal *test_bench_check(lua_State *L, int index) {
  struct test_bench *bench = handle_check(L, index, HANDLE_TEST_BENCH);
  if (!bench->rehearsal) luaL_error(L, "the exchange has ended");
  return bench->rehearsal;
}

/* -0 +0 */
static struct rehearsal *check(lua_State *L) { return test_bench_check(L, 1); }

static const char *const results[] = {[HOOK_DONE] = "done", [HOOK_WAIT] = "waits", [HOOK_FAILED] = "failed"};

/* The hook that argument 2 names. -0 +0 */
static enum hook check_hook(lua_State *L) {
  const char *name = luaL_checkstring(L, 2);
  enum hook hook = 0;
  if (rehearsal_waits(check(L))) luaL_error(L, "%s: another hook still waits (see clock:advance)", name);
  while (hook < HOOK_COUNT && strcmp(hook_name(hook), name) != 0) hook++;
  if (hook == HOOK_COUNT) luaL_error(L, "there is no hook '%s'", name);
  return hook;
}

/* bench:call(hook): "done", "waits" or "failed" -2 +1 */
static int call(lua_State *L) {
  struct rehearsal *r = check(L);
  enum hook hook = check_hook(L);
  if (hook >= HOOK_request_body_filter) return luaL_error(L, "%s is a body hook", lua_tostring(L, 2));
  lua_pushstring(L, results[rehearsal_call(r, hook)]);
  return 1;
}

/* bench:filter(hook, chunk, is_last): as call; the chunk must be kept until it has ended -4 +1 */
static int filter(lua_State *L) {
  struct rehearsal *r = check(L);
  enum hook hook = check_hook(L);
  if (hook < HOOK_request_body_filter || hook > HOOK_response_body_filter)
    return luaL_error(L, "%s is no body hook", lua_tostring(L, 2));
  lua_pushstring(L, results[rehearsal_filter(r, hook, text_at(L, 3), lua_toboolean(L, 4))]);
  return 1;
}

/* bench:filtered(): what goes on of the last chunk -1 +1 */
static int filtered(lua_State *L) { return push_text(L, rehearsal_filtered(check(L))); }

/* bench:waits() -1 +1 */
static int waits(lua_State *L) {
  lua_pushboolean(L, rehearsal_waits(check(L)));
  return 1;
}

/* bench:respond(head): the peer answers -2 +1 | -2 +2 */
static int respond(lua_State *L) {
  const char *why = NULL;
  struct rehearsal *r = check(L);
  if (!rehearsal_respond(r, text_at(L, 2), &why)) return refuse(L, why);
  lua_pushboolean(L, 1);
  return 1;
}

/* core.test_errors(): the names of all errors, in the order of the table; and their texts, by name -0 +1 */
static int errors(lua_State *L) {
  lua_createtable(L, ERROR_COUNT, ERROR_COUNT);
  for (int error = ERROR_NONE + 1; error < ERROR_COUNT; error++) {
    const struct error_info *info = error_info((enum error)error);
    lua_pushstring(L, info->name);
    lua_rawseti(L, -2, error);
    lua_pushstring(L, info->text);
    lua_setfield(L, -2, info->name);
  }
  return 1;
}

/* bench:fail(kind): the attempt failed so; the kind is one of core.test_errors. The kind that counts -2 +1 */
static int fail(lua_State *L) {
  struct rehearsal *r = check(L);
  const char *name = luaL_checkstring(L, 2);
  enum error error = ERROR_NONE;
  while (error < ERROR_COUNT && strcmp(error_info(error)->name, name) != 0) error++;
  luaL_argcheck(L, error < ERROR_COUNT, 2, "no such error");
  lua_pushstring(L, error_info(rehearsal_fail(r, error))->name);
  return 1;
}

/* bench:retries(): would the proxy make another attempt now? -1 +1 */
static int retries(lua_State *L) {
  lua_pushboolean(L, rehearsal_retries(check(L)));
  return 1;
}

/* bench:may_ask_another(): might the proxy ask another backend because of the response? -1 +1 */
static int may_ask_another(lua_State *L) {
  lua_pushboolean(L, rehearsal_may_ask_another(check(L)));
  return 1;
}

/* bench:first_byte_timeout(): in seconds, of the peer that was chosen -1 +1 */
static int first_byte_timeout(lua_State *L) {
  lua_pushnumber(L, rehearsal_first_byte_ms(check(L)) / 1000.0);
  return 1;
}

/* bench:answer_failure(status) -2 +0 */
static int answer_failure(lua_State *L) {
  rehearsal_answer_failure(check(L), (unsigned)luaL_optinteger(L, 2, 0));
  return 0;
}

static void end(void *ended) {
  struct test_bench *bench = ended;
  struct rehearsal *r = bench->rehearsal;
  bench->rehearsal = NULL;
  if (r) rehearsal_free(r);
}

/* bench:finish(); harmless when repeated -1 +0 */
static int finish(lua_State *L) {
  end(handle_check(L, 1, HANDLE_TEST_BENCH));
  return 0;
}

/* --- what it has come to. -1 +1 ------------------------------------------------------------------------- */

/* headers = { name, value, name, value, ... } -0 +0 */
static void set_headers(lua_State *L, const struct headers *headers) {
  push_fields(L, headers);
  lua_setfield(L, -2, "headers");
}

/* -0 +1 */
static void push_response(lua_State *L, const struct response *response) {
  lua_newtable(L);
  set_number(L, "status", response->status);
  set_text(L, "reason", response->reason);
  set_headers(L, &response->headers);
}

static int outcome(lua_State *L) {
  const struct exchange *x = rehearsal_exchange(check(L));
  lua_newtable(L);
  set_flag(L, "answered", x->outcome.answered);
  set_flag(L, "refused", x->outcome.refused);
  if (x->outcome.decides_retry) set_flag(L, "retry", x->outcome.retry);
  if (x->outcome.asks_again) set_flag(L, "retry", true);
  if (x->outcome.status) set_number(L, "status", x->outcome.status);
  if (x->outcome.cache) test_push_cache_says(L, x->outcome.cache);
  if (x->outcome.error == ERROR_NONE) return 1;
  lua_pushstring(L, error_info(x->outcome.error)->name);
  lua_setfield(L, -2, "failure");
  set_number(L, "failure_status",
             x->outcome.status ? x->outcome.status : error_info(x->outcome.error)->status);
  return 1;
}

static struct streamed_answer *streamed(struct exchange *x) {
  return x->answer && x->answer->is_streamed ? x->rare->streamed : NULL;
}

/* bench:stream(): an answer that is written piece by piece is, from now on: is it under way, and the error that has
 * ended it. nil: there is none -1 +1 | -1 +2 */
static int stream(lua_State *L) {
  struct streamed_answer *s = streamed(rehearsal_exchange(check(L)));
  if (!s) return push_nil(L);
  if (!s->is_rehearsed) streamed_answer_rehearse(s);
  lua_pushboolean(L, streamed_answer_runs(s->exchange));
  if (s->error == ERROR_NONE) return 1;
  lua_pushstring(L, error_info(s->error)->name);
  return 2;
}

/* bench:leave(): its client does -1 +0 */
static int leave(lua_State *L) {
  streamed_answer_give_up(rehearsal_exchange(check(L)));
  return 0;
}

static struct str answer_text(struct exchange *x) {
  if (x->answer->is_streamed) return streamed_answer_text(x->rare->streamed);
  return x->answer->is_file ? file_body_text(x->rare->file) : x->answer->content;
}

/* The answer of the policy's own; nil where there is none. */
static int answer(lua_State *L) {
  struct exchange *x = rehearsal_exchange(check(L));
  if (!x->answer) return push_nil(L);
  push_response(L, &x->answer->response);
  if (x->answer->resets) {
    set_text(L, "reset", str_of(h2_code_name(x->answer->code)));
    set_number(L, "reset_code", x->answer->code);
  }
  set_text(L, "body", answer_text(x));
  set_flag(L, "close", x->answer->close);
  return 1;
}

/* The peer's response, as edited so far. */
static int response(lua_State *L) {
  push_response(L, &rehearsal_exchange(check(L))->response);
  return 1;
}

/* bench:request(upstream): the client's, or that of the last attempt -2 +1 */
static int request(lua_State *L) {
  const struct exchange *x = rehearsal_exchange(check(L));
  const struct request *wanted = lua_toboolean(L, 2) ? &x->now.request : &x->request;
  lua_newtable(L);
  set_text(L, "method", wanted->method_name);
  set_text(L, "target", wanted->target);
  set_text(L, "body", exchange_body(x));
  set_headers(L, &wanted->headers);
  return 1;
}

/* The peer that upstream_peer gave; nil where there is none. */
static int peer(lua_State *L) {
  peer_push(L, rehearsal_exchange(check(L))->now.peer);
  return 1;
}

/* bench:session(), bench:ctx(): what hooks are given */
static int session(lua_State *L) {
  token_push(L, rehearsal_exchange(check(L))->script, TOKEN_SESSION);
  return 1;
}
static int ctx(lua_State *L) {
  ctx_push(L, rehearsal_exchange(check(L))->script);
  return 1;
}

/* What the policy adds to the access log: { name = "its value in JSON" } */
static int log_fields(lua_State *L) {
  lua_newtable(L);
  for (struct log_field *field = rehearsal_exchange(check(L))->account.log_fields; field;
       field = field->next) {
    if (!field->length) continue;
    lua_pushlstring(L, field->name.ptr, field->name.len);
    lua_pushlstring(L, field->text, field->length);
    lua_rawset(L, -3);
  }
  return 1;
}

static const luaL_Reg methods[] = {
    {"call", call},
    {"waits", waits},
    {"filter", filter},
    {"filtered", filtered},
    {"answer_failure", answer_failure},
    {"respond", respond},
    {"fail", fail},
    {"retries", retries},
    {"may_ask_another", may_ask_another},
    {"first_byte_timeout", first_byte_timeout},
    {"outcome", outcome},
    {"answer", answer},
    {"stream", stream},
    {"leave", leave},
    {"response", response},
    {"request", request},
    {"peer", peer},
    {"session", session},
    {"ctx", ctx},
    {"log_fields", log_fields},
    {"finish", finish},
    {"cache_step", test_cache_step},
    {"cache_body", test_cache_body},
    {"cache_text", test_cache_text},
    {"cache_result", test_cache_result},
    {"cache_refresh", test_cache_refresh},
    {NULL, NULL},
};
static const luaL_Reg functions[] = {
    {"test_open", open},
    {"test_errors", errors},
    {NULL, NULL},
};

/* Only in `perilune test`. */
void open_test_bench(lua_State *L) {
  if (!virtual_time.on) return;
  handle_define(L, HANDLE_TEST_BENCH, "perilune.test_bench", methods, NULL);
  handle_set_end(L, HANDLE_TEST_BENCH, end);
  luaL_register(L, NULL, functions);
}
