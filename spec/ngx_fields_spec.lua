-- SPDX-License-Identifier: Apache-2.0
-- Fields that handlers write through perilune.ngx: any value becomes text as in OpenResty, and none can end its line.
local cleanup = require "cleanup"
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"

local POLICY = [[
  local perilune = require "perilune"
  local ngx_layer = require "perilune.ngx"
  ngx_layer {}
  local hooks = ngx_layer.hooks {
    access = function()
      local set = ngx.req.set_header
      set("X-True", true)
      set("X-Number", 1.5)
      set("X-Nan", 0/0)
      set("X-Line", "a\r\nX-More: b\t\0\127")
      set("X-Many", { "c", false, 2, "d\n" })
      set("X-Twice", 1)
      set("X-Twice", {})
      set(12, "twelve")
      set("X-Gone", 1)
      ngx.req.clear_header "x-gone"
      ngx.req.clear_header(12.5)
      set("Content-Length", 99)
      ngx.req.clear_header "Content-Length"
    end,
    header_filter = function()
      ngx.header["X-True"] = true
      ngx.header["X-Inf"] = 1/0
      ngx.header["X-Line"] = "a\r\nX-More: b\t\0\127"
      ngx.header["X-Many"] = { "c", false, 2, "d\n" }
      ngx.header[12] = "twelve"
      ngx.header["X-Read"] = ngx.header[12]
    end,
  }
  function hooks.upstream_peer() return "$PEER" end
  perilune.listen("127.0.0.1:0", hooks)
]]

describe("fields that ngx writes", function()
  local head, response
  setup(function()
    local origin = origins.start(function(connection)
      head = connection:read_until "\r\n\r\n" .. connection:read(4)
      connection:send "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    end)
    local proxy = perilune.start { workers = 1, policy = policies.fill(POLICY, { PEER = origin.address }) }
    response = client.request { port = proxy.port, path = "/", method = "POST", body = "body" }
  end)
  teardown(cleanup.run)

  it("become texts in a request", function()
    assert.equal(200, response.status)
    for _, line in ipairs { "X-True: true", "X-Number: 1.5", "X-Nan: nan", "X-Many: c", "X-Many: false", "X-Many: 2",
      "12: twelve" } do
      assert.is_truthy(head:find("\r\n" .. line .. "\r\n", 1, true), line .. " in " .. head)
    end
    assert.is_nil(head:find "X%-Twice")
    assert.is_nil(head:find "X%-Gone")
  end)

  it("become texts in a response", function()
    for _, line in ipairs { "X-True: true", "X-Inf: inf", "X-Many: c", "X-Many: false", "X-Many: 2", "12: twelve",
      "X-Read: twelve" } do
      assert.is_truthy(response.head:find("\r\n" .. line .. "\r\n", 1, true), line .. " in " .. response.head)
    end
  end)

  it("cannot end their line: control characters are written as nginx does it", function()
    for _, text in ipairs { head, response.head } do
      assert.is_truthy(text:find("\r\nX-Line: a%0D%0AX-More: b\t%00%7F\r\n", 1, true), text)
      assert.is_truthy(text:find("\r\nX-Many: d%0A\r\n", 1, true), text)
      assert.is_nil(text:find "\nX%-More")
    end
  end)

  it("leave the framing as it is", function()
    assert.matches("\r\nContent%-Length: 4\r\n\r\nbody$", head)
  end)
end)
