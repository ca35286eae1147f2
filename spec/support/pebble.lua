-- SPDX-License-Identifier: Apache-2.0
-- pebble: a real ACME server (Debian's package), with its name server, on a loopback address that nobody else has. It
-- looks for the proxy at `at`, ports 5002 (http-01) and 5001 (tls-alpn-01).
local cleanup = require "cleanup"
local json = require "cjson"
local process = require "process"
local scheduler = require "scheduler"
local tls = require "tls"

local M = {}

local function has_program()
  for directory in os.getenv("PATH"):gmatch "[^:]+" do
    local file = io.open(directory .. "/pebble")
    if file then
      file:close()
      return true
    end
  end
  return false
end

M.is_there = has_program()

--- `it` where there is one; else the specs are pending, and say so.
function M.it(it, pending)
  return M.is_there and it or function(sentence) pending(sentence .. " (pebble: make deps)") end
end

--- An address that nobody else has.
function M.address()
  local file = assert(io.open("/dev/urandom", "rb"))
  local a, b, c = file:read(3):byte(1, 3)
  file:close()
  return ("127.%d.%d.%d"):format(1 + a % 254, b, 1 + c % 254)
end

local function has_option(name)
  local help = process.run { "pebble-challtestsrv", "-h" }
  return (help.stdout .. help.stderr):find("  -" .. name, 1, true) ~= nil
end

local function run(arguments, environment)
  local program = process.start(arguments, { env = environment })
  cleanup.add(2, function() program:kill() end)
  return program
end

--- Starts one. options: at (the proxy's address; its own), env, and more for its configuration (pebble's names).
function M.start(options)
  options = options or {}
  local self = { host = options.host or M.address() }
  local own = tls.certificate(self.host)
  self.at, self.ca = options.at or self.host, own.ca
  self.directory = ("https://%s:14000/dir"):format(self.host)
  self.management, self.names = ("https://%s:15000"):format(self.host), ("http://%s:8055"):format(self.host)
  local config = { listenAddress = self.host .. ":14000", managementListenAddress = self.host .. ":15000",
    certificate = own.certificate, privateKey = own.key, httpPort = 5002, tlsPort = 5001, ocspResponderURL = "",
    externalAccountBindingRequired = false }
  for name, value in pairs(options.config or {}) do config[name] = value end
  local file = process.directory() .. "/pebble.json"
  process.write_file(file, json.encode { pebble = config })
  local env = { PEBBLE_VA_NOSLEEP = "1" }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local words = { "pebble-challtestsrv", "-dns01", self.host .. ":8053", "-management", self.host .. ":8055",
    "-defaultIPv4", self.at, "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "" }
  if has_option "doh" then words[#words + 1], words[#words + 2] = "-doh", "" end -- of later versions
  self.name_server = run(words)
  self.program = run({ "pebble", "-config", file, "-dnsserver", self.host .. ":8053", "-strict" }, env)
  scheduler.eventually(function()
    if self.program:exit_code() then error(self.program:stdout() .. self.program:stderr(), 0) end
    local is_up = process.run({ "curl", "-s", "--cacert", own.ca, self.directory }).code == 0
    return is_up and process.run({ "curl", "-s", "-d", "{}", self.names .. "/clear-caa" }).code == 0
  end, nil, "pebble that answers")
  return self
end

return M
