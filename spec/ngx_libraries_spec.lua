-- SPDX-License-Identifier: Apache-2.0
-- Debian's packages of lua-resty libraries, unmodified, in a policy, against a real Redis and memcached.
local cleanup = require "cleanup"
local machine = require "machine"
local nginx_libraries = require "nginx_libraries"
local origins = require "origins"
local process = require "process"
local redis_server = require "redis_server"
local scheduler = require "scheduler"
local stream = require "stream"

after_each(cleanup.run)

local function it_with(package, file, program)
  if program and not machine.has_program(program) then
    return function(sentence) pending(sentence .. (" (%s: make deps)"):format(program)) end
  end
  return nginx_libraries.it(it, pending, package, file)
end

local function start(cases, ...)
  return nginx_libraries.start(cases, { path = nginx_libraries.find(...) })
end

local function memcached()
  local directory = process.directory()
  local server = process.start({ "memcached", "-s", directory .. "/m", "-m", "8", "-u", "root", "-t", "1" },
    { directory = directory })
  cleanup.add(2, function()
    server:signal "TERM"
    if not pcall(server.wait, server, 10) then server:kill() end
  end)
  scheduler.eventually(function()
    local connection = stream.connect("unix:" .. directory .. "/m")
    if connection then connection:close() end
    return connection
  end, nil, "memcached")
  return "unix:" .. directory .. "/m"
end

describe("an unmodified library", function()
  it_with("lua-nginx-redis", "nginx/redis.lua", redis_server.program)("resty.redis asks, pipelines, subscribes, and "
    .. "reuses its connections", function()
    local server = redis_server.start()
    local ask = start(([[
      local redis = require "resty.redis"
      local function open()
        local red = redis:new()
        red:set_timeouts(10000, 10000, 10000)
        assert(red:connect(%q))
        return red
      end
      function cases.values()
        local red = open()
        red:set("k", "v")
        red:init_pipeline()
        red:incr "n"
        red:get "k"
        red:lpush("k", 1)
        local all = red:commit_pipeline()
        return red:get "k", red:get "none", all[1], all[2], all[3][1], (all[3][2]:match "^%%u+"),
          red:eval("return {1, 2}", 0)[2], red:set_keepalive(10000, 10)
      end
      function cases.reused()
        local red = open()
        local times = red:get_reused_times()
        red:set_keepalive()
        return times > 0
      end
      function cases.subscribe()
        local red, other = open(), open()
        red:subscribe "news"
        red:set_timeout(20)
        local none, why = red:read_reply()
        red:set_timeout(10000)
        other:publish("news", "hello")
        return none, why, red:read_reply()[3]
      end
      function cases.down()
        local red = open()
        red:set_timeout(100)
        local begun = perilune.now()
        local value, why = red:get "k"
        return value, why, perilune.now() - begun < 5
      end
    ]]):format(server.address), "nginx/redis.lua")
    assert.equal("v|null|1|v|false|WRONGTYPE|2|1", ask "values")
    assert.equal("true", ask "reused")
    assert.equal("nil|timeout|hello", ask "subscribe")
    server:signal "STOP"
    assert.equal("nil|timeout|true", ask "down") -- a Redis that stands still costs its time, and no more
    server:signal "CONT"
  end)

  it_with("lua-nginx-memcached", "nginx/memcached.lua", "memcached")("resty.memcached stores and counts", function()
    local ask = start(([[
      local memcached = require "resty.memcached"
      function cases.values()
        local memc = memcached:new()
        memc:set_timeout(10000)
        assert(memc:connect(%q))
        local a = memc:set("k", "v", 0, 7)
        local value, flags = memc:get "k"
        memc:set("n", 5)
        return a, value, flags, memc:incr("n", 2), memc:get "none", memc:delete "k", memc:set_keepalive(1000, 5)
      end
    ]]):format(memcached()), "nginx/memcached.lua")
    assert.equal("1|v|7|7|nil|1|1", ask "values")
  end)

  it_with("lua-resty-lrucache", "resty/lrucache.lua")("resty.lrucache keeps the newest", function()
    local ask = start([[
      local caches = { require("resty.lrucache").new(2), require("resty.lrucache.pureffi").new(2) }
      function cases.values()
        local out = {}
        for _, cache in ipairs(caches) do
          cache:set("a", 1) cache:set("b", 2) cache:set("c", 3, 10)
          out[#out + 1] = tostring(cache:get "a") .. tostring(cache:get "c")
        end
        return unpack(out)
      end
    ]], "resty/lrucache.lua")
    assert.equal("nil3|nil3", ask "values")
  end)

  it_with("lua-nginx-string", "nginx/string.lua")("resty.string digests, encrypts and reads numbers", function()
    local ask = start([[
      local str, sha256, aes = require "resty.string", require "resty.sha256", require "resty.aes"
      function cases.values()
        local digest = sha256:new()
        digest:update "abc"
        local cipher = aes:new "a key"
        return str.to_hex(digest:final()):sub(1, 8), cipher:decrypt(cipher:encrypt "text"), str.atoi "42", str.atoi "x",
          #require("resty.random").bytes(8)
      end
    ]], "nginx/string.lua")
    assert.equal("ba7816bf|text|42|-1|8", ask "values")
  end)

  it_with("lua-nginx-cookie", "nginx/cookie.lua")("resty.cookie reads and sets cookies", function()
    local ask = start([[
      local cookie = require "resty.cookie"
      function cases.values()
        local jar = cookie:new()
        return jar:get "a", jar:get "none", jar:set { key = "b", value = "c", httponly = true },
          ngx.header["Set-Cookie"]
      end
    ]], "nginx/cookie.lua")
    local text = ask("values", { headers = { Cookie = "a=1" } })
    assert.equal("1|nil|true|b=c; HttpOnly", (text:gsub("|no cookie[^|]*", "")))
  end)

  it_with("lua-nginx-dns", "nginx/dns/resolver.lua")("resty.dns asks by UDP", function()
    local server = require("name_server").start { ["a.test"] = { A = { "192.0.2.7" } } }
    local host, port = server.address:match "^(.*):(%d+)$"
    local ask = start(([[
      local resolver = require "resty.dns.resolver"
      function cases.values()
        local r = assert(resolver:new { nameservers = { { %q, %d } }, timeout = 10000 })
        local answers, why = r:query("a.test", { qtype = r.TYPE_A })
        return answers and answers[1].address, why
      end
    ]]):format(host, port), "nginx/dns/resolver.lua")
    assert.equal("192.0.2.7|nil", ask "values")
  end)

  it_with("lua-nginx-websocket", "nginx/websocket/client.lua")("resty.websocket.client and resty.kafka load", function()
    local ask = start([[
      local websocket, kafka = require "resty.websocket.client", require "resty.kafka.producer"
      function cases.values()
        local client = websocket:new { timeout = 1000 }
        local ok, why = client:connect "ws://127.0.0.1:1/"
        local producer = kafka:new({ { host = "127.0.0.1", port = 1 } }, { max_retry = 1, retry_backoff = 1 })
        local sent, reason = producer:send("topic", nil, "text")
        return ok, why, sent, reason
      end
    ]], "nginx/websocket/client.lua", "nginx/kafka/producer.lua")
    assert.equal("nil|failed to connect: connection refused|nil|not found topic", ask "values")
  end)
end)

describe("require \"socket\" behind perilune.luasocket", function()
  it("is LuaSocket's shape: seconds, patterns, prefixes and partial results", function()
    local origin = origins.start(require("lines").serve)
    local host, port = origin.address:match "^(.*):(%d+)$"
    local ask = nginx_libraries.start(([[
      function cases.values()
        local sock = socket.tcp()
        sock:settimeout(5)
        local ok, none = sock:connect(%q, %d)
        local sent = sock:send("xxECHO 5\r\n", 3)
        local size, text = sock:receive "*l", sock:receive(5, "xx")
        sock:receive "*l"
        sock:send "HALF\r\n"
        local data, why, partial = sock:receive "*a"
        sock:close()
        local try = socket.newtry(function() end)
        local protected = socket.protect(function() try(nil, "no") end)
        local a, b = protected()
        return ok, none, sent, size, text, data, why, a, b, socket.connect(%q, 1), sock:receive()
      end
    ]]):format(host, port, host), { head = 'require "perilune.luasocket" local socket = require "socket"' })
    assert.equal("1|nil|10|$5|xxxxx|+PO|nil|nil|no|nil|nil|closed|", ask "values")
  end)
end)
