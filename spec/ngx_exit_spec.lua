-- SPDX-License-Identifier: Apache-2.0
-- Handlers of OpenResty's phases: the words of the phases, and which of them ngx.exit ends.
local cleanup = require "cleanup"
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local scheduler = require "scheduler"

after_each(cleanup.run)

describe("ngx.exit in handlers", function()
  local origin
  local function start(handlers, more)
    origin = origins.start "page"
    return perilune.start { workers = 1, policy = ([[
      local perilune = require "perilune"
      local layer = require "perilune.ngx"
      layer {}
      local hooks = layer.hooks { %s }
      %s
      perilune.listen("127.0.0.1:0", hooks)
    ]]):format(handlers, more or ("function hooks.upstream_peer() return %q end"):format(origin.address)) }
  end
  local function get(proxy, path) return client.request { port = proxy.port, path = path } end

  it("ends one phase with ngx.OK or ngx.DECLINED, and not the next", function()
    local proxy = start [[
      rewrite = function() ngx.ctx.seen = ngx.get_phase() ngx.exit(ngx[ngx.var.arg_word]) end,
      access = function() if ngx.var.uri == "/no" then ngx.exit(403) end ngx.exit(ngx.OK) end,
      header_filter = function() ngx.header["X-Seen"] = ngx.ctx.seen end,
    ]]
    for _, word in ipairs { "OK", "DECLINED" } do
      assert.equal(403, get(proxy, "/no?word=" .. word).status)
      local response = get(proxy, "/yes?word=" .. word)
      assert.same({ "page", "rewrite" }, { response.body, response.headers.x_seen })
    end
  end)

  it("ends the request with ngx.ERROR, which no backend sees", function()
    local proxy = start [[
      rewrite = function() if ngx.var.uri == "/rewrite" then ngx.exit(ngx.ERROR) end end,
      access = function() if ngx.var.uri == "/access" then pcall(ngx.exit, ngx.ERROR) end end,
    ]]
    for _, path in ipairs { "/rewrite", "/access" } do
      local connection = client.connect(proxy.port)
      connection:send("GET " .. path .. " HTTP/1.1\r\nHost: a\r\n\r\n")
      assert.equal("", connection:receive_all())
    end
    assert.equal(0, #origin.requests)
    assert.equal("page", get(proxy, "/").body)
    assert.is_nil(proxy:log():find "error")
  end)

  it("answers by its status where a backend is looked for, and by 500 with ngx.ERROR", function()
    local proxy = start([[
      balancer = function() ngx.exit(tonumber(ngx.var.arg_status)) end,
    ]], " ")
    assert.equal(503, get(proxy, "/?status=503").status)
    assert.equal(500, get(proxy, "/?status=-1").status)
  end)

  it("lets content answer in every case", function()
    local proxy = start([[
      access = function() ngx.exit(ngx.OK) end,
      content = function()
        if ngx.var.uri == "/none" then return end
        if ngx.var.uri == "/status" then ngx.status = 202 end
        if ngx.var.uri == "/said" then ngx.print(ngx.get_phase()) end
        ngx.exit(ngx.OK)
      end,
    ]])
    local said = {}
    for i, path in ipairs { "/none", "/status", "/said", "/exit" } do
      local response = get(proxy, path)
      said[i] = response.status .. response.body
    end
    assert.same({ "200", "202", "200content", "200" }, said)
    assert.equal(0, #origin.requests)
  end)

  it("tells an error of a handler at its line", function()
    local proxy = start 'access = function()\n local x = nil\n return x.y\n end,'
    assert.equal(500, get(proxy, "/").status)
    proxy:wait_log "policy.lua:6: .*'x'.*a nil value"
  end)
end)

describe("phases of ngx", function()
  it("have nginx's words in each hook", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        connection:respond { status = 201, headers = { { "X-Of", "origin" } }, body = "b" }
      end
    end)
    local proxy = perilune.start { workers = 1, policy = ([[
      local perilune = require "perilune"
      local layer = require "perilune.ngx"
      layer { dicts = { seen = "64k" }, vars = { chosen = "none" } }
      local seen, main = ngx.shared.seen, ngx.get_phase()
      local function note(text) ngx.ctx.phases = (ngx.ctx.phases or main) .. " " .. ngx.get_phase() .. (text or "") end
      local hooks = layer.hooks {
        init_worker = function() seen:set("init_worker", ngx.get_phase()) end,
        rewrite = function() note() ngx.exit(0) end,
        access = function() note() end,
        header_filter = function() note(ngx.var.upstream_status .. ngx.var.upstream_http_x_of .. ngx.status) end,
        body_filter = function() if ngx.arg[2] then note() end end,
        log = function()
          local var = ngx.var
          note(table.concat({ "", var.status, var.body_bytes_sent, var.upstream_addr, var.chosen }, "/"))
          seen:set("phases", ngx.ctx.phases)
          ngx.timer.at(0, function() seen:set("timer", ngx.get_phase()) end)
        end,
      }
      function hooks.upstream_peer() note() ngx.var.chosen = "one" return %q end
      perilune.listen("127.0.0.1:0", hooks)
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = 200, body = ("%%s|%%s|%%s"):format(tostring(seen:get "phases"),
          tostring(seen:get "init_worker"), tostring(seen:get "timer")) }
      end })
    ]]):format(origin.address) }
    assert.equal(201, client.request(proxy.port).status)
    local wanted = ("init_worker rewrite access balancer header_filter201origin201 body_filter log/201/1/%s/one"
      .. "|init_worker|timer"):format(origin.address)
    local said
    scheduler.eventually(function()
      said = client.request(proxy.ports[2]).body
      if said ~= wanted then error(said, 0) end
      return true
    end)
  end)
end)
