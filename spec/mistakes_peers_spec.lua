-- SPDX-License-Identifier: Apache-2.0
-- Mistakes in peers: what the log says of a peer that cannot be used, and of a request that no backend serves.
local client = require "client"
local perilune = require "perilune"
local process = require "process"

after_each(require("cleanup").run)

local POLICY = [[
local perilune, policy = require "perilune", {}; local upstreams = require("perilune.round_robin").new { "127.0.0.1:1" }
%s
function policy.upstream_peer() return upstreams:select() end
function policy.fail_to_proxy() return 599 end
perilune.listen("127.0.0.1:0", policy)
]]

-- { what upstream_peer does, after the request was given its id; what the log warns of }
local UNSERVED = {
  { "return upstreams:select()", "peer 127.0.0.1:1: the peer refused the connection" },
  { "return orders:select()", "set 'orders': 2 backends, and each is drained or disabled" },
  { "return { address = orders:select() }", "set 'orders': 2 backends, and each is drained or disabled" },
  { "return nobody:select()", "set 'nobody': it has no backends" },
}

-- { what upstream_peer returns, what is said behind the line }
local PEERS = {
  { "{ address = '127.0.0.1:1', alpn = { 'h2' } }",
    "'alpn' must be one of: http/1.1, none, h2, 'h2,http/1.1'; got table" },
  { "{ address = '127.0.0.1:1', alpn = 'h2' }", "alpn are for TLS, and tls = true is missing" },
  { "{ address = '127.0.0.1:1', http2 = true, tls = true }", "with tls = true, write alpn = \"h2\"" },
  { "{ address = '127.0.0.1:1', h2c = true }", "'h2c' %(a peer without TLS is asked over HTTP/2 with http2 = true%)" },
  { "{ address = '127.0.0.1:1', ping_interval = 'x' }", "'ping_interval' must be a number of seconds" },
  { "{ url = 'http://127.0.0.1:1' }", "'url' %(write address = \"host:port\", and tls = true for https%)" },
}

describe("a peer that cannot be used is in the log with its line, and the request:", function()
  for _, case in ipairs(PEERS) do
    it(case[1], function()
      local proxy = perilune.start { workers = 1, script = process.write_file(process.directory() .. "/p.lua",
        ('\nrequire("perilune").listen("127.0.0.1:0", { upstream_peer = function() return %s end })')
          :format(case[1])) }
      assert.equal(500, client.request(proxy.port).status)
      assert.matches(case[2] .. ".* %(GET / of client ", proxy:wait_log "upstream_peer failed: [^\n]*p%.lua:2[^\n]*")
    end)
  end
end)

describe("a request that no backend serves is in the log with the set or the peer, and the request:", function()
  for _, case in ipairs(UNSERVED) do
    it(case[1], function()
      local proxy = perilune.start { workers = 1, script = process.write_file(process.directory() .. "/p.lua",
        POLICY:format([[
local orders = require("perilune.round_robin").new { "127.0.0.1:1", "127.0.0.1:2", name = "orders" }
local nobody = require("perilune.round_robin").new { name = "nobody" }
for position = 1, 2 do orders:set_enabled(position, false) end
function policy.request_filter(session, ctx) ctx.request_id = "7f3a" end]]):gsub("return upstreams:select%(%)",
          case[1])) }
      client.request { port = proxy.port, path = "/orders/1?secret=2" }
      local line = proxy:wait_log "warn worker 0: ([^\n]*)\n"
      assert.equal(case[2], line:sub(1, #case[2]))
      assert.matches(" %(GET /orders/1 of client 127%.0%.0%.1:%d+, request id 7f3a%)$", line)
    end)
  end
end)
