-- SPDX-License-Identifier: Apache-2.0
-- The examples of docs/from_openresty.md do what their texts say, as they are written there. resty.redis is Debian's
-- package; in the place of lua-resty-jwt, which Debian has not, stands a module with its one function that is used.
local client = require "client"
local nginx_libraries = require "nginx_libraries"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local redis_server = require "redis_server"

after_each(require("cleanup").run)

local text = process.read_file "docs/from_openresty.md"

local function blocks_of(title)
  local part = assert((text .. "\n## "):match("\n## " .. title .. "\n(.-)\n## "), title)
  local blocks = {}
  for block in part:gmatch "```l?u?a?\n(.-)```" do blocks[#blocks + 1] = block end
  return blocks
end

local JWT = [[
local jwt, perilune = require "perilune.jwt", require "perilune"
local M = {}
function M.verify(_, secret, token)
  local payload = jwt.check(token, { allowed = { HS256 = true }, named = "HS256", leeway = 0,
    find = function() return { secret } end })
  return { verified = payload ~= nil, payload = payload }
end
function M.sign(_, secret, payload)
  local url = perilune.base64.encode_url
  local signed = url '{"alg":"HS256"}' .. "." .. url(perilune.json.encode(payload))
  return signed .. "." .. url(perilune.crypto.hmac_sha256(secret, signed))
end
return M
]]

local it_with_redis = redis_server.program and nginx_libraries.it(it, pending, "lua-nginx-redis", "nginx/redis.lua")
  or function(sentence) pending(sentence .. " (redis-server: make deps)") end

-- A policy of the page with another origin and Redis, and files beside it.
local function start(policy, origin, server, files)
  local directory = process.directory()
  local path = ("package.path = %q .. package.path\npackage.preload['resty.jwt'] = loadfile %q\n"):format(
    nginx_libraries.find "nginx/redis.lua" .. "?.lua;", directory .. "/jwt.lua")
  local function moved(code)
    return (code:gsub('"127%.0%.0%.1", 6379', ("%q"):format(server.address)):gsub("127%.0%.0%.1:8000", origin.address)
      :gsub("%d+%.0%.0%.%d:8080", "127.0.0.1:0"))
  end
  for name, code in pairs(files or {}) do process.write_file(directory .. "/" .. name, moved(code)) end
  local script = process.write_file(directory .. "/policy.lua", path .. moved(policy))
  return perilune.start { script = script, workers = 1, env = { JWT_SECRET = "sesame" } }
end

describe("docs/from_openresty.md", function()
  it_with_redis("counts the visits of its first policy in Redis", function()
    local server = redis_server.start()
    local proxy = start(text:match "```lua\n(.-)```", origins.start "page", server)
    assert.equal("page", client.request(proxy.port).body)
    assert.equal("$1\r\n1\r\n", server:ask { "GET", "visits:127.0.0.1" })
    server:ask { "SET", "visits:127.0.0.1", "1000" }
    assert.equal(429, client.request(proxy.port).status)
  end)

  it_with_redis("runs its worked example: tokens, revoked ones, and a Redis that is gone", function()
    local server, origin = redis_server.start(), origins.start "page"
    local blocks = blocks_of "A worked example"
    local tokens = JWT:gsub("return M\n$", "") .. [[
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = 200, body = M.sign(nil, "sesame", { sub = "ada", jti = session:query() }) }
      end })
    ]]
    local proxy = start(blocks[2] .. "\n" .. tokens, origin, server, { ["access.lua"] = blocks[1],
      ["jwt.lua"] = JWT })
    local function ask(token)
      return client.request { port = proxy.port, headers = token and { Authorization = "Bearer " .. token } }
    end
    local function token(id) return client.request({ port = proxy.ports[2], path = "/?" .. id }).body end
    assert.equal(401, ask().status)
    assert.equal(401, ask("x" .. token "a").status)
    assert.equal("page", ask(token "a").body)
    assert.equal("ada", origin.requests[1].headers.x_user)
    server:ask { "SADD", "revoked", "b" }
    assert.equal(403, ask(token "b").status)
    server:signal "TERM"
    server:wait(10)
    assert.equal(503, ask(token "a").status)
  end)
end)
