-- SPDX-License-Identifier: Apache-2.0
-- Compression of responses: which ones, by which coding, what becomes of their fields, and that the bytes are right.
local client = require "client"
local coded = require "coded"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scene = require "scene"

after_each(require("cleanup").run)

local JSON = { ["Content-Type"] = "application/json", ETag = '"v1"', ["Accept-Ranges"] = "bytes" }
local ALL = "gzip, deflate, br, zstd"

local function with(headers)
  local all = {}
  for name, value in pairs(JSON) do all[name] = value end
  for name, value in pairs(headers or {}) do all[name] = value or nil end
  return all
end

-- Serves what answers[path] says; else JSON of that many bytes.
local function serve(answers)
  return function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      local path = request.target:match "^[^?]*"
      local bytes = tonumber(path:match "%d+") or 5000
      local answer = answers and answers[path] or { headers = JSON, body = coded.json(bytes) }
      connection:respond(answer)
      if answer.no_length then return end
    end
  end
end

local function asker(answers, options)
  options = options or {}
  options.listen = options.listen or "compress = true, h2c = true"
  local proxy, origin, ask = scene.proxied(serve(answers), options)
  return function(path, headers, more)
    local request = { target = path, headers = headers }
    for name, value in pairs(more or {}) do request[name] = value end
    return ask(request)
  end, proxy, origin
end

local function accept(codings) return { ["Accept-Encoding"] = codings } end

describe("compress = true", function()
  for _, coding in ipairs(coded.NAMES) do
    for _, bytes in ipairs { 1024, 20000, 700000 } do
      it(("sends %d bytes as %s, with HTTP/1.1 and HTTP/2, and says so"):format(bytes, coding), function()
        local ask = asker()
        for _, version in ipairs { "1.1", "2" } do
          local response = ask("/" .. bytes, accept(coding), { version = version, timeout = 60 })
          assert.equal(coding, response.headers["content-encoding"])
          assert.is_true(coded.json(bytes) == coded.decode(coding, response.body))
          assert.is_true(#response.body < bytes / 2)
          assert.equal('W/"v1"', response.headers.etag)
          assert.equal("Accept-Encoding", response.headers.vary)
          assert.is_nil(response.headers["content-length"])
          assert.is_nil(response.headers["accept-ranges"])
        end
      end)
    end
  end

  it("chooses what the client likes best, and zstd, br, gzip where it does not say", function()
    local ask = asker()
    local function chosen(field) return ask("/", accept(field)).headers["content-encoding"] or "-" end
    assert.same({ "zstd", "br", "gzip", "gzip", "gzip", "br", "-", "-", "-", "-", "zstd" }, {
      chosen(ALL), chosen "gzip, br", chosen "gzip;q=1.0, br;q=0.5, zstd;q=0.1", chosen "x-gzip", chosen "GZip",
      chosen "*;q=0.1, zstd;q=0, gzip;q=0.05", chosen "", chosen "identity", chosen "gzip;q=0", chosen "deflate",
      chosen "*",
    })
    assert.is_nil(ask("/").headers["content-encoding"])
  end)

  it("says Vary also where this client gets it uncompressed, and keeps what was there", function()
    local ask = asker { ["/vary"] = { headers = with { Vary = "Cookie" }, body = coded.json(2000) } }
    assert.equal("Accept-Encoding", ask("/").headers.vary)
    assert.equal("Cookie, Accept-Encoding", ask("/vary").headers.vary)
    assert.equal('"v1"', ask("/").headers.etag)
    assert.equal("5000", ask("/").headers["content-length"])
  end)

  it("leaves alone what must not or need not be compressed", function()
    local body = coded.json(2000)
    local function is(headers, more)
      local answer = { headers = with(headers), body = body }
      for name, value in pairs(more or {}) do answer[name] = value end
      return answer
    end
    local answers = {
      ["/image"] = is { ["Content-Type"] = "image/png" },
      ["/untyped"] = is { ["Content-Type"] = false },
      ["/coded"] = is { ["Content-Encoding"] = "gzip" },
      ["/foreign"] = is { ["Content-Encoding"] = "compress" },
      ["/kept"] = is { ["Cache-Control"] = "public, no-transform" },
      ["/part"] = is({ ["Content-Range"] = "bytes 0-1999/5000" }, { status = 206 }),
      ["/grpc"] = is { ["Content-Type"] = "application/grpc" },
      ["/grpc+proto"] = is { ["Content-Type"] = "application/grpc+proto" },
      ["/parts"] = is { ["Content-Type"] = "multipart/byteranges; boundary=x" },
      ["/small"] = is({}, { body = body:sub(1, 1023) }),
    }
    local ask = asker(answers)
    for path, answer in pairs(answers) do
      local response = ask(path, accept(ALL))
      assert.equal(answer.headers["Content-Encoding"], response.headers["content-encoding"], path)
      assert.equal(answer.body, response.body, path)
      assert.equal('"v1"', response.headers.etag, path)
      assert.equal(tostring(#answer.body), response.headers["content-length"], path)
    end
    for _, headers in ipairs { { Range = "bytes=0-99" }, { ["Cache-Control"] = "no-transform" } } do
      headers["Accept-Encoding"] = ALL
      assert.is_nil(ask("/", headers).headers["content-encoding"])
    end
    assert.is_nil(ask("/", accept(ALL), { version = "1.0" }).headers["content-encoding"])
  end)

  it("gives HEAD the fields of GET, and a 304 the tag that the client knows", function()
    local ask = asker { ["/304"] = { status = 304, headers = { ETag = '"v1"', ["Content-Type"] = "text/css" } } }
    for _, version in ipairs { "1.1", "2" } do
      local head = ask("/", accept(ALL), { method = "HEAD", version = version })
      local get = ask("/", accept(ALL), { version = version })
      for _, name in ipairs { "content-encoding", "etag", "vary", "content-length", "content-type", "accept-ranges" } do
        assert.equal(get.headers[name], head.headers[name], name)
      end
      assert.equal("", head.body)
      local headers = { ["Accept-Encoding"] = ALL, ["If-None-Match"] = 'W/"v1"' }
      local same = ask("/304", headers, { version = version })
      assert.equal(304, same.status)
      assert.equal('W/"v1"', same.headers.etag)
      assert.equal("Accept-Encoding", same.headers.vary)
    end
  end)

  it("compresses what comes in chunks and until the connection's end", function()
    local text = coded.json(100000)
    local pieces = {}
    for at = 1, #text, 7001 do pieces[#pieces + 1] = text:sub(at, at + 7000) end
    local ask = asker {
      ["/chunked"] = { headers = JSON, body = pieces },
      ["/close"] = { headers = JSON, body = text, no_length = true },
    }
    for _, path in ipairs { "/chunked", "/close" } do
      for _, coding in ipairs(coded.NAMES) do
        local response = ask(path, accept(coding))
        assert.is_true(text == coded.decode(coding, response.body), path .. " " .. coding)
      end
    end
  end)

  it("compresses long answers of the policy, and their response to HEAD says so", function()
    local ask = asker(nil, { hooks = [[
      function policy.request_filter(session)
        local body = ("a line\n"):rep(tonumber(session:path():match "%d+"))
        return session:respond { status = 200, headers = { ["Content-Type"] = "text/plain" }, body = body }
      end]] })
    for _, coding in ipairs(coded.NAMES) do
      for _, version in ipairs { "1.1", "2" } do
        local response = ask("/30000", accept(coding), { version = version })
        assert.is_true(("a line\n"):rep(30000) == coded.decode(coding, response.body), coding)
        local head = ask("/30000", accept(coding), { version = version, method = "HEAD" })
        assert.equal(coding, head.headers["content-encoding"])
      end
    end
    assert.is_nil(ask("/10", accept(ALL)).headers["content-encoding"])
    assert.equal("70", ask("/10", accept(ALL)).headers["content-length"])
  end)

  it("serves curl --compressed", function()
    local _, proxy = asker()
    for _, version in ipairs { "--http1.1", "--http2-prior-knowledge" } do
      local run = process.run { "curl", "-s", "--compressed", version, "-w", " %{size_download}",
        "http://127.0.0.1:" .. proxy.port .. "/20000" }
      local text, bytes = run.stdout:match "^(.*) (%d+)$"
      assert.is_true(text == coded.json(20000))
      assert.is_true(tonumber(bytes) < 10000)
    end
  end)

  it("keeps the connection for the next request, to the client and to the peer", function()
    local _, proxy, origin = asker()
    local connection = client.connect(proxy.port)
    for _ = 1, 3 do
      local response = connection:request { headers = accept "gzip", target = "/20000" }
      assert.is_true(coded.json(20000) == coded.decode("gzip", response.body))
    end
    assert.equal(1, origin.requests[3].connection)
  end)

  it("cuts the client off where the peer ends in mid-response, so that nothing looks whole", function()
    local proxy = scene.proxied(function(connection)
      connection:read_request()
      connection:send("HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nContent-Length: 50000\r\n\r\n" .. coded.json(30000))
    end, { listen = "compress = true" })
    for _, coding in ipairs(coded.NAMES) do
      local response, why = client.connect(proxy.port):request { headers = accept(coding) }
      assert.is_true(not response or response.failure ~= nil, why)
    end
  end)
end)

describe("the codings of compress", function()
  it("are chosen by the table: levels, types, the smallest size", function()
    local ask = asker(
      { ["/css"] = { headers = with { ["Content-Type"] = "text/css" }, body = coded.json(300) },
        ["/html"] = { headers = with { ["Content-Type"] = "text/html; charset=utf-8" }, body = coded.json(3000) } },
      { listen = "compress = { zstd = false, br = 1, gzip = 9, types = { 'text/css', 'font/' }, min = 100 }" })
    assert.equal("br", ask("/css", accept(ALL)).headers["content-encoding"])
    assert.equal("gzip", ask("/css", accept "zstd, gzip").headers["content-encoding"])
    assert.is_nil(ask("/html", accept(ALL)).headers["content-encoding"])
    assert.is_nil(ask("/html", accept(ALL)).headers.vary)
  end)

  it("are off by default", function()
    local ask = asker(nil, { listen = "via = false" })
    local response = ask("/5000", accept(ALL))
    assert.is_nil(response.headers["content-encoding"])
    assert.is_nil(response.headers.vary)
  end)

  it("are refused where they are none", function()
    for option, message in pairs {
      ["compress = 5"] = "'compress' must be true, false or a table such as { gzip = 6 }; got a number",
      ["compress = { gzip = 10 }"] = "'gzip' must be a level from 1 to 9, true or false",
      ["compress = { zstd = 1.5 }"] = "'zstd' must be a level from 1 to 12",
      ["compress = { brotli = 4 }"] = "unknown option 'brotli'",
      ["compress = { types = { 'text' } }"] = "'types' must be an array of types such as",
      ["compress = { types = {} }"] = "'types' is empty",
      ["compress = { zstd = false, br = false, gzip = false }"] = "no coding is left",
      ["decode = true"] = "stands among the hooks: policy.decode = true",
    } do
      local path = process.write_file(process.directory() .. "/p.lua", ([[
        require("perilune").listen("127.0.0.1:0", { request_filter = function() end }, { %s })]]):format(option))
      local run = perilune.run { args = { "check", path } }
      assert.is_true(run.code ~= 0, option)
      assert.matches(message, run.stderr, 1, true)
      assert.matches("p.lua:1", run.stderr, 1, true)
    end
  end)

  it("compress nothing personal that another site asks for without a click, unless that is allowed", function()
    local private = { headers = JSON, body = coded.json(3000) }
    local cookie = { headers = with { ["Set-Cookie"] = "a=b" }, body = coded.json(3000) }
    local public = { headers = with { ["Cache-Control"] = "public, max-age=60" }, body = coded.json(3000) }
    local answers = { ["/private"] = private, ["/cookie"] = cookie, ["/public"] = public }
    local function coding(ask, path, site, more)
      local headers = { ["Accept-Encoding"] = "gzip", ["Sec-Fetch-Site"] = site, Cookie = "session=1" }
      for name, value in pairs(more or {}) do headers[name] = value or nil end
      return ask(path, headers).headers["content-encoding"] or "-"
    end
    local ask = asker(answers)
    assert.same({ "-", "-", "gzip", "gzip", "gzip", "gzip" }, {
      coding(ask, "/private", "cross-site"), coding(ask, "/cookie", "cross-site", { Cookie = false }),
      coding(ask, "/public", "cross-site"), coding(ask, "/private", "same-origin"),
      coding(ask, "/private", "cross-site", { ["Sec-Fetch-User"] = "?1" }),
      coding(ask, "/private", "cross-site", { Cookie = false }),
    })
    local open = asker(answers, { listen = "compress = { cross_site = true }" })
    assert.equal("gzip", coding(open, "/private", "cross-site"))
  end)
end)

describe("response:set_compression", function()
  local HOOKS = [[
    function policy.response_filter(session, response)
      local word = session:query_arg "c"
      if word then response:set_compression(({ yes = true, no = false })[word] == nil and word or word == "yes") end
    end]]

  it("compresses one response, whatever the listener says", function()
    local answers = { ["/image"] = { headers = with { ["Content-Type"] = "image/bmp" }, body = coded.json(600) },
      ["/coded"] = { headers = with { ["Content-Encoding"] = "br" }, body = "xx" } }
    for _, listen in ipairs { "compress = true", "via = false" } do
      local ask = asker(answers, { listen = listen, hooks = HOOKS })
      local function chosen(path, field) return ask(path, accept(field or ALL)).headers["content-encoding"] or "-" end
      assert.equal("-", chosen "/?c=no")
      assert.equal("zstd", chosen "/?c=yes")
      assert.equal("gzip", chosen "/?c=gzip")
      assert.equal("-", chosen("/?c=gzip", "br"))
      assert.equal("-", chosen "/image?c=yes")
      assert.equal("br", chosen "/image?c=br")
      assert.equal("br", chosen "/coded?c=gzip")
      assert.equal(500, ask("/?c=lzma", accept(ALL)).status)
    end
  end)

  it("decides in answer_filter about answers of the policy, too", function()
    local ask = asker(nil, { hooks = [[
      function policy.request_filter(session)
        return session:respond { status = 200, headers = { ["Content-Type"] = "text/plain" }, body = ("x"):rep(5000) }
      end
      function policy.answer_filter(session, response) response:set_compression(session:path() == "/yes") end]] })
    assert.is_nil(ask("/no", accept(ALL)).headers["content-encoding"])
    assert.equal("zstd", ask("/yes", accept(ALL)).headers["content-encoding"])
  end)
end)

it("proxy --compress does the same, and --print-config says how", function()
  local origin = origins.start(serve())
  local proxy = perilune.start { args = { "proxy", "--listen", "127.0.0.1:0", "--to", origin.address,
    "--compress", "--workers", "1" } }
  local response = client.request { port = proxy.port, headers = accept "gzip", target = "/5000" }
  assert.is_true(coded.json(5000) == coded.decode("gzip", response.body))
  local words = { "proxy", "--listen", ":0", "--to", ":1", "--compress", "--print-config" }
  local run = perilune.run { args = words }
  assert.matches('perilune.listen(":0", policy, { compress = true })', run.stdout, 1, true)
end)
