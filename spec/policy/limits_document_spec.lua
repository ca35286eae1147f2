-- SPDX-License-Identifier: Apache-2.0
-- docs/limits.md names every limit that can be set with the default that the sources have, and the kinds of errors with
-- their statuses.
local process = require "perilune.test.process"

local page = process.read_file "docs/limits.md"

-- What the sections' tables say, by their first cell: { default, what happens }; and the first cells, in their order.
local function rows(title)
  local part = assert((page .. "\n## "):match("\n## " .. title .. "(.-)\n## "), title)
  local found, order = {}, {}
  for first, default, happens in part:gmatch "\n| (%S[^|]-) | ([^|]+) | ([^|]+) |" do
    local name = first:match "^`(.*)`$" or first
    if name ~= "option" and name ~= "setting" and name ~= "what" then
      assert(not found[name], name)
      found[name] = { default = default, happens = happens }
      order[#order + 1] = name
    end
  end
  return found, order
end

local function source(path) return process.read_file(path) end

-- The options of a table in C that are numbers: name = { kind, member }.
local function numbers(path, macro)
  local found = {}
  for name, kind, member in source(path):gmatch(macro .. '%("([%w_]+)", OPTION_(%u[%u_]*), ([%w_.]+)%)') do
    if ("SECONDS POOL_SECONDS COUNT POSITIVE SIZE BYTES"):find(kind, 1, true) then found[name] = { kind, member } end
  end
  return found
end

-- The value of a member in the text of an initializer; 0 where it is not there.
local function value_of(text, member)
  local outer, inner = member:match "^(%w+)%.(.*)$"
  if outer then text = text:match("%." .. outer .. " = (%b{})") end
  return tonumber(text:match("%.?" .. (inner or member) .. " = (%d+)") or 0)
end

-- As the page writes it, without the unit of what is counted.
local function written(kind, value)
  if value == 0 then return "any" end
  return kind:find "SECONDS" and ("%g s"):format(value / 1000) or ("%d"):format(value)
end
local function without_unit(text) return text:match "^%d+ s$" or text:match "^%d+%f[^%d]" or text end

local function compare(title, options, defaults)
  local said = rows(title)
  for name, option in pairs(options) do
    local row = assert(said[name], name .. " is not on the page")
    local value = value_of(defaults, option[2])
    assert.equal(name .. ": " .. written(option[1], value), name .. ": " .. without_unit(row.default))
    assert.is_true(#row.happens > 10, name)
    said[name] = nil
  end
  assert.is_nil((next(said)))
end

-- What cannot be set: the expressions that say how much, in the order of the numbers on the page.
local FIXED = {
  ["compressors and decompressors of a worker"] = { { "core/exchange/codings.h", "CODERS_BYTES = ([%d< ]+)" },
    { "core/exchange/codings.h", "CODERS_MOST = (%d+)" } },
  ["a password that is checked"] = { { "core/net/password.h", "PASSWORD_MOST = (%d+)" } },
  ["checks of passwords that wait"] = { { "core/net/offload.c", '"passwords".-queue_most = (%d+)' } },
  ["parts of files that wait for a disk"] = { { "core/net/offload.c", '"disk".-queue_most = (%d+)' } },
  ["timers of a VM"] = { { "lua/api/timer.c", "JOBS_MOST = (%d+)" } },
  ["backends of a set"] = { { "core/shared/backends.h", "BACKENDS_MAX = (%d+)" } },
  ["ranges in a request"] = { { "core/http/ranges.h", "RANGES_MOST = (%d+)" } },
  ["a compressed copy in the cache"] = { { "core/exchange/cache_coded.c", "CODED_MOST = ([%d< ]+)" } },
  ["entries in a listing of a folder"] = { { "core/exchange/file_listing.c", "ENTRIES_MOST = (%d+)" } },
  ["spare connections of a worker, to all peers"] = { { "core/upstream/pool.c", "IDLE_MOST = (%d+)" } },
  ["a response head of HTTP/2 in perilune.http"] = { { "lua/api/h2_client.c", "HEAD_BYTES = (%d+)" } },
  ["a piece of `session:send` that the client has not taken"] = {
    { "core/exchange/streamed_answer.h", "STREAMED_MOST = (%d+)" } },
  ["heads that are half read, in a worker"] = { { "core/runtime/room.c", "HEADS_MOST = ([%d< ]+)" } },
  ["names in the cache of names"] = { { "core/net/name_cache.h", "NAME_CACHE_MOST = (%d+)" } },
  ["a file of JSON or YAML that a policy reads"] = {
    { "core/base/safe_file.h", "SAFE_READ_MOST %(%(size_t%)([%d< ]+)" } },
  ["a YAML document"] = { { "lua/api/yaml.c", "DEPTH_MOST = (%d+)" }, { "lua/api/yaml.c", "NODES_MOST = (%d+)" } },
  ["recordings (`perilune record`)"] = { { "core/shared/recording.c", "FILE_MOST %(%(off_t%)([%d< ]+)" } },
  ["commands that wait for their outcome"] = { { "core/runtime/command.c", "MOST_CLIENTS = (%d+)" } },
  ["equal lines of the error log"] = { { "core/base/log_throttle.h", "LOG_THROTTLE_LINES = (%d+)" },
    { "core/base/log_throttle.h", "LOG_THROTTLE_MS = (%d+)000" } },
}

-- "8 << 20" and "4096".
local function number_in(place)
  local text = assert(source(place[1]):match(place[2]), place[1] .. ": " .. place[2])
  local number, shift = text:match "^%s*(%d+)%s*<<%s*(%d+)"
  return number and number * 2 ^ shift or tonumber(text)
end

describe("docs/limits.md", function()
  it("has every number that a listener can be given, with its default", function()
    compare("Of a listener", numbers("lua/api/listen.c", "SETTING"), source "core/exchange/settings.c")
  end)

  it("has every number that a peer can be given, with its default", function()
    local defaults = source("core/upstream/peer.c"):match "peer_options defaults = (%b{})"
    compare("Of a peer", numbers("lua/api/peer.c", "PEER"), defaults)
  end)

  it("has every time of the process, and the limits of the policy", function()
    local said = rows "Of the process and the policy"
    local text = source("core/runtime/config.h"):gsub("\\?\n", " ")
    for name, kind, default in text:gmatch 'X%(([%w_]+), (%u+), "([^"]*)"' do
      if kind == "SECONDS" or kind == "COUNT" then
        assert.equal(default .. (kind == "SECONDS" and " s" or ""), assert(said[name], name).default)
        said[name] = nil
      end
    end
    local watchdog, vm = source "lua/vm/watchdog.c", source "lua/vm/vm.h"
    assert.equal(watchdog:match " HOOK_MS = (%d+)000" .. " s", said.hook_time.default)
    assert.equal(watchdog:match "LOADING_MS = (%d+)000" .. " s", said.load_time.default)
    assert.equal(vm:match "VM_MEMORY_CAP_MIB = (%d+)" * 2 ^ 20, tonumber(said.memory_limit.default))
    said.hook_time, said.load_time, said.memory_limit = nil, nil, nil
    assert.is_nil((next(said)))
  end)

  it("has the numbers of a cache", function()
    local said, text = rows "Of a cache", source "core/exchange/cache_lookup.c"
    local function has(name, constant, part, unit)
      local value = assert(tonumber(text:match(constant .. " = (%d+)")), constant) / part
      assert.equal(("%d%s"):format(value, unit), said[name].default)
    end
    has("lock_wait", "WAIT_MS", 1000, " s")
    has("uncacheable_ttl", "REFUSAL_MS", 1000, " s")
    has("max_variants", "VARIANTS", 1, " variants")
  end)

  it("has the numbers that cannot be set", function()
    local said, order = rows "That cannot be set"
    for _, name in ipairs(order) do
      local places, at = assert(FIXED[name], name), 0
      for number in said[name].default:gmatch "%d+" do
        at = at + 1
        assert.equal(number_in(places[at]), tonumber(number), name)
      end
      assert.equal(#places, at, name)
      said[name] = nil
    end
    for name in pairs(FIXED) do assert.is_truthy(page:find(name, 1, true), name) end
  end)

  it("gives kinds of errors with the statuses that they have", function()
    local errors, count = source("core/base/error.h"):gsub("%s*\\\n%s*", " "), 0
    for status, kind in page:gmatch "(%d%d%d) `([%l_]+)`" do
      assert.is_truthy(errors:find(('"%s", %%u+, %s,'):format(kind, status)), status .. " " .. kind)
      count = count + 1
    end
    assert.is_true(count > 10)
  end)
end)
