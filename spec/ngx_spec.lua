-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx: what libraries for OpenResty rely on, case by case.
local cleanup = require "cleanup"
local client = require "client"
local nginx_libraries = require "nginx_libraries"
local origins = require "origins"
local perilune = require "perilune"
local scheduler = require "scheduler"

local cases_of = nginx_libraries.cases_of

describe("ngx.re, ngx.shared and texts", function()
  local ask = cases_of(setup, teardown, function() return [[
    local re, shared = ngx.re, ngx.shared
    function cases.match()
      local m = re.match("hello 2026-11", [=[(?<year>\d+)-(\d+)(x)?(?<none>y)?]=], "jo")
      return m[0], m[1], m.year, m[2], m[3], m[4], m.none, #m, re.match("a", "b"), re.match("a", "(", "o")
    end
    function cases.find()
      local ctx = { pos = 3 }
      local from, to = re.find("a1b2", [=[\d]=], "jo", ctx)
      return from, to, ctx.pos, re.find("a1b2", "([a-z])([0-9])", "", nil, 2), select("#", re.find("a", "b")),
        re.find("a", "(")
    end
    function cases.sub()
      local text, n = re.gsub("a1b22", [=[([a-z])(\d+)]=], "[$2-${1}x$0$$]", "jo")
      local called, m = re.sub("abc", "b", function(c) return c[0]:upper() end)
      return text, n, called, m, re.gsub("abc", "x*", "-"), re.sub("a", "a", "$x")
    end
    function cases.gmatch()
      local all = {}
      for m in re.gmatch("a1b2c3", [=[[a-z](\d)]=], "jo") do all[#all + 1] = m[1] end
      return table.concat(all, ","), re.gmatch("a", "(")
    end
    function cases.flags() return pcall(re.match, "a", "a", "q") end
    function cases.dict()
      local d = shared.cache
      local out = {}
      local function add(...) for i = 1, select("#", ...) do out[#out + 1] = tostring((select(i, ...))) end end
      add(d:set("k", "v", 0, 7)) add(d:get "k") add(d:add("k", 1)) add(d:replace("none", 1)) add(d:safe_add("k", 1))
      add(d:ttl "k")
      add(d:ttl "none") add(d:expire("none", 1)) add(d:incr("none", 1)) add(d:incr("k", 1)) add(d:incr("n", 2, 5))
      return table.concat(out, ",")
    end
    function cases.keys()
      local d = shared.cache
      return d:set(nil, 1), d:get "", d:set("t", {}), d:get(("x"):rep(70000)), d:set(5, "five"), d:get "5",
        d:set("5", nil), d:get(5), d:delete "5", d:delete(nil)
    end
    function cases.full()
      local d, count = shared.small, 0
      while d:safe_set("k" .. count, ("x"):rep(100)) do count = count + 1 end
      local ok, err = d:safe_set("more", ("x"):rep(100))
      local done, why, forcible = d:set("more", ("x"):rep(100))
      return count > 100, ok, err, done, why, forcible
    end
    function cases.stale()
      local d = shared.cache
      d:set("s", "old", 0.001, 3)
      ngx.sleep(0.02)
      return d:get "s", d:get_stale "s"
    end
    function cases.lists()
      local d = shared.cache
      return d:rpush("q", "b"), d:lpush("q", "a"), d:llen "q", d:lpop "q", d:rpop "q", d:lpop "q", d:llen "q",
        d:lpush("q", true), d:set("v", 1), d:lpush("v", 1)
    end
    function cases.texts()
      return ngx.escape_uri "a b/c~", ngx.unescape_uri "a+b%2Fc%zz",
        ngx.encode_args { b = { 1, 2 }, a = true, c = false }, ngx.decode_args("a=1&b&a=2").a[2],
        ngx.decode_args("a=1&b").b, ngx.encode_base64("a", true),
        ngx.decode_base64 "YQ", ngx.decode_base64 "Y$", ngx.md5 "", ngx.crc32_long "123456789", ngx.quote_sql_str "a'b",
        require("ngx.base64").decode_base64url(nil)
    end
    function cases.nils() return ngx.escape_uri(nil), ngx.md5(nil), ngx.encode_base64(5), ngx.sha1_bin("a"):byte() end
    function cases.times()
      return math.abs(ngx.now() - os.time()) < 5, ngx.http_time(0), ngx.parse_http_time(ngx.http_time(7)),
        ngx.cookie_time(0), ngx.worker.pid() == ngx.worker.pid(), ngx.worker.id(), ngx.worker.exiting(),
        ngx.config.subsystem
    end
  ]] end)

  it("matches with false for groups that took no part, and gives nil and a message for a bad pattern", function()
    assert.matches("^2026%-11|2026|2026|11|false|false|false|4|nil|nil|missing closing parenthesis", ask "match")
    assert.matches("^4|4|5|2|1|nil|nil|missing", ask "find")
    assert.matches('^false|.*unknown flag "q"', ask "flags")
  end)
  it("replaces by templates and functions", function()
    assert.equal("[1-axa1$][22-bxb22$]|2|aBc|1|-a-b-c-|nil", (ask("sub"):gsub("|nil|invalid.*", "")))
    assert.matches("^1,2,3|nil|missing", ask "gmatch")
  end)
  it("keeps values, flags and times in dictionaries, with ngx_lua's words", function()
    assert.equal("true,nil,false,v,7,false,exists,false,false,not found,false,false,exists,0,nil,not found,nil,"
      .. "not found,nil,not found,false,nil,not a number,false,7,nil,false", ask "dict")
    assert.equal("nil|nil|nil|nil|true|five|true|nil|true|nil|nil key", ask "keys")
    assert.equal("true|false|no memory|true|nil|true", ask "full")
    assert.equal("nil|old|3|true", ask "stale")
    assert.equal("1|2|2|a|b|nil|0|nil|true|nil|value not a list", ask "lists")
  end)
  it("encodes as ngx_lua does it, and takes what is no string", function()
    assert.equal("a%20b%2Fc~|a b/c%zz|a&b=1&b=2|2|true|YQ|a|nil|d41d8cd98f00b204e9800998ecf8427e|3421780262|'a\\'b'"
      .. "|nil|must provide a string", ask "texts")
    assert.equal("|d41d8cd98f00b204e9800998ecf8427e|NQ==|134", ask "nils")
    assert.equal("true|Thu, 01 Jan 1970 00:00:00 GMT|7|Thu, 01-Jan-70 00:00:00 GMT|true|0|false|http", ask "times")
  end)
end)

describe("ngx.thread, ngx.semaphore and ngx.timer", function()
  local ask = cases_of(setup, teardown, function() return [[
    local semaphore = require "ngx.semaphore"
    function cases.spawn()
      local order = {}
      local t = ngx.thread.spawn(function(x)
        order[#order + 1] = "begun" .. x
        ngx.sleep(0.01)
        return "a", "b"
      end, 1)
      order[#order + 1] = "spawned"
      return table.concat(order, ","), ngx.thread.wait(t)
    end
    function cases.first()
      local slow = ngx.thread.spawn(function() ngx.sleep(10) end)
      local bad = ngx.thread.spawn(function() ngx.sleep(0.01) error("oh", 0) end)
      local ok, why = ngx.thread.wait(slow, bad)
      return ok, (why:gsub("\n.*", "")), ngx.thread.kill(slow), ngx.thread.kill(slow)
    end
    function cases.semaphore()
      local sema = semaphore.new(1)
      local waits = ngx.thread.spawn(function() sema:wait(0) return sema:wait(5) end)
      local count = sema:count()
      sema:post()
      local a, b = ngx.thread.wait(waits)
      return count, a, b, sema:wait(0.01)
    end
    local seen = {}
    function cases.timer(session)
      if session:query() == "see" then return seen[1], seen[2], seen[3], seen[4] end
      ngx.ctx.mine = true
      ngx.timer.at(0, function(premature, a)
        seen[1], seen[2], seen[3] = premature, a, ngx.ctx.mine
        seen[4] = select(2, pcall(function() return ngx.var.uri end)):match "API disabled.*"
      end, "given")
      return ngx.timer.at(-1, print) == nil
    end
    function cases.bad_timer() return ngx.timer.every(0, print), pcall(ngx.timer.at, 0, nil) end
    function cases.phase() return ngx.get_phase(), ngx.thread.wait(ngx.thread.spawn(ngx.get_phase)) end
  ]] end)

  it("runs a thread at once until it waits, and gives its results", function()
    assert.equal("begun1,spawned|true|a|b", ask "spawn")
    assert.equal("false|oh|true|nil|already waited or killed", ask "first")
    assert.equal("access|true|access", ask "phase")
  end)
  it("wakes who waits for a semaphore, and tells when its time is up", function()
    assert.equal("-1|true|true|nil|timeout", ask "semaphore")
  end)
  it("runs timers with a ctx of their own and without a request", function()
    ask "timer"
    local seen = "false|given|nil|API disabled in the context of ngx.timer"
    scheduler.eventually(function() return ask "timer?see" == seen end)
    assert.matches("^nil|false|.*function expected", ask "bad_timer")
  end)
end)

describe("a request in ngx", function()
  local ask, proxy = cases_of(setup, teardown, function() return [[
    function cases.var(session)
      ngx.var.chosen = "one"
      return ngx.var.uri, ngx.var.args, ngx.var.arg_a, ngx.var.http_x_two, ngx.var.cookie_c, ngx.var.request_method,
        ngx.var.remote_addr, ngx.var.is_args, ngx.var.chosen, #ngx.var.request_id, ngx.var.nothing,
        pcall(function() ngx.var.uri = "x" end)
    end
    function cases.read()
      ngx.req.read_body()
      local headers = ngx.req.get_headers()
      return ngx.req.get_method(), headers.x_two, headers["X-Two"], ngx.req.get_post_args().b, ngx.req.get_body_data(),
        ngx.req.get_uri_args().q, ngx.req.http_version()
    end
    function cases.ctx()
      ngx.ctx.a = 1
      local t = ngx.thread.spawn(function() return ngx.ctx.a end)
      local _, a = ngx.thread.wait(t)
      ngx.ctx = { b = 2 }
      return a, ngx.ctx.a, ngx.ctx.b
    end
    function cases.fields()
      ngx.header.x_one = "a"
      ngx.header["X-Many"] = { "b", "c" }
      ngx.header["X-Gone"] = 1
      ngx.header["X-Gone"] = nil
      ngx.header["Content-Length"] = 99
      return ngx.header["X-One"], ngx.header["X-Many"][2], ngx.header["X-Gone"]
    end
    function cases.exit()
      pcall(function() ngx.status = 418 ngx.say("teapot ", 1, nil, true) ngx.exit(200) end)
      return "the answer stands, although a pcall has caught the end"
    end
    function cases.exit_403() coroutine.wrap(function() ngx.exit(ngx.HTTP_FORBIDDEN) end)() end
    function cases.exit_0() ngx.exit(ngx.OK) end
    function cases.redirect() ngx.redirect("/there?a=b", 301) end
    function cases.thread_exit() ngx.thread.wait(ngx.thread.spawn(function() ngx.sleep(0.01) ngx.exit(429) end)) end
    function cases.absent()
      return select(2, pcall(ngx.location.capture, "/x")), select(2, pcall(function() return ngx.shraed end)),
        ngx.run_worker_thread, select(2, pcall(function() return ngx.req.get_header end))
    end
  ]] end)

  it("is read by names of nginx", function()
    assert.matches("^/var|a=1&b=2|1|two|v|GET|127.0.0.1|%?|one|32|nil|false|.*variable \"uri\" not found for writing",
      ask("var?a=1&b=2", { headers = { ["X-Two"] = "two", Cookie = "c=v" } }))
    assert.equal("POST|two|two|2|a=1&b=2|z|1.1",
      ask("read?q=z", { method = "POST", body = "a=1&b=2", headers = { ["X-Two"] = "two" } }))
    assert.equal("1|nil|2", ask "ctx")
  end)

  local function answer(path) return client.request { port = proxy().port, path = path } end

  it("is answered by fields, status, texts and exit, from any depth and through pcall", function()
    local response = answer "/fields"
    assert.equal("a|c|nil", response.body)
    assert.matches("x%-one: a\r\n", response.head)
    assert.matches("X%-Many: b\r\nX%-Many: c\r\n", response.head)
    assert.is_nil(response.head:find "X%-Gone")
    assert.matches("Content%-Length: 7\r\n", response.head) -- of "a|c|nil", not what was written
    response = answer "/exit"
    assert.same({ 418, "teapot 1niltrue\n" }, { response.status, response.body })
    assert.equal(403, answer("/exit_403").status)
    assert.equal(429, answer("/thread_exit").status)
    response = answer "/redirect"
    assert.same({ 301, "/there?a=b" }, { response.status, response.headers.location })
    assert.equal(500, answer("/exit_0").status) -- no answer, and nobody else to ask: the hook has ended
    assert.is_nil(proxy():log():find "exit failed")
  end)

  it("says of names that are not there what to use instead", function()
    local text = ask "absent"
    assert.matches("ngx.location.capture is not in Perilune: use perilune.http", text)
    assert.matches("ngx has no 'shraed': did you mean ngx.shared%?", text)
    assert.matches("|nil|.*ngx has no 'req.get_header': did you mean ngx.req.%l+_headers?%?", text)
  end)
end)

describe("handlers of OpenResty's phases", function()
  it("are hooks, of which each can wait", function()
    local origin = origins.start "origin text"
    local host, port = origin.address:match "^(.*):(%d+)$"
    local proxy = perilune.start { workers = 1, policy = ([[
      local perilune = require "perilune"
      require "perilune.ngx" { dicts = { log = "64k" } }
      local balancer = require "ngx.balancer"
      perilune.listen("127.0.0.1:0", require("perilune.ngx").hooks {
        access = function()
          ngx.ctx.begun = "yes"
          ngx.thread.spawn(function() ngx.sleep(0.02) ngx.header["X-Thread"] = "waited" end)
          if ngx.var.uri == "/no" then ngx.status = 401 ngx.say "who?" ngx.exit(401) end
        end,
        balancer = function() assert(balancer.set_current_peer(%q, %d)) end,
        header_filter = function()
          ngx.sleep(0.001)
          ngx.header["X-Phase"] = ngx.get_phase() .. " " .. ngx.ctx.begun
          ngx.status = 203
        end,
        body_filter = function()
          local text = ngx.arg[1]
          ngx.sleep(ngx.var.uri == "/slow" and text ~= "" and 0.2 or 0)
          ngx.arg[1] = text:upper() .. (text ~= "" and ngx.var.uri or "")
        end,
        log = function() ngx.shared.log:set(ngx.status .. ngx.ctx.begun, 1) end,
        init_worker = function() ngx.shared.log:set("worker", true) end,
      })
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        local log = ngx.shared.log
        return session:respond { status = 200,
          body = ("%%s|%%s|%%s"):format(tostring(log:get "203yes"), tostring(log:get "401yes"),
            tostring(log:get "worker")) }
      end })
    ]]):format(host, port) }
    local slow, response = unpack(scheduler.all {
      function() return client.request { port = proxy.port, path = "/slow" } end,
      function()
        scheduler.sleep(0.1)
        return client.request { port = proxy.port, path = "/" }
      end,
    })
    assert.equal("ORIGIN TEXT/slow", slow.body) -- what waits has its own ngx.arg
    assert.same({ 203, "ORIGIN TEXT/", "header_filter yes", "waited" },
      { response.status, response.body, response.headers["x-phase"], response.headers["x-thread"] })
    response = client.request { port = proxy.port, path = "/no" }
    assert.same({ 401, "who?\n" }, { response.status, response.body })
    scheduler.eventually(function()
      return client.request({ port = proxy.ports[2] }).body == "1|1|true"
    end)
    cleanup.run()
  end)
end)

describe("resty.core.base", function()
  local ask = cases_of(setup, teardown, function() return [[
    function cases.types()
      local base, ffi = require "resty.core.base", require "ffi"
      ffi.cdef "int ngx_lua_ffi_nothing(ngx_str_t *text);"
      return ffi.sizeof "ngx_str_t", #base.new_tab(1, 0), pcall(function() return ffi.C.ngx_lua_ffi_nothing end)
    end
  ]] end)

  it("has nginx's type of a text for declarations, whose functions are missed where they are called", function()
    assert.matches("^16|0|false|.*ngx_lua_ffi_nothing", ask "types")
  end)
end)

describe("ngx.flush", function()
  local ask, proxy = cases_of(setup, teardown, function() return [[
    local go = ngx.shared.cache
    local function await(name) while not go:get(name) do ngx.sleep(0.005) end end
    function cases.go(session) go:set(session:query(), true) return "gone" end
    function cases.said() return go:get "said" end
    function cases.flush(session)
      ngx.status = 201
      ngx.header.x_a = "a"
      local first = { ngx.flush(true) }
      ngx.say("one ", first[1], " ", first[2])
      local flushed = ngx.flush(true)
      await "flush"
      ngx.header.x_late, ngx.status = "b", 500
      ngx.print("two ", { flushed, ngx.headers_sent, " ", ngx.null })
      ngx.flush()
      await "flush2"
      ngx.exit(200)
    end
    function cases.eof()
      ngx.say "all"
      ngx.eof()
      local ok, why = ngx.print "more"
      go:set("said", tostring(ok) .. why)
      ngx.exit(200)
    end
    function cases.head()
      ngx.say "a"
      ngx.flush(true)
      ngx.say "b"
      ngx.exit(200)
    end
    function cases.redirect()
      ngx.say "a"
      ngx.flush()
      ngx.say(pcall(ngx.redirect, "/b"))
    end
    function cases.gone()
      ngx.say "a"
      ngx.flush(true)
      go:set("begun", true)
      local ok, why
      repeat ok, why = ngx.print(("x"):rep(100000)) until not ok
      go:set("said", why)
    end
  ]] end)

  it("sends what was said so far, and waits where it is told to", function()
    local connection = client.connect(proxy().port)
    connection:send "GET /flush HTTP/1.1\r\nHost: a\r\n\r\n"
    local head = connection:read_until "\r\n\r\n"
    assert.matches("^HTTP/1.1 201", head)
    assert.matches("[Xx]%-[Aa]: a\r\n", head)
    assert.equal("19\r\none nil nothing to flush\n\r\n", connection:read(31))
    ask("go", { path = "/go?flush" })
    assert.equal("e\r\ntwo 1true null\r\n", connection:read(19))
    ask("go", { path = "/go?flush2" })
    assert.equal("0\r\n\r\n", connection:read(5))
  end)

  it("is no more than the answer for HEAD", function()
    local response = client.request { port = proxy().port, path = "/head", method = "HEAD" }
    assert.equal("4", response.headers.content_length)
    assert.equal("a\nb\n", ask "head")
  end)

  it("leaves nothing to be said behind eof, nor a redirect", function()
    assert.equal("all\n", ask "eof")
    scheduler.eventually(function() return ask "said" == "nilseen eof" end)
    assert.matches("^a\nfalse.*ngx.redirect: the response has begun", ask "redirect")
  end)

  it("shows a client that has left", function()
    local connection = client.connect(proxy().port)
    connection:send "GET /gone HTTP/1.1\r\nHost: a\r\n\r\n"
    connection:read_until "a\n\r\n"
    connection:close()
    scheduler.eventually(function() return ask "said" == "closed" end)
  end)
end)
