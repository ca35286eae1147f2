-- SPDX-License-Identifier: Apache-2.0
-- A listener whose certificate files are bad does not stop the others: it closes its connections, and says why.

local cjson = require "cjson"
local client = require "perilune.test.client"
local perilune = require "spec.support.perilune"
local process = require "perilune.test.process"
local scheduler = require "perilune.test.scheduler"
local tls = require "perilune.test.tls"

local POLICY = [[
local perilune = require "perilune"
local policy = {}
function policy.request_filter(session) return session:respond { status = 200, body = "served" } end
perilune.listen("127.0.0.1:0", policy)
perilune.listen("127.0.0.1:0", policy, { certificate = "now.pem", key = "now.key"$CA })
$MORE
]]

local good = tls.certificate "a.example"
local expired = tls.certificate_of({ expired = true }, "a.example")
local directory

local function copy(files)
  process.write_file(directory .. "/now.pem", process.read_file(files.certificate))
  process.write_file(directory .. "/now.key", process.read_file(files.key))
end

local function write_policy(values)
  local text = POLICY:gsub("$(%u+)", values or { CA = "", MORE = "" })
  return process.write_file(directory .. "/policy.lua", text)
end

local function start(values)
  return perilune.start { args = { "run", write_policy(values), "--workers", "2", "--admin", "127.0.0.1:0",
    "--socket", directory .. "/socket" } }
end

-- Is a connection to the second listener closed with nothing said, whatever is sent?
local function says_nothing(proxy)
  for _, text in ipairs { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\22\3\1\0\5" } do
    local connection = client.connect(proxy.ports[2])
    connection:send(text)
    local bytes, ending = connection:receive_all()
    connection:close()
    if bytes ~= "" or ending == "timeout" then return false end
  end
  return true
end

local function serves_tls(proxy)
  local ok, response = pcall(client.request, { port = proxy.ports[2], tls = { name = "a.example" } })
  return ok and response.body == "served"
end

local function listener(proxy, i)
  local text = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/status.json" }.body
  for _, one in ipairs(cjson.decode(text).listeners) do
    if one.address == "127.0.0.1:" .. proxy.ports[i] then return one end
  end
end

local function reload(proxy)
  return perilune.run("reload", "--socket", directory .. "/socket"), proxy
end

describe("a listener without certificates", function()
  before_each(function() directory = process.directory() end)

  local cases = {
    ["has expired"] = { files = expired, why = "certificate %S+now%.pem: it has expired" },
    ["is not there"] = { why = "now%.pem: No such file or directory" },
    ["has a client_ca that cannot be read"] = { files = good, why = "none%.pem: No such file or directory",
      values = { CA = ', client_ca = "none.pem", client_verify = "required"', MORE = "" } },
  }
  for what, case in pairs(cases) do
    it("because its own " .. what .. ", leaves the others alone, answers nothing, and says why", function()
      if case.files then copy(case.files) end
      local proxy = start(case.values)
      assert.equal("served", client.request(proxy.port).body)
      assert.is_true(says_nothing(proxy))
      proxy:wait_log("error control: (listener) 127%.0%.0%.1:%d+: [^\n]*policy%.lua:5: [^\n]*" .. case.why
        .. "[^\n]*; its connections are closed until a reload finds good files")
      assert.matches(case.why, listener(proxy, 2).fault)
      assert.is_true(listener(proxy, 2).tls)
      scheduler.eventually(function() return listener(proxy, 2).refused >= 1 end)
      assert.equal("", listener(proxy, 1).fault)
      local said = perilune.run("status", "--socket", directory .. "/socket").stdout
      assert.matches("listening   %S+ %(TLS%), closes all connections: [^\n]*" .. case.why, said)
      assert.equal(2, perilune.run("check", directory .. "/policy.lua").code)
    end)
  end

  it("serves once a reload finds good files", function()
    copy(expired)
    local proxy = start()
    assert.is_true(says_nothing(proxy))
    assert.equal(0, reload(proxy).code) -- still without, which keeps nobody else's changes from coming into force
    assert.is_true(says_nothing(proxy))
    copy(good)
    assert.equal(0, reload(proxy).code)
    assert.is_true(serves_tls(proxy))
    assert.equal("", listener(proxy, 2).fault)

    copy(expired) -- from now on the last good one serves
    local refused = reload(proxy)
    assert.not_equal(0, refused.code)
    assert.matches("it has expired", refused.stderr .. refused.stdout)
    assert.is_true(serves_tls(proxy))
  end)

  it("is not added to listeners that serve, and does not begin alone", function()
    copy(good)
    local proxy = start()
    write_policy { CA = "", MORE = 'perilune.listen("127.0.0.1:0", policy, { certificate = "b.pem", key = "b.key" })' }
    assert.not_equal(0, reload(proxy).code)
    assert.is_true(serves_tls(proxy))

    copy(expired)
    local alone = POLICY:gsub('perilune.listen%("127.0.0.1:0", policy%)\n', ""):gsub("$(%u+)", { CA = "", MORE = "" })
    local result = perilune.run("run", process.write_file(directory .. "/alone.lua", alone))
    assert.equal(2, result.code)
    assert.matches("alone.lua:4: certificate %S+: it has expired", result.stderr)
  end)

  it("is not put in the place of one that a predecessor serves", function()
    copy(good)
    local proxy = start()
    copy(expired)
    local upgraded = perilune.run("upgrade", "--socket", directory .. "/socket")
    assert.not_equal(0, upgraded.code)
    assert.is_true(serves_tls(proxy))
    scheduler.eventually(function() return proxy:count_log "it has expired" >= 1 end)
  end)
end)
