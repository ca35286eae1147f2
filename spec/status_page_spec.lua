-- SPDX-License-Identifier: Apache-2.0
-- The status page in a real browser. Chromium is not among the packages that `make test` installs: without it these
-- specs are pending, and say so.
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"

after_each(require("cleanup").run)

local function find_browser()
  for _, name in ipairs { "chromium", "chromium-browser", "google-chrome" } do
    local pipe = io.popen("command -v " .. name .. " 2>/dev/null")
    local path = pipe:read "*l"
    pipe:close()
    if path then return path end
  end
end
local browser = find_browser()

--- The document as it is after two seconds of the page's own time.
local function render(proxy)
  local directory = process.directory()
  local result = process.run({
    browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-dev-shm-usage", "--user-data-dir=" .. directory .. "/profile", "--virtual-time-budget=2000",
    "--enable-logging=stderr", "--dump-dom",
    ("http://127.0.0.1:%d/"):format(proxy.admin_port),
  }, { directory = directory, timeout = 180 })
  assert.equal(0, result.code, result.stderr)
  assert.not_matches("CONSOLE", result.stderr)
  return result.stdout
end

describe("the status page", function()
  it("needs nothing from elsewhere", function()
    local proxy = perilune.start { settings = { "--admin", "127.0.0.1:0" }, to = { "127.0.0.1:1" } }
    local response = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/" }
    assert.equal(200, response.status)
    assert.equal("text/html; charset=utf-8", response.headers["content-type"])
    assert.matches("default%-src 'none'", response.headers["content-security-policy"])
    for address in response.body:gmatch "https?://[^\"' ]+" do assert.equal("http://www.w3.org/2000/svg", address) end
    assert.not_matches("<link", response.body)
    assert.not_matches(" src=", response.body)
  end)

  if not browser then
    pending "is drawn by Chromium, which is not installed here: apt-get install chromium"
    return
  end

  it("shows what the proxy does", function()
    local origin = origins.start "a"
    local proxy = perilune.start { workers = 2, settings = { "--admin", "127.0.0.1:0" }, policy = policies.fill([[
      local perilune = require "perilune"
      local set = require("perilune.round_robin").new { name = "app", "$ORIGIN", "127.0.0.1:1" }
      require("perilune.health_check").tcp(set, { interval = 0.05 })
      perilune.listen("127.0.0.1:0", {
        request_filter = function(session)
          if session:path() == "/raise" then error "no" end
        end,
        upstream_peer = function() return { address = set:select() } end,
      })
    ]], { ORIGIN = origin.address }) }
    metrics.wait(proxy, 'perilune_backend_up{set="app",backend="127.0.0.1:1"}', 0)
    for _ = 1, 5 do client.request(proxy.port) end
    client.request { port = proxy.port, path = "/raise" }
    metrics.wait(proxy, ('perilune_requests_total{listener="127.0.0.1:%d",status="500"}'):format(proxy.port), 1)
    local page = render(proxy)
    assert.matches(">serving<", page)
    assert.matches("6 since the start", page)
    assert.matches(">127.0.0.1:" .. proxy.port .. "<", page)
    assert.matches(origin.address:gsub("%p", "%%%0") .. "</td><td[^>]*><span class=\"tag good\">healthy", page)
    assert.matches("127%.0%.0%.1:1</td><td[^>]*><span class=\"tag bad\">unhealthy", page)
    assert.matches("1 of 2 are up", page)
    assert.matches(">request_filter<.->6</td><td class=\" bad\">1<", page)
    assert.matches("the policy raised an error", page)
    assert.matches("generation 1 is in force", page)
    assert.matches("<path class=\"curve\"", page)
  end)

  it("takes nothing that the proxy says for HTML", function()
    local directory = process.directory()
    local script = process.write_file(directory .. "/<img src=x onerror=document.title='evil'>.lua", [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(s) return s:respond { status = 200 } end })
    ]])
    local page = render(perilune.start { script = script, settings = { "--admin", "127.0.0.1:0" } })
    assert.matches("&lt;img src=x", page)
    assert.not_matches("<img", page)
    assert.not_matches("<title>evil", page)
  end)
end)
