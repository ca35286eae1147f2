-- SPDX-License-Identifier: Apache-2.0
-- What spans of traces say, of texts and numbers of each length: a length takes one byte or two.
local client = require "client"
local otlp = require "otlp"
local perilune = require "perilune"
local policies = require "policies"

after_each(require("cleanup").run)

local ID = "0af7651916cd43dd8448eb211c80319c"
local SAMPLED = ("00-%s-b7ad6b7169203331-01"):format(ID)
local MOST = 256

local POLICY = [[
local perilune = require "perilune"
perilune.tracing { endpoint = "$URL", interval = 0.1, ratio = 1 }
perilune.listen("127.0.0.1:0", { request_filter = function(session)
  return session:respond { status = tonumber(session:get_header "x-status") }
end })
]]

local function lengths()
  local list = { MOST - 1, MOST, MOST + 1, MOST + 44 }
  for length = 2, 20 do list[#list + 1] = length end
  for length = 95, 132 do list[#list + 1] = length end
  return list
end

-- That can be told from any part of it.
local function text(first, length) return first .. ("m"):rep(length - 2) .. "z" end

describe("a span", function()
  it("has texts of each length as they are, cut behind 256 bytes, and numbers of each size", function()
    local collector, by_status = otlp.start(), {}
    local proxy = perilune.start { workers = 1, policy = policies.fill(POLICY, { URL = collector.url }) }
    for i, length in ipairs(lengths()) do
      client.request { port = proxy.port, path = text("/", length), headers = { traceparent = SAMPLED,
        ["User-Agent"] = text("u", length), ["X-Status"] = 200 + i, Host = ("h:%d"):format(length * 200) } }
    end
    for _, span in ipairs(collector:await(#lengths(), ID)) do
      by_status[span.attributes["http.response.status_code"]] = span.attributes
    end
    for i, length in ipairs(lengths()) do
      local got = by_status[200 + i]
      assert.same({ text("u", length):sub(1, MOST), text("/", length):sub(1, MOST), "h", length * 200 },
        { got["user_agent.original"], got["url.path"], got["server.address"], got["server.port"] })
    end
  end)
end)
