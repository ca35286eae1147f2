-- SPDX-License-Identifier: Apache-2.0
-- The examples of docs/api.md run as they are written there, with peers where they say that there are some.
local process = require "perilune.test.process"
local test = require "perilune.test"

local reference = process.read_file "docs/api.md"

-- Each with the heading that it stands under.
local function examples()
  local list, heading, lines, module = {}, nil, nil, nil
  for line in reference:gmatch "([^\n]*)\n" do
    if line == "```lua" then
      lines = {}
    elseif line == "```" then
      list[#list + 1] = { name = heading, module = module, text = table.concat(lines, "\n") }
      lines = nil
    elseif lines then
      lines[#lines + 1] = line
    else
      heading = line:match "^#+ (.*)$" or heading
      module = line:match '^## .-require "(.-)"' or module
    end
  end
  return list
end

-- What every example may take for granted, around it.
local function policy_of(text, origins)
  local whole = text:find("perilune.listen", 1, true) and text or ([[
    local perilune = require "perilune"
    local policy = {}
    %s
    policy.upstream_peer = policy.upstream_peer or function() return "127.0.0.1:8000" end
    perilune.listen("127.0.0.1:0", policy)
  ]]):gsub("%%s", function() return text end)
  whole = whole:gsub("127%.0%.0%.1:8080", "127.0.0.1:0")
  return (whole:gsub("127%.0%.0%.1:(%d%d%d%d)", function(port) return origins[port].address end))
end

local function start(text)
  local scripted = require "perilune.test.origins"
  local origins = {
    ["8000"] = scripted.start "see http://a", ["8001"] = scripted.start "fine", ["4318"] = scripted.start "",
    ["6379"] = scripted.start(function(connection)
      for line in function() return connection:read_until "\n" end do -- a line, or a command of two lines a word
        for _ = 1, 2 * (tonumber(line:match "^%*(%d+)") or 0) do connection:read_until "\n" end
        connection:send ":7\r\n"
      end
    end),
  }
  return test.harness { policy = policy_of(text, origins) }
end

-- Those of perilune.test are specs: a policy.lua lies beside them, and the policy that they name is a good one.
local function run_as_spec(text)
  local directory = process.directory()
  process.write_file(directory .. "/policy.lua", [[
    local perilune = require "perilune"
    perilune.listen("127.0.0.1:0", {
      request_filter = function()
        perilune.http.get "http://127.0.0.1:8001/may"
        perilune.redis.new("127.0.0.1:6379"):call("GET", "user:7")
      end,
      upstream_peer = function() return os.getenv "ORIGIN" or "127.0.0.1:8000" end,
    }, { h2c = true })
  ]])
  text = text:gsub('"policy.lua"', function() return ("%q"):format(directory .. "/policy.lua") end)
  local environment = setmetatable({ test = test, assert = assert, policy = test.policy(directory .. "/policy.lua"),
    token_auth = require "perilune.token_auth" }, { __index = _G })
  setfenv(assert(loadstring(text)), environment)()
end

-- Letters and digits alone: the annotations have other marks and other lines.
local function letters(text) return (text:lower():gsub("%W", "")) end

describe("docs/api.md", function()
  it("has all that the annotations say", function()
    local all, lost = letters(reference), {}
    for _, name in ipairs { "types", "types_backends", "types_modules", "types_http", "types_redis", "types_tracing",
      "types_grpc", "types_data", "types_test" } do
      for line in io.lines("lua/perilune/" .. name .. ".lua") do
        local text = line:match "^%-%-%-([^@].*)$"
        if text and not all:find(letters(text):sub(-40), 1, true) then lost[#lost + 1] = text end
      end
    end
    assert.equal("", table.concat(lost, "\n"))
  end)
end)

-- "| `kind` | side | status | what happened |", of the table of errors in C.
local function error_rows()
  local rows = {}
  for name, side, status, text in process.read_file("core/base/error.h"):gsub("%s*\\\n%s*", " "):gmatch
    'X%([%u_]+, "([%l_]+)", (%u+), (%d+), %u+, "(.-)"%)' do
    rows[#rows + 1] = ("| `%s` | %s | %s | %s |"):format(name, side:lower(), status == "0" and "-" or status, text)
  end
  assert(table.remove(rows, 1):find "`none`") -- no policy sees it
  return rows
end

describe("the kinds of errors in the annotations", function()
  it("are those of the table in C, in its order", function()
    local written = {}
    for line in io.lines "lua/perilune/types.lua" do
      written[#written + 1] = line:match "^%-%-%- (| `[%l_]+` | %l+ | [%d-]+ | .* |)$"
    end
    assert.is_true(#written > 30)
    assert.same(error_rows(), written)
  end)
end)

describe("the example of docs/api.md for", function()
  for _, example in ipairs(examples()) do
    it(example.name, function()
      -- Recordings are tried by replay_spec: one request stands for one here.
      local text = example.text:gsub('test%.recording "requests%.plr"',
        '{ { request = {}, answer = { status = 200 }, status = 200 } }')
      if example.module == "perilune.test" then return run_as_spec(text) end
      -- What stays open until nothing was sent for five minutes ends sooner here, and the log says so.
      local harness = start((example.text:gsub("leave_open%(%d+%)", "leave_open(0.5)")))
      for _, request in ipairs { {}, { method = "POST", body = "text", path = "/users/7?a=b" } } do
        assert.status(200, harness:request(request))
      end
      local log = harness:log():gsub("[^\n]+ an answer ends short: it was left open, [^\n]+", "")
      assert.is_nil(log:find " error ")
      harness:stop()
    end)
  end

  it("each of the main parts is there", function() assert.is_true(#examples() >= 12) end)
end)
