-- SPDX-License-Identifier: Apache-2.0
-- ngx.ssl in the handler ssl_certificate of perilune.ngx.hooks.
local client = require "client"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local tls = require "tls"

after_each(require("cleanup").run)

local POLICY = [[
local perilune = require "perilune"
local layer = require "perilune.ngx"
layer {}
local ssl = require "ngx.ssl"
local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end
local certificate, key = read "$CERTIFICATE", read "$KEY"
local said = "not called"
local function show(...)
  local list = {}
  for i = 1, select("#", ...) do list[i] = tostring((select(i, ...))) end
  said = table.concat(list, "|")
end
local hooks = layer.hooks { ssl_certificate = function() $HANDLER end, access = function()
  ngx.say(said)
  ngx.exit(200)
end }
perilune.listen("127.0.0.1:0", hooks, { certificate = "$OTHER.pem", key = "$OTHER.key" })
]]

local function start(handler, kind)
  local files = tls.certificate_of({ kind = kind }, "a.example")
  local other = tls.certificate_of({ copy = true }, "b.example")
  local proxy = perilune.start { workers = 1, policy = policies.fill(POLICY:gsub("%$OTHER%.pem", "$OTHER_PEM")
    :gsub("%$OTHER%.key", "$OTHER_KEY"), { CERTIFICATE = files.certificate, KEY = files.key, HANDLER = handler,
    OTHER_PEM = other.certificate, OTHER_KEY = other.key }) }
  return proxy, function(name)
    return client.request { port = proxy.port, host = name, tls = { name = name or "a.example", ca = files.ca } }.body
  end, files
end

describe("ngx.ssl", function()
  it("gives the client the certificate that the handler has parsed, PEM or DER, EC or RSA", function()
    for _, kind in ipairs { "ec", "rsa" } do
      for _, how in ipairs {
        "ssl.clear_certs() ssl.set_cert(ssl.parse_pem_cert(certificate)) ssl.set_priv_key(ssl.parse_pem_priv_key(key))",
        "assert(ssl.set_der_cert(ssl.cert_pem_to_der(certificate)))"
          .. "assert(ssl.set_der_priv_key(ssl.priv_key_pem_to_der(key)))",
      } do
        local proxy, ask = start(how .. " show(ssl.server_name(), ssl.raw_client_addr())", kind)
        assert.equal("a.example|\127\0\0\1|inet\n", ask "a.example")
        proxy:stop()
      end
    end
  end)

  it("gives the client's address in the bytes of its family", function()
    local addresses = { "192.0.2.70:5000", "unix:/run/a.sock", "[2001:db8:0:1:a:b:c:d]:5", "[2001:db8::ffff:1]:5000",
      "[::1]:5", "[2001:db8::]:5", "[fe80::12%eth0]:80" }
    local proxy = perilune.start { workers = 1, policy = policies.fill([[
      local perilune = require "perilune"
      local layer = require "perilune.ngx"
      layer {}
      local said = {}
      local hooks = layer.hooks { ssl_certificate = function()
        local bytes, family = require("ngx.ssl").raw_client_addr()
        said[#said + 1] = family .. " " .. (family == "unix" and bytes or require("perilune.crypto").hex(bytes))
      end }
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        ngx.timer.at(0, function() -- outside of a request, as handshakes are
          for address in ("$ADDRESSES"):gmatch "%S+" do hooks.certificate { client_address = address } end
        end)
        while #said < $COUNT do perilune.sleep(0.01) end
        return session:respond { status = 200, body = table.concat(said, "\n") }
      end })
    ]], { ADDRESSES = table.concat(addresses, " "), COUNT = tostring(#addresses) }) }
    assert.equal(table.concat({ "inet c0000246", "unix /run/a.sock", "inet6 20010db800000001000a000b000c000d",
      "inet6 20010db80000000000000000ffff0001", "inet6 " .. ("0"):rep(31) .. "1", "inet6 20010db8" .. ("0"):rep(24),
      "inet6 fe80" .. ("0"):rep(26) .. "12" }, "\n"), client.request { port = proxy.port }.body)
  end)

  it("takes keys in DER of the older forms", function()
    local files = tls.certificate_of({ kind = "rsa" }, "a.example")
    local directory = process.directory()
    local made = process.run({ "openssl", "rsa", "-in", files.key, "-traditional", "-outform", "DER", "-out",
      directory .. "/old.der" })
    assert.equal(0, made.code, made.stderr)
    local _, ask = start(("ssl.set_cert(ssl.parse_pem_cert(certificate)) "
      .. "show(ssl.set_der_priv_key(read %q))"):format(directory .. "/old.der"), "rsa")
    assert.equal("true\n", ask "a.example")
  end)

  it("leaves the listener's own where the handler sets none, and says what is wrong with what it is given", function()
    local _, ask = start [[
      show(select(2, ssl.parse_pem_cert "x"), select(2, ssl.parse_pem_priv_key(nil)), select(2, ssl.parse_der_cert(5)),
        select(2, ssl.set_cert "text"), select(2, ssl.set_der_cert(nil)))
    ]]
    assert.equal("no PEM certificate in the text|no PEM private key in the text|DER bytes are expected|"
      .. "an object of ngx.ssl.parse_... is expected|DER bytes are expected\n", ask "b.example")
  end)

  it("refuses the handshake by ngx.exit(ngx.ERROR), and goes on with ngx.OK", function()
    local proxy, ask = start [[
      if ssl.server_name() == "b.example" then show "let in" ngx.exit(ngx.OK) end
      ngx.exit(ngx.ERROR)
    ]]
    assert.equal("let in\n", ask "b.example")
    assert.is_false((pcall(client.connect, { port = proxy.port, tls = { name = "a.example" } })))
    proxy:wait_log "TLS handshake, a%.example: the policy has refused it"
  end)

  it("names what to use instead of what is not there, and gives words outside of the handshake", function()
    local _, ask = start [[
      show(select(2, pcall(ssl.verify_client)), select(2, pcall(ssl.get_tls1_version_str)), ssl.set_something)
    ]]
    local said = ask "b.example"
    assert.matches("ngx.ssl.verify_client is not in Perilune: use the option `client_ca` of the listener", said)
    assert.matches("ngx.ssl.get_tls1_version_str is not in Perilune: use session:tls%(%) in request_filter", said)
    assert.matches("|nil\n$", said)
  end)
end)
