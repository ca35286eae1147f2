-- SPDX-License-Identifier: Apache-2.0
-- perilune.core is what the modules in lua/perilune are made of. A policy can get hold of it, so each of its functions
-- bears any arguments: it raises, or does something else, and does not crash the process.
local ffi = require "ffi"
local core = require "perilune.core"
local perilune = require "perilune"
local process = require "perilune.test.process"
local test = require "perilune.test"

ffi.cdef "int chdir(const char *path);"

-- They would be in force for what follows, or write files, whose names numbers are, too.
local LEFT_OUT = { set_memory_limit = true, write_private = true, replace_file = true, lock_file = true,
  make_folder = true }

local function is_tried(name) return type(core[name]) == "function" and not LEFT_OUT[name] and not name:find "^test" end

local function link()
  return (core.redis_open("127.0.0.1:1", { timeout = 1, connect_timeout = 1, failures = 3, retry = 1, retry_most = 1,
    queue = 10, queue_bytes = 1000, reply_bytes = 1000 }, "", 0))
end

-- No text that would be the name of a file: some write one.
local function values(more)
  local all = { false, true, 0, 1, -1, 1e300, 0 / 0, "", "/no/such/folder/file", {}, { {} }, { 1, 2 }, print,
    coroutine.create(print), newproxy(true), perilune.dict "misuse", perilune.cache("misuse", { size = "1M" }),
    perilune.counter "misuse", perilune.rate "misuse", perilune.regex.new "a", perilune.cidr.new "10.0.0.0/8",
    perilune.metrics.gauge("misuse_core", {}) }
  for _, value in ipairs(more) do all[#all + 1] = value end
  return all
end

local function try(fn, more)
  pcall(fn)
  for _, first in ipairs(values(more)) do
    pcall(fn, first)
    for _, other in ipairs { 1, {}, "/no/such/folder/file" } do
      pcall(fn, first, other)
      pcall(fn, first, other, other, other)
      pcall(fn, first, other, other, other, other, other, other, other)
    end
  end
end

describe("perilune.core", function()
  local names = {}
  for name in pairs(core) do
    if is_tried(name) then names[#names + 1] = name end
  end
  table.sort(names)

  it("crashes nothing, whatever its functions are called with", function()
    local home = os.getenv "PWD"
    ffi.C.chdir(process.directory()) -- where a file that is written by mistake harms nobody
    finally(function() ffi.C.chdir(home) end)
    test.policy { request_filter = function() end }
    local ok, made = pcall(link)
    assert.is_true(#names > 50)
    for _, name in ipairs(names) do try(core[name], { ok and made or nil }) end
    collectgarbage()
  end)
end)
