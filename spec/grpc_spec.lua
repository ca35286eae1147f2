-- SPDX-License-Identifier: Apache-2.0
-- gRPC through the proxy with a real client and a real server, both of grpcio (Debian's python3-grpcio), which know
-- nothing of it: calls of each kind, deadlines, cancelling, errors, health. Without grpcio these specs are pending.
local json = require "cjson"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local function find_python()
  for _, name in ipairs { "python3", "/usr/bin/python3" } do
    if os.execute(name .. " -c 'import grpc' 2>/dev/null") == 0 then return name end
  end
end
local python = find_python()

local POLICY = [[
local perilune = require "perilune"
local upstreams = require("perilune.round_robin").new { "%s" }
require("perilune.health_check").grpc(upstreams, { interval = 0.5, timeout = 20, start = "unhealthy" })
local policy = {}
function policy.request_filter(session)
  if session:path() == "/refused" then return session:respond { status = 403, body = "not you" } end
end
function policy.upstream_peer(session)
  if session:path() == "/dead" then return { address = "%s", http2 = true } end
  return { address = upstreams:select(), http2 = true }
end
perilune.listen("127.0.0.1:0", policy, { h2c = true })
perilune.listen("127.0.0.1:0", policy, { certificate = %q, key = %q })
]]

local function start_server()
  local server = process.start({ python, "spec/support/grpc_server.py" }, {})
  require("cleanup").add(3, function() server:kill() end)
  local port = scheduler.eventually(function() return server:stdout():match "^(%d+)\n" end, 60, "start of grpcio")
  return "127.0.0.1:" .. port
end

local EXPECTED = {
  unary = { reply = "HELLO", head = { ["x-node"] = "a" }, trailers = { ["x-sum"] = "1", ["x-raw-bin"] = "00ff" } },
  large = true, server_stream = true, many = true,
  fail = { code = "NOT_FOUND", details = "no such thing: 100% ä", trailers = { ["x-why"] = "spec" } },
  fail_late = { "one", "DATA_LOSS", "behind one" },
  deadline = { "begun", "DEADLINE_EXCEEDED", "yes" },
  cancel = { "begun", "yes" },
  refused = { code = "PERMISSION_DENIED", details = "not you", trailers = {} },
  dead = { code = "UNAVAILABLE", details = "502 Bad Gateway", trailers = {} },
}

local function numbers(first, last, format)
  local list = {}
  for i = first, last do list[#list + 1] = format:format(i) end
  return list
end
EXPECTED.client_stream = table.concat(numbers(0, 99, "%d"), ",")
EXPECTED.chat = numbers(0, 19, "M%d")

-- Only what is expected of it: fields of the proxy's own (via, date) may be there, too.
local function narrow(wanted, got)
  if type(wanted) ~= "table" or type(got) ~= "table" then return got end
  local found = {}
  for key, value in pairs(wanted) do found[key] = narrow(value, got[key]) end
  return found
end

describe("gRPC with a client and a server of grpcio", function()
  if not python then
    return pending("calls of each kind go through (no grpcio here: apt-get install python3-grpcio)")
  end

  it("has calls of each kind, deadlines, cancelling and errors, plain and over TLS", function()
    local files = tls.certificate "localhost"
    local server = start_server()
    local proxy = perilune.start { workers = 1,
      policy = POLICY:format(server, origins.dead_address(), files.certificate, files.key) }
    proxy:wait_log("backend " .. server:gsub("%p", "%%%0") .. " is healthy", 60)
    for listener, words in ipairs { {}, { files.ca } } do
      local address = "127.0.0.1:" .. proxy.ports[listener]
      local run = process.run({ python, "spec/support/grpc_client.py", address, unpack(words) }, { timeout = 240 })
      assert.equal(0, run.code, run.stderr)
      local results = json.decode(run.stdout)
      for name, wanted in pairs(EXPECTED) do assert.same(wanted, narrow(wanted, results[name]), name) end
      assert.equal("UNIMPLEMENTED", results.unknown.code)
    end
    assert.is_nil(proxy:log():find " error ")
  end)
end)
