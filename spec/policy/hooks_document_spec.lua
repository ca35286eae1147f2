-- SPDX-License-Identifier: Apache-2.0
-- docs/hooks.md: the hooks of its table run for the answers that it names.

local process = require "perilune.test.process"
local test = require "perilune.test"

local COLUMNS = { "upstream_peer", "upstream_response_filter", "response_filter", "fail_to_proxy", "answer_filter",
  "logging" }

-- The rows by what the client gets: what stands in each column.
local rows = {}
for line in process.read_file("docs/hooks.md"):gmatch "\n(|[^\n]+)" do
  local cells = {}
  for cell in line:gmatch "|%s*([^|]-)%s*%f[|]" do cells[#cells + 1] = cell end
  if #cells == #COLUMNS + 1 then rows[cells[1]] = { unpack(cells, 2) } end
end

local POLICY = [[
local perilune = require "perilune"
local counts, policy = {}, {}
for _, name in ipairs { "upstream_peer", "upstream_response_filter", "response_filter", "fail_to_proxy",
  "answer_filter", "logging" } do
  policy[name] = function(session)
    if session:path() == "/counts" then return end
    counts[name] = (counts[name] or 0) + 1
    local target = session:target() or ""
    if target:find(name .. "=respond", 1, true) then return session:respond { status = 299 } end
    if name == "upstream_response_filter" and target:find "again" and session:attempts() == 1 then
      return session:retry()
    end
    if name == "upstream_peer" then
      return target:find "nobody" and "127.0.0.1:1" or { address = $ORIGIN }
    end
  end
end
local files = perilune.files { root = ".", fallthrough = true }
function policy.request_filter(session)
  if session:path() == "/counts" then
    local text = perilune.json.encode(counts)
    counts = {}
    return session:respond { status = 200, body = text }
  end
  if session:target():find "raise" then error "oops" end
  if session:target():find "request_filter=respond" then return session:respond { status = 299 } end
  return files(session)
end
perilune.listen("127.0.0.1:0", policy)
]]

describe("docs/hooks.md", function()
  local directory, h = process.directory(), nil
  local cases = {
    ["the peer's response"] = { "/", 200 },
    ["`session:respond` in request_filter"] = { "/?request_filter=respond", 299 },
    ["`session:respond` in upstream_peer"] = { "/?upstream_peer=respond", 299 },
    ["`session:respond` in upstream_response_filter"] = { "/?upstream_response_filter=respond", 299 },
    ["`session:respond` in response_filter"] = { "/?response_filter=respond", 299 },
    ["a file of `perilune.files`"] = { "/file.txt", 200 },
    ["502: no connection to the peer"] = { "/?nobody", 502 },
    ["500: a hook has raised an error before a peer was asked"] = { "/?raise", 500 },
    ["400: a request that cannot be read"] = { "bad", 400 },
    ["a response that `session:retry` has replaced by another"] = { "/?again", 200 },
  }
  lazy_setup(function()
    process.write_file(directory .. "/file.txt", "x")
    h = test.harness { origins = { o = "x" },
      policy = process.write_file(directory .. "/policy.lua", (POLICY:gsub("$ORIGIN", 'os.getenv "ORIGIN"'))) }
  end)

  for name, case in pairs(cases) do
    it("is right about " .. name, function()
      local wanted = assert(rows[name], "the row is missing")
      if case[1] == "bad" then
        local connection = h:connect()
        connection:send "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
        assert.equal(case[2], connection:read_response().status)
      else
        assert.status(case[2], h:request { path = case[1] })
      end
      local counts = require("perilune.json").decode(h:request({ path = "/counts" }).body)
      for i, hook in ipairs(COLUMNS) do
        local times = ({ [0] = "-", "yes", "twice" })[counts[hook] or 0] or "each attempt"
        assert.equal(wanted[i], times, hook)
      end
    end)
  end

  it("has no other rows", function()
    for name in pairs(rows) do
      assert.is_truthy(cases[name] or name == "the client gets" or name:find "^%-", name)
    end
  end)
end)
