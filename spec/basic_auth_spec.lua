-- SPDX-License-Identifier: Apache-2.0
-- perilune.basic_auth with slow hashes in a proxy: its threads, their queue, what is remembered, a file that changes.

local base64 = require "spec.support.base64"
local client = require "perilune.test.client"
local metrics = require "perilune.test.metrics"
local perilune = require "spec.support.perilune"
local process = require "perilune.test.process"
local scheduler = require "perilune.test.scheduler"

after_each(require("perilune.test.cleanup").run)

-- bcrypt, of the costs 8 (15 ms), 10 (60 ms) and 11 (0.12 s).
local CHEAP = "$2y$08$abcdefghijklmnopqrstuu6Du0P3.5axpeofU5bYjSES4rP2CK4bC" -- lovelace
local OTHER = "$2y$08$abcdefghijklmnopqrstuuh3l7CDdPQlX9kpjh8c4GowrO0fNnUsa" -- hopper
local SLOW = "$2y$10$abcdefghijklmnopqrstuudVH6UADxocdjRbtFP9WKJkGORRNx2fy"  -- lovelace
local SLOWEST = "$2y$11$abcdefghijklmnopqrstuuM7LoXJwtVGZo4roWLmPQbEPZVWPVp7S" -- lovelace

local POLICY = [[
local perilune = require "perilune"
local login = require("perilune.basic_auth").new { %s }
local policy = {}
function policy.request_filter(session, ctx)
  if session:path() ~= "/open" and login(session, ctx) then return true end
  return session:respond { status = 200, body = ctx.user or "open" }
end
perilune.listen("127.0.0.1:0", policy)
]]

local directory

local function start(options, workers)
  directory = process.directory()
  if options:find "file" then process.write_file(directory .. "/users", "ada:" .. CHEAP .. "\n") end
  local script = process.write_file(directory .. "/policy.lua", POLICY:format(options))
  return perilune.start { args = { "run", script, "--workers", tostring(workers or 1), "--admin", "127.0.0.1:0" } }
end

local function fields(name, password)
  return { Authorization = "Basic " .. base64.encode(name .. ":" .. password) }
end
local function sign_in(proxy, name, password)
  return client.request { port = proxy.port, path = "/", headers = fields(name, password) }
end
local function count(proxy, result)
  return metrics.read(proxy)[('perilune_basic_auth_checks_total{result="%s"}'):format(result)] or 0
end

describe("perilune.basic_auth", function()
  it("answers others while it checks a password", function()
    local proxy = start(("users = { ada = %q }"):format(SLOW))
    local order = {}
    scheduler.all {
      function()
        assert.equal(200, sign_in(proxy, "ada", "lovelace").status)
        order[#order + 1] = "signed in"
      end,
      function()
        for _ = 1, 3 do
          assert.equal("open", client.request { port = proxy.port, path = "/open" }.body)
          order[#order + 1] = "open"
        end
      end,
    }
    assert.same({ "open", "open", "open", "signed in" }, order)
  end)

  it("checks equal requests at the same time once, and remembers those that were right for all workers", function()
    local proxy = start(("users = { ada = %q }"):format(SLOW))
    local bodies = {}
    for i = 1, 6 do bodies[i] = function() assert.equal("ada", sign_in(proxy, "ada", "lovelace").body) end end
    scheduler.all(bodies)
    assert.equal(1, count(proxy, "right"))
    assert.equal(6, 1 + count(proxy, "shared") + count(proxy, "remembered"))
    proxy:stop()

    proxy = start(("users = { ada = %q }"):format(CHEAP), 4)
    for _ = 1, 9 do assert.equal("ada", sign_in(proxy, "ada", "lovelace").body) end
    assert.equal(1, count(proxy, "right"))
    assert.equal(8, count(proxy, "remembered"))
    for _ = 1, 2 do assert.equal(401, sign_in(proxy, "ada", "wrong").status) end
    assert.equal(2, count(proxy, "wrong"))
  end)

  it("checks equal requests at the same time once, whichever workers they come to", function()
    local proxy = start(("users = { ada = %q }"):format(SLOW), 4)
    local bodies = {}
    for i = 1, 24 do bodies[i] = function() assert.equal("ada", sign_in(proxy, "ada", "lovelace").body) end end
    scheduler.all(bodies)
    assert.equal(1, count(proxy, "right"))
    assert.equal(23, count(proxy, "shared") + count(proxy, "remembered"))
  end)

  it("checks a name that nobody has like one that somebody has", function()
    local proxy = start(("users = { ada = %q, bob = %q }"):format(CHEAP, OTHER))
    for i, name in ipairs { "eve", "", "eve", "Ada", "mallory" } do
      local response = sign_in(proxy, name, "lovelace")
      assert.equal(401, response.status)
      assert.equal('Basic realm="restricted", charset="UTF-8"', response.headers.www_authenticate)
      assert.equal(i, count(proxy, "wrong") + count(proxy, "right"))
    end
    assert.equal(0, count(proxy, "remembered"))
  end)

  it("reads its file again when it has changed, and keeps the users where the new file has a mistake", function()
    local proxy = start 'file = "users"'
    local file = directory .. "/users"
    local function becomes(status, name, password)
      scheduler.eventually(function() return sign_in(proxy, name, password).status == status end)
    end
    assert.equal("ada", sign_in(proxy, "ada", "lovelace").body)
    process.write_file(file, "ada:" .. OTHER .. "\nbob:" .. CHEAP .. "\n")
    becomes(401, "ada", "lovelace")
    becomes(200, "bob", "lovelace")
    assert.equal("ada", sign_in(proxy, "ada", "hopper").body)
    proxy:wait_log "basic_auth: %S+/users: 2 users"

    process.write_file(file, "ada:" .. OTHER .. "\n\nbob:lovelace\n")
    proxy:wait_log "basic_auth: %S+/users:3: 'bob': it is no hash.*; the users of before stay"
    assert.equal("bob", sign_in(proxy, "bob", "lovelace").body)
    os.remove(file)
    proxy:wait_log "/users: No such file or directory; the users of before stay"
    assert.equal("bob", sign_in(proxy, "bob", "lovelace").body)
    process.write_file(file, "ada:" .. OTHER .. "\n")
    becomes(401, "bob", "lovelace")
  end)

  it("says 503 to those for whom there is no room in the queue, lets in who is known, and stops at once", function()
    local proxy = start(("users = { ada = %q, bob = %q }"):format(CHEAP, SLOWEST))
    assert.equal("ada", sign_in(proxy, "ada", "lovelace").body)
    local since = scheduler.now()
    assert.equal(401, sign_in(proxy, "bob", "wrong").status)
    local one_check = scheduler.now() - since
    local connections, tasks, refused = {}, {}, nil
    for i = 1, 100 do
      connections[i] = client.connect(proxy.port)
      connections[i]:send(("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: %s\r\n\r\n")
        :format(fields("bob", "wrong" .. i).Authorization))
      tasks[i] = scheduler.spawn(function() refused = connections[i]:read_response() end)
    end
    scheduler.eventually(function() return refused end)
    assert.equal(503, refused.status)
    assert.equal("2", refused.headers.retry_after)
    assert.equal("ada", sign_in(proxy, "ada", "lovelace").body)
    proxy:wait_log "basic_auth: a password was not checked: busy: too many passwords wait to be checked"
    assert.is_true(proxy:count_log "was not checked" <= 2)
    for _, task in ipairs(tasks) do scheduler.cancel(task) end
    for i = 1, 100 do connections[i]:close() end -- what waits for them is taken back: 64 checks
    since = scheduler.now()
    scheduler.eventually(function() return sign_in(proxy, "ada", "wrong").status == 401 end)
    assert.is_true(scheduler.now() - since < 3 + 7 * one_check)
    since = scheduler.now()
    proxy:stop()
    assert.is_true(scheduler.now() - since < 10)
  end)

  it("finds mistakes in its file when a policy is checked", function()
    local folder = process.directory()
    process.write_file(folder .. "/users", "ada:" .. CHEAP .. "\nbob:$apr1$salt$digest\n")
    local script = process.write_file(folder .. "/policy.lua", POLICY:format 'file = "users"')
    local result = perilune.run("check", script)
    assert.equal(2, result.code)
    assert.matches("policy.lua:2: basic_auth.new: %S+/users:2: 'bob': apr1 %(MD5%) is too weak", result.stderr)
  end)
end)
