-- SPDX-License-Identifier: Apache-2.0
-- What the proxy counts, and who may see it: the admin listener, Prometheus' format, perilune status.
local cjson = require "cjson"
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local ADMIN = { "--admin", "127.0.0.1:0" }

local function listener_of(proxy) return ('listener="127.0.0.1:%d"'):format(proxy.port) end
local function requests(proxy, status)
  return ('perilune_requests_total{%s,status="%d"}'):format(listener_of(proxy), status)
end

describe("the metrics", function()
  it("count requests by listener and status, in the text format of Prometheus", function()
    local proxy = perilune.start { workers = 2, settings = ADMIN, policy = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = session:path() == "/" and 200 or 404, body = "12345" }
      end })
    ]] }
    for _ = 1, 3 do client.request(proxy.port) end
    client.request { port = proxy.port, path = "/no", method = "POST", body = "1234567" }
    metrics.wait(proxy, requests(proxy, 404), 1)
    local samples, types = metrics.read(proxy)
    assert.equal(3, samples[requests(proxy, 200)])
    assert.equal(1, samples[requests(proxy, 404)])
    assert.equal("counter", types.perilune_requests_total)
    assert.equal(4, samples["perilune_connections_accepted_total{" .. listener_of(proxy) .. "}"])
    assert.equal(4, samples["perilune_request_duration_seconds_count{" .. listener_of(proxy) .. "}"])
    assert.equal(4, samples["perilune_request_duration_seconds_bucket{" .. listener_of(proxy) .. ',le="+Inf"}'])
    assert.is_true(samples["perilune_response_bytes_total{" .. listener_of(proxy) .. "}"] > 4 * 5)
    assert.equal(4, samples['perilune_hook_calls_total{hook="request_filter"}'])
    assert.equal(2, samples.perilune_workers)
  end)

  it("count the bytes of requests and of responses alike: heads and bodies", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do connection:respond { body = "12345" } end
    end)
    local proxy = perilune.start { settings = ADMIN, to = { origin.address } }
    local connection = client.connect(proxy.port)
    local head = "POST /path HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n"
    connection:send(head .. "1234567")
    assert.equal(200, connection:read_response("POST").status)
    connection:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    local raw = connection:read_until "12345"
    metrics.wait(proxy, requests(proxy, 200), 2)
    local facts, more = metrics.status(proxy), #"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert.equal(#head + 7 + more, facts.received_bytes)
    assert.equal(2 * #raw, facts.sent_bytes)
    local samples = metrics.read(proxy)
    assert.equal(facts.received_bytes, samples["perilune_request_bytes_total{" .. listener_of(proxy) .. "}"])
    assert.equal(facts.sent_bytes, samples["perilune_response_bytes_total{" .. listener_of(proxy) .. "}"])
  end)

  it("have buckets that only grow, up to the count", function()
    local proxy = perilune.start { settings = ADMIN, to = { origins.start("a").address } }
    for _ = 1, 5 do client.request(proxy.port) end
    metrics.wait(proxy, requests(proxy, 200), 5)
    local before, count = 0, 0
    local body = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/metrics" }.body
    for value in body:gmatch 'perilune_upstream_first_byte_seconds_bucket{le="%S+"} (%d+)' do
      assert.is_true(tonumber(value) >= before)
      before, count = tonumber(value), count + 1
    end
    assert.equal(5, before)
    assert.is_true(count > 10)
  end)

  it("tell how often connections to peers were used again", function()
    local proxy = perilune.start { workers = 1, settings = ADMIN, to = { origins.start("a").address } }
    for _ = 1, 4 do client.request(proxy.port) end
    local samples = metrics.read(proxy)
    assert.equal(1, samples.perilune_upstream_opened_total)
    assert.equal(3, samples.perilune_upstream_reused_total)
    assert.equal(1, samples.perilune_upstream_connect_seconds_count)
    metrics.wait(proxy, "perilune_upstream_connections_idle", 1)
  end)

  it("count failures by their name, and retries", function()
    local proxy = perilune.start { workers = 1, settings = ADMIN, to = { "127.0.0.1:1" } }
    assert.equal(502, client.request(proxy.port).status)
    metrics.wait(proxy, requests(proxy, 502), 1)
    local samples = metrics.read(proxy)
    assert.equal(4, samples['perilune_failures_total{kind="connect_refused",side="upstream"}'])
    assert.equal(3, samples.perilune_retries_total)
  end)

  it("count requests that are none, and those that got no answer", function()
    local proxy = perilune.start { workers = 1, settings = ADMIN, to = { origins.start("a").address } }
    local connection = client.connect(proxy.port)
    connection:send "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    assert.equal(400, connection:read_response().status)
    metrics.wait(proxy, requests(proxy, 400), 1)
    assert.equal(1, metrics.read(proxy)['perilune_failures_total{kind="bad_host",side="downstream"}'])
  end)

  it("tell the calls, the errors and the time of each hook, with what it waited", function()
    local proxy = perilune.start { workers = 1, settings = ADMIN, policy = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        if session:path() == "/raise" then error "no" end
        perilune.sleep(0.05)
        return session:respond { status = 200 }
      end })
    ]] }
    client.request(proxy.port)
    assert.equal(500, client.request { port = proxy.port, path = "/raise" }.status)
    metrics.wait(proxy, requests(proxy, 500), 1)
    local samples = metrics.read(proxy)
    assert.equal(2, samples['perilune_hook_calls_total{hook="request_filter"}'])
    assert.equal(1, samples['perilune_hook_errors_total{hook="request_filter"}'])
    local seconds = samples['perilune_hook_seconds_total{hook="request_filter"}']
    assert.is_true(seconds >= 0.045 and seconds < 5, seconds)
    local duration = samples["perilune_request_duration_seconds_sum{" .. listener_of(proxy) .. "}"]
    assert.is_true(duration >= 0.045 and duration < 5, duration)
  end)

  it("do not count a request without a healthy backend as an error of a hook", function()
    local proxy = perilune.start { workers = 1, settings = ADMIN, policy = [[
      local perilune = require "perilune"
      local set = require("perilune.round_robin").new { "127.0.0.1:1" }
      set:set_enabled(1, false)
      perilune.listen("127.0.0.1:0", { upstream_peer = function(session)
        return session:path() == "/wrong" and 5 or { address = set:select() }
      end })
    ]] }
    assert.equal(503, client.request(proxy.port).status)
    metrics.wait(proxy, 'perilune_hook_calls_total{hook="upstream_peer"}', 1)
    assert.equal(0, metrics.read(proxy)['perilune_hook_errors_total{hook="upstream_peer"}'])
    assert.equal(500, client.request { port = proxy.port, path = "/wrong" }.status)
    metrics.wait(proxy, 'perilune_hook_errors_total{hook="upstream_peer"}', 1)
  end)

  it("show the health of backends", function()
    local origin = origins.start "a"
    local proxy = perilune.start { workers = 1, settings = ADMIN, policy = policies.fill([[
      local perilune = require "perilune"
      local set = require("perilune.round_robin").new { name = "app", "$GOOD", "127.0.0.1:1" }
      require("perilune.health_check").tcp(set, { interval = 0.05 })
      perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = set:select() } end })
    ]], { GOOD = origin.address }) }
    metrics.wait(proxy, 'perilune_backend_up{set="app",backend="127.0.0.1:1"}', 0)
    metrics.wait(proxy, ('perilune_backend_up{set="app",backend="%s"}'):format(origin.address), 1)
  end)

  it("survive a reload, and count it", function()
    local directory = process.directory()
    local script = process.write_file(directory .. "/policy.lua", [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(s) return s:respond { status = 200 } end })
    ]])
    local proxy = perilune.start { script = script, settings = ADMIN }
    client.request(proxy.port)
    proxy:signal "HUP"
    proxy:wait_log "generation (2) is in force"
    client.request(proxy.port)
    process.write_file(script, "this is no Lua")
    proxy:signal "HUP"
    proxy:wait_log "(stays in force)"
    metrics.wait(proxy, requests(proxy, 200), 2)
    local samples = metrics.read(proxy)
    assert.equal(2, samples.perilune_generation)
    assert.equal(1, samples['perilune_reloads_total{result="failed"}'])
    local last = metrics.status(proxy).history_of_reloads[1]
    assert.is_false(last.fine)
    assert.matches("policy.lua:1", last.text)
  end)

  it("state each worker's memory and delay once a second", function()
    local proxy = perilune.start { workers = 2, settings = ADMIN, policy = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(s) return s:respond { status = 200 } end })
    ]] }
    scheduler.eventually(function()
      local samples = metrics.read(proxy)
      return samples['perilune_vm_memory_bytes{worker="1"}'] > 50000 and
        samples['perilune_worker_lag_seconds{worker="1"}'] > 0
    end)
    local connection = client.connect(proxy.port)
    metrics.wait(proxy, "perilune_connections", 1)
    connection:close()
    metrics.wait(proxy, "perilune_connections", 0)
  end)
end)

describe("the policy's own metrics", function()
  local OWN = [[
    local perilune = require "perilune"
    local hits = perilune.metrics.counter("hits_total", { help = "Hits.", labels = { "zone", "kind" } })
    local plain = perilune.metrics.counter "plain_total"
    local load = perilune.metrics.gauge("load", { labels = { "worker" } })
    local size = perilune.metrics.histogram("size_bytes", { buckets = { 10, 100, 1000 } })
    perilune.listen("127.0.0.1:0", { request_filter = function(session)
      plain:add()
      hits:add(2, "e\"u\n", session:path())
      load:set(0.5, 1)
      load:add(0.25, 1)
      size:observe(100)
      size:observe(5000)
      return session:respond { status = 200 }
    end })
  ]]

  it("stand beside the proxy's, one for all workers", function()
    local proxy = perilune.start { workers = 2, settings = ADMIN, policy = OWN }
    for _ = 1, 6 do client.request { port = proxy.port, path = "/a" } end
    client.request { port = proxy.port, path = "/b" }
    local samples, types = metrics.read(proxy)
    assert.equal(7, samples.plain_total)
    assert.equal(12, samples['hits_total{zone="e\\"u\\n",kind="/a"}'])
    assert.equal(2, samples['hits_total{zone="e\\"u\\n",kind="/b"}'])
    assert.equal(0.75, samples['load{worker="1"}'])
    assert.same({ 0, 7, 7, 14 }, {
      samples['size_bytes_bucket{le="10"}'], samples['size_bytes_bucket{le="100"}'],
      samples['size_bytes_bucket{le="1000"}'], samples['size_bytes_bucket{le="+Inf"}'],
    })
    assert.equal(14, samples.size_bytes_count)
    assert.equal(7 * 5100, samples.size_bytes_sum)
    assert.same({ "counter", "gauge", "histogram" }, { types.hits_total, types.load, types.size_bytes })
  end)

  it("go on over a reload, and begin anew with other labels", function()
    local script = process.write_file(process.directory() .. "/policy.lua", OWN)
    local proxy = perilune.start { script = script, settings = ADMIN }
    client.request(proxy.port)
    proxy:signal "HUP"
    proxy:wait_log "generation (2) is in force"
    client.request(proxy.port)
    assert.equal(2, metrics.read(proxy).plain_total)
    local labelled = OWN:gsub('"plain_total"', '("plain_total", { labels = { "a" } })')
    process.write_file(script, (labelled:gsub("plain:add%(%)", "plain:add(1, 'x')")))
    proxy:signal "HUP"
    proxy:wait_log "generation (3) is in force"
    client.request(proxy.port)
    metrics.wait(proxy, 'plain_total{a="x"}', 1)
  end)

  it("refuse what cannot be a metric, at the policy's line", function()
    local function refused(code, pattern)
      local text = 'local m = require("perilune").metrics\n' .. code
      local script = process.write_file(process.directory() .. "/policy.lua", text)
      local result = perilune.run("check", script)
      assert.equal(2, result.code, code)
      assert.matches("policy.lua:2: perilune.metrics", result.stderr)
      assert.matches(pattern, result.stderr)
    end
    refused('m.counter "perilune_x"', "'perilune_'")
    refused('m.counter "1x"', "'1x'")
    refused("m.counter(5)", "a number value")
    refused('m.gauge("x", { labels = { "le" } })', "'le'")
    refused('m.gauge("x", { lables = { "a" } })', "lables")
    refused('m.histogram("x", { buckets = { 2, 1 } })', "ascend")
    refused('m.counter "x" m.gauge "x"', "declared already, as counter")
  end)

  it("raise for a number or labels that do not fit", function()
    local proxy = perilune.start { workers = 1, settings = ADMIN, policy = [[
      local perilune = require "perilune"
      local hits = perilune.metrics.counter("hits_total", { labels = { "zone" } })
      local calls = {
        function() hits:add(-1, "x") end, function() hits:add(1) end, function() hits:add(1, "x", "y") end,
        function() hits:set(1, "x") end, function() hits:add(0 / 0, "x") end, function() hits:add(1, {}) end,
      }
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        local said = {}
        for i, call in ipairs(calls) do said[i] = select(2, pcall(call)) end
        return session:respond { status = 200, body = table.concat(said, "\n") }
      end })
    ]] }
    local body = client.request(proxy.port).body
    local said = { "only grows", "expected 1 label value %(zone%) behind the number, got 0", "got 2",
      "no method .set.: there is add\n", "finite", "value of label 'zone' is an argument of its own, .*; got a table" }
    for _, pattern in ipairs(said) do assert.matches(pattern, body) end
  end)
end)

describe("the admin listener", function()
  local function start() return perilune.start { settings = ADMIN, to = { "127.0.0.1:1" } } end
  local function ask(proxy, options)
    options.port, options.host = proxy.admin_port, options.host or "127.0.0.1"
    return client.request(options)
  end

  it("is off unless it is asked for", function()
    local proxy = perilune.start { to = { "127.0.0.1:1" } }
    assert.is_nil(proxy.admin_port)
  end)

  it("only shows: it takes GET and HEAD, and knows four places", function()
    local proxy = start()
    assert.equal(405, ask(proxy, { method = "POST", path = "/metrics" }).status)
    assert.equal(404, ask(proxy, { path = "/reload" }).status)
    assert.equal(200, ask(proxy, { path = "/metrics?x=1" }).status)
    local head = ask(proxy, { method = "HEAD", path = "/status.json" })
    assert.equal(200, head.status)
    assert.equal("application/json", head.headers["content-type"])
    assert.equal("text/plain; version=0.0.4; charset=utf-8", ask(proxy, { path = "/metrics" }).headers["content-type"])
  end)

  it("answers under an address or localhost, not to a page from elsewhere that was rebound to it", function()
    local proxy = start()
    for _, host in ipairs { "127.0.0.1", "localhost", "LOCALHOST:9900", "127.0.0.1:9900", "[::1]:9900", "[::1]" } do
      assert.equal(200, ask(proxy, { host = host, path = "/metrics" }).status, host)
    end
    for _, host in ipairs { "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9900", "a:b:c" } do
      assert.not_equal(200, ask(proxy, { host = host, path = "/metrics" }).status, host)
    end
  end)

  it("does not count its own requests", function()
    local proxy = start()
    for _ = 1, 3 do metrics.read(proxy) end
    assert.equal(0, metrics.status(proxy).requests)
  end)

  it("refuses an address that others can reach, unless that is allowed", function()
    for _, address in ipairs { "0.0.0.0:0", ":0", "[::]:0", "name.example:1", "rubbish" } do
      local result = perilune.run("proxy", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--admin", address)
      assert.equal(2, result.code, address)
      assert.matches("admin '" .. address:gsub("%p", "%%%0"), result.stderr)
    end
    local proxy = perilune.start { settings = { "--admin", "0.0.0.0:0", "--admin-public" }, to = { "127.0.0.1:1" } }
    assert.equal(200, ask(proxy, { host = "proxy.example", path = "/metrics" }).status)
  end)

  it("is checked by perilune check", function()
    local script = process.write_file(process.directory() .. "/policy.lua", [[
      local perilune = require "perilune"
      perilune.configure { admin = "10.0.0.1:9900" }
      perilune.listen("127.0.0.1:0", { request_filter = function(s) return s:respond { status = 200 } end })
    ]])
    local result = perilune.run("check", script)
    assert.equal(2, result.code)
    assert.matches("10%.0%.0%.1:9900", result.stderr)
  end)

  it("listens on a unix socket, and removes it at the end", function()
    local path = process.directory() .. "/admin.sock"
    local proxy = perilune.start { settings = { "--admin", "unix:" .. path }, to = { "127.0.0.1:1" } }
    local response = client.request { unix = path, host = "whatever", path = "/metrics" }
    assert.equal(421, response.status)
    assert.equal(200, client.request { unix = path, host = "localhost", path = "/metrics" }.status)
    proxy:stop()
    assert.is_nil(io.open(path))
  end)
end)

describe("perilune status", function()
  local function status(proxy, ...)
    return perilune.run("status", "--socket", proxy.directory .. "/command", ...)
  end
  local function start(options)
    local directory = process.directory()
    options.settings = { "--socket", directory .. "/command" }
    local proxy = perilune.start(options)
    proxy.directory = directory
    return proxy
  end

  it("shows what is served, how, and what goes wrong", function()
    local origin = origins.start "a"
    local proxy = start { workers = 1, to = { origin.address } }
    for _ = 1, 3 do client.request(proxy.port) end
    scheduler.eventually(function() return status(proxy).stdout:find "requests +3" end)
    local result = status(proxy)
    assert.equal(0, result.code, result.stderr)
    assert.matches("requests +3 in all, 2xx 3", result.stdout)
    assert.matches("latency +p50 [%d.]+ ms", result.stdout)
    assert.matches("reused 66%.67 %%", result.stdout)
    assert.matches("backend +" .. origin.address:gsub("%p", "%%%0") .. " +healthy", result.stdout)
    assert.matches("hook +upstream_peer +3 calls", result.stdout)
    assert.matches("reloads .*generation 1 is in force", result.stdout)
  end)

  it("gives JSON to machines, also more than a socket takes at once", function()
    local list = {}
    for i = 1, 3000 do list[i] = "127.0.0.1:" .. i end
    local proxy = start { workers = 1, policy = policies.fill([[
      local perilune = require "perilune"
      local set = require("perilune.round_robin").new $LIST
      perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = set:select() } end })
    ]], { LIST = list }) }
    local result = status(proxy, "--json")
    assert.equal(0, result.code, result.stderr)
    local facts = cjson.decode(result.stdout)
    assert.equal(3000, #facts.backends)
    assert.equal("127.0.0.1:3000", facts.backends[3000].address)
    assert.equal(120, #facts.seconds)
    assert.equal(#facts.columns, #facts.seconds[1])
  end)
end)
