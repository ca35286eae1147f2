// SPDX-License-Identifier: Apache-2.0
// Loading policies: what they listen on, what is refused and where, background work, shared objects.
#include "policy.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "lua/vm/vm.h"
#include "unit.h"

#define HEAD "local perilune = require 'perilune'\n"

static bool contains(const char *text, const char *part) { return text && strstr(text, part); }

/* The script is refused with one line that has the part in it. */
static bool is_refused(const char *script, const char *part) {
  struct policy_under_test t;
  policy_open(&t, script);
  bool holds = !t.policy && contains(t.why, part) && !strchr(t.why, '\n');
  if (!holds) printf("refused with: %s\n", t.why ? t.why : "(it was not)");
  policy_close(&t);
  return holds;
}

IT("reads addresses and options of what a policy listens on") {
  struct policy_under_test t;
  policy_open(
      &t, HEAD
      "local hooks = { request_filter = print }\n"
      "perilune.listen('127.0.0.1:80', hooks)\n"
      "perilune.listen('unix:/tmp/x', hooks, { head_timeout = 1.5, keepalive_requests = 7, via = false,\n"
      "  head_limit = 1000, body_limit = 2e9, forwarded = 'append', proxy_protocol = 'required' })\n");
  if (!CHECK(t.policy && t.listener_count == 2)) return;
  CHECK_STR(t.listeners[0].address, "127.0.0.1:80");
  CHECK(t.listeners[0].settings.head_timeout_ms == settings_default.head_timeout_ms);
  CHECK(contains(t.listeners[0].place.ptr, ":3"));
  const struct settings *s = &t.listeners[1].settings;
  CHECK_STR(t.listeners[1].address, "unix:/tmp/x");
  CHECK(s->head_timeout_ms == 1500 && s->keepalive_requests == 7 && !s->via && s->head.head_bytes == 1000);
  CHECK(s->body_bytes == 2000000000 && s->forwarded == FORWARDED_APPEND);
  CHECK(s->proxy_protocol == PROXY_PROTOCOL_REQUIRED);
  policy_close(&t);
}

IT("refuses a policy in one line that says where") {
  CHECK(is_refused("local a = = 1", ":1: unexpected symbol near '='"));
  CHECK(is_refused("\nlocal a = nil + 1", ":2: attempt to perform arithmetic"));
  CHECK(is_refused("error('two\\nlines')", "two lines"));
  CHECK(is_refused("error {}", "(the error is a table)"));
  CHECK(is_refused("require 'perilune.nothing'", "module 'perilune.nothing' not found"));
  CHECK(is_refused("", "the policy never calls perilune.listen"));
  CHECK(is_refused("coroutine.yield()", "outside of a coroutine"));
  CHECK(is_refused(HEAD "perilune.sleep(1)", ":2: perilune.sleep waits"));
}

#define LISTEN "perilune.listen('127.0.0.1:80', { upstream_peer = print }"

IT("refuses what cannot be listened on, at the policy's line") {
  CHECK(is_refused(HEAD "perilune.listen('127.0.0.1', {})", ":2: perilune.listen: '127.0.0.1'"));
  CHECK(is_refused(HEAD "perilune.listen('a.example:80', {})", ":2: perilune.listen: 'a.example:80'"));
  CHECK(
      is_refused(HEAD LISTEN ")\n" LISTEN ")", ":3: perilune.listen: '127.0.0.1:80' is listened on already"));
  CHECK(is_refused(HEAD "perilune.listen(':80', {})", ":2: perilune.listen: the hooks lack upstream_peer"));
  CHECK(is_refused(HEAD "perilune.listen(':80', { upstream_peer = 1 })",
                   ":2: perilune.listen: hook 'upstream_peer'"));
  CHECK(
      is_refused(HEAD "perilune.listen(':80', { uptream_peer = print })", "there is no hook 'uptream_peer'"));
  CHECK(is_refused(HEAD LISTEN ", { certificate = 'no.pem' })",
                   "certificate and key go together: key is missing"));
}

IT("refuses options by their name, and lists the valid ones") {
  CHECK(
      is_refused(HEAD LISTEN ", { head_tiemout = 1 })",
                 ":2: perilune.listen: unknown option 'head_tiemout' (did you mean head_timeout?); valid are "
                 "certificate, key, ocsp, certificates, acme, client_ca"));
  CHECK(is_refused(HEAD LISTEN ", { 'x' })", "the value 'x' has no name"));
  CHECK(
      is_refused(HEAD LISTEN ", { head_timeout = 0 })", "option 'head_timeout' must be a number of seconds"));
  CHECK(is_refused(HEAD LISTEN ", { head_timeout = 'x' })", "got 'x'"));
  CHECK(is_refused(HEAD LISTEN ", { max_retries = 1.5 })", "option 'max_retries' must be a whole number"));
  CHECK(is_refused(HEAD LISTEN ", { via = 1 })", "option 'via' must be true or false"));
  CHECK(is_refused(HEAD LISTEN ", { forwarded = 'no' })", "must be one of: replace, append, keep; got 'no'"));
}

IT("refuses wrong options of the default scripts, at the policy's line") {
#define NEW(module, arguments) "local a = 1\nrequire('perilune." module "')" arguments
  CHECK(
      is_refused(NEW("rate_limit", ".new { header = 'a', max = 1, intervall = 2 }"),
                 ":2: rate_limit.new: unknown option 'intervall' (did you mean interval?); valid are answer, "
                 "by, close"));
  CHECK(
      is_refused(NEW("rate_limit", ".new { header = 'a' }"), ":2: rate_limit.new: option 'max' is missing"));
  CHECK(is_refused(NEW("rate_limit", ".new { max = 1 }"),
                   ":2: rate_limit.new: give one of header = \"name\", by = "));
  CHECK(is_refused(NEW("rate_limit", ".bucket { max = 1, by = 'name' }"),
                   ":2: rate_limit.bucket: option 'by' must be address, path or host"));
  CHECK(is_refused(NEW("rate_limit", ".sliding { max = 1, by = 'path', fields = 'y' }"),
                   ":2: rate_limit.sliding: option 'fields' must be x, draft, both or none"));
  CHECK(is_refused(NEW("rate_limit", ".concurrency { max = 1, by = 'path' }"),
                   ":2: rate_limit.concurrency: option 'name' is missing"));
  CHECK(is_refused(NEW("round_robin", ".new { '1.2.3.4' }"), ":2: round_robin.new: backend '1.2.3.4'"));
  CHECK(is_refused(NEW("round_robin", ".new { { address = 'a:1', weigth = 2 } }"), "unknown field 'weigth'"));
  CHECK(is_refused(NEW("round_robin", ".new { { address = 'a:1', weight = 0 } }"), "weight must be"));
  CHECK(is_refused(NEW("round_robin", ".new 'a:1'"), ":2: round_robin.new: expected a list"));
  CHECK(is_refused(NEW("hash", ".new { 'a:1', nmae = 'x' }"), ":2: hash.new: unknown option 'nmae'"));
  CHECK(is_refused(NEW("random", ".new { 'a:1', passive = { failures = -1 } }"),
                   ":2: random.new: passive: option 'failures' must be"));
  CHECK(is_refused(NEW("random", ".new { 'a:1', panic = 2 }"), "option 'panic' must be a share"));
  CHECK(is_refused(NEW("random", ".new { { address = 'a:1', backup = true, priority = 2 } }"),
                   "give either 'backup' or 'priority'"));
  CHECK(is_refused(NEW("hash", ".new { 'a:1' }:select()"), ":2: select: this set chooses by a key"));
  CHECK(is_refused(NEW("random", ".new { 'a:1' }:select(nil, { exclude = 1 })"), "'exclude' must be"));
  CHECK(is_refused(NEW("health_check", ".tcp {}"), ":2: health_check.tcp: expected a set of backends"));
  CHECK(is_refused(NEW("health_check", ".tcp(require('perilune.round_robin').new {}, { interval = 0 })"),
                   ":2: health_check.tcp: option 'interval' must be a number of seconds"));
}

#define SERVE "perilune.listen(':0', { request_filter = print })\n"

static double global(struct policy_under_test *t, const char *name) {
  lua_State *L = t->policy->vm->L;
  lua_getglobal(L, name);
  double value = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return value;
}

IT("begins background work with the start, and logs its errors") {
  struct policy_under_test t;
  policy_open(&t,
              HEAD SERVE "spawned, runs, later = 0, 0, 0\n"
                         "perilune.spawn(function() perilune.sleep(0) spawned = spawned + 1 end)\n"
                         "perilune.after(0.001, function() later = 1 error 'deliberate' end)\n"
                         "perilune.every(0.001, function() runs = runs + 1 error 'deliberate' end)\n"
                         "perilune.every(1000, function() runs = runs + 100 end, { immediately = true })\n");
  log_set_level(LOG_ERROR + 1);
  CHECK(global(&t, "spawned") == 0);
  lua_policy.start(t.policy);
  while (global(&t, "runs") < 103 || global(&t, "later") < 1) ev_run(t.loop, EVRUN_ONCE);
  CHECK(global(&t, "spawned") == 1 && global(&t, "runs") < 200);
  log_set_level(LOG_INFO);
  policy_close(&t);
}

IT("ends background work that waits, with the policy") {
  struct policy_under_test t;
  policy_open(&t, HEAD SERVE "perilune.spawn(function() perilune.sleep(1000) end)\n"
                             "perilune.spawn(function()\n"
                             "  require('perilune.tcp').connect('127.0.0.1:9', { timeout = 1000 })\n"
                             "end)");
  lua_policy.start(t.policy);
  ev_run(t.loop, EVRUN_ONCE);
  CHECK(!list_is_empty(&t.policy->vm->tasks));
  policy_close(&t);
}

IT("gives a task the result of a connection that is refused") {
  struct policy_under_test t;
  policy_open(&t, HEAD SERVE "told = 0\n"
                             "perilune.spawn(function()\n"
                             "  local ok, why = require('perilune.tcp').check('unix:/nowhere/at/all')\n"
                             "  told = ok == nil and why:find 'No such file' and 1 or 2\n"
                             "end)");
  lua_policy.start(t.policy);
  while (global(&t, "told") == 0) ev_run(t.loop, EVRUN_ONCE);
  CHECK(global(&t, "told") == 1);
  policy_close(&t);
}

IT("shares sets and rates between the VMs of one script") {
  static const char script[] =
      HEAD SERVE "local set = require('perilune.round_robin').new { 'a:1', 'b:1', 'c:1' }\n"
                 "local other = require('perilune.round_robin').new { 'd:1' }\n"
                 "local core = require 'perilune.core'\n"
                 "local rate = core.rate(60)\n"
                 "address, position = set:select()\n"
                 "count = rate:observe('key')\n"
                 "assert(other:select() == 'd:1')\n";
  struct policy_under_test t;
  policy_open(&t, script);
  CHECK(global(&t, "position") == 1 && global(&t, "count") == 1);
  char *why = NULL;
  struct policy *second = lua_policy.load(t.path, &t.host, &why);
  if (CHECK(second != NULL)) {
    struct policy_under_test both = {.policy = second};
    CHECK(global(&both, "position") == 2 && global(&both, "count") == 2);
    lua_policy.close(second);
  }
  policy_close(&t);
}
