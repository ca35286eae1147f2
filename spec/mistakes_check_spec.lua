-- SPDX-License-Identifier: Apache-2.0
-- Mistakes in policies that load, and which only a request would show: `perilune check` finds them before. What it says
-- must be enough to mend each at once, and a policy that is fine must get no word.
local client = require "client"
local perilune = require "perilune"
local process = require "process"

after_each(require("cleanup").run)

local LISTEN = 'require("perilune").listen("127.0.0.1:0", { upstream_peer = function() return "127.0.0.1:1" end })'

local function checked(text)
  return perilune.run("check", process.write_file(process.directory() .. "/p.lua", text))
end

-- { the body of request_filter(session, ctx), what is said behind the line }, of policies that load.
local CHECKED = {
  { "ngx.say 'x'", "there is no global 'ngx': that is OpenResty" },
  { "return upstreem:select()", "there is no global 'upstreem': did you mean upstreams%?" },
  { "perilunee.log.info()", "there is no global 'perilunee': did you mean perilune%?" },
  { "round_robin.new {}", "'round_robin': write: local round_robin = require \"perilune%.round_robin\"" },
  { "return response:status()", "there is no global 'response': hooks are given it as a parameter" },
  { "return nothing_that_is_there", "ask for rawget%(_G, \"nothing_that_is_there\"%)" },
  { "session:set_header('a', 'b')", "a session has no set_header: use session:request%(%):set_header" },
  { "session:get_heder 'x'", "a session has no 'get_heder': did you mean get_header%?" },
  { "session:set_status(200)", "a session has no set_status: use response:set_status" },
  { "return session:respond { staus = 200 }", "unknown field 'staus' %(did you mean status%?%)" },
  { "return session:respond { staus = #session:path() }", "unknown field 'staus' %(did you mean status%?%)" },
  { "return session:respond { status = 302, location = '/x' }",
    "unknown field 'location': write headers = { Location = \"/path\" }" },
  { "return session:respond { status = 200, json = {} }", "unknown field 'json': write body = perilune%.json%.encode" },
  { "return session:respond { status = 200, ['Content-Type'] = 'a/b' }",
    "unknown field 'Content%-Type': write headers = { %[\"Content%-Type\"%] = " },
  { "return session:start_response(200)", "session:start_response: expected a table, got a number value: write " },
  { "return session:respond { status = 600 }", "status must be a number from 200 to 599, got 600" },
  { "return session:respond { status = '200' }", 'status must be a number from 200 to 599, got "200"' },
  { "string.gsbu('a', 'b', 'c')", "string has no 'gsbu': did you mean gsub%?" },
  { "return math.flor(1.5)", "math has no 'flor': did you mean floor%?" },
  { "table.unpack {}", "table has no 'unpack': there is concat, " },
  { "local join = table.conct; return join", "table has no 'conct': did you mean concat%?" },
  { "upstreams:slect()", "a set of backends has no 'slect': did you mean select%?" },
  { "session.path()", "methods are called with a colon: session:path%(%.%.%.%)" },
  { "session.respond { status = 200 }", "methods are called with a colon: session:respond%(%.%.%.%)" },
  { "session:set_cookie('a', 'b')", "a session has no 'set_cookie': write response:add_header" },
  { "session:get_path()", "a session has no 'get_path': did you mean path%?" },
  { "session:frobnicate()", "a session has no 'frobnicate': there is .*, path, " },
  { "perilune.slep(1)", "perilune has no 'slep': did you mean perilune%.sleep%?" },
  { "visits:gett 'x'", "perilune%.dict has no method 'gett': did you mean get%?" },
  { "function request_filter() end", "the global 'request_filter' is no hook: write function policy%.request_filter" },
  { "count = (count or 0) + 1", "warning: .*the global 'count' is set inside a function: .*local count", true },
}

local POLICY = table.concat {
  'local perilune, policy = require "perilune", {}; local visits = perilune.dict "visits"; ',
  'local limit = require("perilune.rate_limit").new { key = function(_, ctx) return ctx.user end, max = 1 } ',
  'local upstreams = require("perilune.round_robin").new { "127.0.0.1:1" }\n',
  "%s\n",
  "function policy.upstream_peer() return upstreams:select() end\n",
  "function policy.fail_to_proxy() return visits and 599 end\n",
  'perilune.listen("127.0.0.1:0", policy)\n',
}

-- { hooks of `policy`, beginning in line 2; what is said behind "p.lua:"; is it a warning? }
local WHOLE = {
  { "function policy.upstream_peer(s) return { adress = s:path() } end",
    "2: upstream_peer: unknown option 'adress' %(did you mean address%?%)" },
  { "function policy.upstream_peer() return { address = '127.0.0.1:1', first_byte_timeout = '5x' } end",
    "2: upstream_peer: option 'first_byte_timeout' must be a number of seconds .*; got '5x'" },
  { "local peer = { address = '127.0.0.1:1', tsl = true }; function policy.upstream_peer() return peer end",
    "2: upstream_peer: unknown option 'tsl' %(did you mean tls%?%)" },
  { "local peers = { blue = { adress = 'a:1' } }; function policy.upstream_peer() return peers.blue end",
    "2: upstream_peer: unknown option 'adress' %(did you mean address%?%)" },
  { "function policy.upstream_peer() return { '127.0.0.1:1' } end",
    "2: upstream_peer: a peer is no list: write { address" },
  { "function policy.upstream_peer()\n  set:select()\nend", "4: upstream_peer may end here without a peer", true },
  { "function policy.upstream_peer(session)\n  if session:path() == '/' then return set:select() end\nend",
    "4: upstream_peer may end here without a peer, so the request gets 500", true },
  { "function policy.request_filter(s)\n  if s:path() == '/' then return s:respond { status = 200 } end\nend",
    "4: request_filter may end here without an answer, and there is no upstream_peer", true },
  { "function policy.request_filter(s)\n  for i = 1, 2 do\n    if s:path() == i then return false end\n  end\n"
    .. "  return s:respond { status = 200 }\nend", "4: request_filter may end here without an answer", true },
  { "function policy.upstream_peer() return '127.0.0.1:1' end function policy.response_filter(s, r) return r end",
    "2: response_filter returns its response, which is refused: what is changed in it counts anyway" },
  { "function policy.upstream_peer() return '127.0.0.1:1' end\nfunction policy.request_filter(s)\n"
    .. "  if s:path() == '/' then return s end\nend", "4: request_filter returns its session, which is refused" },
  { "function policy:request_filter(s, c) return s:respond { status = 200 }, c end",
    "2: request_filter is defined with a colon.*: write function policy%.request_filter%(s, c%)", true },
}

-- Hooks that answer every request.
local ANSWERED = {
  "function policy.request_filter(s) return s:respond { status = 200 } end",
  "function policy.request_filter(s) s:respond { status = 200 } end",
  "function policy.request_filter(s) if s:path() == '/' then return s:respond { status = 200 } end error 'none' end",
  "function policy.request_filter(s) if s:path() == '/' then return s:respond { status = 200 } else "
    .. "return s:respond { status = 404 } end end",
  "function policy.request_filter(s) while true do if s:respond { status = 200 } then return true end end end",
  "local function answer(s) return s:respond { status = 200 } end function policy.request_filter(s) answer(s) end",
  "function policy.request_filter(s) pcall(function() s:respond { status = 200 } end) end",
  "function policy.request_filter(s) if s:path() == '/' then return end return s:respond { status = 200 } end "
    .. "function policy.early_request_filter(s) return s:respond { status = 200 } end",
  "local usual = function(s) return s:respond { status = 200 } end policy.request_filter = function(...) "
    .. "if usual then return usual(...) end end",
  "function policy.upstream_peer() return table.unpack and table.unpack { set:select() } or set:select() end",
  "function policy.upstream_peer(s) if s:path() == '/' then return set:select() end "
    .. "return s:respond { status = 404 } end",
}

local function whole(hooks)
  return checked('local perilune, policy = require "perilune", {}; '
    .. 'local set = require("perilune.round_robin").new { "127.0.0.1:1" }\n' .. hooks
    .. '\nperilune.listen("127.0.0.1:0", policy, set and {} or nil)\n')
end

describe("a misspelt hook is told at the line where it is defined", function()
  local function told(hook)
    return checked('local perilune = require "perilune"\nlocal policy = {}\n\n' .. hook
      .. "\n\nfunction policy.upstream_peer() end\nperilune.listen('127.0.0.1:0', policy)\n")
  end

  for _, case in ipairs {
    { "function policy.request_fiter() end", "there is no hook 'request_fiter': did you mean request_filter%?" },
    { "function policy.zzz() end", "there is no hook 'zzz'" },
    { "function policy:request_filter(session, ctx) return ctx, session end", "is defined with a colon" },
  } do
    it(case[1], function()
      local result = told(case[1])
      assert.equal(2, result.code, result.stderr)
      assert.matches("p%.lua:4: perilune%.listen: .*" .. case[2], result.stderr)
    end)
  end
end)

describe("`perilune check --strict`", function()
  local DOUBTFUL = "count = 0\nlocal function add() count = count + 1; total = 1 end\n" .. LISTEN .. "\nreturn add\n"

  it("refuses warnings, which are counted in the last line otherwise", function()
    local path = process.write_file(process.directory() .. "/p.lua", (DOUBTFUL:gsub("return add", "_G.add = add")))
    local fine = perilune.run("check", path)
    local _, warnings = fine.stderr:gsub("perilune: warning: ", "")
    assert.equal(0, fine.code, fine.stderr)
    assert.is_true(warnings > 0, fine.stderr)
    assert.equal(("%s: fine, with %d warning%s\n"):format(path, warnings, warnings == 1 and "" or "s"), fine.stdout)
    local strict = perilune.run("check", "--strict", path)
    assert.equal(2, strict.code)
    assert.equal("", strict.stdout)
    assert.matches(("p%%.lua: %d warnings?, which %%-%%-strict refuses\n$"):format(warnings), strict.stderr)
  end)

  it("has nothing against a policy that is fine", function()
    local path = process.write_file(process.directory() .. "/p.lua", LISTEN)
    local result = perilune.run("check", "--strict", path)
    assert.same({ 0, path .. ": fine\n", "" }, { result.code, result.stdout, result.stderr })
  end)
end)

describe("`perilune check` finds what only a request would show:", function()
  for _, case in ipairs(CHECKED) do
    it(case[1], function()
      local hook = ("function policy.request_filter(session, ctx) ctx = session; %s end"):format(case[1])
      local result = checked(POLICY:format(hook))
      assert.equal(case[3] and 0 or 2, result.code, result.stderr)
      local place = case[3] and "" or "p%.lua:2: .*"
      assert.matches(place .. case[2], result.stderr)
    end)
  end

  it("a set without backends, which nothing fills", function()
    local set = 'local set = require("perilune.round_robin").new {}\n'
    local listen = LISTEN:gsub('return "127.0.0.1:1"', "return set:select()")
    local empty = checked(set .. listen)
    assert.equal(0, empty.code, empty.stderr)
    assert.matches("warning: .*p%.lua:1: this set has no backends", empty.stderr)
    local filled = checked(set .. 'require("perilune.discovery").dns(set, "a.example:80")\n' .. listen)
    assert.equal("", filled.stderr)
  end)

  it("several of them, in order of their lines", function()
    local hook = "function policy.request_filter(session)\n  session:gett 'x'\n  return nothing\nend"
    local result = checked(POLICY:format(hook))
    assert.matches("p%.lua:3: [^\n]*'gett'[^\n]*\n[^\n]*p%.lua:4: [^\n]*'nothing'", result.stderr)
  end)

  it("and nothing in a policy that is fine", function()
    local result = checked(POLICY:format [[
helper = { count = 0 }
local M = setmetatable({}, { __index = function(_, name) return name end })
function policy.request_filter(session, ctx)
  helper.count = helper.count + 1
  ctx.host = session:host()
  session:request():set_header("X", M.anything)
  if rawget(_G, "maybe") then return session:respond { status = 200 } end
  for name, value in session:headers() do ctx[name] = value end
end
function policy.response_filter(session, response)
  response:set_header("X-Status", session:response_status() or response:status())
  response:remove_header "Server"
end]])
    assert.equal("", result.stderr)
    assert.equal(0, result.code)
  end)
end)

describe("`perilune check` finds in hooks:", function()
  for _, case in ipairs(WHOLE) do
    it(case[1], function()
      local result = whole(case[1])
      assert.equal(case[3] and 0 or 2, result.code, result.stderr)
      assert.matches((case[3] and "warning: " or "") .. "[^\n]*p%.lua:" .. case[2], result.stderr)
      assert.equal(1, select(2, result.stderr:gsub("[^\n]+", "")), result.stderr)
    end)
  end

  for _, hooks in ipairs(ANSWERED) do
    it("nothing, where each request is answered: " .. hooks, function()
      local result = whole(hooks)
      assert.equal("", result.stderr)
      assert.equal(0, result.code)
    end)
  end
end)

-- A proxy with these hooks.
local function run(hooks)
  local path = process.write_file(process.directory() .. "/p.lua", POLICY:format(hooks))
  local pid_file = path .. ".pid"
  return perilune.start { args = { "run", "--workers", "2", "--pid-file", pid_file, path } }, path, function(...)
    return perilune.run { args = { (...), "--pid-file", pid_file, select(2, ...) }, timeout = 60 }
  end
end

-- Lines of the log that are warnings, without their heads.
local function warnings(proxy)
  local lines = {}
  for line in proxy:log():gmatch " warn control: ([^\n]*)" do lines[#lines + 1] = line end
  return lines
end

local FINE = "function policy.request_filter(session) return session:respond { status = 200 } end"
local MISSPELT = "function policy.request_filter(session) session:get_heder 'x' return nothing end"

describe("What `perilune check` finds", function()
  it("is logged as warnings at a start, once for all workers, and the policy serves", function()
    local proxy = run(MISSPELT)
    local lines = warnings(proxy)
    assert.equal(3, #lines, proxy:log())
    assert.matches("p%.lua:2: a session has no 'get_heder': did you mean get_header%?", lines[1])
    assert.matches("p%.lua:2: there is no global 'nothing'", lines[2])
    assert.matches("'perilune check [^\n]*p%.lua' lists these", lines[3])
    assert.equal(599, client.request { port = proxy.port }.status)
  end)

  it("is logged behind a reload, too, and printed by the command", function()
    local proxy, path, command = run(FINE)
    assert.same({}, warnings(proxy))
    process.write_file(path, POLICY:format(MISSPELT))
    local result = command "reload"
    assert.equal(0, result.code, result.stderr)
    assert.matches("^reloaded: generation 2 is in force [^\n]*\n.*\nwarning: [^\n]*p%.lua:2: a session has no "
      .. "'get_heder': did you mean get_header%?\nwarning: [^\n]*p%.lua:2: there is no global 'nothing': [^\n]*\n"
      .. "warning: 'perilune check [^\n]*' lists these\n", result.stdout)
    assert.equal(3, #warnings(proxy), proxy:log())
  end)

  it("is twenty lines at most, and how many more there are", function()
    local names = {}
    for i = 1, 33 do names[i] = ("session:no%02d()"):format(i) end
    local hook = "function policy.request_filter(session) " .. table.concat(names, " ") .. " end"
    local result = checked(POLICY:format(hook))
    assert.equal(21, select(2, result.stderr:gsub("[^\n]+", "")))
    assert.matches("and 13 more\n$", result.stderr)
    local proxy = run("function policy.request_filter(session) count = 1 " .. table.concat(names, " ") .. " end")
    local lines = warnings(proxy)
    assert.equal(22, #lines, proxy:log())
    assert.equal("and 14 more", lines[21])
  end)

  for what, endless in pairs {
    ["a loop"] = "while true do end",
    ["a loop behind pcall"] = "pcall(function() while true do end end)",
    ["long searches"] = "local s = ('a'):rep(3000)\nwhile true do s:find '.-.-.-b' end",
    ["long texts"] = "while true do ('x'):rep(1e5) end",
    ["short texts, in a function of the proxy's own most of the time"] = "while true do ('x'):rep(1) end",
    ["a module"] = "require 'endless'",
  } do
    it("is that the main chunk does not come to its end in load_time, with its line: " .. what, function()
      local directory = process.directory()
      process.write_file(directory .. "/endless.lua", "local M = {}\nwhile true do M[1] = 1 end\nreturn M")
      local path = process.write_file(directory .. "/p.lua",
        "require('perilune').configure { load_time = 0.1 }\n" .. endless .. "\n" .. LISTEN)
      local result = perilune.run("check", path)
      assert.equal(2, result.code)
      assert.matches("[%w]+%.lua:[23]: used up its time: it ran for more than 0%.1 s", result.stderr)
      assert.is_nil(result.stderr:find "cannot be interrupted")
    end)
  end

  it("needs no code of the policy to be run: an __index that does not come back is not asked", function()
    local proxy = run("local endless = setmetatable({}, { __index = function() while true do end end })\n"
      .. "function policy.request_filter(s) if s:path() == '/x' then endless.first() end "
      .. "return s:respond { status = 200 } end")
    assert.same({}, warnings(proxy))
    assert.equal(200, client.request { port = proxy.port }.status)
  end)

  it("is looked for in small files alone at a start: what a program has written loads no slower for it", function()
    local rows = ("-- " .. ("x"):rep(96) .. "\n"):rep(1400)
    local proxy, path = run(FINE .. "\nfunction policy.response_filter() return nothing end\n" .. rows)
    assert.same({}, warnings(proxy))
    assert.matches("there is no global 'nothing'", perilune.run("check", path).stderr)
  end)

  it("is no global that a file may set which is too large to be looked at", function()
    local rows = process.write_file(process.directory() .. "/rows.lua",
      "function begin() COUNT = 1 end\n" .. ("-- " .. ("x"):rep(96) .. "\n"):rep(1400))
    local proxy = run(("dofile %q\nfunction policy.request_filter(session) begin() "):format(rows)
      .. "return session:respond { status = 200 + COUNT + COUNTS } end")
    local lines = warnings(proxy)
    assert.equal(2, #lines, proxy:log())
    assert.matches("there is no global 'COUNTS'", lines[1])
  end)
end)

describe("`perilune check` has no word for", function()
  local files = {}
  for name in require("lfs").dir "examples" do
    if name:find "%.lua$" then files[#files + 1] = "examples/" .. name end
  end
  table.sort(files)
  for _, path in ipairs(files) do
    it(path, function()
      local result = perilune.run("check", path)
      assert.equal("", result.stderr)
      assert.equal(0, result.code)
    end)
  end
end)

describe("a request that no filter has answered, where there is no upstream_peer,", function()
  it("gets 500, and the log says once what to do", function()
    local script = process.write_file(process.directory() .. "/p.lua", [[
local perilune, policy = require "perilune", {}
function policy.request_filter(session)
  if session:path() == "/there" then return session:respond { status = 200 } end
end
perilune.listen("127.0.0.1:0", policy)
]])
    local proxy = perilune.start { workers = 1, script = script }
    assert.equal(200, client.request({ port = proxy.port, path = "/there" }).status)
    for _ = 1, 50 do assert.equal(500, client.request({ port = proxy.port, path = "/elsewhere" }).status) end
    local line = proxy:wait_log "error worker 0: ([^\n]*)\n"
    assert.matches("p%.lua:2: request_filter gave no answer, and there is no upstream_peer: end it with return "
      .. "session:respond { %.%.%. }, or define upstream_peer %(GET /elsewhere of client ", line)
    assert.is_true(select(2, proxy:log():gsub("gave no answer", "")) < 30)
  end)
end)

it("a hook that is defined with a colon is told what self is", function()
  local said = checked(('local p = {}; function p:request_filter() return self.x end; %s'):format(
    'p.upstream_peer = function() return "127.0.0.1:1" end; require("perilune").listen("127.0.0.1:0", p)')).stderr
  assert.matches("a session has no 'x': keep data of your own in ctx; self is the session here: define hooks with "
    .. "a dot", said, 1, true)
end)

describe("what install puts before a policy's hooks", function()
  it("hides none of them from perilune check", function()
    local directory = process.directory()
    local path = process.write_file(directory .. "/p.lua", [[
local perilune = require "perilune"
local policy = { upstream_peer = function() return "127.0.0.1:1" end }
function policy.response_filter(_, response) response:set_heder("a", "b") end
function policy.response_body_filter(_, chunk)
  if chunk == "a" then return "b" end
end
require("perilune.body_replace").new({ texts = { a = "b" } }).install(policy)
require("perilune.grpc_web").new().install(policy)
perilune.listen("127.0.0.1:0", policy)
]])
    local said = perilune.run("check", path).stderr
    assert.matches("p.lua:3: a response has no 'set_heder'", said, 1, true)
    assert.matches("p.lua:6: response_body_filter may end here without a result", said, 1, true)
  end)
end)
