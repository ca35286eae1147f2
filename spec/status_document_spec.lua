-- SPDX-License-Identifier: Apache-2.0
-- docs/status.md and docs/metrics.md say what a running proxy says: no field and no metric more, none less.
local blocked = require "blocked"
local cleanup = require "cleanup"
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local policies = require "policies"
local process = require "process"

-- The cells of each row of a document's tables whose first cell is code: { "`a`", "b" } of "| `a` | b |".
local function rows(path)
  local list = {}
  for line in process.read_file(path):gmatch "[^\n]+" do
    local cells = {}
    for cell in line:gmatch "|%s*([^|]-)%s*%f[|]" do cells[#cells + 1] = cell end
    if cells[1] and cells[1]:match "^`.+`$" then
      cells[1] = cells[1]:sub(2, -2)
      list[#list + 1] = cells
    end
  end
  return list
end

-- Everything that status.json can show happens here: a backend, a source of them, a limit, an error, a peer of HTTP/2,
-- a log, a worker that is stuck.
local POLICY = [[
  local perilune = require "perilune"
  local set = require("perilune.round_robin").new { name = "app", "$ORIGIN" }
  require("perilune.rate_limit").new { header = "appid", max = 1000, interval = 1, name = "each" }
  local found = require("perilune.round_robin").new { name = "found" }
  require("perilune.discovery").every(found, 60, function() return { "127.0.0.1:1" } end)
  perilune.listen("127.0.0.1:0", {
    request_filter = function(session)
      if session:path() == "/raise" then error "so" end
      $BLOCK
    end,
    upstream_peer = function(session)
      return { address = set:select(), http2 = session:path() == "/http2" }
    end,
  }, { access_log = "$LOG", cache = perilune.cache("pages", { size = "1M" }) })
]]

local function start()
  local proxy = blocked.start { policy = policies.fill(POLICY, { ORIGIN = origins.start("a").address,
    LOG = process.directory() .. "/access.log", BLOCK = blocked.BLOCK }) }
  client.request(proxy.port)
  client.request { port = proxy.port, path = "/raise" }
  client.request { port = proxy.port, path = "/http2" }
  blocked.ask(proxy)
  blocked.await_helper(proxy)
  return proxy
end

-- "listeners[].duration_us.p50" of each value. A number that is a name, as of a status, is "{status}" in `statuses`.
local function paths(value, at, found)
  if type(value) ~= "table" then
    found[at] = type(value)
  elseif #value > 0 then
    for _, part in ipairs(value) do paths(part, at .. "[]", found) end
  else
    for name, part in pairs(value) do
      if tonumber(name) then name = "{status}" end
      paths(part, at == "" and name or at .. "." .. name, found)
    end
  end
  return found
end

describe("The documents", function()
  local proxy
  setup(function() proxy = start() end)
  teardown(cleanup.run)

  it("name every field of status.json, and none that is not there", function()
    local said, found = {}, paths(metrics.status(proxy), "", {})
    for _, row in ipairs(rows "docs/status.md") do
      assert.is_nil(said[row[1]], row[1] .. " stands there twice")
      said[row[1]] = row
    end
    for path in pairs(found) do assert.is_table(said[path], path .. " is not in docs/status.md") end
    for path in pairs(said) do assert.is_string(found[path], path .. " is in docs/status.md, not in status.json") end
  end)

  it("give each field the unit that its name says", function()
    local units = { _us = "µs", _bytes = "bytes", _at = "Unix time" }
    for _, row in ipairs(rows "docs/status.md") do
      local name = row[1]:gsub("%.p%d+$", "")
      for ending, unit in pairs(units) do
        if name:sub(-#ending) == ending then assert.equal(unit, row[2], row[1]) end
        if row[2] == unit and row[1] ~= "now" then
          assert.is_true(name:sub(-#ending) == ending, row[1] .. " does not end in " .. ending)
        end
      end
    end
  end)

  it("say what the columns of a second are, in their order", function()
    local columns = metrics.status(proxy).columns
    local list = process.read_file("docs/status.md"):match "columns are (.-)%.\n"
    assert.equal("`" .. table.concat(columns, "`, `") .. "`", (list:gsub("\n", " ")))
    for _, second in ipairs(metrics.status(proxy).seconds) do assert.equal(#columns, #second) end
  end)

  it("name every metric with its type, labels and meaning, and none that is not there", function()
    local text = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/metrics" }.body
    local _, types = metrics.parse(text)
    local said = {}
    for _, row in ipairs(rows "docs/metrics.md") do said[row[1]] = row end
    for name, kind in pairs(types) do
      local row = assert(said[name], name .. " is not in docs/metrics.md")
      assert.equal(kind, row[2], name)
      assert.equal(text:match("# HELP " .. name .. " ([^\n]+)"), row[4], name)
      local labels = {}
      local sample = text:match("\n" .. name .. "{([^}]*)}") or text:match("\n" .. name .. "_count{([^}]*)}") or ""
      for label in sample:gmatch '([%a_]+)="' do labels[#labels + 1] = "`" .. label .. "`" end
      assert.equal(table.concat(labels, ", "), row[3], name)
    end
    for name in pairs(said) do assert.is_string(types[name], name .. " is in docs/metrics.md, not in /metrics") end
  end)

  it("give each metric a unit in its name, as Prometheus wants it", function()
    for _, row in ipairs(rows "docs/metrics.md") do
      assert.equal(row[2] == "counter", row[1]:find "_total$" ~= nil, row[1])
      if row[2] == "histogram" then assert.matches("_seconds$", row[1]) end
    end
  end)
end)
