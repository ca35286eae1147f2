-- SPDX-License-Identifier: Apache-2.0
-- What engines of discovery say is text from outside: whatever it is, nothing is raised, and the next question can be
-- asked. The answers are good ones in which something was replaced by what no engine says.
local consul = require "perilune.discovery_consul"
local core = require "perilune.core"
local etcd = require "perilune.discovery_etcd"
local json = require "perilune.json"
local kubernetes = require "perilune.discovery_kubernetes"
local watch = require "perilune.discovery_watch"

local ODD = { core.json_null, true, false, -1, 0, 1.5, 1e300, "", "nan", "inf", "-1", "0x10", "1e999", "x",
  ("9"):rep(400), "\0\255\n", {}, { 1 }, { { {} } }, { a = "b" } }

local function base64(text) return core.encode_base64(text) end

local SAMPLES = {
  header = { cluster_id = "7", revision = "10" },
  instance = { Node = { Node = "n", Address = "10.0.0.1", Meta = { zone = "a" } }, Checks = { { Status = "passing" } },
    Service = { ID = "s", Address = "10.0.0.2", Port = 80, Meta = {}, Weights = { Passing = 2, Warning = 1 } },
  },
  slice = { metadata = { name = "s", resourceVersion = "5" }, ports = { { name = "http", port = 80 } },
    endpoints = { { addresses = { "10.0.0.1" }, zone = "a", conditions = { ready = true, serving = true } } } },
}
SAMPLES.range = { header = SAMPLES.header,
  kvs = { { key = base64 "/app/1", value = base64 "10.0.0.1:80", mod_revision = "9" } } }
SAMPLES.change = { result = { header = SAMPLES.header, events = { { type = "PUT",
  kv = { key = base64 "/app/1", value = base64 '{"address":"10.0.0.1:80","weight":2}', mod_revision = "12" } } } } }
SAMPLES.page = { metadata = { resourceVersion = "5" }, items = { SAMPLES.slice } }
SAMPLES.event = { type = "MODIFIED", object = SAMPLES.slice }

-- Calls `try` with copies of a document, each with another value at one place.
local function each_mutation(document, try)
  local copy = json.decode(json.encode(document))
  local function walk(at)
    for key, value in pairs(at) do
      for _, odd in ipairs(ODD) do
        at[key] = odd
        try(copy, key)
      end
      at[key] = value
      if type(value) == "table" then walk(value) end
    end
  end
  for _, odd in ipairs(ODD) do
    if type(odd) == "table" then try(odd, "all of it") end
  end
  walk(copy)
  try(copy, "nothing")
end

-- Who takes what an engine has found: as a set would look at it.
local function source()
  local self = {}
  function self.take(_, list)
    self.list = list
    for _, entry in ipairs(list) do
      assert.is_true(entry.fault ~= nil or type(entry.address) == "string")
      assert.is_true(entry.weight == nil or type(entry.weight) == "number" or entry.fault == nil)
    end
  end
  function self.take_soon(_, collect) self:take(collect()) end
  function self.alive() end
  return self
end

-- watch.ask gives this answer, with these fields of its head.
local function answering(answer, headers, run)
  local real = watch.ask
  watch.ask = function() return answer, { headers = headers or {}, status = 200 } end
  local ok, result, why = pcall(run)
  watch.ask = real
  assert.is_true(ok, result)
  return result, why
end

local function is_position(value) return value == nil or value >= 0 and value <= 2 ^ 53 + 1 and value % 1 == 0 end

-- The good document, in place of an odd one before it, gives the one address that it has.
local function gives(address, ask, document)
  local taker = source()
  assert.is_true(ask(document, taker))
  assert.equal(1, #taker.list)
  assert.equal(address, taker.list[1].address)
end

-- engine:take() of what a watch has said.
local function told(engine)
  return function(message, taker)
    local ok, result = pcall(engine.take, engine, message, taker)
    assert.is_true(ok, tostring(result))
    return result
  end
end

describe("an engine of discovery that says odd things", function()
  it("raises nothing, and can be asked again: etcd", function()
    local engine = assert(etcd.new("/app/", { endpoints = "http://127.0.0.1:1" }))
    engine.call = function() return watch.ask() end
    local function list(answer, taker)
      return (answering(answer, nil, function() return engine:list(taker) end))
    end
    each_mutation(SAMPLES.range, function(answer, place)
      list(answer, source())
      assert.is_true(is_position(engine.position), place)
      gives("10.0.0.1:80", list, SAMPLES.range)
    end)
    each_mutation(SAMPLES.change, function(message, place)
      engine.position, engine.cluster, engine.items = 11, "7", {}
      told(engine)(message, source())
      assert.is_true(is_position(engine.position), place)
      engine.position, engine.items = 11, {} -- as a list leaves them
      gives("10.0.0.1:80", told(engine), SAMPLES.change)
    end)
  end)

  it("raises nothing, and can be asked again: Consul", function()
    local engine = assert(consul.new("app", { address = "http://127.0.0.1:1", wait = 1, timeout = 1 }))
    local function asked(index)
      return function(answer, taker)
        return (answering(answer, { ["X-Consul-Index"] = index }, function() return engine:ask(taker) end))
      end
    end
    local index = 5
    local function is_well()
      index = index + 1 -- there is news
      gives("10.0.0.2:80", asked(tostring(index)), { SAMPLES.instance })
    end
    each_mutation({ SAMPLES.instance }, function(answer)
      asked "5"(answer, source())
      is_well()
    end)
    for _, odd in ipairs(ODD) do
      asked(type(odd) == "string" and odd or nil)({}, source())
      assert.is_true(is_position(engine.index))
      is_well()
    end
  end)

  it("raises nothing, and can be asked again: Kubernetes", function()
    local engine = assert(kubernetes.new("default/app", { address = "http://127.0.0.1:1" }))
    local function list(answer, taker)
      return (answering(answer, nil, function() return engine:list(taker) end))
    end
    each_mutation(SAMPLES.page, function(answer)
      list(answer, source())
      gives("10.0.0.1:80", list, SAMPLES.page)
    end)
    each_mutation(SAMPLES.event, function(event)
      engine.slices = {}
      told(engine)(event, source())
      engine.slices = {} -- as a list leaves them
      gives("10.0.0.1:80", told(engine), SAMPLES.event)
    end)
  end)
end)
