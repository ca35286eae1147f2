-- SPDX-License-Identifier: Apache-2.0
-- What cannot be sent for want of memory, the other side never hears of, and waits for it as we wait for its answer.
-- Nobody is left to end that but us, and at once: not when the time for an answer is over.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local running = require "running"
local scene = require "scene"
local scheduler = require "scheduler"
local shortage = require "shortage"
local tls = require "tls"

after_each(require("cleanup").run)

local eventually = scheduler.eventually

-- Each such call fails until one has; while it does, `body` runs.
local function fail_once(lack, call, code, body)
  lack:begin(call, code, 1)
  body()
  eventually(function() return lack:count(call) > 0 end)
  lack:over()
end

describe("a request that cannot be sent for want of memory does not wait for its answer", function()
  it("on a connection of HTTP/2 whose peer says something else meanwhile", function()
    local lack, go = shortage.new(), process.directory() .. "/go"
    local peer
    local proxy, _, ask = scene.proxied(function(stream, connection)
      peer = connection
      stream:respond "hello"
    end, {
      env = lack.env, origin = { http2 = true }, peer = ", http2 = true",
      hooks = ([[function policy.request_filter(session)
        if session:path() ~= "/busy" then return end
        perilune.log.info "it is busy"
        while not io.open(%q) do end
      end]]):format(go),
    })
    assert.equal("hello", ask().body)
    local asking = client.connect(proxy.port)
    asking:send_request { target = "/busy" }
    proxy:wait_log "it is busy"
    fail_once(lack, "send", "ENOBUFS", function()
      peer:send_frame("PING", 0, 0, "12345678") -- is there when the proxy looks behind the failure
      process.write_file(go, "")
    end)
    scene.sooner_than(25, function() asking:read_final_response("GET", 30) end) -- a PING and its answer take as long
    assert.equal("hello", ask().body)
  end)

  it("nor, behind the beginning of one, for the rest", function()
    local lack = shortage.new()
    local proxy, _, ask = scene.proxied(function(connection)
      if connection:read_request_head().target == "/" then return connection:respond "hello" end
      connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
      connection:read_until "never"
    end, { env = lack.env })
    local asking = client.connect(proxy.port)
    asking:send "POST /echo HTTP/1.1\r\nHost: spec.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    asking:read_until "hello\r\n"
    fail_once(lack, "sendmsg", "ENOMEM", function()
      asking:send(("%x\r\n%s\r\n"):format(8192, ("x"):rep(8192)))
    end)
    assert.is_true(scene.sooner_than(60, function() return asking:is_closed(60) end)) -- from read to read
    assert.equal("hello", ask().body)
  end)
end)

describe("a connection that cannot be begun for want of memory", function()
  -- The first bytes on it are those of a handshake, or of a PROXY header.
  for what, peer in pairs { handshake = 'tls = true, sni = "spec.example", ca = "$CA"',
    ["PROXY header"] = "proxy_protocol = 2" } do
    it(("is waited for, then answered with 503, and ejects nobody (%s)"):format(what), function()
      local lack, is_tls = shortage.new(), what == "handshake"
      local origin = origins.start(function(at)
        if not is_tls then at:read(28) end -- the header of version 2, with two addresses of IPv4
        while at:read_request() do at:respond "hello" end
      end, is_tls and { names = { "spec.example" } } or nil)
      local files = tls.certificate "proxy.example"
      local proxy = perilune.start { env = lack.env, workers = 1, policy = policies.fill([[
        local perilune = require "perilune"
        local set = require("perilune.round_robin").new { "$ORIGIN", passive = { failures = 1 } }
        local hooks = {}
        function hooks.upstream_peer()
          return { address = set:select(), connect_timeout = 0.3, idle_timeout = 0, ]] .. peer .. [[ }
        end
        function hooks.fail_to_connect(_, _, _, error) perilune.log.info("failed:", error:kind(), error:side()) end
        perilune.listen("127.0.0.1:0", hooks, $LISTEN)
      ]], { ORIGIN = origin.address, CA = is_tls and origin.files.ca or "", LISTEN = is_tls and "{}" or
        ("{ certificate = %q, key = %q }"):format(files.certificate, files.key) }) }
      -- Clients are told by the call that works: over TLS where the peer is asked without.
      local function ask()
        return client.request { port = proxy.port, timeout = 30,
          tls = not is_tls and { name = "proxy.example", ca = files.ca } or nil }
      end
      assert.equal(200, ask().status)
      lack:begin(is_tls and "write" or "send", "ENOBUFS", 1)
      assert.equal(503, ask().status)
      proxy:wait_log "failed: local_shortage internal"
      lack:over()
      assert.equal(200, ask().status)
      assert.is_nil(proxy:log():match "ejected")
    end)
  end
end)

describe("what cannot be watched for want of memory", function()
  it("is watched a moment later: an upgrade hears that its successor serves", function()
    local lack = shortage.new()
    local proxy, pid_file = running.start { env = lack.env }
    fail_once(lack, "epoll_ctl", "ENOSPC", function() proxy:signal "USR2" end) -- the pipe to the successor is the next
    proxy:wait_log "has taken over"
    scheduler.eventually(function() return proxy:exit_code() == 0 end)
    assert.equal(0, running.command(pid_file, "stop").code)
  end)
end)
