-- SPDX-License-Identifier: Apache-2.0
-- What the log says of a hook that failed: the policy's line, also behind a tail call, what was raised, the request.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"

after_each(require("cleanup").run)

local HEAD = [[
local perilune = require "perilune"
local upstreams = require("perilune.round_robin").new { "127.0.0.1:1" }
local callable = setmetatable({}, { __call = string.reverse })
local policy, acts = {}, {}
local function answer(session) return session:respond { status = 1 } end -- line 5
local function deeper(session) return answer(session) end
function policy.request_filter(session, ctx)
  ctx.request_id = "id-of-the-request"
  local act = acts[session:path():sub(2)]
  if act then return act(session, ctx) end
end
function policy.upstream_peer() return "127.0.0.1:1" end
perilune.listen("127.0.0.1:0", policy)
]]

local function serve(text)
  return perilune.start { workers = 1, script = process.write_file(process.directory() .. "/p.lua", text) }
end

-- A proxy for a policy that has these functions, by the path that calls them; and the line at which each begins.
local function start(acts)
  local text, lines = { HEAD }, {}
  local line = select(2, HEAD:gsub("\n", "\n")) + 1
  for name, act in pairs(acts) do
    lines[name] = line
    text[#text + 1] = ("acts.%s = %s\n"):format(name, act)
    line = line + select(2, act:gsub("\n", "\n")) + 1
  end
  return serve(table.concat(text)), lines
end

-- What the log says behind "request_filter failed: ", for a request of this path.
local function said(proxy, path)
  local from = #proxy:log() + 1
  assert.equal(500, client.request({ port = proxy.port, path = "/" .. path .. "?token=secret" }).status, path)
  local text = proxy:wait_log("request_filter failed: [^\n]-([^\n/.]+%.lua[^\n]*)\n", nil, from)
  return text, from
end

describe("an error behind a tail call names the line of the call", function()
  local acts = {
    one = "function(session)\n  return session:respond { body = 'x' }\nend",
    second = "function(session)\n  if not session then return session:respond { status = 401 } end\n"
      .. "  return session:respond { status = 99 }\nend",
    first = "function(session)\n  if session then return session:respond { status = 98 } end\n"
      .. "  return session:respond { status = 200 }\nend",
    wrong = "function(session)\n  return session:respond(200, 'x')\nend",
    numbered = "function(session)\n  return session:get_header(print)\nend",
    late = "function(session)\n  return session:read_body 'much'\nend",
    set = "function()\n\n  return upstreams:select({}, 1, 2)\nend",
    module = "function()\n  return perilune.url.decode {}\nend",
    sleep = "function()\n  return perilune.sleep 'long'\nend",
    library = "function()\n  return string.rep()\nend",
    raise = "function()\n  return error 'raised in a tail call'\nend",
    assertion = "function()\n  return assert(nil, 'an assertion')\nend",
    callable = "function(session)\n  return callable(session)\nend",
    nested = "deeper",
  }
  local expected = {
    one = { 1, "session:respond: status is missing" },
    second = { 2, "session:respond: status must be a number from 200 to 599" },
    first = { 1, "session:respond: status must be a number" },
    wrong = { 1, "session:respond: expected a table, got a number value: write session:respond {" },
    numbered = { 1, "bad argument #1 to 'get_header' %(string expected, got function%)" },
    late = { 1, "session:read_body: the limit must be a number of bytes" },
    set = { 2, "select: options must be a table, got a number value" },
    module = { 1, "bad argument #1 to 'decode' %(string expected, got table%)" },
    sleep = { 1, "perilune%.sleep: expected a number of seconds, 0 or more, or a text" },
    library = { 1, "bad argument #1 to 'rep' %(string expected" },
    raise = { 1, "raised in a tail call" },
    assertion = { 1, "an assertion" },
    callable = { 1, "bad argument #1 to 'callable' %(string expected, got table%)" },
  }

  it("of methods, modules, sets, callable tables, and Lua's own functions", function()
    local proxy, lines = start(acts)
    for name, case in pairs(expected) do
      local text = said(proxy, name)
      assert.matches(("^p%%.lua:%d: .*%s"):format(lines[name] + case[1], case[2]), text, name)
    end
    assert.matches("^p%.lua:5: session:respond: status must", (said(proxy, "nested")))
  end)

  it("says all lines that it may have been, where it cannot be told apart", function()
    local proxy, lines = start {
      twice = "function(session, ctx)\n  local given = { status = 1 }\n"
        .. "  if ctx.no then return session:respond(given) end\n  return session:respond(given)\nend",
    }
    local at = lines.twice
    assert.matches(("^p%%.lua:%d or %d: session:respond: status"):format(at + 2, at + 3), (said(proxy, "twice")))
  end)

  it("and its traceback has no frame without a name", function()
    local proxy = start(acts)
    local _, from = said(proxy, "one")
    assert.not_matches("%[C%]: at 0x", proxy:log():sub(from))
  end)
end)

describe("an error in a hook", function()
  it("is told with the method, the path without its query, the client and the request id", function()
    local proxy = start { plain = "function()\n  error 'on purpose'\nend" }
    assert.matches("on purpose %(GET /plain of client 127%.0%.0%.1:%d+, request id id%-of%-the%-request%)$",
      (said(proxy, "plain")))
    assert.not_matches("secret", proxy:log())
  end)

  it("that is a table is printed, with the line that raised it", function()
    local proxy, lines = start {
      fields = "function()\n  error { code = 3, why = 'closed', at = {} }\nend",
      odd = "function()\n  error { 'first', true }\nend",
      empty = "function()\n  error {}\nend",
      many = "function()\n  local all = {}\n  for i = 1, 100 do all['key' .. i] = ('x'):rep(1000) end\n"
        .. "  error(all)\nend",
      named = "function()\n  error(setmetatable({}, { __tostring = function() return 'a name' end }))\nend",
      value = "function()\n  error(nil)\nend",
    }
    local text = said(proxy, "fields")
    assert.matches(("^p%%.lua:%d: .*{.*}"):format(lines.fields + 1), text)
    for _, part in ipairs { "code = 3", 'why = "closed"', "at = {...}" } do
      assert.truthy(text:find(part, 1, true), text)
    end
    assert.matches('{ "first", true }', (said(proxy, "odd")))
    assert.matches("{ }", (said(proxy, "empty")))
    local long = said(proxy, "many")
    assert.matches("%.%.%. }", long)
    assert.is_true(#long < 3000)
    assert.matches(("^p%%.lua:%d: a name"):format(lines.named + 1), (said(proxy, "named")))
    assert.matches(("^p%%.lua:%d: .*nil"):format(lines.value + 1), (said(proxy, "value")))
  end)

  it("that asks for a status is told with the request", function()
    local proxy = start { status = "function() error { status = 403 } end" }
    assert.equal(403, client.request({ port = proxy.port, path = "/status" }).status)
    proxy:wait_log "request_filter ended the request with status 403 %(GET /status of client 127"
  end)

  it("of a result that makes no sense is told with the request, too", function()
    local proxy = start { result = "function() return 5 end" }
    assert.matches("expected nothing.*%(GET /result of client", (said(proxy, "result")))
  end)

  it("is told of a request that could not be read", function()
    local proxy = serve [[
      local policy = { upstream_peer = function() end }
      function policy.fail_to_proxy() error "on purpose" end
      require("perilune").listen("127.0.0.1:0", policy)
    ]]
    local connection = client.connect(proxy.port)
    connection:send "\1\2\3 NONSENSE\r\n\r\n"
    assert.equal(500, connection:read_response().status)
    proxy:wait_log "fail_to_proxy failed: [^\n]*p%.lua:2: on purpose %(a malformed request of client 127"
  end)

  it("of a long path and a strange method is one short line", function()
    local proxy = start {}
    local connection = client.connect(proxy.port)
    connection:send(("M%s /%s HTTP/1.1\r\nHost: x\r\n\r\n"):format(("M"):rep(20), ("x"):rep(3000)))
    connection:read_response()
    proxy:wait_log "peer"
    for line in proxy:log():gmatch "[^\n]+" do assert.is_true(#line < 1000) end
  end)
end)

describe("an error in a body hook", function()
  it("behind a tail call names its line and the request", function()
    local origin = origins.start "hello"
    local proxy = serve(([[
      local policy = { upstream_peer = function() return "%s" end }
      function policy.response_body_filter(session, chunk)
        return session:respond { status = 200 }
      end
      require("perilune").listen("127.0.0.1:0", policy)
    ]]):format(origin.address))
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log("response_body_filter failed: [^\n]*p%.lua:3: session:respond is not allowed in [%w_]+, only in "
      .. "early_request_filter, request_filter, [%w_, ]+ %(GET /")
  end)
end)
