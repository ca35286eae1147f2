-- SPDX-License-Identifier: Apache-2.0
-- Backends that are keys of etcd. A real etcd, where it is there; what etcd never says is said by a scripted one.
local base64 = require "base64"
local cjson = require "cjson"
local client = require "client"
local discovered = require "discovered"
local etcd_server = require "etcd_server"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local with_etcd = etcd_server.it(it, pending)

local function follow(url, more)
  return ('discovery.etcd(upstreams, "/app/", { endpoints = %q, silence = 1%s })'):format(url, more or "")
end

describe("backends that are keys of etcd", function()
  with_etcd("are there, in any of the forms, and follow each change", function()
    local etcd, a = etcd_server.start(), origins.start "a"
    etcd:put("/app/1", a.address)
    etcd:put("/app/2", '{"address": "127.0.0.1:2", "weight": 3, "owner": "somebody"}')
    etcd:put("/app/3", '{"Op": 0, "Addr": "127.0.0.1:3"}')
    etcd:put("/app/127.0.0.1:4")
    etcd:put("/apple", "127.0.0.1:5")
    local proxy = discovered.start(follow(etcd.url))
    discovered.wait_list(proxy, a.address, "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4")
    etcd:delete "/app/2"
    etcd:put("/app/3", "127.0.0.1:33 backup")
    discovered.wait_list(proxy, a.address, "127.0.0.1:33", "127.0.0.1:4")
    etcd:delete "/app/127.0.0.1:4"
    discovered.wait_list(proxy, a.address, "127.0.0.1:33")
    assert.equal("a", client.request(proxy.port).body)
    assert.equal(0, proxy:count_log "the last list stays")
  end)

  with_etcd("are asked for by one watch, whatever the number of workers, also after a reload", function()
    local etcd = etcd_server.start()
    etcd:put("/app/1", "127.0.0.1:1")
    local proxy = discovered.start((follow(etcd.url):gsub("silence = 1", "silence = 60")))
    local function watches()
      local page = client.request { ip = etcd.host, port = 2379, path = "/metrics" }.body
      return tonumber(page:match "\netcd_debugging_mvcc_watcher_total (%d+)")
    end
    scheduler.eventually(function() return watches() == 1 end)
    proxy:signal "HUP"
    proxy:wait_log "generation 2"
    etcd:put("/app/2", "127.0.0.1:2")
    discovered.wait_list(proxy, "127.0.0.1:1", "127.0.0.1:2")
    scheduler.eventually(function() return watches() == 1 end)
  end)

  with_etcd("stay while etcd is away, and follow what has happened meanwhile, though it was compacted", function()
    local etcd = etcd_server.start()
    for i = 1, 5 do etcd:put("/app/" .. i, "127.0.0.1:" .. i) end
    local proxy = discovered.start(follow(etcd.url))
    discovered.wait_list(proxy, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4", "127.0.0.1:5")
    etcd:kill()
    proxy:wait_log "the last list stays"
    assert.equal(5, #discovered.list(proxy))
    scheduler.eventually(function() return proxy:count_log "refused; the last list stays" > 0 end)
    local source = metrics.status(proxy).discovery[1]
    assert.same({ "etcd", etcd.url .. " /app/" }, { source.kind, source.source })
    assert.same({ 5, true }, { source.backends, source.is_down })
    assert.matches("refused", source.last_failure)
    proxy:signal "STOP"
    etcd:start()
    etcd:delete "/app/1"
    etcd:put("/app/2", "127.0.0.1:22")
    etcd:compact()
    proxy:signal "CONT"
    discovered.wait_list(proxy, "127.0.0.1:22", "127.0.0.1:3", "127.0.0.1:4", "127.0.0.1:5")
    proxy:wait_log "is back"
  end)

  with_etcd("stay while etcd is silent, which is seen from outside, and follow it when it speaks again", function()
    local etcd = etcd_server.start()
    etcd:put("/app/1", "127.0.0.1:1")
    local proxy = discovered.start(follow(etcd.url, ", timeout = 0.5"))
    discovered.wait_list(proxy, "127.0.0.1:1")
    etcd:signal "STOP"
    proxy:wait_log "timeout; the last list stays"
    local page = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/metrics" }.body
    assert.matches('perilune_discovery_down{set="round_robin",kind="etcd",source="[^"]+"} 1\n', page)
    assert.matches('perilune_discovery_age_seconds{[^}]+} %d+\n', page)
    local said = perilune.run("status", "--pid", tostring(proxy.pid)).stdout
    assert.matches("source +" .. etcd.url:gsub("%p", "%%%0") .. " /app/ etcd, set \"round_robin\": 1 backend, "
      .. "as of %d+ s ago\n +it fails: .*timeout", said)
    assert.same({ "127.0.0.1:1" }, discovered.list(proxy))
    etcd:signal "CONT"
    etcd:put("/app/2", "127.0.0.1:2")
    discovered.wait_list(proxy, "127.0.0.1:1", "127.0.0.1:2")
  end)

  with_etcd("are right after a burst of changes", function()
    local etcd = etcd_server.start()
    local proxy = discovered.start(follow(etcd.url))
    local connection = client.connect { ip = etcd.host, port = 2379 }
    for i = 1, 400 do
      local body = cjson.encode { key = base64.encode("/app/" .. i % 50), value = base64.encode("127.0.0.1:" .. i) }
      assert.equal(200, connection:request { method = "POST", path = "/v3/kv/put", body = body }.status)
      if i == 200 then proxy:signal "STOP" end
      if i == 300 then proxy:signal "CONT" end
    end
    local wanted = {}
    for i = 351, 400 do wanted[#wanted + 1] = "127.0.0.1:" .. i end
    discovered.wait_list(proxy, unpack(wanted))
  end)

  with_etcd("are asked for with a client's certificate", function()
    local files = tls.certificate "etcd.test"
    files.server_name = "etcd.test"
    local etcd = etcd_server.start(files)
    etcd:put("/app/1", "127.0.0.1:1")
    local secure = (", ca = %q, sni = 'etcd.test'"):format(files.ca)
    local refused = discovered.start(follow(etcd.url, secure))
    refused:wait_log "certificate.*the last list stays"
    secure = secure .. (", certificate = %q, key = %q"):format(files.certificate, files.key)
    local proxy = discovered.start(follow(etcd.url, secure))
    discovered.wait_list(proxy, "127.0.0.1:1")
  end)

  with_etcd("are asked for by name and password, and once more where the token is not valid any more", function()
    local etcd = etcd_server.start()
    etcd:put("/app/1", "127.0.0.1:1")
    etcd:call("/v3/auth/user/add", { name = "root", password = "secret" })
    etcd:call("/v3/auth/user/grant", { user = "root", role = "root" })
    etcd:call("/v3/auth/enable", {})
    local proxy = discovered.start(follow(etcd.url, ', user = "root", password = "secret"'))
    discovered.wait_list(proxy, "127.0.0.1:1")
    etcd:kill()
    etcd:start() -- it has forgotten its tokens
    etcd.token = etcd:call("/v3/auth/authenticate", { name = "root", password = "secret" }).token
    etcd:put("/app/2", "127.0.0.1:2")
    discovered.wait_list(proxy, "127.0.0.1:1", "127.0.0.1:2")
    local refused = discovered.start(follow(etcd.url, ', user = "root", password = "wrong"'))
    refused:wait_log "authentication: it answered 400: .*; the last list stays"
  end)
end)

describe("a list of backends on the disk", function()
  with_etcd("is what a proxy begins with while the source is away", function()
    local etcd, a = etcd_server.start(), origins.start "a"
    local file = process.directory() .. "/last.list"
    etcd:put("/app/1", a.address .. " weight=2 zone=x")
    local code = follow(etcd.url, (", cache = %q"):format(file))
    local first = discovered.start(code)
    discovered.wait_list(first, a.address)
    scheduler.eventually(function() return process.read_file(file) ~= "" end)
    etcd:kill()
    first:stop()
    local proxy = discovered.start(code)
    assert.equal("a", client.request(proxy.port).body)
    local source = metrics.status(proxy).discovery[1]
    assert.same({ 1, true }, { source.backends, source.is_from_file })
    etcd:start()
    etcd:put("/app/2", "127.0.0.1:2")
    discovered.wait_list(proxy, a.address, "127.0.0.1:2")
    assert.is_false(metrics.status(proxy).discovery[1].is_from_file)
  end)

  it("is not used where it is damaged, or of another source, which the log says", function()
    local file = process.directory() .. "/last.list"
    local dead = "http://" .. origins.dead_address()
    local function begin(text)
      process.write_file(file, text)
      return discovered.start(follow(dead, (", cache = %q"):format(file)))
    end
    local body = cjson.encode { source = "etcd http://else/ /app/", saved_at = 1, backends = { "127.0.0.1:1" } }
    local digest = process.run({ "sh", "-c", "printf %s '" .. body .. "' | sha256sum" }).stdout:match "%x+"
    for text, why in pairs {
      ["sha256 " .. digest .. "\n" .. body] = "it is of another source: etcd http://else/ /app/",
      ["sha256 " .. digest .. "\n" .. body:sub(1, -2)] = "it is damaged",
      [""] = "it is damaged",
    } do
      local proxy = begin(text)
      assert.truthy(0 < proxy:count_log("the last list in .*last.list is not used: " .. why:gsub("%p", "%%%0")))
      assert.equal(503, client.request(proxy.port).status)
    end
  end)

  it("that cannot be written leaves the list in force, and a line of the log", function()
    local list = process.write_file(process.directory() .. "/list", "127.0.0.1:1")
    local proxy = discovered.start(('discovery.file(upstreams, %q, { cache = "/nowhere/at/all" })'):format(list))
    discovered.wait_list(proxy, "127.0.0.1:1")
    proxy:wait_log "the last list cannot be kept: /nowhere/at/all: its folder does not exist"
  end)
end)

-- A scripted etcd: `answers` are what it says to one request after another; the last one is said for ever.
local function scripted(...)
  local answers, asked = { ... }, 0
  return origins.start(function(connection)
    while connection:read_request() do
      asked = math.min(asked + 1, #answers)
      local answer = answers[asked]
      if type(answer) == "function" then answer = answer(connection) end
      if not answer then return end
      connection:respond(answer)
    end
  end)
end

local function listed(values, revision, more)
  local kvs = {}
  for key, value in pairs(values) do
    kvs[#kvs + 1] = { key = base64.encode(key), value = base64.encode(value), mod_revision = "1" }
  end
  local answer = { header = { revision = revision or "5", cluster_id = "7" }, kvs = kvs }
  for name, value in pairs(more or {}) do answer[name] = value end
  return { body = cjson.encode(answer) }
end

-- The head of a watch, and lines; then silence, until the spec ends.
local function watching(...)
  local lines = { ... }
  return function(connection)
    connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _, line in ipairs(lines) do connection:send(("%x\r\n%s\r\n"):format(#line, line)) end
    connection:read(1)
  end
end

describe("what an etcd says that is none", function()
  local GOOD = { ["/app/1"] = "127.0.0.1:1" }
  local CANCELLED = watching '{"result": {"canceled": true, "compact_revision": "9"}}\n'

  it("leaves the last list, with a line of the log that says what it is", function()
    local of_list = {
      ["it answered 500: no &lt; leader"] = { status = 500, body = "no &lt; leader" },
      ["its answer is no JSON"] = { body = "\0\1garbage" },
      ["its answer has no revision"] = { body = '{"header": 7, "kvs": "x"}' },
      ["is no base64"] = { body = '{"header": {"revision": "9"}, "kvs": [{"key": "*"}]}' },
      ["closed"] = function(connection) connection:send "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{" end,
    }
    local of_watch = {
      ["a line of it is no JSON"] = "nonsense",
      ["an answer of the watch makes no sense"] = '{"result": 7}',
      ["no such thing"] = '{"error": {"message": "no such thing"}}',
      ["it tells of a change that makes no sense"] =
        '{"result": {"header": {"revision": "6", "cluster_id": "7"}, "events": [{"kv": 5}]}}',
      ["it is another cluster"] = '{"result": {"header": {"revision": "6", "cluster_id": "8"}}}',
      ["its revision is lower than before"] =
        '{"result": {"header": {"revision": "2", "cluster_id": "7"}, "created": true}}',
      ["the watch was cancelled: compacted"] = '{"result": {"canceled": true, "compact_revision": "9"}}',
    }
    local cases = {}
    for what, answer in pairs(of_list) do cases[what] = { CANCELLED, answer } end
    for what, line in pairs(of_watch) do cases[what] = { watching(line .. "\n"), listed(GOOD), watching "" } end
    local code, wanted = {}, {}
    for what, answers in pairs(cases) do
      local url = "http://" .. scripted(listed(GOOD), unpack(answers)).address
      wanted[url .. " /app/"] = what
      code[#code + 1] = 'upstreams = require("perilune.round_robin").new {}\n' .. follow(url, ", timeout = 5")
    end
    local proxy = discovered.start(table.concat(code, "\n"))
    for source, what in pairs(wanted) do
      proxy:wait_log(("%s: [^\n]*%s[^\n]*; the last list stays"):format((source:gsub("%p", "%%%0")),
        (what:gsub("%p", "%%%0"))))
    end
    for _, source in ipairs(metrics.status(proxy).discovery) do assert.equal(1, source.backends, source.source) end
  end)

  it("costs no more than the key that it is about", function()
    local origin = scripted(listed { ["/app/1"] = "127.0.0.1:1", ["/app/2"] = "nonsense", ["/app/3"] = "{",
      ["/app/4"] = '{"address": 5}', ["/app/5"] = "127.0.0.1:5 weight=0" }, watching "")
    local proxy = discovered.start(follow("http://" .. origin.address))
    discovered.wait_list(proxy, "127.0.0.1:1")
    proxy:wait_log "round_robin: .* 4 of its backends cannot be used, and are left out: .*key /app/3"
    assert.equal(4, metrics.status(proxy).discovery[1].skipped)
  end)

  it("is no list where nothing of it can be used, or nothing is there; which `empty` can change", function()
    for says, values in pairs { ["none of its 1 backends can be used: .*nonsense"] = { ["/app/1"] = "nonsense" },
      ["has no backends"] = {} } do
      local origin = scripted(listed(GOOD), CANCELLED, listed(values))
      local proxy = discovered.start(follow("http://" .. origin.address))
      proxy:wait_log(says .. ".*; the last list stays")
      assert.same({ "127.0.0.1:1" }, discovered.list(proxy))
    end
    local origin = scripted(listed(GOOD), CANCELLED, listed {})
    local proxy = discovered.start(follow("http://" .. origin.address, ', empty = "take"'))
    discovered.wait_list(proxy)
  end)

  it("does not move the position beyond changes that are still to come, and takes none that the list had", function()
    local function event(key, revision)
      return ('{"result": {"header": {"revision": "90", "cluster_id": "7"}, "events": [{"kv": {"key": "%s", '
        .. '"value": "%s", "mod_revision": "%d"}}]}}\n'):format(base64.encode("/app/" .. key),
        base64.encode("127.0.0.1:" .. key), revision)
    end
    local from = {}
    local function watch(lines)
      return function(connection)
        from[#from + 1] = cjson.decode(connection.request.body).create_request.start_revision
        connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for _, line in ipairs(lines) do -- a chunk is no event
          connection:send(("5\r\n%s\r\n%x\r\n%s\r\n"):format(line:sub(1, 5), #line - 5, line:sub(6)))
        end
      end
    end
    local progress = '{"result": {"header": {"revision": "95", "cluster_id": "7"}}}\n'
    local origin = scripted(listed(GOOD), watch { event(9, 5), event(2, 6) }, watch { event(3, 7), progress }, watch {})
    local proxy = discovered.start(follow("http://" .. origin.address, ", timeout = 5"))
    discovered.wait_list(proxy, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
    scheduler.eventually(function() return #from >= 3 end)
    assert.same({ "6", "7", "96" }, { from[1], from[2], from[3] })
  end)

  it("is asked for at the next member, after a pause", function()
    local origin = scripted(listed(GOOD), watching "")
    local proxy = discovered.start(('discovery.etcd(upstreams, "/app/", { endpoints = { "http://%s", "http://%s" } })')
      :format(origins.dead_address(), origin.address))
    discovered.wait_list(proxy, "127.0.0.1:1")
  end)
end)

describe("discovery.etcd", function()
  it("refuses what makes no sense, at the policy's line", function()
    for code, why in pairs {
      ['discovery.etcd(upstreams)'] = "expected a prefix of keys",
      ['discovery.etcd({}, "/app/")'] = "expected a set of backends",
      ['discovery.etcd(upstreams, "/app/", { endpoints = "10.0.0.1:2379" })'] = "expected a URL like",
      ['discovery.etcd(upstreams, "/app/", { endpoint = "http://10.0.0.1:2379" })'] = "unknown option 'endpoint'",
      ['discovery.etcd(upstreams, "/app/", { user = "x" })'] = "user and password go together",
      ['discovery.etcd(upstreams, "/app/", { empty = "no" })'] = 'must be "keep" or "take"',
      ['discovery.consul(upstreams, "")'] = "expected the name of a service",
      ['discovery.consul(upstreams, "a", { wait = 0.5 })'] = "'wait' must be from 1 second to 10 minutes",
      ['discovery.kubernetes(upstreams, "app", { address = "https://k" })'] = 'like "namespace/name"',
      ['discovery.kubernetes(upstreams, "a/b")'] = "option 'address' is missing",
      ['discovery.kubernetes(upstreams, "a/b", { address = "https://k", port = {} })'] = "name or the number",
    } do
      local result = discovered.check(code)
      assert.equal(2, result.code, code)
      assert.matches("policy.lua:4: .*" .. why, result.stderr .. result.stdout)
    end
  end)
end)
