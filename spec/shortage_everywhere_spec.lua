-- SPDX-License-Identifier: Apache-2.0
-- Each call of the system fails for a while, as on a machine that lacks something, below a policy that uses much: peers
-- of both protocols, a cache, files, codings, the client for HTTP, Redis, datagrams, TLS that begins later, traces, and
-- commands. Clients may get errors meanwhile. Afterwards all is as before: nobody is blamed, nothing is lost or kept.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local redis_server = require "redis_server"
local scheduler = require "scheduler"
local shortage = require "shortage"
local sys = require "sys"
local tls = require "tls"

after_each(require("cleanup").run)

local files = tls.certificate "spec.example"
local TEXT = ("a text that can be compressed, "):rep(2000)
local BYTES = ("\0"):rep(1024 * 1024) -- of a type that is not compressed: it goes by sendfile(2)

local POLICY = [[
  local perilune = require "perilune"
  local http = require "perilune.http"
  local store = require("perilune.redis").new("$REDIS", { timeout = 2, connect_timeout = 2 })
  local root = perilune.files { root = "$ROOT", strip = "/files" }
  perilune.tracing { endpoint = "http://$COLLECTOR", ratio = 1, interval = 0.1 }
  local set = require("perilune.round_robin").new { "$ORIGIN", passive = { failures = 3 } }
  local two = require("perilune.round_robin").new { "$TWO", passive = { failures = 3 } }
  local secure = require("perilune.round_robin").new { "$SECURE", passive = { failures = 3 } }
  local function said(session, value, why)
    return session:respond { status = value and 200 or 503, body = tostring(value or why) }
  end
  local function ask(url, http2)
    local answer, why = http.get(url, { http2 = http2, timeout = 2 })
    return answer and answer.body, why
  end
  local ways = {
    http = function() return ask("http://$ORIGIN/") end,
    http2 = function() return ask("http://$TWO/", true) end,
    redis = function() return store:call("SET", "key", "value") end,
    udp = function()
      local socket, why = perilune.udp.connect("$ORIGIN", { timeout = 2 })
      if not socket then return nil, why end
      local ok, fault = socket:send "x"
      socket:close()
      return ok, fault
    end,
    tls = function()
      local socket, why = perilune.tcp.connect("$TLS", { timeout = 2 })
      if not socket then return nil, why end
      local ok, fault = socket:start_tls { sni = "spec.example", ca = "$START_CA" }
      socket:close()
      return ok, fault
    end,
  }
  local hooks = {}
  function hooks.request_filter(session)
    local way = session:path():match "^/way/(%w+)"
    if way then return said(session, ways[way]()) end
    if session:path():find "^/files/" then return root(session) end
  end
  function hooks.upstream_peer(session)
    if session:path():find "^/two" then return { address = two:select(), http2 = true } end
    if session:path():find "^/secure" then
      return { address = secure:select(), tls = true, sni = "spec.example", ca = "$CA" }
    end
    return { address = set:select() }
  end
  local options = { compress = true, h2c = true, cache = perilune.cache("pages", { size = "8M" }) }
  perilune.listen("127.0.0.1:0", hooks, options)
  perilune.listen("127.0.0.1:0", hooks, { certificate = "$CERTIFICATE",
    key = "$KEY", compress = true })
]]

local PATHS = { "/plain", "/long", "/two", "/two/long", "/secure", "/cached", "/cached?", "/files/text.css",
  "/files/bytes.bin", "/way/http", "/way/http2", "/way/redis", "/way/udp", "/way/tls" }

local function answer(request)
  local path = request.path or request.target
  if path:find "/long$" then return { headers = { ["Content-Type"] = "image/png" }, body = BYTES } end
  local kept = path:find "^/cached"
  return { headers = { ["Cache-Control"] = kept and "max-age=60" or "no-store", ["Content-Type"] = "text/plain" },
    body = TEXT }
end

local function serve(at)
  while true do
    local request = at:read_request()
    if not request then return end
    at:respond(answer(request))
    if at.id then return end
  end
end

local function start()
  local lack = shortage.new()
  local root = process.directory()
  process.write_file(root .. "/text.css", TEXT)
  process.write_file(root .. "/bytes.bin", BYTES)
  local origin, http2 = origins.start(serve), origins.start(serve, { http2 = true })
  local names = { names = { "spec.example" } }
  local secure, start_tls = origins.start(serve, names), origins.start(function(at) at:read_until "\n" end, names)
  local proxy = perilune.start {
    env = lack.env, workers = 2, settings = { "--admin", "127.0.0.1:0", "--socket", root .. "/commands" },
    policy = policies.fill(POLICY, { ORIGIN = origin.address, TWO = http2.address, SECURE = secure.address,
      CA = secure.files.ca, TLS = start_tls.address, START_CA = start_tls.files.ca, ROOT = root,
      REDIS = redis_server.start().address, COLLECTOR = origins.start("").address,
      CERTIFICATE = files.certificate, KEY = files.key }),
  }
  proxy.commands = root .. "/commands"
  return proxy, lack
end

local count = 0
local PATIENCE = 60 -- seconds: longer than anything waits here that cannot be had

-- One request on a connection of its own. Its status; nil where the connection failed. It never waits in vain.
local function ask(proxy, path, kind)
  count = count + 1
  local options = { port = proxy.port, timeout = PATIENCE }
  if kind == "2" then options.version = "2" end
  if kind == "tls" then
    options.port, options.tls = proxy.ports[2], { name = "spec.example", ca = files.ca }
  end
  local made, at = pcall(client.connect, options)
  if not made then return nil, at end
  if path:find "?" then path = path .. count end
  local begun = sys.now()
  local ok, response, why = pcall(at.request, at, { target = path, headers = { ["Accept-Encoding"] = "gzip" } })
  at:close()
  assert(sys.now() - begun < PATIENCE / 3, path .. " over " .. kind .. " has neither an answer nor an end")
  if ok and response and not response.failure then return response.status, response.body end
  return nil, ok and (response and response.failure or why) or response
end

local KINDS = { "1", "2", "tls" }
local TURNS = 4 * #KINDS -- until a call has failed: with each kind by chance, then each time

-- What clients got that ask for everything at once, by status; 0: no answer. The protocols go round from `first`.
local function load(proxy, first)
  local statuses, bodies, last = {}, {}, nil
  for i, path in ipairs(PATHS) do
    local kind = KINDS[(i + first) % #KINDS + 1]
    bodies[i] = function()
      local status, why = ask(proxy, path, kind)
      statuses[status or 0] = (statuses[status or 0] or 0) + 1
      if status ~= 200 then last = ("%s over %s: %s %s"):format(path, kind, status or "no answer", why) end
    end
  end
  scheduler.all(bodies, 90)
  return statuses, last
end

-- Everything that is asked is answered.
local function require_answers(proxy, lack)
  for first = 1, #KINDS do
    local statuses, last = load(proxy, first)
    assert.same({ [200] = #PATHS }, statuses, lack .. ": " .. (last or ""))
  end
end

-- What fails, with what, and what people do meanwhile. Where they do something, every such call fails.
local LACKS = {
  { "socket", "ENOBUFS" }, { "connect", "EADDRNOTAVAIL" }, { "accept", "ENFILE" }, { "send", "ENOBUFS" },
  { "sendmsg", "ENOMEM" }, { "recv", "ENOMEM" }, { "read", "ENOMEM" }, { "write", "ENOBUFS" },
  { "splice", "ENOMEM" }, { "open", "EMFILE" }, { "epoll_ctl", "ENOSPC" },
  { "pread", "EIO" }, { "sendfile", "ENOMEM" }, { "setsockopt", "ENOBUFS" }, { "fstat", "EIO" },
  { "dup", "EMFILE", "upgrade" }, { "memfd", "EMFILE", "upgrade" },
  { "pipe", "EMFILE", "upgrade" }, { "thread", "EAGAIN", "reload" },
}

describe("a machine that lacks something for a while", function()
  it("fails what needs it, blames nobody, and is as before afterwards", function()
    local proxy, lack = start()
    require_answers(proxy, "before")
    require_answers(proxy, "before")
    local descriptors = proxy:open_files()
    for i, what in ipairs(LACKS) do
      local call, code, command = unpack(what)
      for turn = 1, TURNS do
        lack:begin(call, code, (command or turn > #KINDS) and 1 or 0.3)
        load(proxy, i + turn)
        perilune.run("status", "--socket", proxy.commands)
        if lack:count(call) > 0 then break end
      end
      if command then
        assert.not_equal(0, perilune.run { args = { command, "--socket", proxy.commands }, timeout = 60 }.code, call)
      end
      lack:over()
      assert.is_true(lack:count(call) > 0, call .. " has not failed")
      require_answers(proxy, ("%s (%d times)"):format(call, lack:count(call)))
    end
    for _, call in ipairs { "fstat", "open" } do -- no word of a disk that fails is kept as one of the file
      local path = ("/files/%s.css"):format(call)
      process.write_file((proxy.commands:gsub("commands$", call .. ".css")), TEXT)
      lack:begin(call, "EIO", 1)
      assert.not_equal(404, (ask(proxy, path, "1")), call)
      lack:over()
      assert.equal(200, (ask(proxy, path, "1")), call)
    end
    local log = proxy:log()
    assert.is_nil(log:match "[^\n]*ejected[^\n]*" or log:match "[^\n]*unhealthy[^\n]*")
    assert.is_true(proxy:open_files() < descriptors + 20, "descriptors are lost")
  end)
end)
