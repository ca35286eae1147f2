-- SPDX-License-Identifier: Apache-2.0
-- What else of ngx_lua's README libraries rely on: dictionaries, patterns, timers, variables.
local cleanup = require "cleanup"
local client = require "client"
local nginx_libraries = require "nginx_libraries"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

local cases_of = nginx_libraries.cases_of

describe("ngx.shared", function()
  local ask = cases_of(setup, teardown, function() return [[
    local cache, small = ngx.shared.cache, ngx.shared.small
    local function join(list) return table.concat(list, ",") end
    function cases.types()
      cache:set("b", true) cache:set("f", false, 0, 9) cache:set("n", 1.5)
      return cache:get "b", cache:get "n", cache:get "f"
    end
    function cases.ever()
      cache:set("ever", 1, 0)
      cache:set("soon", 1, 0.01)
      ngx.sleep(0.03)
      return cache:get "ever", cache:ttl "ever", cache:get "soon", cache:ttl "soon", cache:replace("soon", 2)
    end
    function cases.expire()
      cache:set("e", 1)
      local ok, left = cache:expire("e", 100), cache:ttl "e"
      cache:expire("e", 0)
      return ok, left > 99 and left <= 100, cache:ttl "e"
    end
    function cases.incr()
      local first, none, forced = cache:incr("c", 1, 10, 0.01)
      local second = cache:incr("c", "2", 10, 100) -- it is there: its time stays
      ngx.sleep(0.03)
      return first, none, forced, second, cache:incr("c", 1), cache:incr("c", 1, 0, 100) , cache:ttl "c" > 99,
        pcall(cache.incr, cache, "d", 1, nil, 5)
    end
    function cases.get_keys()
      cache:flush_all()
      cache:flush_expired()
      for i = 1, 1100 do cache:set("k" .. i, i) end
      return #cache:get_keys(), #cache:get_keys(0), #cache:get_keys(5)
    end
    local function stale()
      local count = 0
      for i = 1, 1100 do count = count + (cache:get_stale("k" .. i) and 1 or 0) end
      return count
    end
    function cases.flush() -- what is set afterwards may take the place of some
      cache:flush_all()
      cache:set("new", 1)
      return cache:get "k1", stale() > 900, cache:get "new", cache:flush_expired(10), cache:flush_expired() > 900,
        stale(), cache:get "new"
    end
    function cases.lists()
      cache:rpush("list", 1) cache:rpush("list", "two")
      return cache:get "list", cache:lpop "list", cache:lpop "list", cache:llen "list", cache:get "list"
    end
    function cases.full_of_lists() -- a push never drives another value out
      small:flush_all() small:flush_expired()
      small:set("dear", ("x"):rep(100))
      local count, why = 0, nil
      repeat
        local length
        length, why = small:rpush("l", ("y"):rep(200))
        count = count + (length and 1 or 0)
      until why or count > 10000
      return count > 50, why, #small:get "dear"
    end
    function cases.forcible()
      small:flush_all() small:flush_expired()
      local added, ok, why, forcible = 0, nil, nil, nil
      repeat
        ok, why, forcible = small:add("a" .. added, ("z"):rep(200))
        added = added + 1
      until forcible or not ok or added > 10000
      return ok, why, forcible, added < 10000, (small:get "a0"), small:set("huge", ("h"):rep(200000))
    end
  ]] end)

  it("keeps booleans and numbers as they are, with flags", function()
    assert.equal("true|1.5|false|9", ask "types")
  end)
  it("keeps values for their time, and for ever with 0", function()
    assert.equal("1|0|nil|nil|false|not found|false", (ask "ever"):gsub("nil|nil|not found", "nil|nil", 1))
    assert.equal("true|true|0", ask "expire")
  end)
  it("counts from a first value, which has a time", function()
    assert.matches("^11|nil|false|13|nil|1|true|false|.*init_ttl", ask "incr")
  end)
  it("gives 1024 keys, so many as it is told to, or all for 0", function()
    assert.equal("1024|1100|5", ask "get_keys")
    assert.equal("nil|true|1|10|true|0|1", ask "flush")
  end)
  it("takes nothing away for a list, and shows none as a value", function()
    assert.equal("nil|1|two|0|nil", (ask("lists"):gsub("value is a list|", "")))
    assert.equal("true|no memory|100", ask "full_of_lists")
  end)
  it("says so where it makes room, and where there is none", function()
    assert.equal("true|nil|true|true|nil|false|no memory|false", ask "forcible")
  end)
end)

describe("ngx.re", function()
  local ask = cases_of(setup, teardown, function() return [[
    local re = ngx.re
    function cases.options()
      return re.find("xab", "b", "a"), (re.find("aab", "aab|a", "d")), re.match("A\nb", "^B$", "im")[0],
        re.match("a\nb", "a.b", "s")[0], re.match("ab", "a b # both", "x")[0], #re.match("\xc3\xa4", ".", "u")[0],
        re.match("ab", "(?<n>a)|(?<n>b)", "D").n[1], re.match("b", "(?<n>a)|(?<n>b)", "D").n[1],
        re.match("a", [=[\x]=], "J") == nil
    end
    function cases.ctx()
      local ctx, into = { pos = 2 }, { "old", "older" }
      local found = re.match("1a2b", [=[(\d)([a-z])]=], "jo", ctx, into)
      local at = ctx.pos
      return found == into, found[0], found[2], at, re.match("1a", "1", "", ctx), ctx.pos,
        re.match("aa", "a", "", { pos = 0 })[0]
    end
    function cases.nth()
      return re.find("ab", "(a)|(b)", "", nil, 2), re.find("ab", "a", "", nil, 1)
    end
    function cases.many() -- more than the cache of patterns holds
      local right = 0
      for i = 1, 3000 do
        if re.find("x" .. i .. "y", "^x" .. i .. "y$", "jo") == 1 then right = right + 1 end
      end
      return right, re.find("x1y", "^x1y$", "jo")
    end
    function cases.named()
      local found = re.match("k=v", [=[(?<key>\w)=(?<value>\w)(?<more>!)?]=])
      return found.key, found.value, found.more, found[3]
    end
    function cases.wrong_types()
      return re.match(12, "1")[0], re.find("nil", nil), re.gsub(true, "t", 5), re.sub("a", "a", function() end)
    end
  ]] end)

  it("heeds its options", function()
    assert.equal("nil|1|b|a\nb|ab|2|a|b|true", (ask("options"):gsub("^nil|nil|", "nil|")))
  end)
  it("goes on at ctx.pos, fills a table, and leaves ctx where nothing was found", function()
    assert.equal("true|2b|b|5|nil|5|a", ask "ctx")
  end)
  it("finds a group by its number", function()
    assert.equal("nil|nil|nil|nth out of bound", (ask("nth"):gsub("^nil|nil|nil|nil", "nil|nil|nil")))
  end)
  it("goes on where more patterns are in use than it keeps", function()
    assert.equal("3000|1|3", ask "many")
  end)
  it("gives groups by name, false where they took no part", function()
    assert.equal("k|v|false|false", ask "named")
  end)
  it("takes what is no text as tostring makes it", function()
    assert.equal("1|1|5rue|nil|1", ask "wrong_types")
  end)
end)

describe("ngx.timer", function()
  local ask = cases_of(setup, teardown, function() return [[
    local go = ngx.shared.cache
    local function await(fn)
      for _ = 1, 2000 do
        if fn() then return true end
        ngx.sleep(0.005)
      end
    end
    function cases.every() -- begins although the run before waits
      local most, running, is_over = 0, 0, false
      ngx.timer.every(0.01, function()
        if is_over then return end
        running = running + 1
        most = math.max(most, running)
        await(function() return is_over end)
        running = running - 1
      end)
      local ok = await(function() return most >= 3 end)
      is_over = true
      return ok, await(function() return running == 0 end)
    end
    function cases.pending()
      local done, ok, why = 0, nil, nil
      local before = ngx.timer.pending_count()
      repeat
        ok, why = ngx.timer.at(0.05, function() done = done + 1 end)
      until not ok
      local count = ngx.timer.pending_count()
      return before, why, count, await(function() return ngx.timer.pending_count() == before end), done > 0
    end
    function cases.running()
      local begun, is_over = 0, false
      for _ = 1, 300 do
        assert(ngx.timer.at(0, function()
          begun = begun + 1
          await(function() return is_over end)
        end))
      end
      await(function() return ngx.timer.pending_count() <= 1 end)
      local count = ngx.timer.running_count()
      is_over = true
      return begun, count, await(function() return ngx.timer.running_count() == 0 end)
    end
    function cases.socket() -- in a timer, with its threads
      local seen
      ngx.timer.at(0, function()
        local t = ngx.thread.spawn(function() ngx.sleep(0.001) return ngx.get_phase() end)
        local ok, phase = ngx.thread.wait(t)
        seen = tostring(ok) .. phase .. tostring(pcall(ngx.say, "x"))
      end)
      await(function() return seen end)
      return seen
    end
  ]] end)

  it("begins a run of every when it is due, whether or not the last has ended", function()
    assert.equal("true|true", ask "every")
  end)
  it("has 1024 that wait and 256 that run", function()
    assert.equal("1|too many pending timers|1024|true|true", ask "pending")
    assert.equal("256|256|true", ask "running")
  end)
  it("runs threads in its own phase, where nothing is to be answered", function()
    assert.equal("truetimerfalse", ask "socket")
  end)

  it("calls what waits with premature when another policy is in force", function()
    local policy = [[
      local perilune = require "perilune"
      require "perilune.ngx" { dicts = { seen = "64k" } }
      local seen = ngx.shared.seen
      local function note(name) return function(premature, what)
        if premature then seen:incr(name .. what .. tostring(ngx.worker.exiting()), 1, 0) end
      end end
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        if session:path() == "/start" then
          ngx.timer.at(3600, note "at", "A")
          ngx.timer.every(3600, note "every", "B")
          return session:respond { status = 204 }
        end
        local keys = seen:get_keys(0)
        table.sort(keys)
        return session:respond { status = 200, body = table.concat(keys, ",") }
      end })
    ]]
    local proxy, pid_file, path = running.start { workers = 1, policy = policy }
    client.request { port = proxy.port, path = "/start" }
    process.write_file(path, policy .. "-- another")
    assert.equal(0, running.command(pid_file, "reload").code)
    scheduler.eventually(function()
      return client.request({ port = proxy.port, path = "/" }).body == "atAtrue,everyBtrue"
    end)
    cleanup.run()
  end)
end)

describe("variables of ngx", function()
  local ask = cases_of(setup, teardown, function() return [[
    function cases.vars()
      local v = ngx.var
      return v.scheme, v.host, v.uri, v.request_uri, v.is_args, v.args, v.query_string, v.arg_b, v.server_port == "0",
        v.https, v.server_name, v.http_user_agent, v.cookie_none, v.http_none, v[1], v.content_length
    end
    function cases.zone() return ngx.parse_http_time(ngx.http_time(ngx.time())) - ngx.time(), ngx.var.time_iso8601 end
  ]] end, { env = { TZ = "JST-9" } })

  it("are a request's", function()
    assert.equal("http|a.test|/vars|/vars?a=1&b=2|?|a=1&b=2|a=1&b=2|2|false||a.test|me|nil|nil|nil|nil",
      ask("vars?a=1&b=2", { headers = { Host = "a.test:80", ["User-Agent"] = "me" } }))
  end)
  it("have times of UTC where they say so, wherever the machine is", function()
    local said = ask "zone"
    assert.matches("^0|" .. os.date("!%Y-%m-%dT"):gsub("%-", "%%-") .. "[%d:]+%+00:00$", said)
    local hour = tonumber(said:match "T(%d+)")
    assert.is_true((tonumber(os.date "!%H") - hour) % 24 <= 1, said)
  end)
end)
