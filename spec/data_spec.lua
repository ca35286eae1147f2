-- SPDX-License-Identifier: Apache-2.0
-- Data that policies look things up in: perilune.table, yaml, json.read, watch, single_flight and memo.

local client = require "perilune.test.client"
local perilune = require "spec.support.perilune"
local process = require "perilune.test.process"
local scheduler = require "perilune.test.scheduler"

local HEAD = 'local perilune = require "perilune"\nlocal policy = {}\n'
local TAIL = '\nperilune.listen("127.0.0.1:0", policy)\n'

local function write(directory, name, text) return process.write_file(directory .. "/" .. name, text) end

local function start(directory, body, options)
  local script = write(directory, "policy.lua", HEAD .. body .. TAIL)
  local args = { "run", script }
  for _, word in ipairs(options or {}) do args[#args + 1] = word end
  return perilune.start { args = args }
end

-- What the chunk gives when the policy loads; it is the text of the answers, too.
local function ask(proxy) return client.request(proxy.port).body end
local function check(directory, body)
  local text = HEAD .. "policy.request_filter = function() end\n" .. body .. TAIL
  return perilune.run("check", write(directory, "policy.lua", text))
end

describe("perilune.table", function()
  local SHOW = [[
function policy.request_filter(session)
  local out = {}
  for _, key in ipairs { "192.0.2.7", "192.0.2.200", "198.51.100.1:80", "2001:db8::1", "8.8.8.8", "nonsense" } do
    local value, network = t:get(key)
    out[#out + 1] = tostring(value) .. "=" .. tostring(network)
  end
  return session:respond { status = 200, body = table.concat(out, " ") }
end]]

  it("finds the smallest network that an address is in", function()
    local directory = process.directory()
    write(directory, "nets.csv", 'net,name\r\n192.0.2.0/24,a\n192.0.2.128/25,"b ""x"""\n\n198.51.100.0/24,c\n'
      .. "2001:db8::/32,d\n")
    local proxy = start(directory, 'local t = perilune.table("n", "nets.csv", { keys = "network", value = "name" })\n'
      .. SHOW)
    assert.equal('a=192.0.2.0/24 b "x"=192.0.2.128/25 c=198.51.100.0/24 d=2001:db8::/32 nil=nil nil=nil', ask(proxy))
  end)

  it("of 100,000 rows is loaded once for all workers", function()
    local proxy = start(process.directory(), [[
local t = perilune.table("big", function(add)
  perilune.log.info("loading it")
  for i = 1, 100000 do add("key" .. i, i) end
end)
function policy.request_filter(session)
  local text = ("%d %d %s"):format(t:count(), t:get "key77777", tostring(t:get "key0"))
  return session:respond { status = 200, body = text }
end]], { "--workers", "4" })
    for _ = 1, 8 do assert.equal("100000 77777 nil", ask(proxy)) end
    assert.equal(1, select(2, proxy:stderr():gsub("loading it", "")))
  end)

  it("is replaced by a reload, and stays where the reload is refused", function()
    local directory = process.directory()
    write(directory, "t.csv", "k,v\na,1\n")
    local proxy = start(directory, [[local t = perilune.table("t", "t.csv", { value = "v" })
function policy.request_filter(session) return session:respond { status = 200, body = tostring(t:get "a") } end]])
    assert.equal("1", ask(proxy))
    write(directory, "t.csv", "k,v\na,1,2\n")
    local refused = perilune.run("reload", "--pid", tostring(proxy.pid))
    assert.not_equal(0, refused.code)
    assert.is_truthy(refused.stderr:find("t.csv:2: it has another number of fields than the first row", 1, true))
    assert.equal("1", ask(proxy))
    write(directory, "t.csv", "k,v\na,two\n")
    assert.equal(0, perilune.run("reload", "--pid", tostring(proxy.pid)).code)
    assert.equal("two", ask(proxy))
  end)

  it("is a file of the policy: with --watch a change is a reload", function()
    local directory = process.directory()
    write(directory, "t.csv", "k,v\na,1\n")
    write(directory, "s.yaml", "b: 1\n")
    local proxy = start(directory, [[local t = perilune.table("t", "t.csv", { value = "v" })
local s = assert(perilune.yaml.read "s.yaml")
function policy.request_filter(session)
  return session:respond { status = 200, body = t:get "a" .. s.b }
end]], { "--watch" })
    assert.equal("11", ask(proxy))
    write(directory, "t.csv", "k,v\na,2\n")
    scheduler.eventually(function() return ask(proxy) == "21" end)
    write(directory, "s.yaml", "b: 2\n")
    scheduler.eventually(function() return ask(proxy) == "22" end)
  end)

  it("finds the longest key that a text begins with, and keeps numbers, booleans and tables", function()
    local proxy = start(process.directory(), [[
local t = perilune.table("t", function(add)
  add("/", 1.5) add("/api/", false) add("/api/v2/", { name = "x", list = { 1, 2 } })
end, { keys = "prefix" })
function policy.request_filter(session)
  local value, match = t:get(session:path())
  if type(value) == "table" then value = perilune.json.encode(value.list) end
  return session:respond { status = 200, body = tostring(value) .. " " .. tostring(match) }
end]])
    local function get(path) return client.request { port = proxy.port, path = path }.body end
    assert.equal("1.5 /", get "/x")
    assert.equal("false /api/", get "/api/v1")
    assert.equal("[1,2] /api/v2/", get "/api/v2/y")
  end)

  it("names what is wrong, with the place", function()
    local directory = process.directory()
    write(directory, "bad.csv", 'k,v\na,"1\n')
    write(directory, "bad.yaml", "a: 1\nb: [\n")
    for body, message in pairs {
      ['perilune.table("t", "none.csv")'] = "none.csv: No such file or directory",
      ['perilune.table("t", "bad.csv")'] = "bad.csv:2: a quote is not closed",
      ['perilune.table("t", "bad.csv", { keys = "ip" })'] = "option 'keys' must be \"text\", \"network\" or \"prefix\"",
      ['perilune.table("t", "bad.csv", { key = 0 })'] = "option 'key' must be the name of a column",
      ['perilune.table("t", "bad.csv", { valeu = 1 })'] = "unknown option 'valeu' (did you mean value?)",
      ['perilune.table("t", function(add) add("x") end)'] = "a value is a string, number, boolean or table, got a nil",
      ['perilune.table("t", function(add) add("x", {}) error "oops" end)'] = "oops",
      ['perilune.table("t", function(add) for i = 1, 1e5 do add("key" .. i, "value") end end, { size = "1M" })'] =
        "the table is larger than its option 'size' allows",
      ['perilune.table("t", function(add) add("10.0.0.1/8", 1) end, { keys = "network" })'] = "bits are set behind",
      ["perilune.table()"] = "perilune.table: expected a name",
      ['perilune.single_flight("x")'] = "perilune.single_flight: expected a function",
      ['perilune.memo("x", "soon", print)'] = "perilune.memo: the time to live must be",
      ['perilune.watch("x")'] = "perilune.watch: expected a function",
      ['assert(perilune.yaml.read "bad.yaml")'] = "bad.yaml: line 3, column 1: ",
      ['assert(perilune.json.read "bad.csv")'] = "bad.csv: expected a value at character 1",
    } do
      local result = check(directory, body)
      assert.not_equal(0, result.code, body)
      assert.is_truthy(result.stderr:find("policy.lua:4: ", 1, true), result.stderr)
      assert.is_truthy(result.stderr:find(message, 1, true), result.stderr)
    end
  end)
end)

describe("perilune.watch", function()
  it("calls in every worker when the file has changed", function()
    local directory = process.directory()
    write(directory, "switch", "off")
    local proxy = start(directory, [[
local seen = "nothing"
perilune.watch("switch", function(path) seen = io.open(path):read "*a" end)
function policy.request_filter(session)
  return session:respond { status = 200, headers = { ["X-Worker"] = perilune.worker() }, body = seen }
end]], { "--workers", "2" })
    assert.equal("nothing", ask(proxy))
    write(directory, "switch", "on")
    local seen = {}
    scheduler.eventually(function()
      local response = client.request(proxy.port)
      if response.body == "on" then seen[response.headers.x_worker] = true end
      return seen["0"] and seen["1"]
    end, 30)
  end)
end)

describe("perilune.single_flight", function()
  it("calls once for all that want it at the same time, and gives each the results or the error", function()
    local proxy = start(process.directory(), [[
local calls = 0
local function work()
  calls = calls + 1
  perilune.sleep(0.2)
  if calls == 2 then error "oops" end
  return calls, "more"
end
function policy.request_filter(session)
  local ok, value, more = pcall(perilune.single_flight, "key", work)
  value = tostring(value):gsub("^.-:%d+: ", "")
  return session:respond { status = 200, body = tostring(ok) .. " " .. value .. " " .. tostring(more) }
end]], { "--workers", "1" })
    local function round()
      local bodies = {}
      for i = 1, 8 do
        local connection = client.connect(proxy.port)
        connection:send "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        bodies[i] = connection
      end
      for i = 1, 8 do bodies[i] = bodies[i]:read_response().body end
      return bodies
    end
    local all = round()
    for i = 2, 8 do assert.equal(all[1], all[i]) end
    assert.equal("true 1 more", all[1])
    for _, body in ipairs(round()) do assert.matches("^false oops", body) end
  end)
end)

describe("perilune.memo", function()
  it("keeps results for a time, for all workers, and gives an old one where the source fails", function()
    local proxy = start(process.directory(), [[
local calls = perilune.counter "calls"
local get = perilune.memo("m", { ttl = 0.3, retry = 0.01 }, function(key)
  local n = calls:add(1)
  if n > 1 then return nil, "down" end
  return { key = key or "none", n = n }
end)
function policy.request_filter(session)
  local value, why = get()
  return session:respond { status = 200, body = value.key .. value.n .. " " .. tostring(why) }
end]], { "--workers", "2" })
    for _ = 1, 6 do assert.matches("^none1 ", ask(proxy)) end
    scheduler.eventually(function() return ask(proxy) == "none1 down" end)
  end)
end)
