-- SPDX-License-Identifier: Apache-2.0
-- sslhandshake and setclientcert of perilune.ngx's sockets, on a connection that is open already.
local nginx_libraries = require "nginx_libraries"
local origins = require "origins"
local process = require "process"
local tls = require "tls"

local cases_of = nginx_libraries.cases_of

-- TLS from the first byte, then each line comes back behind the name in the client's certificate.
local function serve(context)
  return function(connection)
    if not connection:accept_tls(context) then return end
    local name = (connection.tls:certificate() or "nobody"):match "[^=]+$"
    while true do
      local line = connection:read_until "\r\n"
      if not line then return end
      connection:send(name .. " " .. line)
    end
  end
end

describe("sslhandshake", function()
  local ask = cases_of(setup, teardown, function()
    local server, me = tls.certificate "db.test", tls.certificate "client.test"
    local origin = origins.start(serve(tls.server_context(server, { client_ca = me.ca })))
    local clear = origins.start(function(connection)
      connection:send "this is no TLS, whatever it may look like"
      connection:sleep(5)
    end)
    local silent = origins.start(function(connection) connection:sleep(60) end)
    return ([[
    local host, port = ("%s"):match "^(.*):(%%d+)$"
    local clear_host, clear_port = ("%s"):match "^(.*):(%%d+)$"
    local silent_host, silent_port = ("%s"):match "^(.*):(%%d+)$"
    local chain, key = %q, %q
    local function open(options, to_host, to_port)
      local sock = ngx.socket.tcp()
      sock:settimeouts(5000, 5000, 5000)
      assert(sock:connect(to_host or host, to_port or port, options))
      return sock
    end
    local function echo(sock)
      sock:send "hello\r\n"
      return sock:receive()
    end
    function cases.results()
      local first, second, third = open(), open(), open()
      local session = first:sslhandshake(nil, "db.test", true)
      local again = second:sslhandshake(session, "db.test", true)
      return type(session), echo(first), again ~= nil and again ~= true, third:sslhandshake(false, "db.test", true)
    end
    function cases.pooled()
      local sock = open { pool = "tls" }
      assert(sock:sslhandshake(nil, "db.test", true))
      local text, kept = echo(sock), sock:setkeepalive(5000)
      sock = open { pool = "tls" }
      local times = sock:getreusedtimes()
      return text, kept, times, sock:sslhandshake(false, "db.test", true), sock:sslhandshake(nil, "db.test") ~= nil,
        echo(sock)
    end
    function cases.name() -- is not that of the certificate
      local sock = open()
      local ok, why = sock:sslhandshake(nil, "other.test", true)
      return ok, why, (select(2, sock:send "x"))
    end
    function cases.unverified() return open():sslhandshake(false, "other.test"), open():sslhandshake(false) end
    function cases.certificate()
      local ssl = require "ngx.ssl"
      local sock = open()
      local set = sock:setclientcert(assert(ssl.parse_pem_cert(chain)), assert(ssl.parse_pem_priv_key(key)))
      assert(sock:sslhandshake(nil, "db.test", true))
      local named, plain = echo(sock), open()
      plain:setclientcert(assert(ssl.parse_pem_cert(chain)), assert(ssl.parse_pem_priv_key(key)))
      local unset = plain:setclientcert(nil, nil)
      assert(plain:sslhandshake(nil, "db.test", true))
      return set, named, unset, echo(plain)
    end
    function cases.clear()
      local sock = open(nil, clear_host, clear_port)
      ngx.sleep(0.01)
      local ok, why = sock:sslhandshake(nil, "db.test", true)
      return ok, type(why), (select(2, sock:receive()))
    end
    function cases.silent()
      local sock = open(nil, silent_host, silent_port)
      sock:settimeouts(50, 5000, 5000)
      local ok, why = sock:sslhandshake(nil, "db.test", true)
      return ok, why, (select(2, sock:receive()))
    end
    ]]):format(origin.address, clear.address, silent.address, process.read_file(me.certificate),
      process.read_file(me.key))
  end, { options = (", ca = %q"):format(tls.certificate("db.test").ca) })

  it("gives a session, or true where false was given for one", function()
    assert.equal("table|nobody hello|true|true", ask "results")
  end)
  it("is over at once on a connection of a pool that has TLS", function()
    assert.equal("nobody hello|1|1|true|true|nobody hello", ask "pooled")
  end)
  it("verifies the certificate where it is told to, and closes what does not fit", function()
    assert.matches("^nil|.*other%.test.*|closed$", ask "name")
    assert.equal("true|true", ask "unverified")
  end)
  it("shows the client's certificate that was set before", function()
    assert.matches("^true|.*client_test hello|true|nobody hello$", ask "certificate")
  end)
  it("fails in words with a server that speaks something else, or nothing", function()
    assert.equal("nil|string|closed", ask "clear")
    assert.equal("nil|timeout|closed", ask "silent")
  end)
end)
