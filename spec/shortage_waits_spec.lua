-- SPDX-License-Identifier: Apache-2.0
-- What cannot be sent for want of memory, the other side never hears of, and waits for it as we wait for its answer.
-- Nobody is left to end that but us, and at once: not when the time for an answer is over.
local client = require "client"
local process = require "process"
local scene = require "scene"
local scheduler = require "scheduler"
local shortage = require "shortage"

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
