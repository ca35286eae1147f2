-- SPDX-License-Identifier: Apache-2.0
-- pebble: a real ACME server (Debian's package), with its name server, on a loopback address that nobody else has. It
-- looks for the proxy at `at`, ports 5002 (http-01) and 5001 (tls-alpn-01).
local cleanup = require "cleanup"
local json = require "cjson"
local machine = require "machine"
local process = require "process"
local scheduler = require "scheduler"
local tls = require "tls"

local M = {}

--- `it` where there is one; else the specs are pending, and say so.
function M.it(it, pending)
  return machine.has_program "pebble" and it or function(sentence) pending(sentence .. " (pebble: make deps)") end
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
  local self = { host = options.host or machine.random_host() }
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
