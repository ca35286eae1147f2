-- SPDX-License-Identifier: Apache-2.0
-- Every hook may wait, and while it does anything may happen: clients leave or send on, origins close or send on, the
-- proxy ends. Each kind of hook is tried with each of these.
local client = require "client"
local http1 = require "http1"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local HOOKS = {
  "early_request_filter", "upstream_peer", "connected_to_upstream", "upstream_response_filter", "response_filter",
  "fail_to_connect", "error_while_proxy", "fail_to_proxy", "logging",
}
local FAILING = { fail_to_connect = true, error_while_proxy = true, fail_to_proxy = true }

-- The hook waits for `seconds`, on its first call where it is asked `once`. Whatever it gives else is kept.
local function waiting(hook, seconds)
  local text = [[
local usual_HOOK = policy.HOOK
function policy.HOOK(...)
  perilune.log.info "waits"
  perilune.sleep(SECONDS)
  perilune.log.info "goes on"
  if usual_HOOK then return usual_HOOK(...) end
end]]
  return (text:gsub("HOOK", hook):gsub("SECONDS", tostring(seconds)))
end
local LOGGING = [[function policy.logging(session, error)
  perilune.log.info("logged", session:response_status() or "nothing", error and error:kind() or "fine")
end
]]

-- A policy whose walk comes by the hook, and waits there for `seconds`, and the one connection to its origin.
local function start(hook, seconds)
  local state = {}
  local origin = origins.start(function(connection)
    state.connection = connection
    if hook == "error_while_proxy" or hook == "fail_to_proxy" then
      connection:read_request()
      return
    end
    while connection:read_request() do connection:respond { body = connection.request.body } end
    state.ended = true
  end)
  local target = hook == "fail_to_connect" and { address = origins.dead_address() } or origin
  local options = { hooks = LOGGING .. waiting(hook, seconds), listen = "max_retries = 0" }
  return scene.start(target, options), state
end

-- Sends a request with a body; the proxy waits in the hook.
local function begin(hook, seconds)
  local proxy, state = start(hook, seconds)
  local connection = client.connect(proxy.port)
  connection:send_request { method = "PUT", body = "hello" }
  proxy:wait_log "waits"
  return connection, proxy, state
end

for _, hook in ipairs(HOOKS) do
  describe(hook .. " that waits", function()
    local status, body = 200, "hello"
    if FAILING[hook] then status, body = 502, "502 Bad Gateway\n" end
    local function expect_response(connection)
      local response = assert(connection:read_response())
      assert.same({ status, body }, { response.status, response.body })
    end

    it("does not keep what the client sends on from its turn", function()
      local connection, proxy = begin(hook, 0.1)
      connection:send(http1.write("PUT /2 HTTP/1.1", { Host = "a", Connection = "close" }, "hello"))
      expect_response(connection)
      expect_response(connection)
      assert.is_true(connection:is_closed())
      proxy:wait_log "logged.*logged"
      assert.equal(2, proxy:count_log "logged")
    end)

    it("is given up when the client resets, where its request is whole", function()
      local proxy, state = start(hook, 600)
      local connection = client.connect(proxy.port)
      connection:send_request {}
      proxy:wait_log "waits"
      connection:reset()
      if hook == "logging" then return proxy:signal "INT" end
      proxy:wait_log "logged"
      assert.equal(1, proxy:count_log "logged")
      if state.connection then scheduler.eventually(function() return not state.connection.fd or state.ended end) end
    end)

    it("is followed by logging when the client has left in mid-request", function()
      local proxy = start(hook, 0.1)
      local connection = client.connect(proxy.port)
      connection:send "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nnot all of it"
      scheduler.sleep(0.05)
      connection:reset()
      proxy:wait_log "logged"
      scheduler.sleep(0.15)
      assert.equal(1, proxy:count_log "logged")
    end)

    it("does not hear what the origin does meanwhile", function()
      local connection, proxy, state = begin(hook, hook == "connected_to_upstream" and 1 or 0.1)
      if hook == "connected_to_upstream" then
        scheduler.eventually(function() return state.connection end)
      end
      if state.connection and state.connection.fd then
        state.connection:send "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        state.connection:close()
      end
      if hook == "connected_to_upstream" then -- what comes before the request is no answer to it
        assert.equal(502, connection:read_response().status)
        proxy:wait_log "malformed response: it came before the request"
      else
        expect_response(connection)
      end
      proxy:wait_log "logged"
      assert.equal(1, proxy:count_log "logged")
    end)

    it("is given up when the proxy stops at once", function()
      local _, proxy = begin(hook, 600)
      proxy:signal "INT"
      assert.equal(0, proxy:ended())
    end)

    it("goes on to its end when the proxy stops gracefully", function()
      local connection, proxy = begin(hook, 0.3)
      proxy:signal "TERM"
      expect_response(connection)
      assert.is_true(connection:is_closed())
      connection:close()
      assert.equal(0, proxy:ended())
      assert.equal(1, proxy:count_log "goes on")
      assert.equal(1, proxy:count_log "logged")
    end)
  end)
end

describe("logging that waits", function()
  it("is not given up by a graceful stop, although its client is gone", function()
    local connection, proxy = begin("logging", 0.5)
    connection:close()
    proxy:signal "TERM"
    assert.equal(0, proxy:ended())
    assert.equal(1, proxy:count_log "goes on")
  end)
end)
