-- SPDX-License-Identifier: Apache-2.0
-- perilune.files and `perilune files`: what of a folder is served, and how.

local client = require "perilune.test.client"
local perilune = require "spec.support.perilune"
local process = require "perilune.test.process"
local scheduler = require "perilune.test.scheduler"

local PAGE = "<h1>hello</h1>\n"
local root, outside, proxy

local function write(path, text) return process.write_file(path, text) end
local function sh(text) assert(os.execute(text) == 0, text) end

-- A file that can be told from any other by a look at each byte.
local function pattern(bytes)
  local lines = {}
  for i = 0, math.ceil(bytes / 16) do lines[#lines + 1] = ("%015d\n"):format(i) end
  return table.concat(lines):sub(1, bytes)
end
local BIG = pattern(3000001)

local function get(path, fields, method)
  return client.request { port = proxy.port, path = path, headers = fields, method = method }
end
local function raw(target)
  local connection = client.connect(proxy.port)
  connection:send("GET " .. target .. " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
  local response = connection:read_response()
  connection:close()
  return response
end

local function fill()
  root, outside = process.directory(), process.directory()
  write(root .. "/index.html", PAGE)
  write(root .. "/page.html", PAGE)
  write(root .. "/big.bin", BIG)
  write(root .. "/empty.txt", "")
  write(root .. "/a b&<c>.txt", "odd")
  write(root .. "/.secret", "secret")
  write(root .. "/app.js", "plain")
  write(root .. "/app.js.gz", "as gzip")
  write(root .. "/app.js.br", "as br")
  write(root .. "/stale.js.gz", "old")
  write(outside .. "/passwd", "outside")
  sh(("mkdir -p %s/sub/deep %s/bare %s/.git && echo x > %s/.git/config"):format(root, root, root, root))
  write(root .. "/sub/index.html", "sub")
  write(root .. "/bare/x.txt", "x")
  write(root .. "/stale.js", "new")
  sh(("touch -d '1 hour ago' %s/stale.js.gz"):format(root))
  sh(("ln -s %s/passwd %s/out && ln -s %s %s/outdir && ln -s page.html %s/in && ln -s ../../.. %s/sub/up")
    :format(outside, root, outside, root, root, root))
  sh(("mkfifo %s/fifo && chmod 000 %s/.secret"):format(root, root))
end

describe("perilune files", function()
  lazy_setup(function()
    fill()
    proxy = perilune.start { args = { "files", root, "--listen", "127.0.0.1:0", "--workers", "1" } }
  end)

  it("serves a file, with its type, its times and its length", function()
    local response = get "/page.html"
    assert.equal(200, response.status)
    assert.equal(PAGE, response.body)
    assert.equal("text/html; charset=utf-8", response.headers.content_type)
    assert.equal(tostring(#PAGE), response.headers.content_length)
    assert.equal("bytes", response.headers.accept_ranges)
    assert.matches('^"%x+%-%x+%-%x+"$', response.headers.etag)
    assert.matches(" GMT$", response.headers.last_modified)
    assert.is_nil(response.headers.via)
  end)

  it("serves the index of a folder, and sends a folder's name to the folder", function()
    assert.equal(PAGE, get("/").body)
    assert.equal("sub", get("/sub/").body)
    local response = get "/sub?a=b"
    assert.equal(301, response.status)
    assert.equal("/sub/?a=b", response.headers.location)
    assert.equal("/sub/", get("//sub").headers.location)
    assert.equal(404, get("/bare/").status)
    assert.equal(404, get("/page.html/").status)
  end)

  it("answers HEAD as GET, without the content, and no other method", function()
    local response = get("/page.html", nil, "HEAD")
    assert.equal(tostring(#PAGE), response.headers.content_length)
    assert.equal("", response.body or "")
    response = get("/page.html", nil, "POST")
    assert.equal(405, response.status)
    assert.equal("GET, HEAD", response.headers.allow)
  end)

  it("serves files of any size, whole, and empty ones", function()
    assert.is_true(get("/big.bin").body == BIG)
    local response = get "/empty.txt"
    assert.equal("0", response.headers.content_length)
    assert.equal("", response.body)
  end)

  it("serves ranges (RFC 9110 14)", function()
    local response = get("/big.bin", { Range = "bytes=16-31" })
    assert.equal(206, response.status)
    assert.equal("bytes 16-31/3000001", response.headers.content_range)
    assert.equal("000000000000001\n", response.body)
    assert.is_true(get("/big.bin", { Range = "bytes=100000-2900000" }).body == BIG:sub(100001, 2900001))
    assert.equal(BIG:sub(-5), get("/big.bin", { Range = "bytes=-5" }).body)
    response = get("/big.bin", { Range = "bytes=3000001-" })
    assert.equal(416, response.status)
    assert.equal("bytes */3000001", response.headers.content_range)
    response = get("/big.bin", { Range = "bytes=0-15, 160-175" })
    assert.equal(206, response.status)
    assert.matches("^multipart/byteranges; boundary=", response.headers.content_type)
    assert.equal(tonumber(response.headers.content_length), #response.body)
    assert.is_truthy(response.body:find("Content-Range: bytes 160-175/3000001\r\n\r\n000000000000010\n\r\n", 1, true))
    assert.equal(200, get("/big.bin", { Range = "lines=1-2" }).status)
  end)

  it("answers conditional requests (RFC 9110 13)", function()
    local seen = get("/page.html").headers
    local response = get("/page.html", { ["If-None-Match"] = seen.etag })
    assert.equal(304, response.status)
    assert.equal(seen.etag, response.headers.etag)
    assert.is_nil(response.headers.content_length)
    assert.equal(304, get("/page.html", { ["If-Modified-Since"] = seen.last_modified }).status)
    local both = { ["If-None-Match"] = '"x"', ["If-Modified-Since"] = seen.last_modified }
    assert.equal(200, get("/page.html", both).status)
    assert.equal(412, get("/page.html", { ["If-Match"] = '"x"' }).status)
    assert.equal(206, get("/page.html", { Range = "bytes=0-1", ["If-Range"] = seen.etag }).status)
    assert.equal(200, get("/page.html", { Range = "bytes=0-1", ["If-Range"] = '"x"' }).status)
  end)

  it("gives a file that is compressed already to who accepts that, and says so to caches", function()
    local function coded(accept)
      local response = get("/app.js", { ["Accept-Encoding"] = accept })
      assert.equal("Accept-Encoding", response.headers.vary)
      assert.equal("text/javascript; charset=utf-8", response.headers.content_type)
      return response.body, response.headers.content_encoding
    end
    assert.same({ "as br", "br" }, { coded "gzip, br" })
    assert.same({ "as gzip", "gzip" }, { coded "gzip" })
    assert.same({ "as gzip", "gzip" }, { coded "gzip, br;q=0.1" })
    assert.same({ "plain" }, { coded "zstd" })
    assert.same({ "plain" }, { coded "gzip;q=0" })
    assert.equal("new", get("/stale.js", { ["Accept-Encoding"] = "gzip" }).body)
    assert.not_equal(get("/app.js").headers.etag, get("/app.js", { ["Accept-Encoding"] = "gzip" }).headers.etag)
  end)

  it("serves nothing from outside, and no hidden name, however the path is written", function()
    for _, target in ipairs {
      "/../passwd", "/%2e%2e/passwd", "/sub/../../passwd", "/..%2fpasswd", "/sub/..%2f..%2fpasswd", "/%2e%2e%2fpasswd",
      "/..\\passwd", "/out", "/outdir/passwd", "/outdir/", "/sub/up/etc/passwd", "//etc/passwd", "/./../etc/passwd",
      "/.secret", "/.git/config", "/%2egit/config", "/sub/%2e%2e/.secret", "/page.html%00.txt", "/fifo", "/nothing",
      "/page.html/..", "/%", "/" .. ("a"):rep(5000), "/" .. ("a"):rep(300), "/proc/self/environ",
    } do
      local response = raw(target)
      assert.equal(404, response.status, target)
      assert.is_nil(response.body:find "outside")
    end
    assert.equal(PAGE, raw("/in").body)
    assert.equal("sub", raw("/sub/./").body)
  end)

  it("sees a file that is replaced, within about a second", function()
    write(root .. "/changing.txt", "one")
    assert.equal("one", get("/changing.txt").body)
    write(root .. "/changing.new", "two!")
    os.rename(root .. "/changing.new", root .. "/changing.txt")
    scheduler.eventually(function() return get("/changing.txt").body == "two!" end)
    os.remove(root .. "/changing.txt")
    scheduler.eventually(function() return get("/changing.txt").status == 404 end)
  end)

  it("ends a response short where the file becomes shorter, so that the client sees it", function()
    write(root .. "/shrinks.bin", BIG:rep(4))
    local connection = client.connect(proxy.port)
    connection:send "GET /shrinks.bin HTTP/1.1\r\nHost: a\r\n\r\n"
    connection:receive_some(1000)
    sh(("truncate -s 1000 %s/shrinks.bin"):format(root))
    local rest = connection:receive_all(60)
    assert.is_true(#rest < 4 * #BIG)
    proxy:wait_log "a file of ours, which has changed or cannot be read"
    assert.equal(PAGE, get("/page.html").body)
  end)
end)

describe("perilune.files", function()
  local function start(options, more, listen)
    return perilune.start { workers = 1, policy = ([[
local perilune = require "perilune"
local files = perilune.files { %s }
local policy = {}
%s
perilune.listen("127.0.0.1:0", %s, { %s })]]):format(options, more or "", more and "policy" or "files", listen or "") }
  end
  lazy_setup(fill)

  it("lists folders where that is wanted, with names that are no markup", function()
    proxy = start(("root = %q, listing = true, index = false"):format(root))
    local body = get("/").body
    assert.is_truthy(body:find('<a href="./a%20b&#38;%3Cc%3E.txt">a b&#38;&#60;c&#62;.txt</a>', 1, true), body)
    assert.is_truthy(body:find('<a href="./sub/">sub/</a>', 1, true))
    for _, name in ipairs { ".secret", ".git", "outdir", ">out<", "fifo", "passwd" } do
      assert.is_nil(body:find(name, 1, true), name)
    end
    assert.equal("odd", get("/a%20b&%3Cc%3E.txt").body)
    assert.is_truthy(get("/bare/").body:find('<a href="../">', 1, true))
  end)

  it("is one answer of many: with a prefix, and what is not there left to others", function()
    local options = [[root = %q, strip = "/static", fallthrough = true, cache_control = "max-age=60",
      types = { js = "x/y" }]]
    proxy = start(options:format(root), [[
function policy.request_filter(session)
  return files(session) or session:respond { status = 418, body = "teapot" }
end]])
    local response = get "/static/app.js"
    assert.equal("plain", response.body)
    assert.equal("x/y", response.headers.content_type)
    assert.equal("max-age=60", response.headers.cache_control)
    assert.equal("/static/sub/", get("/static/sub").headers.location)
    for _, path in ipairs { "/app.js", "/static/none", "/staticapp.js", "/static/.secret" } do
      assert.equal(418, get(path).status, path)
    end
    assert.equal(418, get("/static/app.js", nil, "POST").status)
  end)

  it("goes over HTTP/2, is compressed on its way where nothing lies ready, and keeps the connection",
    function()
      write(root .. "/long.txt", ("some text\n"):rep(1000))
      proxy = start(("root = %q"):format(root), nil, "h2c = true, compress = true")
      local response = get("/long.txt", { ["Accept-Encoding"] = "gzip" })
      assert.equal("gzip", response.headers.content_encoding)
      assert.is_true(#response.body < 1000)
      local url = ("http://127.0.0.1:%d/big.bin"):format(proxy.port)
      local over = process.run { "curl", "-s", "--http2-prior-knowledge", url }
      assert.is_true(over.stdout == BIG)
      local connection = client.connect(proxy.port)
      for _ = 1, 3 do
        assert.is_true(connection:request({ path = "/big.bin" }).body == BIG)
        assert.equal(PAGE, connection:request({ path = "/page.html" }).body)
      end
    end)

  it("names its mistakes at the policy's line", function()
    for options, message in pairs {
      [""] = "perilune.files: option 'root' is missing",
      ['root = "/no/such/folder"'] = "perilune.files: option 'root': /no/such/folder: No such file or directory",
      ['root = "/", strip = "static"'] = "option 'strip' must begin with a slash",
      ['root = "/", index = "../x"'] = "option 'index' must be the name of a file, or false",
      ['root = "/", lsting = true'] = "unknown option 'lsting' (did you mean listing?)",
      ['root = "/", types = { [".html"] = "x" }'] = "option 'types' must be like",
    } do
      local script = write(process.directory() .. "/policy.lua", ([[local perilune = require "perilune"
perilune.listen("127.0.0.1:0", perilune.files { %s })]]):format(options))
      local result = perilune.run("check", script)
      assert.not_equal(0, result.code)
      assert.is_truthy(result.stderr:find("policy.lua:2: ", 1, true), result.stderr)
      assert.is_truthy(result.stderr:find(message, 1, true), result.stderr)
    end
    for words, message in pairs {
      ["files --listen 127.0.0.1:0"] = "files wants a DIR", ["files /no/such --listen 127.0.0.1:0"] = "No such file",
      ["files ."] = "files wants --listen ADDR", ["files . --listen nowhere"] = '--listen "nowhere"',
    } do
      local list = {}
      for word in words:gmatch "%S+" do list[#list + 1] = word end
      local result = perilune.run(unpack(list))
      assert.equal(2, result.code)
      assert.is_truthy(result.stderr:find(message, 1, true), result.stderr)
    end
  end)
end)
