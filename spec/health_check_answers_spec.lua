-- SPDX-License-Identifier: Apache-2.0
-- What an HTTP health check asks decides, and nothing else of the answer: not the size of its body, nor how or whether
-- that ends. What is not asked for is not read.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local LARGE = ("x"):rep(200000)
local OK = "HTTP/1.1 200 OK\r\n"

local function length(body) return OK .. "Content-Length: " .. #body .. "\r\n\r\n" .. body end
local function chunked(body, trailers)
  return ("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n%s\r\n"):format(OK, #body, body, trailers or "")
end

local function pattern(address) return (address:gsub("%p", "%%%0")) end

-- An origin that plays an answer, and keeps its connection open behind it where that says so.
local function playing(answer)
  local origin
  origin = origins.start(function(connection)
    if not connection:read_request() then return end
    if answer.text then connection:send(answer.text) end
    while answer.endless and connection:send(answer.endless) do scheduler.sleep(0.001) end
    if answer.stays then connection:receive_all() end
    origin.dropped = (origin.dropped or 0) + 1
  end)
  return origin
end

-- Starts an origin for each answer, and a proxy that checks them all. A check that went well leaves no trace, so the
-- next ones must have begun.
local function check(cases, options)
  local list, peers = {}, {}
  for i, case in ipairs(cases) do
    list[i] = playing(case)
    peers[i] = list[i].address
  end
  local proxy = perilune.start {
    workers = 1,
    policy = policies.fill([[
      local upstreams = require("perilune.round_robin").new $PEERS
      require("perilune.health_check").http(upstreams, { interval = 0.05, timeout = $TIMEOUT, $OPTIONS })
      require("perilune").listen("127.0.0.1:0", { upstream_peer = function() return upstreams:select() end })
    ]], { PEERS = peers, OPTIONS = options, TIMEOUT = "20" }),
  }
  for i, case in ipairs(cases) do
    if case.why then proxy:wait_log(pattern(peers[i]) .. " is unhealthy: " .. case.why)
    else scheduler.eventually(function() return #list[i].requests > 2 end, nil, case[1]) end
  end
  return proxy, list
end

local function none_failed(proxy)
  if proxy:count_log "unhealthy" > 0 then error(proxy:log(), 0) end
end

describe("an HTTP health check that asks for a status", function()
  it("takes it for fine whatever the body is", function()
    local proxy = check({
      { "small", text = length "ok" },
      { "large", text = length(LARGE) },
      { "larger than is sent", text = OK .. "Content-Length: 1000000\r\n\r\nx", stays = true },
      { "cut", text = OK .. "Content-Length: 1000000\r\n\r\nx" },
      { "chunked", text = chunked "ok" },
      { "chunked, with trailers", text = chunked("ok", "A: b\r\nContent-Length: 5\r\n") },
      { "broken chunks", text = OK .. "Transfer-Encoding: chunked\r\n\r\nzz\r\n" },
      { "up to the end of the connection", text = OK .. "\r\nok" },
      { "up to an end that does not come", text = OK .. "\r\nok", stays = true },
      { "without end", text = OK .. "\r\n", endless = LARGE },
      { "without end, in chunks", text = OK .. "Transfer-Encoding: chunked\r\n\r\n", endless = "1\r\nx\r\n" },
      { "behind interim responses",
        text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nLink: a\r\n\r\n" .. length "ok" },
      { "with more behind it", text = length "ok" .. length "more" },
      { "of HTTP/1.0", text = "HTTP/1.0 200 OK\r\n\r\nok" },
      { "none", text = "HTTP/1.1 204 No Content\r\n\r\n", stays = true },
      { "none, as 304 has it", text = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", stays = true },
    }, "statuses = { '200-399' }")
    none_failed(proxy)
    assert.equal(200, client.request(proxy.port).status)
  end)

  it("asks with HEAD, too", function()
    none_failed((check({
      { "with a length", text = OK .. "Content-Length: 1000000\r\n\r\n", stays = true },
      { "with chunks", text = OK .. "Transfer-Encoding: chunked\r\n\r\n", stays = true },
    }, "method = 'HEAD'")))
  end)

  it("drops the connection of what it does not read", function()
    local _, list = check({ { "without end", text = OK .. "\r\n", endless = LARGE } }, "")
    scheduler.eventually(function() return (list[1].dropped or 0) > 1 end)
  end)

  it("fails for another status, and where there is none", function()
    check({
      { text = "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", why = "it answered 500" },
      { text = "HTTP/1.1 500 X\r\n\r\n", endless = "x", why = "it answered 500" },
      { why = "%S+ closed" },
      { text = "hello\r\n\r\n", why = "" },
      { text = "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        why = "%S+ the server switched protocols" },
    }, "")
  end)
end)

describe("an HTTP health check that asks for a text", function()
  it("looks for it in the beginning of the body, and not at the rest", function()
    none_failed((check({
      { "all", text = length "fine" },
      { "within", text = length("it is fine" .. LARGE) },
      { "cut behind it", text = OK .. "Content-Length: 1000000\r\n\r\nfine" },
      { "before an end that does not come", text = OK .. "\r\nfine", stays = true },
      { "without end", text = OK .. "\r\nfine", endless = LARGE },
      { "in chunks", text = OK .. "Transfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2\r\nne\r\n0\r\nA: b\r\n\r\n" },
    }, "body = 'fi+ne', limit = 1000")))
  end)

  it("waits for the end where the pattern has one", function()
    check({
      { "at the end", text = length "it is fine" },
      { text = length "fine, but", why = "its body lacks fine%$" },
    }, "body = 'fine$'")
  end)

  it("fails where it is not there, or too far behind", function()
    check({
      { text = length "bad", why = "its body lacks fine" },
      { text = length(("x"):rep(1000) .. "fine"), why = "its body lacks fine" },
      { text = OK .. "\r\n", endless = LARGE, why = "its body lacks fine" },
      { text = "HTTP/1.1 204 No Content\r\n\r\n", stays = true, why = "its body lacks fine" },
    }, "body = 'fine', limit = 1000, statuses = { '200-299' }")
  end)
end)
