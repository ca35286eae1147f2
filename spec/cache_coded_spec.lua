-- SPDX-License-Identifier: Apache-2.0
-- Stored responses in a content coding: made once, beside what the peer has sent, and served as they are.
local coded = require "coded"
local metrics = require "metrics"
local perilune = require "perilune"
local process = require "process"
local scene = require "cached"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local BODY = coded.json(100000)

local function page(more)
  local answer = scene.fresh { headers = { ["Content-Type"] = "application/json", ETag = '"v1"' }, body = BODY }
  for name, value in pairs(more or {}) do answer[name] = value end
  return answer
end

local function start(answer, options)
  options = options or {}
  options.admin = true
  options.listen = ", compress = true, h2c = true" .. (options.listen or "")
  return scene.start(answer or page(), options)
end

local function of(proxy, name) return metrics.status(proxy).caches[1][name] end

-- Asks until an answer came from the store.
local function ask_until_stored(ask, proxy, request)
  local answer
  scheduler.eventually(function()
    local before = of(proxy, "served_coded")
    answer = ask(request)
    return of(proxy, "served_coded") > before
  end, 60, "a stored body in a coding")
  return answer
end

local function accept(coding, more)
  local request = { headers = { ["Accept-Encoding"] = coding } }
  for name, value in pairs(more or {}) do request[name] = value end
  return request
end

describe("a hit that is compressed", function()
  for _, coding in ipairs(coded.NAMES) do
    it("is encoded once, and then served from the store: " .. coding, function()
      local ask, origin, proxy = start(nil, { workers = 2 })
      assert.is_true(coded.decode(coding, ask(accept(coding)).body) == BODY)
      assert.equal(0, of(proxy, "coded"))
      local stored = ask_until_stored(ask, proxy, accept(coding))
      for _, version in ipairs { "1.1", "2" } do
        local answer = ask(accept(coding, { version = version }))
        assert.same({ coding, "Accept-Encoding", 'W/"v1"', tostring(#stored.body) }, { answer.headers.content_encoding,
          answer.headers.vary, answer.headers.etag, answer.headers.content_length })
        assert.is_true(coded.decode(coding, answer.body) == BODY)
        assert.is_truthy(answer.headers.age)
      end
      assert.equal(1, of(proxy, "coded"))
      assert.equal(1, #origin.requests)
      assert.is_true(ask().body == BODY)
      local known = { ["Accept-Encoding"] = coding, ["If-None-Match"] = 'W/"v1"' }
      assert.equal(304, ask({ headers = known }).status)
    end)
  end

  it("is in each coding that is asked for, and plain for others", function()
    local ask, _, proxy = start()
    ask()
    for _, coding in ipairs(coded.NAMES) do ask_until_stored(ask, proxy, accept(coding)) end
    for _, coding in ipairs(coded.NAMES) do
      assert.is_true(coded.decode(coding, ask(accept(coding)).body) == BODY)
    end
    assert.equal(3, of(proxy, "coded"))
    local plain = ask()
    assert.is_true(plain.body == BODY and plain.headers.content_encoding == nil)
    local part = ask { headers = { ["Accept-Encoding"] = "gzip", Range = "bytes=2-5" } }
    assert.same({ 206, BODY:sub(3, 6) }, { part.status, part.body })
  end)

  it("ends with the response that it was made from: purged, or another one", function()
    local text = BODY
    local ask, _, proxy = start(function() return page { body = text } end)
    ask()
    ask_until_stored(ask, proxy, accept "gzip")
    text = coded.json(90000)
    assert.equal(0, perilune.run("purge", "--pid", tostring(proxy.pid), "--url", "http://spec.example/").code)
    for _ = 1, 3 do assert.is_true(coded.decode("gzip", ask(accept "gzip").body) == text) end
    ask_until_stored(ask, proxy, accept "gzip")
    assert.is_true(coded.decode("gzip", ask(accept "gzip").body) == text)
  end)

  it("is sent plain where it would not get smaller", function()
    local noise = {}
    for i = 1, 50000 do noise[i] = string.char(math.random(0, 255)) end
    local body = table.concat(noise)
    local ask, _, proxy = start(page { body = body })
    ask()
    scheduler.eventually(function() return ask(accept "gzip").headers.content_encoding == nil end, 60)
    local answer = ask(accept "gzip")
    assert.is_true(answer.body == body)
    assert.same({ "Accept-Encoding", '"v1"' }, { answer.headers.vary, answer.headers.etag })
    assert.equal(0, of(proxy, "served_coded"))
  end)

  it("passes the hooks of the policy as text, where it has some", function()
    local ask, _, proxy = start(nil, { hooks = [[
      function policy.response_body_filter(_, chunk) return (chunk:gsub("e", "E")) end]] })
    for _ = 1, 4 do
      assert.is_true(coded.decode("gzip", ask(accept "gzip").body) == (BODY:gsub("e", "E")))
    end
    assert.equal(0, of(proxy, "coded"))
  end)

  it("is stored where the file of the cache is, and found after a restart", function()
    local options = { cache = (", path = %q"):format(process.directory() .. "/pages.cache") }
    local ask, _, proxy = start(nil, options)
    ask()
    ask_until_stored(ask, proxy, accept "gzip")
    proxy:stop()
    options.listen = nil
    local again, origin, other = start(nil, options)
    assert.is_true(coded.decode("gzip", again(accept "gzip").body) == BODY)
    assert.equal(1, of(other, "served_coded"))
    assert.equal(0, #origin.requests)
  end)

  it("is in the access log with its size before and after", function()
    local log = process.directory() .. "/access.log"
    local ask, _, proxy = start(nil, { listen = (", access_log = %q, access_log_format = 'json'"):format(log) })
    ask()
    local stored = ask_until_stored(ask, proxy, accept "gzip")
    scheduler.eventually(function()
      return (process.read_file(log) or ""):match(('"bytes":%d[,}]'):format(#stored.body))
    end)
    assert.matches(('"coding":"gzip","plain_bytes":%d'):format(#BODY), process.read_file(log), 1, true)
  end)

  it("does not hold up the end of the process while it is made", function()
    local ask, _, proxy = start(page { body = BODY:rep(70) }, { size = "128M" })
    ask()
    for _, coding in ipairs(coded.NAMES) do ask(accept(coding, { timeout = 60 })) end
    proxy:stop(30)
  end)
end)
