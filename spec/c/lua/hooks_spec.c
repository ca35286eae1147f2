// SPDX-License-Identifier: Apache-2.0
// The policy's hooks, called with exchanges made by hand.
#include "policy.h"
#include "unit.h"

#include <stdio.h>

#include "base/log.h"

#define HEAD "local perilune = require 'perilune'\n"

IT("calls a hook with the session and the ctx of its exchange") {
  struct policy_under_test t;
  policy_open(
      &t,
      HEAD "perilune.listen(':0', {\n"
           "early_request_filter = function(session, ctx) ctx.path = session:path() end,\n"
           "request_filter = function(session, ctx)\n"
           "  assert(ctx.path == '/a' and session:query() == 'b=c' and session:host() == 'example.org')\n"
           "  assert(session:method() == 'GET' and session:version() == 1.1 and session:scheme() == 'http')\n"
           "  return session:respond { status = 200, body = ctx.path, headers = { ['X-A'] = { 1, 'b' } } }\n"
           "end })");
  if (!CHECK(t.policy != NULL)) return;
  struct exchange *x = exchange_open(&t, "/a?b=c");
  CHECK(CALL(x, early_request_filter) == HOOK_DONE);
  CHECK(CALL(x, request_filter) == HOOK_DONE);
  CHECK(x->outcome.answered && x->answer);
  CHECK_STR(x->answer->content, "/a");
  CHECK(x->answer->response.headers.count == 2);
  CHECK_STR(x->answer->response.headers.items[1].value, "b");
  exchange_close(x);
  policy_close(&t);
}

IT("leaves hooks that the policy does not define NULL") {
  struct policy_under_test t;
  policy_open(&t, HEAD "perilune.listen(':0', { upstream_peer = function() end })");
  CHECK(t.listener_count == 1 && t.listeners[0].hooks->upstream_peer);
  CHECK(!t.listeners[0].hooks->request_filter && !t.listeners[0].hooks->logging);
  policy_close(&t);
}

IT("lets a hook wait, and wakes its exchange with the outcome") {
  struct policy_under_test t;
  policy_open(&t, HEAD "perilune.listen(':0', { upstream_peer = function()\n"
                       "  perilune.sleep(0) perilune.sleep(0)\n"
                       "  return '127.0.0.1:80'\n"
                       "end })");
  struct exchange *x = exchange_open(&t, "/");
  CHECK(CALL(x, upstream_peer) == HOOK_WAIT);
  while (x->hook_state == HOOK_WAITING) ev_run(t.loop, EVRUN_ONCE);
  CHECK(x->hook_state == HOOK_FINISHED && x->outcome.error == ERROR_NONE);
  if (CHECK(x->outcome.peer != NULL)) CHECK_STR(x->outcome.peer->options.address, "127.0.0.1:80");
  exchange_close(x);
  policy_close(&t);
}

IT("abandons a hook that waits when its exchange ends") {
  struct policy_under_test t;
  policy_open(
      &t,
      HEAD "perilune.listen(':0', { request_filter = function() perilune.sleep(0.001) error 'woken' end })");
  struct exchange *x = exchange_open(&t, "/");
  CHECK(CALL(x, request_filter) == HOOK_WAIT);
  x->hooks->cancel(x);
  ev_sleep(0.002);
  ev_run(t.loop, EVRUN_NOWAIT);
  CHECK(x->hook_state == HOOK_WAITING);
  exchange_close(x);
  x = exchange_open(&t, "/");
  CHECK(CALL(x, request_filter) == HOOK_WAIT);
  exchange_close(x);
  policy_close(&t);
}

IT("makes a peer of the table that upstream_peer returns") {
  struct policy_under_test t;
  policy_open(&t,
              HEAD "perilune.listen(':0', { upstream_peer = function() return {\n"
                   "  address = '1.2.3.4:443', tls = true, sni = 'a.example', verify = false, group = 'g',\n"
                   "  connect_timeout = 0.25, idle_timeout = false, read_timeout = 2,\n"
                   "} end })");
  struct exchange *x = exchange_open(&t, "/");
  CHECK(CALL(x, upstream_peer) == HOOK_DONE);
  if (CHECK(x->outcome.peer != NULL)) {
    const struct peer_options *o = &x->outcome.peer->options;
    CHECK_STR(o->address, "1.2.3.4:443");
    CHECK_STR(o->sni, "a.example");
    CHECK_STR(o->group, "g");
    CHECK(o->tls && o->no_verify && o->connect_timeout_ms == 250 && o->read_timeout_ms == 2000);
    CHECK(o->idle_timeout_ms == PEER_NO_POOL);
  }
  exchange_close(x);
  policy_close(&t);
}

static enum error peer_error(const char *result) {
  char script[512];
  struct policy_under_test t;
  snprintf(script, sizeof script,
           HEAD "local set = require('perilune.round_robin').new { '127.0.0.1:1' }\n"
                "set:set_enabled(1, false)\n"
                "perilune.listen(':0', { upstream_peer = function() %s end })",
           result);
  policy_open(&t, script);
  struct exchange *x = exchange_open(&t, "/");
  enum hook_status status = CALL(x, upstream_peer);
  enum error error = status == HOOK_FAILED ? x->outcome.error : ERROR_NONE;
  exchange_close(x);
  policy_close(&t);
  return error;
}

IT("says BAD_PEER where upstream_peer gives none, and NO_BACKEND where none was ready") {
  log_set_level(LOG_ERROR + 1);
  CHECK(peer_error("return 7") == ERROR_BAD_PEER);
  CHECK(peer_error("") == ERROR_BAD_PEER);
  CHECK(peer_error("return { adress = '127.0.0.1:1' }") == ERROR_BAD_PEER);
  CHECK(peer_error("return { address = '127.0.0.1' }") == ERROR_BAD_PEER);
  CHECK(peer_error("return { address = '127.0.0.1:1', connect_timeout = -1 }") == ERROR_BAD_PEER);
  CHECK(peer_error("return { address = '127.0.0.1:1', sni = 'no tls' }") == ERROR_BAD_PEER);
  CHECK(peer_error("return { address = set:select(), tls = true }") == ERROR_NO_BACKEND);
  CHECK(peer_error("return set:select()") == ERROR_NO_BACKEND);
  CHECK(peer_error("return { address = set:select() or '127.0.0.1:9' }") == ERROR_NONE);
  log_set_level(LOG_INFO);
}

IT("ends the request on an error, with the status that it carries, and serves on") {
  struct policy_under_test t;
  policy_open(&t, HEAD "perilune.listen(':0', { request_filter = function(session)\n"
                       "  if session:path() == '/raise' then error 'deliberate' end\n"
                       "  if session:path() == '/status' then error { status = 403 } end\n"
                       "  if session:path() == '/yield' then coroutine.yield(1) end\n"
                       "  if session:path() == '/loose' then return true end\n"
                       "  if session:path() == '/odd' then return 'yes' end\n"
                       "end })");
  static const char *const targets[] = {"/raise", "/status", "/yield", "/loose", "/odd"};
  log_set_level(LOG_ERROR + 1);
  for (int i = 0; i < 5; i++) {
    struct exchange *x = exchange_open(&t, targets[i]);
    CHECK(CALL(x, request_filter) == HOOK_FAILED);
    CHECK(x->outcome.error == ERROR_SCRIPT && x->outcome.status == (i == 1 ? 403 : 0));
    exchange_close(x);
    x = exchange_open(&t, "/");
    CHECK(CALL(x, request_filter) == HOOK_DONE && !x->outcome.answered);
    exchange_close(x);
  }
  log_set_level(LOG_INFO);
  policy_close(&t);
}

IT("raises when a session is used after its exchange ended") {
  struct policy_under_test t;
  policy_open(&t, HEAD "local kept, request\n"
                       "perilune.listen(':0', { request_filter = function(session)\n"
                       "  if not kept then kept, request = session, session:request() return end\n"
                       "  local ok, why = pcall(kept.path, kept)\n"
                       "  assert(not ok and why:find 'session used after its exchange ended', why)\n"
                       "  ok, why = pcall(request.set_header, request, 'a', 'b')\n"
                       "  assert(not ok and why:find 'session used after its exchange ended', why)\n"
                       "  assert(tostring(kept) == 'session (ended)')\n"
                       "end })");
  for (int i = 0; i < 2; i++) {
    struct exchange *x = exchange_open(&t, "/");
    CHECK(CALL(x, request_filter) == HOOK_DONE);
    exchange_close(x);
  }
  policy_close(&t);
}

IT("tells a session, a request and a response apart") {
  struct policy_under_test t;
  policy_open(
      &t, HEAD
      "local kept\n"
      "perilune.listen(':0', { upstream_peer = print,\n"
      "request_filter = function(session) kept = session end,\n"
      "upstream_request_filter = function(session, request)\n"
      "  local function refuses(pattern, call, ...)\n"
      "    local ok, why = pcall(call, ...)\n"
      "    assert(not ok and why:find(pattern), why)\n"
      "  end\n"
      "  assert(kept == session and session ~= request and request ~= session:request())\n"
      "  refuses('a session has no set_header', request.set_header, session, 'a', 'b')\n"
      "  refuses('a request has no status', request.status, request)\n"
      "  refuses('a request has no respond', session.respond, request, {})\n"
      "  refuses('session expected as argument 1, got table', session.host, {})\n"
      "  refuses('session expected as argument 1, got userdata', session.host, newproxy())\n"
      "  refuses('not allowed in upstream_request_filter', request.set_header, session:request(), 'a', 'b')\n"
      "  assert(tostring(session) == 'session GET /x' and tostring(request):find '^request ')\n"
      "end })");
  struct exchange *x = exchange_open(&t, "/x");
  CHECK(CALL(x, request_filter) == HOOK_DONE);
  CHECK(CALL(x, upstream_request_filter) == HOOK_DONE);
  exchange_close(x);
  policy_close(&t);
}

IT("gives a hook what it has names for, or everything where that cannot be told") {
  struct policy_under_test t;
  policy_open(
      &t,
      HEAD "perilune.listen(':0', { upstream_peer = print,\n"
           "early_request_filter = function(session, ctx) ctx.seen = 1 end,\n"
           "request_filter = function(...) assert(select('#', ...) == 2 and select(2, ...).seen == 1) end,\n"
           "logging = function(session, failure, ctx, more) assert(ctx.seen == 1 and more == nil) end })");
  for (int i = 0; i < 100; i++) {
    struct exchange *x = exchange_open(&t, "/");
    CHECK(CALL(x, early_request_filter) == HOOK_DONE);
    CHECK(CALL(x, request_filter) == HOOK_DONE);
    CHECK(CALL(x, logging) == HOOK_DONE);
    exchange_close(x);
  }
  policy_close(&t);
}

IT("keeps the sessions and ctx of many exchanges at once apart") {
  enum { MANY = 300 };
  struct policy_under_test t;
  struct exchange *all[MANY];
  char targets[MANY][16];
  policy_open(&t, HEAD
              "perilune.listen(':0', { upstream_peer = print,\n"
              "request_filter = function(session, ctx) assert(not ctx.path) ctx.path = session:path() end,\n"
              "logging = function(session, _, ctx) assert(ctx.path == session:path()) end })");
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < MANY; i++) {
      snprintf(targets[i], sizeof targets[i], "/%d", i);
      all[i] = exchange_open(&t, targets[i]);
      CHECK(CALL(all[i], request_filter) == HOOK_DONE);
    }
    for (int i = 0; i < MANY; i++) {
      CHECK(CALL(all[i], logging) == HOOK_DONE);
      exchange_close(all[i]);
    }
  }
  policy_close(&t);
}

IT("names the phase in which a call makes no sense") {
  struct policy_under_test t;
  policy_open(&t, HEAD "perilune.listen(':0', { upstream_peer = print, logging = function(session, failure)\n"
                       "  assert(failure == nil)\n"
                       "  local ok, why = pcall(session.respond, session, { status = 200 })\n"
                       "  assert(not ok and why:find 'session:respond is not allowed in logging', why)\n"
                       "end })");
  struct exchange *x = exchange_open(&t, "/");
  CHECK(CALL(x, logging) == HOOK_DONE);
  exchange_close(x);
  policy_close(&t);
}

IT("lets background work read a session, not change its walk") {
  struct policy_under_test t;
  policy_open(&t, HEAD
              "told = ''\n"
              "perilune.listen(':0', { request_filter = function(session)\n"
              "  perilune.spawn(function()\n"
              "    told = session:path() .. select(2, pcall(session.respond, session, { status = 200 }))\n"
              "  end)\n"
              "  perilune.sleep(0) perilune.sleep(0) perilune.sleep(0)\n"
              "  assert(told:find '^/.*:%d+: session:respond is not allowed outside of the exchange\\'s "
              "hooks$', told)\n"
              "end })");
  lua_policy.start(t.policy);
  struct exchange *x = exchange_open(&t, "/");
  CHECK(CALL(x, request_filter) == HOOK_WAIT);
  while (x->hook_state == HOOK_WAITING) ev_run(t.loop, EVRUN_ONCE);
  CHECK(x->outcome.error == ERROR_NONE && !x->answer);
  exchange_close(x);
  policy_close(&t);
}

IT("edits the fields of a message in order, also while walking over them") {
  struct policy_under_test t;
  policy_open(
      &t,
      HEAD "perilune.listen(':0', { upstream_peer = print,\n"
           "upstream_request_filter = function(session, request)\n"
           "  for name, value in request:headers() do\n"
           "    if name == 'B' then request:remove_header 'b' end\n"
           "    if name == 'C' then request:set_header('c', value .. '!') end\n"
           "  end\n"
           "  request:add_header('D', 1)\n"
           "  request:set_header('A', { 'x', 'y' })\n"
           "  assert(table.concat(request:get_headers 'a', ',') == 'x,y' and request:get_header 'B' == nil)\n"
           "  assert(request:get_header 'Content-Length' == '5')\n"
           "  request:set_target('/else?x')\n"
           "end })");
  struct exchange *x = exchange_open(&t, "/");
  struct headers *headers = &x->now.request.headers;
  headers_add(headers, STR("A"), STR("1"));
  headers_add(headers, STR("B"), STR("2"));
  headers_add(headers, STR("C"), STR("3"));
  x->now.request.body = (struct body){FRAMING_LENGTH, 5};
  CHECK(CALL(x, upstream_request_filter) == HOOK_DONE);
  CHECK(headers->count == 4);
  CHECK_STR(headers->items[0].value, "3!");
  CHECK_STR(headers->items[1].value, "1");
  CHECK_STR(headers->items[3].value, "y");
  CHECK_STR(x->now.request.target, "/else?x");
  exchange_close(x);
  policy_close(&t);
}

IT("refuses names and values that would break a head, and fields that are the proxy's") {
  struct policy_under_test t;
  policy_open(&t, HEAD "perilune.listen(':0', { upstream_peer = print,\n"
                       "upstream_request_filter = function(session, request)\n"
                       "  local function refuses(pattern, name, value)\n"
                       "    local ok, why = pcall(request.set_header, request, name, value)\n"
                       "    assert(not ok and why:find(pattern), why)\n"
                       "  end\n"
                       "  refuses('control character', 'A', 'b\\r\\nC: d')\n"
                       "  refuses('control character', 'A', 'b\\0')\n"
                       "  refuses('control character', 'A', { 'b', 'c\\n' })\n"
                       "  refuses('no valid field name', 'A b', 'c')\n"
                       "  refuses('no valid field name', '', 'c')\n"
                       "  refuses('cannot be set', 'content-length', '3')\n"
                       "  refuses('cannot be set', 'Transfer-Encoding', 'chunked')\n"
                       "  refuses('cannot be set', 'Connection', 'close')\n"
                       "  refuses('must be a string', 'A', nil)\n"
                       "  refuses('must be a string', 'A', {{}})\n"
                       "  for _, target in ipairs { 'a', '', '/a b', '/a\\r\\n', '/\\128' } do\n"
                       "    assert(not pcall(request.set_target, request, target), target)\n"
                       "  end\n"
                       "end })");
  struct exchange *x = exchange_open(&t, "/");
  CHECK(CALL(x, upstream_request_filter) == HOOK_DONE);
  CHECK(x->now.request.headers.count == 0);
  exchange_close(x);
  policy_close(&t);
}

IT("lets a hook decide on a retry, and tells it the error") {
  struct policy_under_test t;
  policy_open(&t, HEAD "perilune.listen(':0', { upstream_peer = print,\n"
                       "fail_to_connect = function(session, peer, ctx, error)\n"
                       "  assert(error:kind() == 'connect_refused' and error:side() == 'upstream')\n"
                       "  assert(error:retryable() and error:status() == 502 and error.retry == nil)\n"
                       "  assert(tostring(error):find 'refused')\n"
                       "  error.retry = false\n"
                       "  assert(error.retry == false and not pcall(function() error.kind = 1 end))\n"
                       "end,\n"
                       "fail_to_proxy = function(session, error, ctx)\n"
                       "  assert(not pcall(function() error.retry = true end))\n"
                       "  return 599\n"
                       "end })");
  struct exchange *x = exchange_open(&t, "/");
  x->error = ERROR_CONNECT_REFUSED;
  CHECK(CALL(x, fail_to_connect) == HOOK_DONE);
  CHECK(x->outcome.decides_retry && !x->outcome.retry);
  CHECK(CALL(x, fail_to_proxy) == HOOK_DONE);
  CHECK(x->outcome.status == 599);
  exchange_close(x);
  policy_close(&t);
}

IT("runs coroutines of the policy inside of hooks") {
  struct policy_under_test t;
  policy_open(&t,
              HEAD "perilune.listen(':0', { request_filter = function(session)\n"
                   "  local each = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)\n"
                   "  assert(each() == 1 and each() == 2)\n"
                   "  perilune.sleep(0)\n"
                   "  assert(each() == 3)\n"
                   "end })");
  struct exchange *x = exchange_open(&t, "/");
  CHECK(CALL(x, request_filter) == HOOK_WAIT);
  while (x->hook_state == HOOK_WAITING) ev_run(t.loop, EVRUN_ONCE);
  CHECK(x->outcome.error == ERROR_NONE);
  exchange_close(x);
  policy_close(&t);
}

IT("lets coroutines of the policy wait, however deep, and keeps their own yields apart") {
  struct policy_under_test t;
  policy_open(&t, HEAD "perilune.listen(':0', { request_filter = function(session)\n"
                       "  local inner = coroutine.wrap(function(a)\n"
                       "    perilune.sleep(0)\n"
                       "    local b = coroutine.yield(a + 1)\n"
                       "    perilune.sleep(0)\n"
                       "    error('raised ' .. b, 0)\n"
                       "  end)\n"
                       "  local outer = coroutine.create(function(...)\n"
                       "    assert(inner(...) == 6)\n"
                       "    assert(coroutine.yield('between') == 'back')\n"
                       "    perilune.sleep(0)\n"
                       "    local ok, why = pcall(inner, 'here')\n"
                       "    assert(not ok and why == 'raised here', why)\n"
                       "    return 'done', nil, 3\n"
                       "  end)\n"
                       "  local function check(...)\n"
                       "    assert(select('#', ...) == 4 and ... == true and select(2, ...) == 'done')\n"
                       "  end\n"
                       "  assert(select(2, coroutine.resume(outer, 5)) == 'between')\n"
                       "  check(coroutine.resume(outer, 'back'))\n"
                       "  assert(coroutine.status(outer) == 'dead' and not coroutine.resume(outer))\n"
                       "  for i in coroutine.wrap(function() perilune.sleep(0) coroutine.yield(1) end) do\n"
                       "    assert(i == 1)\n"
                       "  end\n"
                       "end })");
  struct exchange *x = exchange_open(&t, "/");
  CHECK(CALL(x, request_filter) == HOOK_WAIT);
  while (x->hook_state == HOOK_WAITING) ev_run(t.loop, EVRUN_ONCE);
  CHECK(x->outcome.error == ERROR_NONE);
  exchange_close(x);
  policy_close(&t);
}

IT("abandons coroutines that wait together with their hook") {
  struct policy_under_test t;
  policy_open(&t, HEAD "perilune.listen(':0', { request_filter = function()\n"
                       "  coroutine.wrap(function() perilune.sleep(0.001) error 'woken' end)()\n"
                       "end })");
  struct exchange *x = exchange_open(&t, "/");
  CHECK(CALL(x, request_filter) == HOOK_WAIT);
  x->hooks->cancel(x);
  ev_sleep(0.002);
  ev_run(t.loop, EVRUN_NOWAIT);
  CHECK(x->hook_state == HOOK_WAITING);
  exchange_close(x);
  policy_close(&t);
}

IT("ends a hook that uses up the memory of its VM, and serves on") {
  struct policy_under_test t;
  policy_open(&t, HEAD "perilune.set_memory_limit(8 * 1024 * 1024)\n"
                       "perilune.listen(':0', { request_filter = function(session)\n"
                       "  if session:path() ~= '/bomb' then return end\n"
                       "  local t = {}\n"
                       "  for i = 1, 1e9 do t[i] = { i } end\n"
                       "end })");
  log_set_level(LOG_ERROR + 1);
  for (int i = 0; i < 3; i++) {
    struct exchange *x = exchange_open(&t, "/bomb");
    CHECK(CALL(x, request_filter) == HOOK_FAILED);
    exchange_close(x);
    x = exchange_open(&t, "/");
    CHECK(CALL(x, request_filter) == HOOK_DONE);
    exchange_close(x);
  }
  log_set_level(LOG_INFO);
  policy_close(&t);
}
