-- SPDX-License-Identifier: Apache-2.0
-- etcd_server: a real etcd on a loopback address of its own, chosen at random, so that nobody else has its ports.
local base64 = require "base64"
local cjson = require "cjson"
local cleanup = require "cleanup"
local client = require "client"
local machine = require "machine"
local process = require "process"
local scheduler = require "scheduler"

local M = {}

local PORT, PEER_PORT = 2379, 2380

--- `it` where there is an etcd; else the specs are pending, and say so.
function M.it(it, pending)
  return machine.has_program "etcd" and it or function(sentence) pending(sentence .. " (etcd-server: make deps)") end
end

local Server = {}
Server.__index = Server

--- What it answers, decoded. Raises where it answers anything but 200.
function Server:call(path, body)
  local response = client.request { ip = self.host, port = PORT, method = "POST", path = path,
    body = cjson.encode(body), headers = { ["Content-Type"] = "application/json", Authorization = self.token },
    tls = self.tls }
  if response.status ~= 200 then error(("etcd %s: %d %s"):format(path, response.status, response.body), 2) end
  return cjson.decode(response.body)
end

function Server:put(key, value)
  return self:call("/v3/kv/put", { key = base64.encode(key), value = base64.encode(value or "") })
end

function Server:delete(key) return self:call("/v3/kv/deleterange", { key = base64.encode(key) }) end

--- Throws away what was before the latest revision.
function Server:compact()
  local revision = self:put("/latest").header.revision
  return self:call("/v3/kv/compaction", { revision = revision, physical = true })
end

local function is_up(self)
  if self.process:exit_code() then error("etcd ended: " .. self.process:stderr(), 0) end
  local ok, why = pcall(self.call, self, "/v3/kv/range", { key = base64.encode "x" })
  return ok or why:find "user name is empty"
end

--- Starts it, with the data that it had.
function Server:start()
  local url = ("%s://%s:%d"):format(self.scheme, self.host, PORT)
  local peer_url = ("http://%s:%d"):format(self.host, PEER_PORT)
  local words = { "etcd", "--data-dir", self.directory .. "/data", "--name", "spec", "--listen-client-urls", url,
    "--advertise-client-urls", url, "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
    "--initial-cluster", "spec=" .. peer_url, "--unsafe-no-fsync" }
  for _, word in ipairs(self.words) do words[#words + 1] = word end
  self.url = url
  self.process = process.start(words, { directory = self.directory })
  scheduler.eventually(function() return is_up(self) end, 60, "etcd that answers")
  return self
end

--- Ends it at once, as a machine that fails.
function Server:kill()
  self.process:signal "CONT"
  self.process:kill()
end

function Server:signal(name) self.process:signal(name) end

--- A new one. `files`: its certificate, for TLS and clients that show one.
function M.start(files)
  local self = setmetatable({ directory = process.directory(), host = machine.random_host(), words = {},
    scheme = "http" }, Server)
  if files then
    self.scheme = "https"
    self.words = { "--cert-file", files.certificate, "--key-file", files.key, "--client-cert-auth",
      "--trusted-ca-file", files.ca }
    self.tls = { ca = files.ca, files = files, name = files.server_name }
  end
  cleanup.add(2, function() if self.process then self:kill() end end)
  return self:start()
end

return M
