-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.ssl: the module ngx.ssl: certificates as PEM and DER, and what the hook ssl_certificate of
-- perilune.ngx.hooks collects. Parsed objects are PEM texts; OpenSSL checks them when they are used.

local core = require "perilune.core"
local network = require "perilune.network"
local settings = require "perilune.ngx.settings"
local state = require "perilune.ngx.state"

local ssl = { SSL3_VERSION = 0x0300, TLS1_VERSION = 0x0301, TLS1_1_VERSION = 0x0302, TLS1_2_VERSION = 0x0303,
  TLS1_3_VERSION = 0x0304 }

local function block_of(text, what)
  return type(text) == "string" and text:match("%-%-%-%-%-BEGIN [%w ]*" .. what .. "%-%-%-%-%-(.-)%-%-%-%-%-END")
end

function ssl.parse_pem_cert(text)
  if not block_of(text, "CERTIFICATE") then return nil, "no PEM certificate in the text" end
  return settings.new_pem(text)
end

function ssl.parse_pem_priv_key(text)
  if not block_of(text, "PRIVATE KEY") then return nil, "no PEM private key in the text" end
  return settings.new_pem(text)
end

local function to_der(text, what)
  local block = block_of(text, what)
  local bytes = block and core.decode_base64((block:gsub("%s", "")))
  if not bytes then return nil, "no PEM " .. what:lower() .. " in the text" end
  return bytes
end
function ssl.cert_pem_to_der(text) return to_der(text, "CERTIFICATE") end
function ssl.priv_key_pem_to_der(text) return to_der(text, "PRIVATE KEY") end

local function to_pem(bytes, what)
  if type(bytes) ~= "string" then return nil, "DER bytes are expected" end
  local lines = core.encode_base64(bytes):gsub(("."):rep(64), "%0\n")
  return settings.new_pem(("-----BEGIN %s-----\n%s\n-----END %s-----\n"):format(what, lines, what))
end
function ssl.parse_der_cert(bytes) return to_pem(bytes, "CERTIFICATE") end

-- What kind of key it is follows from its first fields: a version, then a number (PKCS #1), a text of bytes (SEC 1) or
-- the name of an algorithm (PKCS #8).
local function kind_of_key(bytes)
  local length = bytes:byte(2) or 0
  local at = length < 128 and 3 or 3 + length - 128
  local version, field = bytes:sub(at, at + 2), bytes:byte(at + 3)
  if version == "\2\1\0" and field == 2 then return "RSA PRIVATE KEY" end
  if version == "\2\1\1" and field == 4 then return "EC PRIVATE KEY" end
  return "PRIVATE KEY"
end

function ssl.parse_der_priv_key(bytes)
  return to_pem(bytes, type(bytes) == "string" and kind_of_key(bytes) or "PRIVATE KEY")
end

-- What the hook gathers.
local function gathered(name)
  local of = state.get()
  if not of.hello then return nil, ("ngx.ssl.%s: only in the hook ssl_certificate"):format(name) end
  return of
end

local function setter(name, field, parse)
  ssl[name] = function(value)
    local of, why = gathered(name)
    if not of then return nil, why end
    local object = value
    if parse then
      object, why = parse(value)
      if not object then return nil, why end
    end
    local text = settings.pem_of(object)
    if not text then return nil, "an object of ngx.ssl.parse_... is expected" end
    of[field] = text
    return true
  end
end
setter("set_cert", "certificate")
setter("set_priv_key", "key")
setter("set_der_cert", "certificate", ssl.parse_der_cert)
setter("set_der_priv_key", "key", ssl.parse_der_priv_key)

function ssl.clear_certs()
  local of, why = gathered "clear_certs"
  if not of then return nil, why end
  of.certificate, of.key = nil, nil
  return true
end

function ssl.server_name()
  local of, why = gathered "server_name"
  if not of then return nil, why end
  local name = of.hello.server_name
  return name ~= "" and name or nil
end

-- The bytes of an address as the network has them.
local function packed(host)
  if not host:find(":", 1, true) then
    return (host:gsub("%d+%.?", function(part) return string.char((part:match "%d+")) end))
  end
  return (network.prefix(host, 128):gsub("%x+:?", function(group)
    local number = tonumber(group:match "%x+", 16)
    return string.char(math.floor(number / 256), number % 256)
  end))
end

--- The bytes of the client's address, and "inet", "inet6" or "unix".
function ssl.raw_client_addr()
  local of, why = gathered "raw_client_addr"
  if not of then return nil, why end
  local address = of.hello.client_address
  if address:find "^unix:" then return address:sub(6), "unix" end
  local bare = address:match "^%[(.-)%]:%d+$"
  if bare then return packed(bare), "inet6" end
  return packed((address:gsub(":%d+$", ""))), "inet"
end

-- What ngx_lua has besides.
local INSTEAD = {
  verify_client = "use the option `client_ca` of the listener",
  get_tls1_version = "use session:tls() in request_filter",
  get_tls1_version_str = "use session:tls() in request_filter",
  raw_server_addr = "each listener has its own hooks", server_port = "each listener has its own hooks",
  get_client_random = "the handshake is OpenSSL's alone", export_keying_material = "the handshake is OpenSSL's alone",
  export_keying_material_early = "the handshake is OpenSSL's alone",
  get_req_ssl_pointer = "the handshake is OpenSSL's alone",
  get_shared_ssl_ciphers = "the handshake is OpenSSL's alone",
}

return setmetatable(ssl, { __index = function(_, name)
  if not INSTEAD[name] then return nil end
  return function()
    core.raise(("ngx.ssl.%s is not in Perilune: %s (docs/from_openresty.md)"):format(name, INSTEAD[name]))
  end
end })
