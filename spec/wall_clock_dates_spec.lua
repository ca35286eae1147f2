-- SPDX-License-Identifier: Apache-2.0
-- What is a date goes by the wall clock, as it is at the moment: tokens, lines of logs. What is the time between two
-- moments does not, however that clock steps meanwhile: ages, durations, windows of limits, how long ago something was.
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local otlp = require "otlp"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"
local stepped = require "stepped"

after_each(require("cleanup").run)

local HOUR = stepped.HOUR
local WAYS = { back = -HOUR, forth = HOUR }

-- A proxy in front of an origin, ask(path, headers), and step(seconds). `options`: main, hooks, listen (texts of the
-- policy, in which $ADDRESS is the origin's), settings.
local function start(origin, options)
  local env, step = stepped.new()
  local words = { ADDRESS = origin.address, MAIN = options.main or "", HOOKS = options.hooks or "",
    LISTEN = options.listen or "" }
  local text = policies.fill([[
    local perilune = require "perilune"
    local policy = { upstream_peer = function() return "$ADDRESS" end }
    $MAIN
    $HOOKS
    perilune.listen("127.0.0.1:0", policy, { $LISTEN })
  ]], words)
  local proxy = perilune.start { workers = 1, release = true, env = env, settings = options.settings, policy = text }
  local function ask(path, headers)
    return client.request { port = proxy.port, path = path or "/", headers = headers, timeout = 60 }
  end
  return ask, step, proxy
end

-- Answers by its path, at once; "/slow" after a moment.
local function origin_of(answers)
  return origins.start(function(c)
    local request = c:read_request()
    while request do
      if request.target == "/slow" then c:sleep(0.5) end
      c:respond(answers and answers[request.target] or { body = "hello" })
      request = c:read_request()
    end
  end)
end

local CACHE = [[local pages = perilune.cache("pages", { size = "8M", status_header = true })]]

local function cached_for(control) return { headers = { ["Cache-Control"] = control }, body = "stored" } end

for way, seconds in pairs(WAYS) do
  describe("Where the wall clock steps an hour " .. way, function()
    it("a response is as old and as fresh as before", function()
      local origin = origin_of { ["/"] = cached_for "max-age=600", ["/short"] = cached_for "max-age=1",
        ["/grace"] = cached_for "max-age=1, stale-while-revalidate=900" }
      local ask, step = start(origin, { main = CACHE, listen = "cache = pages" })
      for _, path in ipairs { "/", "/short", "/grace" } do
        assert.matches("fwd=uri%-miss", ask(path).headers.cache_status)
      end
      step(seconds)
      local hit = ask "/"
      assert.matches("hit", hit.headers.cache_status)
      assert.is_true(tonumber(hit.headers.age) < 300, hit.headers.age)
      scheduler.eventually(function() return not ask("/short").headers.cache_status:find "hit" end)
      local served
      scheduler.eventually(function() -- within the grace, it is served while it is fetched
        served = ask "/grace"
        return #origin.requests >= 5
      end)
      assert.equal("stored", served.body)
      assert.is_true(tonumber(served.headers.age or "0") < 300, served.headers.age)
    end)

    it("what is purged softly is stale, though it was stored by another clock", function()
      local origin = origin_of { ["/"] = cached_for "max-age=1800" }
      local ask, step = start(origin, { main = CACHE, hooks = [[function policy.request_filter(session)
          if session:path() ~= "/purge" then return end
          pages:purge("http://" .. session:host() .. "/", { soft = true })
          return session:respond { status = 200, body = "done" }
        end]], listen = "cache = pages" })
      ask()
      step(seconds)
      assert.matches("hit", ask().headers.cache_status)
      ask "/purge"
      assert.matches("fwd=stale", ask().headers.cache_status)
      assert.equal(2, #origin.requests)
    end)

    it("a limit counts in the same window, which ends in its time", function()
      local ask, step = start(origin_of(), { main = [[
        local rate_limit = require "perilune.rate_limit"
        local limits = { ["/long"] = rate_limit.new { by = "path", max = 2, interval = 600, name = "a" },
          ["/bucket"] = rate_limit.bucket { by = "path", max = 2, interval = 600, name = "b" },
          ["/sliding"] = rate_limit.sliding { by = "path", max = 2, interval = 600, name = "c" },
          ["/short"] = rate_limit.new { by = "path", max = 2, interval = 1, name = "d" } }
        function policy.request_filter(session, ctx) return limits[session:path()](session, ctx) end
      ]] })
      for _, path in ipairs { "/long", "/bucket", "/sliding" } do
        for _ = 1, 2 do assert.equal(200, ask(path).status) end
        assert.equal(429, ask(path).status)
      end
      scheduler.eventually(function() return ask("/short").status == 429 end)
      step(seconds)
      for _, path in ipairs { "/long", "/bucket", "/sliding" } do assert.equal(429, ask(path).status, path) end
      scheduler.eventually(function() return ask("/short").status == 200 end)
    end)

    it("a span and a line of the access log have the date of now and their own duration", function()
      local collector, log = otlp.start(), process.directory() .. "/access.log"
      local origin = origin_of()
      local ask, step = start(origin, {
        main = ("perilune.tracing { endpoint = %q, ratio = 1, interval = 0.1 }"):format(collector.url),
        listen = ("access_log = %q, access_log_format = 'json'"):format(log),
      })
      local answer
      scheduler.all {
        function() answer = ask "/slow" end,
        function()
          scheduler.eventually(function() return #origin.requests == 1 end)
          step(seconds)
        end,
      }
      assert.equal("hello", answer.body)
      for _, span in ipairs(collector:await(2)) do
        local took = (span.finish - span.begin) / 1e9
        assert.is_true(took >= 0.45 and took < 60, took)
        assert.is_true(math.abs(span.finish / 1e9 - os.time() - seconds) < 300, span.finish)
      end
      local line = scheduler.eventually(function() return process.read_file(log):match "[^\n]+" end)
      local day, hour, minute, second = line:match '"time":"([%d-]+)T(%d+):(%d+):(%d+)'
      assert.truthy(day, line)
      local off = (hour * 3600 + minute * 60 + second - (os.time() + seconds)) % 86400 -- either side of midnight
      assert.is_true(off < 600 or off > 86400 - 600, line)
      local took = tonumber(line:match '"duration":([%d.]+)')
      assert.is_true(took >= 0.45 and took < 60, line)
    end)

    it("a token is valid by the clock of now", function()
      local ask, step = start(origin_of(), { main = [[
        local secret, url = ("secret"):rep(6), perilune.base64.encode_url
        local check = require("perilune.token_auth").new { secret = secret }
        function policy.request_filter(session, ctx)
          if session:path() ~= "/token" then return check(session, ctx) end
          local now = perilune.time()
          local claims = perilune.json.encode { exp = now + 600, nbf = now - 600 }
          local signed = url '{"alg":"HS256"}' .. "." .. url(claims)
          local signature = url(perilune.crypto.hmac_sha256(secret, signed))
          return session:respond { status = 200, body = signed .. "." .. signature }
        end
      ]] })
      local headers = { Authorization = "Bearer " .. ask("/token").body }
      assert.equal(200, ask("/", headers).status)
      step(seconds)
      assert.equal(401, ask("/", headers).status)
      assert.equal(200, ask("/", { Authorization = "Bearer " .. ask("/token").body }).status)
      step(0)
      assert.equal(200, ask("/", headers).status)
    end)

    it("status says for how long the process is there, and since when a list of backends is right", function()
      local origin = origin_of()
      local list = process.write_file(process.directory() .. "/list", origin.address .. "\n")
      local sockets = process.directory() .. "/commands"
      local ask, step, proxy = start(origin, { settings = { "--admin", "127.0.0.1:0", "--socket", sockets }, main = ([[
        local set = require("perilune.round_robin").new { "$ADDRESS", name = "app" }
        require("perilune.discovery").file(set, %q)
        function policy.upstream_peer() return set:select() end
      ]]):gsub("%$ADDRESS", origin.address):format(list) })
      assert.equal(200, ask().status)
      scheduler.eventually(function() return metrics.status(proxy).discovery[1].good_at > 0 end)
      step(seconds)
      local status = metrics.status(proxy)
      assert.is_true(status.up_seconds < 600, status.up_seconds)
      assert.is_true(status.discovery[1].age_seconds < 600, status.discovery[1].age_seconds)
      assert.is_true(math.abs(status.now - os.time() - seconds) < 300)
      local text = perilune.run("status", "--socket", sockets).stdout
      assert.matches("up 0d 00:0%d:%d%d", text)
      assert.matches("in force for 0d 00:0%d:%d%d", text)
      assert.matches("as of %d+ s ago", text)
      assert.is_true(tonumber(text:match "as of (%d+) s ago") < 600, text)
    end)
  end)
end
