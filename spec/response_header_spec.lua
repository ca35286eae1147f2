-- SPDX-License-Identifier: Apache-2.0
-- session:set_response_header: fields of whichever response the client gets.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"

after_each(require("cleanup").run)

local HOOKS = [[
  function policy.request_filter(session)
    session:set_response_header("X-One", "ours")
    session:set_response_header("x-one", "ours again")
    session:set_response_header("X-Many", { "a", "b" })
    session:set_response_header("X-Gone", 1)
    session:set_response_header("X-Gone", nil)
    session:set_response_header("Set-Cookie", "ours=1")
    if session:path() == "/answer" then
      return session:respond { status = 403, headers = { ["X-One"] = "of the answer" } }
    end
    if session:path() == "/wrong" then session:set_response_header("X-One", "a\r\nb") end
    if session:path() == "/framing" then session:set_response_header("Content-Length", 7) end
  end
  function policy.response_filter(session)
    if session:path() == "/late" then session:set_response_header("X-Late", "seen") end
  end
  function policy.response_body_filter(session)
    if session:path() == "/body" then session:set_response_header("X-Late", "too late") end
  end
]]

describe("session:set_response_header", function()
  local function lines(head, name)
    local values = {}
    for value in head:gmatch("\n" .. name .. ": ([^\r\n]*)") do values[#values + 1] = value end
    return table.concat(values, "|")
  end

  it("takes the place of a peer's fields and of an answer's, and adds cookies to those that are there", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        connection:send("HTTP/1.1 200 OK\r\nX-One: theirs\r\nX-One: too\r\nSet-Cookie: theirs=1\r\n"
          .. "Content-Length: 2\r\n\r\nok")
      end
    end)
    local proxy = perilune.start { workers = 1, policy = policies.to(origin, { hooks = HOOKS }) }
    local head = client.request({ port = proxy.port }).head
    assert.same({ "ours again", "a|b", "", "theirs=1|ours=1" },
      { lines(head, "x%-one"), lines(head, "X%-Many"), lines(head, "X%-Gone"), lines(head, "Set%-Cookie") })
    assert.equal("", lines(head, "X%-One"))
    head = client.request({ port = proxy.port, path = "/late" }).head
    assert.equal("seen", lines(head, "X%-Late"))
    local answer = client.request { port = proxy.port, path = "/answer" }
    assert.same({ 403, "ours again", "ours=1" },
      { answer.status, lines(answer.head, "x%-one"), lines(answer.head, "Set%-Cookie") })
    origin:stop()
    answer = client.request { port = proxy.port }
    assert.same({ 502, "ours again" }, { answer.status, lines(answer.head, "x%-one") })
  end)

  it("raises for what is no field, for framing, and where it comes too late", function()
    local proxy = perilune.start { workers = 1, policy = policies.to(origins.start "text", { hooks = HOOKS }) }
    assert.equal(500, client.request({ port = proxy.port, path = "/wrong" }).status)
    proxy:wait_log "(the value of field X%-One has a control character in it)"
    assert.equal(500, client.request({ port = proxy.port, path = "/framing" }).status)
    proxy:wait_log "(the field Content%-Length cannot be set)"
    client.request { port = proxy.port, path = "/body" }
    proxy:wait_log "(session:set_response_header is not allowed in response_body_filter)"
  end)
end)
