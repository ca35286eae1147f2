-- SPDX-License-Identifier: Apache-2.0
-- perilune.http: an HTTP client for hooks and background work.
local client = require "client"
local http1 = require "http1"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

-- Runs `code` in request_filter, with `http` and `base` (the URL of the origin), and gives what it returns.
local function run(origin, code, base)
  local policy = policies.answering(('local http, base = require "perilune.http", %q'):format(
    base or "http://" .. origin.address), code)
  local proxy = perilune.start { workers = 1, policy = policy }
  return function() return client.request { port = proxy.port, timeout = 60 }.body end, proxy
end

local function echo(connection)
  while true do
    local request = connection:read_request()
    if not request then return end
    connection:respond {
      body = ("%s %s %s"):format(request.method, request.target or request.path, request.body),
      headers = { ["X-Framing"] = request.framing, ["X-Connection"] = connection.number },
    }
  end
end

describe("perilune.http", function()
  it("gets, with status, reason, fields and body", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        connection:respond {
          status = 203, reason = "Fine", body = "hello",
          headers = { { "Content-Type", "text/plain" }, { "X-Many", "a" }, { "X-Many", "b" } },
        }
      end
    end)
    local ask = run(origin, [[
      local response = assert(http.get(base .. "/path?query"))
      return response.status, response.reason, response.body, response.headers["Content-Type"],
        response.headers["content-type"], response.headers["X-MANY"], #response:get_headers("x-many"),
        response.headers.missing
    ]])
    assert.equal("203|Fine|hello|text/plain|text/plain|a, b|2|nil", ask())
    local request = origin.requests[1]
    assert.same({ "GET", origin.address }, { request.method, request.headers.host })
  end)

  it("posts strings, arrays of strings, and what a function gives", function()
    local ask = run(origins.start(echo), [[
      local pieces, at = { "a", "", "bc" }, 0
      local function next_piece()
        at = at + 1
        perilune.sleep(0)
        return pieces[at]
      end
      local one = assert(http.post(base .. "/1", "text"))
      local two = assert(http.post(base .. "/2", { "te", "xt" }))
      local three = assert(http.post(base .. "/3", next_piece))
      local four = assert(http.request { url = base .. "/4", method = "DELETE" })
      return one.body, one.headers["X-Framing"], two.body, three.body, three.headers["X-Framing"], four.body
    ]])
    assert.equal("POST /1 text|length|POST /2 text|POST /3 abc|chunked|DELETE /4 ", ask())
  end)

  it("reads bodies by length, chunked, up to the end, and none", function()
    local kinds = {}
    local origin = origins.start(function(connection)
      while connection:read_request() do
        local kind = table.remove(kinds, 1)
        if kind == "length" then connection:respond { body = ("x"):rep(100000) }
        elseif kind == "chunked" then connection:respond { body = ("x"):rep(100000), chunked = true }
        elseif kind == "end" then
          connection:respond { body = ("x"):rep(100000), no_length = true }
          return
        elseif kind == "none" then connection:respond { status = 204 }
        elseif kind == "interim" then
          connection:send "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
          connection:respond { body = "final" }
        end
      end
    end)
    local ask = run(origin, [[ return #assert(http.get(base .. "/")).body ]])
    for _, kind in ipairs { "length", "chunked", "end", "none", "interim", "length" } do
      kinds[1] = kind
      local expected = kind == "none" and "0" or kind == "interim" and "5" or "100000"
      assert.equal(expected, ask(), kind)
    end
  end)

  it("streams a body, also one that never ends", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      while connection:send(http1.chunk "tick") do connection:sleep(0.02) end
    end)
    local ask = run(origin, [[
      local response = assert(http.get(base .. "/", { stream = true }))
      local one, two = response:read(), response:read()
      response:close()
      return (one .. two):gsub("tick", "."):gsub("%.+", "ticks"), #one > 0 and #two > 0, response:read()
    ]])
    assert.equal("ticks|true|nil|nil", ask())
  end)

  it("reuses connections, and sends again what an idle one that was closed has not answered", function()
    local origin = origins.start(echo)
    local ask = run(origin, [[
      local list = {}
      for i = 1, 3 do list[i] = assert(http.get(base .. "/")).headers["X-Connection"] end
      return unpack(list)
    ]])
    assert.equal("1|1|1", ask())
    assert.equal("1|1|1", ask())
    local once = run(origins.start(function(connection, number)
      connection:read_request()
      connection:respond { body = tostring(number) }
      connection:read_request() -- and closes without an answer
    end), [[ return assert(http.get(base .. "/")).body ]])
    assert.same({ "1", "2" }, { once(), once() })
  end)

  it("reuses no connection that has more on it than its response, or that was not read to the end", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        connection:send "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
      end
    end)
    local ask = run(origin, [[
      local first, second = http.get(base .. "/1").body, http.get(base .. "/2").body
      local begun = http.get(base .. "/3", { stream = true })
      local kept, why = begun.socket:keep()
      return first, second, kept, why, http.get(base .. "/4").body
    ]])
    assert.equal("ok|ok|nil|there is something unread|ok", ask())
    assert.equal(4, origin.accepted)
  end)

  it("keeps no connection on which the rest of a response is to come", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
      connection:sleep(60)
    end)
    local ask = run(origin, [[
      local begun = http.get(base .. "/1", { stream = true })
      return begun.socket:keep()
    ]])
    assert.equal("nil|its response was not read to the end", ask())
  end)

  it("does not send a POST again", function()
    local ask = run(origins.start(function(connection)
      connection:read_request()
      connection:respond { body = "fine" }
      connection:read_request()
    end), [[
      local response, why = http.post(base .. "/", "once")
      return response and response.body, why
    ]])
    assert.equal("fine|nil", ask())
    assert.matches("^nil|.*closed", ask())
  end)

  it("speaks TLS: certificates are verified, for the URL's host or what is said", function()
    local origin = origins.start(echo, { names = { "auth.example" } })
    local ask = run(origin, policies.fill([[
      local good = assert(http.get(base .. "/", { ca = "$CA", sni = "auth.example" }))
      local again = assert(http.get(base .. "/", { ca = "$CA", sni = "auth.example" }))
      local by_address = assert(http.get("https://auth.example/x", { ca = "$CA", address = base:match "//(.*)" }))
      local bad, why = http.get(base .. "/", { ca = "$CA" })
      return good.status, again.headers["X-Connection"], by_address.body, bad, why
    ]], { CA = origin.files.ca }), "https://" .. origin.address)
    assert.matches("^200|1|GET /x |nil|.*mismatch", ask())
    assert.equal("auth.example", origin.requests[1].sni)
    assert.equal("auth.example", origin.requests[3].headers.host)
  end)

  it("shows the certificate that is in the client's files by now, also where a connection is kept", function()
    local first, second = tls.certificate "first.test", tls.certificate "second.test"
    local folder = process.directory()
    local function use(files)
      for name, from in pairs { certificate = files.certificate, key = files.key } do
        process.write_file(folder .. "/" .. name, process.read_file(from))
      end
    end
    use(first)
    local origin = origins.start(echo, { names = { "127.0.0.1" }, tls = { client_ca = first.ca } })
    local ask, proxy = run(origin, policies.fill([[
      return assert(http.get(base .. "/", { ca = "$CA", certificate = "$D/certificate", key = "$D/key" })).status
    ]], { CA = first.ca, D = folder }), "https://" .. origin.address)
    local function shown()
      ask()
      return origin.requests[#origin.requests].client_name
    end
    assert.equal(first.name, shown())
    use(second)
    scheduler.eventually(function() return shown() == second.name end, nil, "the new certificate")
    process.write_file(folder .. "/key", "no key")
    scheduler.eventually(function() return proxy:count_log "what was loaded before stays in use" > 0 end)
    assert.equal(second.name, shown())
  end)

  it("shows the client's certificate that is said, and shares connections by it", function()
    local ours = tls.certificate "who.test"
    local origin = origins.start(echo, { names = { "127.0.0.1" }, tls = { client_ca = ours.ca } })
    local ask = run(origin, policies.fill([[
      local mine = { ca = "$CA", certificate = "$CERTIFICATE", key = "$KEY" }
      local nobody = assert(http.get(base .. "/", { ca = "$CA" }))
      local we = assert(http.get(base .. "/", mine))
      local again = assert(http.get(base .. "/", mine))
      local fine, why = pcall(http.get, base .. "/", { ca = "$CA", certificate = "$CERTIFICATE" })
      return nobody.headers["X-Connection"], we.headers["X-Connection"], again.headers["X-Connection"], fine, why
    ]], { CA = ours.ca, CERTIFICATE = ours.certificate, KEY = ours.key }), "https://" .. origin.address)
    assert.matches("^1|2|2|false|.*certificate and key go together", ask())
    assert.same({ ours.name, ours.name }, { origin.requests[2].client_name, origin.requests[3].client_name })
    assert.is_nil(origin.requests[1].client_name)
  end)

  it("sends the token in a file, which may change; without one nothing is sent", function()
    local path = process.write_file(process.directory() .. "/token", " first\n")
    local origin = origins.start(echo)
    local ask = run(origin, policies.fill([[
      local response, why = http.get(base .. "/", { token_file = "$PATH" })
      local both, misuse = pcall(http.get, base .. "/", { token_file = "$PATH", headers = { Authorization = "x" } })
      return response and response.status, why, both, misuse
    ]], { PATH = path }))
    assert.matches("^200|nil|false|.*give either token_file or the field Authorization", ask())
    process.write_file(path, "second")
    scheduler.eventually(function()
      ask()
      return origin.requests[#origin.requests].headers.authorization == "Bearer second"
    end)
    assert.equal("Bearer first", origin.requests[1].headers.authorization)
    for text, why in pairs { [""] = "it is empty", ["a\r\nX: y"] = "one line of visible characters" } do
      local other = process.write_file(process.directory() .. "/token", text)
      local count = #origin.requests
      assert.matches("^nil|.*token_file .*" .. why, run(origin, policies.fill([[
        return http.get(base .. "/", { token_file = "$PATH" })
      ]], { PATH = other }))())
      assert.equal(count, #origin.requests)
    end
  end)

  it("is ended by another task, also while it waits for an answer, and not tried again", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:respond { body = "first" }
      connection:read_request()
      connection:read(1)
    end)
    local ask = run(origin, [[
      assert(http.get(base .. "/"))
      local holder = {}
      perilune.spawn(function()
        perilune.sleep(0.05)
        holder.cancel()
      end)
      return http.get(base .. "/", { holder = holder, timeout = 30 })
    ]])
    assert.matches("^nil|.*closed", ask())
    assert.equal(2, #origin.requests)
  end)

  it("goes over unix sockets", function()
    local path = process.directory() .. "/http.sock"
    local ask = run(origins.start(echo, { host = "unix:" .. path }), policies.fill([[
      return assert(http.get("http://localhost/over/unix", { address = "unix:$PATH" })).body
    ]], { PATH = path }), "http://localhost")
    assert.equal("GET /over/unix ", ask())
  end)

  it("does not follow redirects", function()
    local ask = run(origins.start(function(connection)
      connection:read_request()
      connection:respond { status = 302, headers = { Location = "/else" } }
    end), [[
      local response = assert(http.get(base .. "/"))
      return response.status, response.headers.location
    ]])
    assert.equal("302|/else", ask())
  end)

  it("gives nil and a sentence for what goes wrong on the way", function()
    local behaviours = {
      timeout = function(connection) connection:sleep(5) end,
      malformed = function(connection) connection:send "HTTP/1.1 200 OK\r\nBad Field: 1\r\n\r\n" end,
      ["closed"] = function() end,
      ["longer than 10 bytes"] = function(connection) connection:respond { body = ("x"):rep(11) } end,
      ["[mM]alformed"] = function(connection)
        connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"
      end,
    }
    for expected, behaviour in pairs(behaviours) do
      local ask, proxy = run(origins.start(function(connection)
        connection:read_request()
        behaviour(connection)
      end), [[ return http.get(base .. "/", { timeout = 0.3, limit = 10 }) ]])
      assert.matches("^nil|127%.0%.0%.1:%d+: .*" .. expected, ask())
      proxy:stop()
    end
    assert.matches("^nil|.*refused", run({ address = origins.dead_address() }, [[ return http.get(base) ]])())
  end)

  it("gives what had arrived of a body that broke off as the third value of read_all", function()
    local ask = run(origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst"
    end), [[
      local response = assert(http.get(base .. "/", { stream = true }))
      return response:read_all()
    ]])
    assert.equal("nil|closed|first", ask())
  end)

  it("refuses URLs and fields that would break the request, and unknown options", function()
    local ask = run(origins.start(echo), [[
      local list = {}
      local function call(f, ...)
        local result = f(...)
        return result
      end
      local function note(...) list[#list + 1] = tostring((select(2, pcall(call, ...)))) end
      local function refused(...) list[#list + 1] = select(2, http.get(...)) end
      refused(base .. "/a b")
      refused(base .. "/a\r\nX: y")
      refused("ftp://127.0.0.1/")
      refused("http://user@127.0.0.1/")
      note(http.get, base, { headers = { ["X"] = "a\r\nY: b" } })
      note(http.get, base, { headers = { ["X Y"] = "a" } })
      note(http.get, base, { headers = { ["Content-Length"] = "3" } })
      note(http.get, base, { headres = {} })
      note(http.post, base, true)
      note(http.request, { url = base, method = "G T" })
      return table.concat(list, "\n")
    ]])
    local expected = { "percent%-encoded", "percent%-encoded", "expected http://", "user in an URL",
      "control character", "no valid field name", "cannot be set", "unknown option 'headres'",
      "got a boolean", "upper case" }
    local lines = require("pl.stringx").splitlines(ask())
    for i, line in ipairs(lines) do assert.matches(expected[i], line) end
    for i = 5, #lines do assert.matches("policy%.lua:%d+: ", lines[i]) end
    assert.equal(#expected, #lines)
  end)

  it("may be used by many tasks at once, and leaves no connection behind a client that went away", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        connection:sleep(connection.request.path == "/slow" and 60 or 0.1)
        connection:respond { body = "x" }
      end
    end)
    local ask, proxy = run(origin, [[
      local path = session:query() or "/"
      local tasks = {}
      for i = 1, 5 do tasks[i] = perilune.spawn(http.get, base .. path, { timeout = 60 }) end
      perilune.wait(unpack(tasks))
      local sum = 0
      for i = 1, 5 do sum = sum + #perilune.wait(tasks[i]).body end
      return sum
    ]])
    assert.equal("5", ask())
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/?/slow" }
    scheduler.sleep(0.2)
    connection:close()
    proxy:stop()
    scheduler.eventually(function() return origin:open_count() == 0 end)
  end)
end)
