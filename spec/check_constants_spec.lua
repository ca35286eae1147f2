-- SPDX-License-Identifier: Apache-2.0
-- What `perilune check` finds in hooks that it does not run: constants that always fail, results that a hook must not
-- have, pieces of bodies that are dropped, times in milliseconds, and names that objects do not have.
local perilune = require "perilune"
local process = require "process"

after_each(require("cleanup").run)

local HEAD = [[
local perilune = require "perilune"; local http, tcp, dns, cookie, regex, SHORT, LONG = perilune.http, perilune.tcp,
perilune.dns, perilune.cookie, perilune.regex, 5, 5000; local visits, out = perilune.dict "visits", {}
local set = require("perilune.round_robin").new { "127.0.0.1:1" }; local health = require "perilune.health_check"
local spare = { blue = { address = "127.0.0.1:1", first_byte_timeout = 5000 }, red = { adress = "127.0.0.1:1" } }
local helpers = {}; function helpers.path(request) return request:path() end; function helpers:name(a) return a end
local function peer() return set:select(nil, { exclude = {} }) end
]]
local FIRST = select(2, HEAD:gsub("\n", "")) + 1

local PARAMETERS = {
  request_filter = "session, ctx", upstream_peer = "session, ctx", upstream_request_filter = "session, request, ctx",
  response_filter = "session, response, ctx", fail_to_connect = "session, peer, ctx, error",
  error_while_proxy = "session, peer, error, ctx, reused", fail_to_proxy = "session, error, ctx",
  logging = "session, error, ctx", certificate = "hello, ctx", proxy_upstream_filter = "session, ctx",
  response_body_filter = "session, chunk, is_last, ctx", request_body_filter = "session, chunk, is_last, ctx",
  request_cache_filter = "session, ctx", cache_key_callback = "session, ctx",
  cache_hit_filter = "session, response, is_fresh, ctx", should_serve_stale = "session, error, ctx",
  response_cache_filter = "session, response, ctx",
  answer_filter = "session, response, ctx", connected_to_upstream = "session, reused, peer, ctx",
}

-- Cases, each as a line of a policy. A case: { hook or "main" for the main chunk, Lua code, what is said behind the
-- line, is it a warning? }. The hook of a case has a listener of its own.
local function line_of(case)
  if case[1] == "main" then return case[2] end
  local peer = case[1] == "upstream_peer" and "" or "upstream_peer = peer, "
  return ('perilune.listen("127.0.0.1:0", { %s%s = function(%s) %s end })'):format(peer, case[1], PARAMETERS[case[1]],
    case[2])
end

-- What is said of some cases, by the number of the line.
local function check(cases, from, to)
  local lines, said = {}, {}
  for i = from, to do lines[#lines + 1] = line_of(cases[i]) end
  local tail = '\nperilune.listen("127.0.0.1:0", { upstream_peer = peer })\n'
    .. "return http, tcp, dns, cookie, regex, SHORT, LONG, visits, out, health, spare, helpers"
  local path = process.write_file(process.directory() .. "/p.lua", HEAD .. table.concat(lines, "\n") .. tail)
  local result = perilune.run("check", path)
  for number, text in result.stderr:gmatch "p%.lua:(%d+): ([^\n]*)" do
    number = tonumber(number) - FIRST + from
    said[number] = (said[number] or "") .. text .. "\n"
  end
  return said, result
end

local AT_ONCE = 12 -- the command lists at most twenty of each kind

-- Calls it with what is said of each case; one run of the command is for several of them.
local function each_case(cases, sentence, examine)
  local said = {}
  for i, case in ipairs(cases) do
    it(sentence .. case[1] .. ": " .. case[2], function()
      local from = i - (i - 1) % AT_ONCE
      said[from] = said[from] or { check(cases, from, math.min(from + AT_ONCE - 1, #cases)) }
      examine(case, said[from][1][i], said[from][2])
    end)
  end
end

local FAULTS = {
  { "request_filter", "http.get('http://a/', { timeout = 'x' })", "http%.get: option 'timeout' must be a number of s" },
  { "request_filter", "http.get('http://a/', { timeout = -1 })",
    "http%.get: option 'timeout' must be a number of sec" },
  { "request_filter", "http.get('http://a/', { headers = session:path(), metod = 'GET' })",
    "option 'metod' %(did you" },
  { "request_filter", "local o = { limit = 'all' }; return http.get('http://a/', o)",
    "option 'limit' must be a whole" },
  { "request_filter", "http.request { url = 'http://a/', body = session:path(), keep = 1 }", "'keep' must be true or" },
  { "request_filter", "http.get('example.com')", "http%.get: expected http:// or https:// and a host, got \"exam" },
  { "request_filter", "http.get('http://a/', 5)", "http%.get: expected a table of options, got a number value" },
  { "request_filter", "perilune.spawn(function() http.get('http://a/', { timeout = 'x' }) end)", "option 'timeout'" },
  { "request_filter", "tcp.connect('127.0.0.1:1', { timout = 1 })", "tcp%.connect: unknown option 'timout' %(did you" },
  { "request_filter", "tcp.check('127.0.0.1:1', { timeout = 'x' })", "option 'timeout' must be a number of seconds" },
  { "request_filter", "dns.addresses('a:80', { family = 'ipv5' })", "option 'family' must be any, prefer_ipv4" },
  { "request_filter", "out.a = cookie.build('a', 'b', { max_age = 'x' })", "option 'max_age' must be a whole number" },
  { "request_filter", "set:select('a', { exlude = 'b' })",
    "set:select: unknown option 'exlude' %(did you mean exclude" },
  { "request_filter", "perilune.sleep(-1)", "perilune%.sleep: expected a number of seconds, 0 or more, .*, got %-1" },
  { "request_filter", "perilune.sleep('a moment')", "expected a number of seconds, 0 or more, or a text such as "
    .. "'500ms', '30s', '5m' or '1h', got \"a moment\"" },
  { "request_filter", "perilune.after(5, 'print')", "perilune%.after: expected a function, got a string value" },
  { "request_filter", "visits:set(session:path(), 1, 0)", "dict:set: expected a time to live from 0%.001" },
  { "request_filter", "visits.set('a', 1)", "methods are called with a colon: visits:set" },
  { "request_filter", "session:read_body(0)", "session:read_body: expected a number of bytes, 1 or more, got 0" },
  { "request_filter", "session:read_body { limit = 1 }", "expected a number of bytes, 1 or more, got a table value" },
  { "request_filter", "session:request():set_target('x')", "a target begins with '/'" },
  { "request_filter", "session:request():set_header('Content-Length', 1)", "the field Content%-Length cannot be set" },
  { "request_filter", "session:request():set_header('X Y', session:path())", "'X Y' is no valid field name" },
  { "request_filter", "session:request():set_header('X', true)", "the value of field X must be a string, a number" },
  { "response_filter", "response:set_status(99)", "response:set_status: expected a status from 200 to 599, got 99" },
  { "response_filter", "response:set_header('Connection', 'close')", "the field Connection cannot be set" },
  { "request_filter", "return session:respond { status = 200, body = 5 }",
    "body must be a string, got a number value" },
  { "request_filter", "return session:respond { status = 200, headers = 'a: b' }",
    "headers must be a table, got a str" },
  { "request_filter", "return session:respond { body = session:path() }", "session:respond: status is missing" },
  { "request_filter", "session:start_response { status = 200, body = 'a' }",
    "session:start_response: a streamed answer has no body: write it with session:send" },
  { "request_filter", "session:start_response { status = 304 }",
    "session:start_response: a response with status 304 has no body: use session:respond" },
  { "request_filter", "session:start_response { status = 200, length = -1 }",
    "session:start_response: length must be the number of bytes that will be sent" },
  { "request_filter", "return session:respond { status = 200, length = 5 }", "length is that of the body" },
  { "request_filter", "session:start_response { headers = {} }", "session:start_response: status is missing" },
  { "request_filter", "session:start_response 'x'", "expected a table, got a string value: write session:start_resp" },
  { "request_filter", "return session:respond(403)", "expected a table, got a number value: write session:respond" },
  { "request_filter", "return session:respond { status = 200, headers = { ['A B'] = session:path() } }",
    "'A B' is no" },
  { "request_filter", "local s = SHORT; return session:respond { status = s }", "from 200 to 599, got 5" },
  { "request_filter", "out.a = regex.match(session:path(), '(')", "regex%.match: missing closing parenthesis" },
  { "request_filter", "out.a = session:path():match '['", "string:match: malformed pattern" },
  { "request_filter", "out.a = string.find(session:path(), '[')", "string%.find: malformed pattern" },
  -- results
  { "request_filter", "return 403", "request_filter returns 403, which is refused: expected nothing, or what session" },
  { "request_filter", "return '/'", "request_filter returns \"/\", which is refused" },
  { "request_filter", "if session:path() == '/' then return true end", "returns true without an answer, which is ref" },
  { "request_filter", "return { status = 403 }", "request_filter returns a table, which is refused" },
  { "proxy_upstream_filter", "return 'no'", "proxy_upstream_filter returns \"no\", which is refused: expected true," },
  { "fail_to_proxy", "return 200", "fail_to_proxy returns 200, which is refused: expected a status from 400 to 599" },
  { "logging", "return 1", "logging returns 1, which is refused: expected nothing" },
  { "answer_filter", "return true", "answer_filter returns true, which is refused: expected nothing" },
  { "request_cache_filter", "return 5", "returns 5, which is refused: expected true, false, a table, nothing, or" },
  { "cache_key_callback", "return false", "returns false, which is refused: expected a text, nothing, or" },
  { "cache_hit_filter", "return 'stale'", "returns \"stale\", which is refused: expected \"fresh\", \"expired\"" },
  { "response_filter", "response.headers['X'] = 'y'", "response.headers is a method, not a table: write response:se" },
  { "response_filter", "out.a = response.headers['X']", "response.headers is a method, not a table: write response:g" },
  { "request_filter", "session.headers.x = 'y'", "session.headers is a method, not a table: write session:req" },
  { "cache_hit_filter", "out.a = response:stats()", "a response has no 'stats': did you mean status%?" },
  { "should_serve_stale", "return 'yes'", "returns \"yes\", which is refused: expected true, false or nothing" },
  { "response_cache_filter", "return 5", "returns 5, which is refused: expected true, false, a" },
  { "response_body_filter", "return 5", "returns 5, which is refused: expected a string, an array of strings, or" },
  { "response_body_filter", "return false", "returns false, which is refused" },
  { "upstream_peer", "return 'localhost'", "upstream_peer: 'localhost': the port is missing" },
  { "upstream_peer", "return 8080", "upstream_peer: expected a peer, got 8080" },
  { "upstream_peer", "return true", "upstream_peer: expected a peer, got true" },
  { "upstream_peer", "return spare[session:host()]", "upstream_peer: unknown option 'adress' %(did you mean address" },
  -- names
  { "fail_to_connect", "out.a = peer.adress", "a peer has no 'adress' %(did you mean address%?%)" },
  { "connected_to_upstream", "out.a = peer.sin", "a peer has no 'sin' %(did you mean sni%?%)" },
  { "error_while_proxy", "out.a = peer:address()", "address of a peer is a field: write peer%.address" },
  { "error_while_proxy", "error.retyr = true", "of an error only the field 'retry' can be set" },
  { "fail_to_proxy", "out.a = error:staus()", "an error has no 'staus': did you mean status%?" },
  { "logging", "out.a = error and error.knd", "an error has no 'knd' %(did you mean kind%?%)" },
  { "certificate", "return hello.server_nam", "has no 'server_nam' %(did you mean server_name%?%)" },
  { "request_filter", "out.a = session.user", "a session has no 'user': keep data of your own in ctx" },
  { "response_filter", "response.status = 404", "a response takes no fields: write response:set_status%(%.%.%.%)" },
  { "request_filter", "session.user = 'a'", "a session takes no fields: keep 'user' in ctx" },
  { "request_filter", "if session.path == '/' then out.a = 1 end",
    "session%.path is a method: write session:path%(%)" },
  { "request_filter", "session:request():set_heder('a', 'b')",
    "a request has no 'set_heder': did you mean set_header%?" },
  { "request_filter", "local request = session:request() request:set_heder('a', 'b')", "a request has no 'set_heder'" },
  { "request_filter", "perilune.spawn(function() session:gett 'x' end)", "a session has no 'gett'" },
  { "request_filter", "out.a = session:path():gsbu('a', 'b')", "a string has no 'gsbu': did you mean gsub%?" },
  { "request_filter", "local path = session:path() out.a = path:uper()", "a string has no 'uper': did you mean upper" },
  { "response_body_filter", "return chunk:gsbu('a', 'b')", "a string has no 'gsbu': did you mean gsub%?" },
  { "request_filter", "local s = string out.a = s.gsbu('a')", "string has no 'gsbu': did you mean gsub%?" },
  { "request_filter", "perilune.log.inf 'x'", "perilune%.log has no 'inf': did you mean info%?" },
  { "request_filter", "perilune.http.gett 'x'", "perilune%.http has no 'gett': did you mean get%?" },
  { "request_filter", "local web = require 'perilune.http' web.gett 'x'", "perilune%.http has no 'gett'" },
  { "request_filter", "out.a = helpers.pathh(session)", "there is no function 'pathh' %(did you mean path%?%)" },
  { "main", "perilune.every(60, function() require('perilune.http').get('a', { timout = 1 }) end)", "option 'timout'" },
}

local WARNINGS = {
  { "request_filter", "http.get('http://a/', { timeout = 5000 })", "timeout = 5000 is 83 minutes: times are in seconds;"
    .. " if milliseconds are meant, write 5" },
  { "request_filter", "http.get('http://a/', { timeout = LONG, connect_timeout = SHORT })",
    "timeout = 5000 is 83 min" },
  { "request_filter", "http.get('http://a/', { connect_timeout = 500 })", "connect_timeout = 500 is 8 minutes" },
  { "request_filter", "perilune.sleep(1500)", "perilune%.sleep%(1500%) is 25 minutes" },
  { "request_filter", "visits:set('a', 1, 60000)", "dict:set%(60000%) is 16%.7 hours" },
  { "upstream_peer", "return { address = '127.0.0.1:1', read_timeout = 5000 }",
    "upstream_peer: read_timeout = 5000 is" },
  { "upstream_peer", "return { address = '127.0.0.1:1', hedge = 100 }", "hedge = 100 is 100 seconds" },
  { "upstream_peer", "return spare.blue", "first_byte_timeout = 5000 is 83 minutes" },
  { "main", "perilune.listen('127.0.0.1:0', { upstream_peer = peer }, { head_timeout = 5000 })",
    "head_timeout = 5000" },
  { "main", "perilune.every(60000, print)", "perilune%.every%(60000%) is 16%.7 hours" },
  { "main", "perilune.configure { grace = 30000 }", "grace = 30000 is 8%.3 hours" },
  { "main", "set = require('perilune.random').new { '127.0.0.1:1', passive = { window = 10000 } }", "window = 10000" },
  { "main", "health.http(set, { interval = 2, timeout = 5 })", "timeout = 5 is longer than the interval %(2 s%)" },
  { "main", "health.tcp(set, { timeout = 5 })", "timeout = 5 is longer than the interval %(1 s, by default%)" },
  { "main", "health.with(set, print, { timeout = 2.5, interval = 2 })", "timeout = 2%.5 is longer than the interval" },
  -- pieces of bodies
  { "response_body_filter", "out.a = #chunk", "returns nothing, so it drops each piece and the body is empty: end it" },
  { "request_body_filter", "table.insert(out, chunk)", "request_body_filter returns nothing, so it drops each piece" },
  { "response_body_filter", "if ctx.plain then return end return chunk:upper()",
    "may end here without a result, whic" },
  { "response_body_filter", "if chunk:find 'a' then return chunk:upper() end", "may end here without a result, which" },
  { "request_body_filter", "if #chunk > 9 then return chunk end out.a = ctx",
    "drops the piece: return chunk to pass it" },
  -- a colon for a dot
  { "request_filter", "out.a = helpers:path(session)", "path is defined with a dot and called with a colon" },
  { "request_filter", "out.a = helpers.name(session)", "name is defined with a colon and called with a dot" },
}

-- What is right, or may be.
local FINE = {
  { "request_filter", "local o = { timeout = '5' }; o.timeout = 5; return http.get('http://a/', o) and nil" },
  { "request_filter",
    "local o = { timeout = '5' }; if ctx.a then o.timeout = 5 end; out.a = http.get('http://a/', o)" },
  { "request_filter", "local o = { timeout = '5' }; ctx.mend(o); out.a = http.get('http://a/', o)" },
  { "request_filter", "local t = 'x'; if ctx.a then t = 5 end; out.a = http.get('http://a/', { timeout = t })" },
  { "request_filter", "local t = 5; if ctx.a then t = 'x' end; out.a = http.get('http://a/', { timeout = t })" },
  { "request_filter", "local t; if t then perilune.sleep(t) end; out.a = t" },
  { "request_filter", "perilune.sleep(ctx.a and 'a' or 1)" },
  { "request_filter", "local a, b, c = ctx.f(5000, 'x'); perilune.sleep(b); perilune.sleep(c); out.a = a" },
  { "request_filter", "local a = { status = 0 }; a.status = 404; return session:respond(a)" },
  { "request_filter", "local a = {}; ctx.fill(a); return session:respond(a)" },
  { "request_filter", "local a = {}; for k, v in pairs(ctx) do a[k] = v end; return session:respond(a)" },
  { "request_filter",
    "return session:respond { status = ctx.a and 200 or 403, headers = { ['X-A'] = { 'a', 'b' } } }" },
  { "request_filter", "if session:respond { status = 200 } then return true end" },
  { "request_filter", "session:reset(); return true" },
  { "request_filter", "http.get('http://a/', { timeout = 3600 }); perilune.sleep(7200); visits:set('a', 1, 86400)" },
  { "request_filter", "http.get('http://a/', { timeout = 300, idle_timeout = 600, connect_timeout = 120 })" },
  { "request_filter", "out.a = session:path():find('[', 1, true) and 1; out.b = session:path():find('%[')" },
  { "request_filter", "local request = session:request(); request.set_header(request, 'X-A', 'b')" },
  { "request_filter", "ctx.user = { name = 'a' }; out.a = ctx.user.nam" },
  { "proxy_upstream_filter", "return true" },
  { "response_cache_filter", "return true" },
  { "fail_to_proxy", "return 503" },
  { "logging", "return nil" },
  { "error_while_proxy", "error.retry = error:retryable(); out.a = peer.group" },
  { "upstream_peer", "return ctx.peers and ctx.peers[1] or 'localhost:80'" },
  { "response_body_filter", "ctx.all = (ctx.all or '') .. chunk; if is_last then return ctx.all end" },
  { "response_body_filter", "ctx[#ctx + 1] = chunk; if is_last then return table.concat(ctx) end" },
  { "response_body_filter", "table.insert(ctx, chunk); if is_last then return ctx end" },
  { "response_body_filter", "if is_last then return 'all of it' end" },
  { "response_body_filter", "if not is_last then return end; return 'all of it'" },
  { "response_body_filter", "if ctx.quiet then return nil end; return chunk" },
  { "response_body_filter", "if chunk == 'secret' then return end return chunk" },
  { "response_body_filter", "if #chunk == 0 then return end return chunk" },
  { "response_body_filter", "if chunk:find 'secret' then return end return chunk" },
  { "response_body_filter", "error 'never'" },
  { "response_body_filter", "return ctx.filter(chunk)" },
  { "request_body_filter", "if chunk == '' then return '' end return { chunk, '!' }" },
  { "main", "health.http(set, { interval = 5, timeout = 5 })" },
  { "main", "health.tcp(set, { interval = 0.5 })" },
  { "main", "perilune.every(3600, print); perilune.every(1800, print)" },
  { "main", "perilune.listen('127.0.0.1:0', { upstream_peer = peer }, { tunnel_timeout = 7200, body_timeout = 120 })" },
}

describe("`perilune check` finds", function()
  each_case(FAULTS, "what always fails in ", function(case, said, result)
    assert.matches(case[3], said, nil, nil, result.stderr)
    assert.equal(2, result.code)
  end)

  each_case(WARNINGS, "what is probably wrong in ", function(case, said, result)
    assert.matches(case[3], said)
    assert.equal(0, result.code, result.stderr)
    assert.matches("^perilune: warning: ", result.stderr)
  end)

  each_case(FINE, "nothing in ", function(_, said, result)
    assert.is_nil(said)
    assert.equal(0, result.code)
  end)
end)
