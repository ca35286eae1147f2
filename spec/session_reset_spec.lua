-- SPDX-License-Identifier: Apache-2.0
-- session:reset: a request ends without an answer.
local client = require "client"
local frames = require "frames"
local metrics = require "metrics"
local scene = require "scene"

after_each(require("cleanup").run)

local HOOKS = [[
local function reset(session)
  local code = session:get_header "code"
  return session:reset(tonumber(code) or code)
end
function policy.request_filter(session)
  if session:path() == "/request" then return reset(session) end
  if session:path() == "/bad" then return session:reset "soon" end
end
function policy.fail_to_proxy(session, failure)
  if session:path() == "/refused" then return session:reset "refused_stream" end
end
function policy.upstream_response_filter(session)
  if session:path() == "/response" then return reset(session) end
end
function policy.answer_filter(session)
  if session:path() == "/late" then session:reset() end
end
function policy.logging(session, failure)
  require("perilune").log.warn("ended: " .. session:path() .. " " .. (failure and failure:kind() or "fine"))
end
]]
local PEER = [[
function policy.upstream_peer(session)
  if session:path() == "/peer" then return session:reset() end
  return session:path() == "/refused" and "127.0.0.1:1" or "$"
end
]]

local function start()
  return scene.proxied("hello", { listen = "h2c = true", settings = { "--admin", "127.0.0.1:0" }, hooks = HOOKS })
end

describe("session:reset", function()
  it("resets a stream of HTTP/2 by a code, and leaves the others alone", function()
    local proxy = start()
    local connection = frames.connect { port = proxy.port }
    local function code_of(stream, path, code)
      connection:request(stream, { path = path, fields = code and { { "code", code } } })
      return select(2, connection:body(stream))
    end
    assert.equal("CANCEL", code_of(1, "/request"))
    assert.equal("REFUSED_STREAM", code_of(3, "/request", "refused_stream"))
    assert.equal("ENHANCE_YOUR_CALM", code_of(5, "/request", "11"))
    assert.equal("CANCEL", code_of(7, "/response"))
    connection:request(9)
    assert.equal("hello", connection:body(9))
    proxy:wait_log "ended: /request reset"
    metrics.wait(proxy, 'perilune_failures_total{kind="reset",side="internal"}', 4)
  end)

  it("closes a connection of HTTP/1.1 without an answer", function()
    local connection = client.connect((start()).port)
    assert.equal("hello", connection:request().body)
    assert.is_nil(connection:request { path = "/request" })
    assert.is_true(connection:is_closed())
  end)

  it("raises where the code is none, and where a head is about to be sent", function()
    local proxy = start()
    assert.equal(500, client.request { port = proxy.port, path = "/bad" }.status)
    proxy:wait_log "policy.lua:[%d or]+: session:reset: the code must be a name of RFC 9113 section 7"
    assert.equal("hello", client.request { port = proxy.port, path = "/late" }.body)
    proxy:wait_log "session:reset is not allowed in answer_filter"
  end)

  it("stands in the place of a peer, and of an answer of failure", function()
    local hooks = HOOKS .. PEER:gsub("%$", "127.0.0.1:1")
    local proxy, origin = scene.proxied("hello", { listen = "h2c = true", hooks = hooks })
    local connection = frames.connect { port = proxy.port }
    connection:request(1, { path = "/peer" })
    assert.equal("CANCEL", select(2, connection:body(1)))
    connection:request(3, { path = "/refused" })
    assert.equal("REFUSED_STREAM", select(2, connection:body(3)))
    assert.equal(0, #origin.requests)
  end)
end)
