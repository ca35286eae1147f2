-- SPDX-License-Identifier: Apache-2.0
-- The hook of trailers: what stands behind the body of a response, or ends it.
local cleanup = require "cleanup"
local client = require "client"
local origins = require "origins"
local scene = require "scene"

after_each(cleanup.run)

local function start(origin, hooks) return scene.start(origin, { hooks = hooks, listen = "h2c = true" }) end

describe("response_trailer_filter", function()
  local function with_trailers(connection)
    connection:read_request()
    connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection:send "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Old: 2\r\n\r\n"
  end

  it("changes the trailers of a chunked response, and may wait", function()
    local proxy = start(origins.start(with_trailers), [[
      function policy.response_trailer_filter(session, trailers, ctx)
        perilune.sleep(0)
        trailers:set_header("X-Sum", trailers:get_header "X-Sum" .. "+1")
        trailers:remove_header "X-Old"
        trailers:add_header("X-New", session:phase())
      end
    ]])
    local connection = client.connect(proxy.port)
    connection:send_request { headers = { TE = "trailers" } }
    local raw = connection:read_until "0\r\n" .. connection:read_until "\r\n\r\n"
    assert.matches("hello\r\n0\r\nX%-Sum: 1%+1\r\nX%-New: response_trailer_filter\r\n\r\n$", raw)
  end)

  it("may add trailers behind a body that a filter changed", function()
    local proxy = start(origins.start "hello", [[
      function policy.response_body_filter(_, chunk, _, ctx)
        ctx.bytes = (ctx.bytes or 0) + #chunk
        return chunk
      end
      function policy.response_trailer_filter(_, trailers, ctx) trailers:set_header("X-Bytes", ctx.bytes) end
    ]])
    local connection = client.connect(proxy.port)
    connection:send_request {}
    assert.is_truthy(connection:read_until "5\r\nhello\r\n0\r\nX-Bytes: 5\r\n\r\n")
  end)

  it("may end the body with a text instead of trailers, behind what body filters gave", function()
    local proxy = start(origins.start(with_trailers), [[
      function policy.response_body_filter(_, chunk) return chunk:upper() end
      function policy.response_trailer_filter(_, trailers)
        return { "; X-Sum: ", trailers:get_header "X-Sum" }
      end
    ]])
    local response = client.request { port = proxy.port, headers = { TE = "trailers" } }
    assert.equal("HELLO; X-Sum: 1", response.body)
    assert.same({}, { response.trailers.x_sum, response.trailers.x_old })
    response = client.connect({ port = proxy.port, version = "2" }):request()
    assert.equal("HELLO; X-Sum: 1", response.body)
    assert.is_nil(response.trailers)
  end)

  it("refuses fields that may not stand there, and line ends", function()
    for _, call in ipairs { "set_header('Host', 'a')", "set_header('A', 'b\\r\\nC: d')" } do
      local proxy = start(origins.start(with_trailers),
        "function policy.response_trailer_filter(_, trailers) trailers:" .. call .. " end")
      client.connect(proxy.port):request()
      proxy:wait_log "response_trailer_filter failed: [^\n]*policy%.lua"
      proxy:stop()
    end
  end)
end)
