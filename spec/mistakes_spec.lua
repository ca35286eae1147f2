-- SPDX-License-Identifier: Apache-2.0
-- Mistakes that people make in policies, each with the message that it gets: that must be enough to mend it at once.
-- A new one is a line here. What is found when a policy loads is in the first table, what only a request shows in the
-- second; what `perilune check` finds of that before is in mistakes_check_spec.lua.
local client = require "client"
local perilune = require "perilune"
local process = require "process"

after_each(require("cleanup").run)

local LISTEN = 'require("perilune").listen("127.0.0.1:0", { upstream_peer = function() return "127.0.0.1:1" end })'

local function checked(text)
  local directory = process.directory()
  process.write_file(directory .. "/helpers.lua", "return {}")
  process.write_file(directory .. "/first.lua", "return require 'second'")
  process.write_file(directory .. "/second.lua", "return require 'first'")
  return perilune.run("check", process.write_file(directory .. "/p.lua", text))
end

-- { the policy's text, what is said behind "p.lua:1: " }
local LOADING = {
  -- the language
  { "local a = = 1", "unexpected symbol near '='" },
  { "local a; a.b = 1", "attempt to index local 'a' %(a nil value%)" },
  { "error { code = 3, why = 'closed' }", "code = 3" },
  { "error('no luck', 0)", "no luck" },
  { "os.exit(1)", "os%.exit is refused: it would end the whole proxy" },
  { "error()", "the error is a nil value" },
  { "coroutine.yield()", "coroutine%.yield was called outside of a coroutine" },
  { "local x = ('abc'):match('(abc')", "unfinished capture" },
  { "local x = ('abc'):gsub('%', 'x')", "malformed pattern %(ends with '%%'%)" },
  { "// comment", "near '/' %(a comment begins with %-%-%)" },
  { "local x = a && b", "near '&' %(and is a word%)" },
  { "if a || b then end", "near '|' %(or is a word%)" },
  { "if a != b then end", "near '!' %(not equal is written ~=" },
  { "if x = 1 then end", "'then' expected near '=' %(equal is written ==%)" },
  { "if (x == 1) { y() }", "'then' expected near .* %(if condition then .* without braces%)" },
  { "local x; x += 1", "near '%+' %(Lua has no such assignment: write x = x %+ 1%)" },
  { "local x = y ? 1 : 2", "near '%?' %(.*: write condition and this or that%)" },
  { "local function f() { return 1 }", "near '{' %(a block has no braces: it ends with end%)" },
  { "local t = { a = 1 b = 2 }", "'}' expected near 'b' %(a comma or a } is missing before it%)" },
  { "print(1", "expected .* near 'require' %(a comma or a %) is missing before it%)" },
  { "local f = function() end end", "near 'end' %(there is an end too many" },
  { "return 5", "near 'require' %(nothing may follow a return%)" },
  { "local s = 'a\\qb'", "invalid escape sequence .*the escape character of Lua's patterns is %%" },
  { "local t = { body_limit = 10MB }", "malformed number near '10MB' %(a size is a number of bytes" },
  { "session:path()", "attempt to index global 'session' .*hooks are given it: name the parameters, as in function "
      .. "policy%.request_filter%(session, ctx%)" },
  { "ctx.user = 1", "attempt to index global 'ctx' .*hooks are given it" },
  { "response:set_status(404)", "hooks are given it: .* function policy%.response_filter%(session, response, ctx%)" },
  { "null.x = 1", "attempt to index global 'null' .*Lua's word is nil" },
  { "json.decode 'x'", 'attempt to index global \'json\' .*write: local json = require "perilune%.json"' },
  { "redis.new 'a:1'", 'attempt to index global \'redis\' .*write: local redis = require "perilune%.redis"' },
  { "sleep(1)", "attempt to call global 'sleep' .*write perilune%.sleep" },
  { "if 1 < '2' then end", "attempt to compare number with string %(.*see tonumber%)" },
  { "if nil < 1 then end", "attempt to compare nil with number %(one of them is missing%)" },
  -- modules
  { "require 'helpers.lua'", "module 'helpers%.lua' not found: write require \"helpers\"" },
  { "require 'perilune/rate_limit'", "did you mean perilune%.rate_limit%?" },
  { "require 'my-module'", "module 'my%-module' not found: neither .*/my%-module%.lua nor " },
  { "require 'first'", "loading module 'first' %(modules that require each other: .* in the function that needs it%)" },
  { "require 'perilune.ratelimit'", "module 'perilune%.ratelimit' not found: did you mean perilune%.rate_limit%?" },
  { "require 'rate_limit'", "module 'rate_limit' not found: did you mean perilune%.rate_limit%?" },
  { "require 'perilune.nothing_like_it'", "not found: perilune has no module of that name" },
  { "require 'helper'", "module 'helper' not found: did you mean helpers%?" },
  { "require 'gateway.config'", "module 'gateway%.config' not found: neither .*/gateway/config%.lua nor .*/init%.lua" },
  { "dofile 'sides.lua'", "cannot open .*/sides%.lua" },
  { "require('perilune').lisen()", "perilune has no 'lisen': did you mean perilune%.listen%?" },
  { "require('perilune').round_robin.new {}", 'it is a module of its own: require "perilune%.round_robin"' },
  { "require('perilune.json').encod {}", "perilune%.json has no 'encod': did you mean encode%?" },
  { "require('perilune.rate_limit').slding {}", "perilune%.rate_limit has no 'slding': did you mean sliding%?" },
  -- hooks and listening
  { "require('perilune').listen('127.0.0.1:0', { request_fiter = print })",
    "there is no hook 'request_fiter': did you mean request_filter%? %(keep helper functions in locals%)" },
  { "require('perilune').listen('127.0.0.1:0', { zzz = function() end })", "there is no hook 'zzz' %(keep" },
  { "require('perilune').listen('127.0.0.1:0', { request_filter = 5 })", "'request_filter' must be a function" },
  { "require('perilune').listen('127.0.0.1:0', {})", "the hooks lack upstream_peer" },
  { "require('perilune').listen({ upstream_peer = print }, '127.0.0.1:0')",
    "argument 1, the address, is a table value: write perilune%.listen%(" },
  { "require('perilune'):listen('127.0.0.1:0', { upstream_peer = print })",
    "perilune%.listen is called with a dot, not with a colon: write perilune%.listen%(%.%.%.%)" },
  { "require('perilune'):configure { workers = 1 }", "perilune%.configure is called with a dot, not with a colon" },
  { "require('perilune'):dict 'x'", "perilune%.dict is called with a dot, not with a colon" },
  { "require('perilune'):counter 'x'", "perilune%.counter is called with a dot, not with a colon" },
  { "require('perilune'):spawn(print)", "perilune%.spawn is called with a dot, not with a colon" },
  { "require('perilune').log:info 'x'", "perilune%.log%.info is called with a dot, not with a colon" },
  { "require('perilune'):every(1, print)", "perilune%.every is called with a dot, not with a colon: write " },
  -- values of ours keep no fields
  { "require('perilune').dict('x').count = 1",
    'a perilune%.dict keeps values by its methods: write :set%("count", value%)' },
  { "require('perilune').counter('x').value = 1",
    "a perilune%.counter keeps no fields, such as 'value': write :set%(value%)" },
  { "require('perilune').rate('x').limit = 1", "a perilune%.rate keeps no fields, such as 'limit': keep your own" },
  { "require('perilune').regex.new('x').name = 1", "a perilune%.regex keeps no fields, such as 'name'" },
  { "require('perilune').listen('127.0.0.1:0')", "argument 2, the table of hooks, is missing: write" },
  { "require('perilune').listen('127.0.0.1:0', print)", "argument 2, the table of hooks, is a function value" },
  { "require('perilune').listen('127.0.0.1:0', { upstream_peer = print }, 5)",
    "argument 3, the table of options, is a number value" },
  { "require('perilune').listen('127.0.0.1:0', { upstream_peer = print, head_timeout = 5 })",
    "'head_timeout' is an option, not a hook: options are a table of their own, the third argument" },
  { "require('perilune').listen('127.0.0.1:0', {}, { request_filter = print })",
    "'request_filter' is a hook, not an option: hooks are the second argument" },
  { "require('perilune').upstream_peer = print", "perilune%.upstream_peer is no hook: hooks are fields of the table" },
  { "local p = {}; p:request_filter(print)", "'request_filter' .*a hook is defined, not called: function policy%." },
  { "local app = {}; app.hook('request_filter', print)",
    "'hook' .*hooks are functions of a table that perilune%.listen" },
  { "require('perilune').log 'x'", "attempt to call field 'log' .*call a function of it, log%.NAME" },
  { "require('perilune').every('5 s', print)", "perilune%.every: expected a number of seconds, 0 or more, or a text "
    .. "such as '500ms', '30s', '5m' or '1h'" },
  { "require('perilune').after({}, print)", "perilune%.after: expected a number of seconds, 0 or more, or a text" },
  { "require('perilune.maintenance').new({}):turn(true, 'noon')",
    "maintenance:turn: expected a number of seconds of at least 0%.001, or a text such as" },
  { "require('perilune').dict { name = 'x' }", "perilune%.dict: expected a name" },
  { "require('perilune').dict('x'):set('k', {})", "a dict keeps strings, numbers and booleans, not a table.*json" },
  { "require('perilune').wait(5)", "expected tasks, as perilune%.spawn gives them" },
  { "local p = {}; function p:request_filter(session, ctx) return ctx end require('perilune').listen('127.0.0.1:0', p)",
    "hook 'request_filter' is defined with a colon, .*: write function policy%.request_filter%(session, %.%.%.%)" },
  { "local p = {}; function p:request_filtr() end require('perilune').listen('127.0.0.1:0', p)",
    "there is no hook 'request_filtr': did you mean request_filter%?" },
  { "require('perilune').listen('127.0.0.1:0', { decod = true })", "there is no 'decod' among .* mean decode%?" },
  { "require('perilune').cache('x', { size = '1M', max_object = '2M' })",
    "option 'max_object' is more than the size, 1048576 bytes: got 2097152" },
  { "require('perilune.access_control').new { allow = { '::1' }, status = 700 }",
    "option 'status' must be a status from 200 to 599, got 700" },
  { "require('perilune.api_keys').new { keys = { a = 'k' }, answer = 'xml' }",
    "option 'answer' must be \"text\", \"json\", \"none\", a table .* got 'xml'" },
  { "require('perilune').listen('127.0.0.1:0', { request_filter = print }, { head_timout = 1 })",
    "unknown option 'head_timout' %(did you mean head_timeout%?%); valid are " },
  { "require('perilune').listen('127.0.0.1:0', { request_filter = print }, { head_timeout = 'x' })",
    "option 'head_timeout' must be a number of seconds of at least 0%.001, or a text such as '500ms', '30s', '5m' "
      .. "or '1h'; got 'x'" },
  { "require('perilune').listen('127.0.0.1:0', { request_filter = print }, {}, {})", "one argument too many" },
  { "require('perilune').listen('127.0.0.1:0', { request_filter = print }, { certificate = 'none.pem', key = 'k' })",
    "none%.pem: No such file" },
  { "require('perilune').sleep(1)", "nothing can wait while the policy loads: see perilune%.spawn" },
  { "require('perilune').configure { wrokers = 1 }", "wrokers" },
  { "require('perilune').configure { admn = ':9000' }", "unknown setting 'admn' %(did you mean admin%?%)" },
  { "require('perilune').configure { admin = '0.0.0.0:9290' }", "admin '0%.0%.0%.0:9290': others could reach it" },
  { "require('perilune').listen('127.0.0.1:0', { select_upstream = print })",
    "there is no hook 'select_upstream' %(.*%); there are early_request_filter, request_filter, " },
  -- sets of backends
  { "require('perilune.round_robin').create { '10.0.0.1:80' }", "round_robin has no 'create': there is new" },
  { "require('perilune.round_robin').new { '10.0.0.1' }", "backend '10%.0%.0%.1': the port is missing" },
  { "require('perilune.round_robin').new { 'a:80', nmae = 1 }", "unknown option 'nmae' %(did you mean name%?%)" },
  { "require('perilune.round_robin').new({ '10.0.0.1:80' }, { passive = false })",
    "round_robin%.new: one argument too many: options of a set stand in its list" },
  { "require('perilune.round_robin').new { { address = '10.0.0.1:80', weigth = 2 } }",
    "unknown field 'weigth' of a backend %(did you mean weight%?%)" },
  { "require('perilune.round_robin').new { { address = '10.0.0.1:80', weight = 0 } }",
    "weight must be a whole number from 1 to 65535" },
  { "require('perilune.round_robin').new { '10.0.0.1:80' }:slect()", "has no 'slect': did you mean select%?" },
  { "require('perilune.health_check').http({}, {})", "expected a set of backends" },
  { "require('perilune.health_check').http(require('perilune.round_robin').new { 'a:1' }, { pth = '/' })",
    "unknown option 'pth' %(did you mean path%?%)" },
  { "require('perilune.round_robin'):new { 'a:80' }", "round_robin%.new is called with a dot, not with a colon" },
  { "require('perilune.round_robin').new { backends = { 'a:80' } }", "'backends': addresses stand in the list itself" },
  { "require('perilune.round_robin').new { ['10.0.0.1:80'] = 2 }", "addresses stand in the list itself" },
  { "require('perilune.round_robin').new { { 'a:80', weight = 2 } }", "a backend is a text or a table: { address = " },
  { "require('perilune.round_robin').new { { host = 'a', port = 80 } }",
    "a backend is a text or a table: { address = " },
  { "require('perilune.round_robin').new { 'http://a:80' }", 'an address is host:port, without "http://"' },
  -- other modules
  { "require('perilune.rate_limit'):new { max = 1 }", "rate_limit%.new: one argument too many: .* called with a dot" },
  { "require('perilune.router').new { '/a', 1 }",
    "a path is a string, not a number value: write { %[\"/path\"%] = value }" },
  { "require('perilune.router').new {}:route 'x'", "a router has no 'route': there is match" },
  { "require('perilune.cors').new { origins = { 'https://a.b/' } }",
    "'https://a%.b/' is no origin: write it without a path" },
  { "require('perilune.token_auth').new { secret = '' }", "option 'secret' must not be empty" },
  { "require('perilune.token_auth').new {}", "expected one of the options 'secret', 'keys' and 'jwks'" },
  { "require('perilune.rate_limit').new { by = 'adress', max = 1 }",
    "'by' must be address, path or host, .*: key = function" },
  { "require('perilune.rate_limit').new({ by = 'path', max = 1 }, 5)", "rate_limit%.new: one argument too many" },
  { "require('perilune.router').new { ['/users/*/x'] = 1 }", "a %* stands at the end of a path only; .*/users/:id/x" },
  { "require('perilune.router').new { ['users'] = 1 }", "a path begins with /" },
  { "require('perilune.router').new { ['/a?b=1'] = 1 }", "a path has no query" },
  { "require('perilune.router').new { ['/a/:b'] = 1, ['/a/:c'] = 2 }",
    "'/a/:b' and '/a/:c' are for the same requests: one is never reached" },
  { "require('perilune').regex.new '('", "missing closing parenthesis" },
  { "require('perilune').cidr.new '10.0.0.0/33'", "10%.0%.0%.0/33" },
  { "require('perilune.cors').new { origin = {} }", "unknown option 'origin' %(did you mean origins%?%)" },
  -- HTTP/2, compression, the cache, gRPC, Redis
  { "require('perilune').listen('127.0.0.1:0', {}, { alpn = 'h2' })",
    "option 'alpn' must be a table: write { \"h2\", \"http/1%.1\" }; got 'h2'" },
  { "require('perilune').listen('127.0.0.1:0', { upstream_peer = print }, { alpn = { 'h2' } })",
    "alpn are for TLS, and there is no " },
  { "require('perilune').listen('127.0.0.1:0', {}, { h2c = 'yes' })", "option 'h2c' must be true or false; got 'yes'" },
  { "require('perilune').listen('127.0.0.1:0', {}, { http2 = true })",
    "unknown option 'http2' %(clients choose HTTP/2 by TLS; without TLS, write h2c = true; http2 is .* of peers%)" },
  { "require('perilune').listen('127.0.0.1:0', {}, { ping_interval = 5 })",
    "unknown option 'ping_interval' %(it is an option of peers: what upstream_peer returns%)" },
  { "require('perilune').listen('127.0.0.1:0', {}, { max_streams = 0 })",
    "option 'max_streams' must be a whole number from 1 to 4294967295; got '0'" },
  { "require('perilune').listen('127.0.0.1:0', {}, { compress = 'yes' })",
    "option 'compress' must be true, false or a table such as { gzip = 6 }; got a string" },
  { "require('perilune').listen('127.0.0.1:0', {}, { gzip = true })", "unknown option 'gzip' %(write compress = true" },
  { "require('perilune').listen('127.0.0.1:0', {}, { compression = true })", "did you mean compress%?" },
  { "require('perilune').listen('127.0.0.1:0', {}, { compress = { 'gzip' } })",
    "the value 'gzip' has no name: write NAME = 'gzip'; valid are zstd, br, gzip" },
  { "require('perilune').listen('127.0.0.1:0', {}, { compress = { level = 9 } })",
    "'compress': unknown option 'level' %(each coding has its level: write gzip = 6" },
  { "require('perilune').listen('127.0.0.1:0', {}, { compress = { gzip = 99 } })",
    "'compress': 'gzip' must be a level from 1 to 9, true or false" },
  { "require('perilune').listen('127.0.0.1:0', {}, { compress = { types = 'text/html' } })",
    "option 'types' must be a table: write { \"text/\", \"application/json\" }; got 'text/html'" },
  { "require('perilune').listen('127.0.0.1:0', {}, { decode = true })",
    "'decode' is for body hooks, and stands among the hooks: policy%.decode = true" },
  { "require('perilune').listen('127.0.0.1:0', {}, { cache = true })",
    "'cache' must be what perilune%.cache gives, as in "
    .. 'cache = perilune%.cache%("pages", { size = "64M" }%); got' },
  { "require('perilune.canary').new { percent = 5, cookie = 'a b' }",
    "option 'cookie' must be the name of a cookie, without spaces, ';' and '=', got 'a b'" },
  { "require('perilune.canary').new { percent = 5 }:is_chosen({})",
    "argument 2 must be the hook's ctx, got a nil value: write canary:is_chosen%(session, ctx%)" },
  { "require('perilune').cache {}", "perilune%.cache: expected a name" },
  { "require('perilune'):cache 'c'", "perilune%.cache is called with a dot, not with a colon" },
  { "require('perilune').cache('c', { sze = 1 })", "unknown option 'sze' %(did you mean size%?%)" },
  { "require('perilune').cache('c', { size = 'big' })", "a number of bytes, such as 67108864 or \"64M\", got 'big'" },
  { "require('perilune').shared_dict()", "perilune%.shared_dict: expected a name" },
  { "require('perilune').shared_dict('x', { stor = 1 })", "unknown option 'stor' %(did you mean store%?%)" },
  { "require('perilune.rate_limit').cluster { store = 'a:1', name = 'a', max = 1, by = 'path' }",
    "option 'store' must be a client of perilune%.redis, as redis%.new gives it, got 'a:1'" },
  { "require('perilune').listen('127.0.0.1:0', { upstream_peer = print }, "
    .. "{ certificate = 'p.lua', key = 'p.lua' })",
    "certificate .*p%.lua: no start line like %-%-%-%-%-BEGIN CERTIFICATE" },
  { "require('perilune').cache('', { size = '8M' })", "expected a name, .*, got an empty text" },
  { "require('perilune').cache('x', { size = '8M' }):purge('http://a/', true)",
    "cache:purge: its options are a table, such as { soft = true }" },
  { "require('perilune').table('x', { file = 'a.csv' })",
    "as argument 2, got a table value: write perilune%.table%(name, \"FILE%.csv\", { %.%.%. }%) or" },
  { "require 'resty.redis'", "not found: write require \"perilune%.ngx\" {} first, and copy lib/resty of the" },
  { "require 'socket'", "module 'socket' not found: write require \"perilune%.luasocket\" first" },
  { "require('perilune.header_rules').new { 'X: y' }", "the value 'X: y' has no name: write NAME = 'X: y'; valid are" },
  { "require('perilune').listen('127.0.0.1:0', {}, { low_latency = true })",
    "unknown option 'low_latency' %(it is a setting of the process: perilune%.configure%)" },
  { "require('perilune').listen('127.0.0.1:0', {}, { body_limit = '1 MB' })",
    "'body_limit' must be a number of bytes, 0 or more, such as 65536 or '64K'; got '1 MB'" },
  { "require('perilune').configure { user = 'no-such-user' }", "user 'no%-such%-user': there is none of that name" },
  { "require('perilune').configure { workers = 0 }", "workers wants a whole number from 1 to 1024, or auto" },
  { "require('perilune').redis.new()", "argument 1, the address, is a nil value: write redis%.new%(" },
  { "require('perilune').redis.new { address = 'a:1' }",
    "argument 1, the address, is a table value: write redis%.new" },
  { "require('perilune').redis:new('a:1')", "redis%.new is called with a dot, not with a colon" },
  { "require('perilune').redis.new('a:1', {}, 5)", "redis%.new: one argument too many: options are one table" },
  { "require('perilune').redis.new 'redis://a:1'", 'an address is host:port, without "redis://"' },
  { "require('perilune').redis.new('a:1', { pasword = 'x' })", "did you mean password%?" },
  { "require('perilune').redis.new('a:1'):get 'x'",
    'no method \'get\': there is .*; a command of Redis is written client:call%("GET", ...%)' },
  { "require('perilune').redis.new('a:1').prefix = 'x'", "perilune%.redis%.client keeps no fields, such as 'prefix'" },
  { "require('perilune').redis.new('a:1'):call 'GET'", "nothing can wait while the policy loads: see perilune%.spawn" },
  { "require('perilune.grpc_web').new { origins = {} }", "grpc_web%.new: unknown option 'origins'; it has no options" },
  { "require('perilune.health_check').grpc(require('perilune.round_robin').new { 'a:1' }, { service = 5 })",
    "health_check%.grpc: option 'service' must be a string, got 5" },
  { "require('perilune.health_check').grpc()", "health_check%.grpc: expected a set of backends" },
  { "require('perilune').metrics.counter('m'):increment()",
    "perilune%.metric has no method 'increment': there is add," },
  { "require('perilune').metrics.counter('m'):set(1)", "m: a counter has no method 'set': there is add" },
  { "require('perilune').metrics.counter('m', { labels = { 'side' } }):add(1)",
    "m: expected 1 label value %(side%) behind the number, got 0" },
}

-- { the body of request_filter(session, ctx), what the log says behind "request_filter failed: p.lua:2: " }
local HOOKS = {
  { "return session:respond { body = 'x' }", "session:respond: status is missing" },
  { "return session:respond(200, 'x')", "expected a table, got a number value: write session:respond {" },
  { "return session:respond 'x'", "expected a table, got a string value: write session:respond {" },
  { "return session:respond { status = 99 }", "status must be a number from 200 to 599" },
  { "return session:respond { status = 204, body = 'x' }", "a response with status 204 has no body" },
  { "return session:respond { status = 200, headers = 'x' }", "headers must be a table of names and values" },
  { "return session:respond { status = 200, headers = { ['A b'] = 1 } }", "'A b' is no valid field name" },
  { "return session:respond { status = 200, headers = { A = 'x\\r\\nB: y' } }", "has a control character in it" },
  { "return session:respond { status = 200, headers = { ['Content-Length'] = 1 } }", "Content%-Length cannot be set" },
  { "return session:respond { status = 200, hedaers = {} }", "unknown field 'hedaers' %(did you mean headers%?%)" },
  { "session:set_header('a', 'b')", "a session has no set_header: use session:request%(%):set_header" },
  { "return session:status()", "a session has no status: use response:status.*session:response_status%(%)" },
  { "session:request():client_ip()", "a request has no client_ip: use session:client_ip" },
  { "session.user = 1", "a session keeps no fields: keep it in ctx %(ctx%.user = %.%.%.%)" },
  { "return session.user", "have no 'user' %(data of your own is kept in ctx%)" },
  { "session:get_heder 'x'", "have no 'get_heder': did you mean get_header%?" },
  { "session.get_header 'x'", "got string %(methods are called with a colon%)" },
  { "session:request().x = 1", "a request keeps no fields: set a header by request:set_header" },
  { "session:set_method 'GIT HUB'", "'GIT HUB' is no method" },
  { "session:request():set_target 'x'", "a target begins with '/'" },
  { "session:request():set_header('Host', 'a b')", "is no host" },
  { "visits:gett 'x'", "perilune%.dict has no method 'gett': did you mean get%?" },
  { "upstreams:slect()", "a set of backends has no 'slect': did you mean select%?" },
  { "upstreams.select()", "a method: it is called with a colon" },
  { "error { code = 3 }", "the error is a table%) { code = 3 }" },
  { "error { status = 999 }", "{ status = 999 }: its status must be a whole number from 400 to 599; to answer "
    .. "otherwise, write return session:respond { status = %.%.%. }" },
  { "error { status = 200 }", "its status must be a whole number from 400 to 599" },
  { "error { status = 'gone' }", "its status must be a whole number from 400 to 599" },
  { "visits.count = 1", 'a perilune%.dict keeps values by its methods: write :set%("count", value%)' },
  { "error 'on purpose'", "on purpose" },
  { "return true", "returned true, which says that it has answered" },
  { "return 5", "expected nothing, or what session:respond gives,.*got a number" },
  { "coroutine.yield()", "coroutine%.yield was called outside of a coroutine" },
  { "perilune.listen('127.0.0.1:0', {})", "perilune%.listen is for the policy's main chunk" },
  { "perilune.configure { workers = 1 }", "perilune%.configure is for the policy's main chunk" },
  { "os.exit()", "os%.exit is refused: it would end the whole proxy" },
  { "perilune.sleep 'long'", "perilune%.sleep: expected a number of seconds, 0 or more, or a text such as" },
  { "string.gsub('x', 'x', function() perilune.sleep(1) end)", "nothing can wait in a function that C calls back" },
  { "session:set_log_field('status', 1)", "the line has that of itself" },
  { "local x = nil .. 'x'", "attempt to concatenate a nil value" },
  { "return ctx.claims.sub", "attempt to index field 'claims' %(a nil value%)" },
  { "require 'perilune.ratelimit'", "did you mean perilune%.rate_limit%?" },
  { "local blocked = limit(session)", "limit%(session, ctx%): ctx is missing" },
  { "return limit(session)", "limit%(session, ctx%): ctx is missing" },
  { "return session:respond { 200, 'x' }", "a value has no name: write { status = 200, body" },
  { "return session:respond { status = 200, headers = { 'X-A: b' } }",
    "not the name of a field: write headers = { %[" },
  { "session:set_cookie('a', 'b')",
    "no 'set_cookie': write response:add_header%(\"Set%-Cookie\", perilune%.cookie%.build" },
  { "session:set_path '/x'", "no 'set_path': write session:request%(%):set_target%(\"/path\"%)" },
  { "memo {}", "perilune%.memo: the key is a string or a number, got a table value" },
  { "return session:redirect '/x'", "no 'redirect': to answer, write return session:respond" },
  { "session:request():set_header 'X'", "got no value %(see remove_header%)" },
  { "return { status = 200 }",
    "what session:respond gives, as in return session:respond { status = 403 }.*got a table" },
  { "session.headers['X'] = 1", "field 'headers' %(a function value%) %(it is a method: write :headers%(%)%)" },
  { "return session.path .. 'x'", "field 'path' %(a function value%) %(it is a method: write :path%(%)%)" },
  { "for _ in pairs(session:headers()) do end",
    "it is an iterator already: for name, value in message:headers%(%) do" },
  { "return session:get_header('a') < 5", "attempt to compare nil with number %(one of them is missing%)" },
  { "return json.decode 'x'", 'write: local json = require "perilune%.json"' },
  { "visits.get('a')", "perilune%.dict expected as argument 1, got string %(methods are called with a colon%)" },
  { "return session:tls().version", "attempt to index a nil value" },
  { "local late = session; perilune.sleep(0); ctx = nil; return ctx.user", "attempt to index local 'ctx'" },
  { "perilune.every(1, print) error 'end'", "end" },
  { "session:set_compression(true)", "a session has no set_compression: use response:set_compression" },
  { "session:set_decoded()", "a session has no set_decoded: use response:set_decoded" },
  { "return session:respond { status = 200, grpc_status = 5 }", "unknown field 'grpc_status'" },
  { "session:reset 'nope'", "session:reset: the code must be a name of RFC 9113 section 7, such as \"cancel\"" },
  { "redis:call 'GET x'", "redis:call: GET x: it has a space in it: each word is an argument of its own" },
  { "redis:call('GET', {})", "redis:call: argument 2 is a table value: expected a string or a number" },
  { "redis.call('GET', 'x')", "redis:call is a method: it is called with a colon" },
  { "redis:call('SUBSCRIBE', 'x')", "SUBSCRIBE: .*: use redis:subscribe" },
  { "redis:pipeline('GET', 'x')", "redis:pipeline: expected a table as argument 1, got a string value" },
  { "redis:with_timeout 'x'", "redis:with_timeout: expected a number as argument 1" },
}

local POLICY = table.concat {
  'local perilune, policy = require "perilune", {}; local visits = perilune.dict "visits"; ',
  'local limit = require("perilune.rate_limit").new { key = function(_, ctx) return ctx.user end, max = 1 } ',
  'local upstreams = require("perilune.round_robin").new { "127.0.0.1:1" } local redis = perilune.redis.new "a:1" ',
  'local memo = perilune.memo("m", 5, function(key) return key end)\n',
  "%s\n",
  "function policy.upstream_peer() return upstreams:select() end\n",
  "function policy.fail_to_proxy() return visits and 599 end\n",
  'perilune.listen("127.0.0.1:0", policy)\n',
}

describe("loading a policy with a mistake says what it was, where, and what would be right:", function()
  for _, case in ipairs(LOADING) do
    it(case[1], function()
      local result = checked(case[1] .. "\n" .. LISTEN .. "\n")
      assert.equal(2, result.code, result.stderr)
      assert.matches("p%.lua:?[12]?:? .*" .. case[2], result.stderr)
      assert.equal(1, select(2, result.stderr:gsub("[^\n]+", "")), result.stderr)
    end)
  end
end)

-- Cases that share a proxy: few enough that the throttle of the log, which counts by the policy's line, drops none.
local MOST = 15

-- A proxy whose policy does what cases `first` to `last` do, by the path; the first of them in line 4.
local function start(first, last)
  local acts = {}
  for i = first, last do acts[#acts + 1] = ("acts[%d] = function(session, ctx) %s end"):format(i, HOOKS[i][1]) end
  local text = "local acts = {}; function policy.request_filter(session, ctx)\n"
    .. "return acts[tonumber(session:path():sub(2))](session, ctx) end\n" .. table.concat(acts, "\n")
  local script = process.write_file(process.directory() .. "/p.lua", (POLICY:gsub("%%s", function() return text end)))
  return perilune.start { workers = 1, script = script }
end

-- The line of the log names the line of the policy, or those that it may have been; a result has that of its hook.
local function is_placed(line, at)
  local is_of_hook = line:find("p.lua:2 (request_filter)", 1, true)
  if is_of_hook then return line:find "returned true" or line:find "as its result" end
  local places = line:match "p%.lua:([%d or]+): "
  return places and (" %s "):format(places):find((" %d "):format(at), 1, true)
end

describe("a mistake in a hook is in the log with its line, and the request:", function()
  for first = 1, #HOOKS, MOST do
    local last = math.min(first + MOST - 1, #HOOKS)
    it(("%d to %d of the table"):format(first, last), function()
      local proxy = start(first, last)
      for i = first, last do
        local from = #proxy:log() + 1
        assert.is_true(client.request({ port = proxy.port, path = "/" .. i }).status >= 500, HOOKS[i][1])
        local line = proxy:wait_log("request_filter failed: ([^\n]*)\n", nil, from)
        assert.truthy(is_placed(line, i - first + 4), line)
        assert.matches(": .*" .. HOOKS[i][2] .. ".* %(GET /" .. i .. " of client ", line, HOOKS[i][1])
      end
    end)
  end
end)
