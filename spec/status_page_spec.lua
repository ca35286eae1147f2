-- SPDX-License-Identifier: Apache-2.0
-- The status page in a real browser, Chromium. Where there is none these specs are pending, and say so.
local blocked = require "blocked"
local browser = require "browser"
local cleanup = require "cleanup"
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"

after_each(cleanup.run)

local ADMIN = { "--admin", "127.0.0.1:0" }
local WIDTHS = { 1280, 420 }

local function render(proxy) return browser.render(("http://127.0.0.1:%d/"):format(proxy.admin_port)) end

-- What is wrong with any page, whatever the proxy does. The text at the first width.
local function look(proxy, meanwhile)
  local result = browser.look(proxy, WIDTHS, meanwhile)
  assert.same({}, result.told)
  for i, seen in ipairs(result.looks) do
    for _, word in ipairs { "undefined", "NaN", "null", "Infinity", "%[object" } do
      assert.not_matches(word, seen.html, ("at a width of %d"):format(seen.width))
    end
    assert.equal(WIDTHS[i], seen.width)
    assert.is_true(seen.needs <= seen.width, ("needs %d of %d px"):format(seen.needs, seen.width))
    assert.same({}, seen.overlapping)
  end
  return result.looks[1].text, result.looks[2].text
end

-- What stands under a tile's or a card's title, in one line.
local function below(text, title)
  local at = select(2, text:lower():find(title:lower(), 1, true))
  assert(at, "there is no '" .. title .. "' in " .. text)
  return (text:sub(at + 1, at + 400):gsub("%s+", " "))
end

describe("the status page", function()
  it("needs nothing from elsewhere", function()
    local proxy = perilune.start { settings = ADMIN, to = { "127.0.0.1:1" } }
    local response = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/" }
    assert.equal(200, response.status)
    assert.equal("text/html; charset=utf-8", response.headers["content-type"])
    assert.matches("default%-src 'none'", response.headers["content-security-policy"])
    for address in response.body:gmatch "https?://[^\"' ]+" do assert.equal("http://www.w3.org/2000/svg", address) end
    assert.not_matches("<link", response.body)
    assert.not_matches(" src=", response.body)
  end)

  if not browser.find() then
    pending "is drawn by Chromium, which is not installed here: make deps"
    return
  end

  it("says of an idle proxy that nothing happened, at any width", function()
    local text = look(perilune.start { workers = 2, settings = ADMIN, to = { "127.0.0.1:1" } })
    assert.matches("^ – no request in 10 s", below(text, "5xx or no answer, 10 s"))
    assert.matches("^ – p99 –", below(text, "Response time, median"))
    assert.matches("^ – 0 open, 0 of them idle", below(text, "Peer connections reused"))
    assert.matches("no request in the last 120 s", below(text, "Requests per second"))
    assert.matches("no request in the last 120 s.-no request in the last 120 s", text)
    assert.matches("1 of 1 are up", text)
    assert.not_matches("NEEDS ATTENTION", text)
  end)

  it("shows what a busy proxy does, at any width", function()
    local origin = origins.start "a"
    local proxy = perilune.start { workers = 2, settings = ADMIN, policy = policies.fill([[
      local perilune = require "perilune"
      local set = require("perilune.round_robin").new { name = "app", "$ORIGIN", "127.0.0.1:1" }
      require("perilune.rate_limit").new { header = "appid", max = 1000, interval = 1, name = "each" }
      require("perilune.health_check").tcp(set, { interval = 0.05 })
      perilune.listen("127.0.0.1:0", {
        request_filter = function(session)
          if session:path() == "/raise" then error "no" end
        end,
        upstream_peer = function() return { address = set:select() } end,
      })
    ]], { ORIGIN = origin.address }) }
    metrics.wait(proxy, 'perilune_backend_up{set="app",backend="127.0.0.1:1"}', 0)
    local is_seen, asking = false, nil
    local function ask_six()
      for _ = 1, 5 do client.request(proxy.port) end
      client.request { port = proxy.port, path = "/raise" }
    end
    local text = look(proxy, function() -- it shows the last 10 s, and a browser may take longer to come
      ask_six()
      metrics.wait(proxy, ('perilune_requests_total{listener="127.0.0.1:%d",status="500"}'):format(proxy.port), 1)
      scheduler.eventually(function()
        local total = 0
        for _, second in ipairs(metrics.status(proxy).seconds) do total = total + second[1] end
        return total >= 6
      end)
      asking = scheduler.spawn(function()
        while not is_seen do
          ask_six()
          scheduler.sleep(0.5)
        end
      end)
    end)
    is_seen = true
    scheduler.eventually(function() return asking.is_done end)
    local total = tonumber(text:match "(%d+) since the start")
    assert.is_true(total >= 6, total)
    local percent, failed, all = below(text, "5xx or no answer, 10 s"):match "^ ([%d.]+)%% (%d+) of (%d+) requests"
    assert(percent, text)
    assert.equal(("%.2f"):format(100 * failed / all), percent)
    assert.is_true(tonumber(failed) >= 1 and tonumber(failed) <= math.ceil(all / 6) + 1, text) -- of six, one
    local calls, errors = text:match "request_filter.-%s(%d+)%s+(%d+)%s"
    assert.is_true(tonumber(errors) >= 1 and tonumber(calls) >= 6 * errors, text)
    assert.matches("127.0.0.1:" .. proxy.port, text, 1, true)
    assert.matches(origin.address:gsub("%p", "%%%0") .. "%s+healthy%s+app", text)
    assert.matches("127%.0%.0%.1:1%s+unhealthy%s+app%s+1%s+[%d.–]+", text)
    assert.matches("1 of 2 are up", text)
    assert.matches("the policy raised an error", text)
    assert.matches("generation 1 is in force", text)
    assert.matches("serving", text)
    assert.not_matches("no request in the last", text)
  end)

  it("names a stuck worker, who accepts for it, and what else needs attention", function()
    local policy = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
]] .. blocked.BLOCK .. [[
        error "so"
      end })
    ]]
    local proxy = blocked.start { policy = policy }
    for _ = 1, 30 do client.request(proxy.port) end -- lines that repeat
    blocked.ask(proxy)
    blocked.await_helper(proxy)
    local text = look(proxy)
    assert.matches("worker %d is stuck in request_filter at .-lua:%d+ for %d+ s; worker %d accepts", text)
    assert.matches("25 lines of the error log counted instead of written", text)
    assert.matches("1 worker stuck", text)
    assert.not_matches("serving", text)
  end)

  it("takes nothing that the proxy says for HTML", function()
    local directory = process.directory()
    local script = process.write_file(directory .. "/<img src=x onerror=document.title='evil'>.lua", [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(s) return s:respond { status = 200 } end })
    ]])
    local page = render(perilune.start { script = script, settings = ADMIN })
    assert.matches("&lt;img src=x", page)
    assert.not_matches("<img", page)
    assert.not_matches("<title>evil", page)
  end)
end)
