-- SPDX-License-Identifier: Apache-2.0
-- Policies as signed bundles: keys, bundles and a server of them, and a proxy that runs what is there.
local assert = require "luassert"
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"

local bundled = {}

local POLICY = [[
  local perilune = require "perilune"
  perilune.listen(%q, { request_filter = function(session)
    %s
    return session:respond { status = 200, body = require "parts.name" }
  end })
]]

local address
local keys

--- Another address for the policies that follow: before each spec.
function bundled.use_address() address = origins.free_address() end

function bundled.sh(command)
  local result = process.run { "sh", "-c", command }
  assert.equal(0, result.code, result.stderr)
  return result.stdout
end

--- A pair of keys, { private, public }: made once.
function bundled.key_files()
  if keys and process.read_file(keys.public) ~= "" then return keys end
  local folder = process.directory()
  keys = { private = folder .. "/key", public = folder .. "/key.pub" }
  bundled.sh(("openssl genpkey -algorithm ed25519 -out %s && openssl pkey -in %s -pubout -out %s"):format(keys.private,
    keys.private, keys.public))
  return keys
end

--- A folder with a policy that says `name`.
function bundled.folder_of(name, code)
  local folder = process.directory()
  process.run { "mkdir", folder .. "/parts" }
  process.write_file(folder .. "/policy.lua", POLICY:format(address, code or ""))
  process.write_file(folder .. "/parts/name.lua", ("return %q"):format(name))
  return folder
end

--- The bytes of a bundle.
function bundled.make(folder, version, ...)
  local file = process.directory() .. "/bundle"
  local result = perilune.run("bundle", folder, "--key", bundled.key_files().private, "-o", file, "--version",
    tostring(version), ...)
  assert.equal(0, result.code, result.stderr)
  return process.read_file(file)
end

--- A server of bundles: what it gives is in `bundle` (nil: 503) and `etag`; it wants the bearer token in `token`.
function bundled.source(bundle, options)
  local origin
  origin = origins.start(function(connection)
    while connection:read_request() do
      local etag, headers = origin.etag, connection.request.headers
      if not origin.bundle then
        connection:respond { status = 503, body = "not now" }
      elseif origin.token and headers.authorization ~= "Bearer " .. origin.token then
        connection:respond { status = 401, body = "who are you?" }
      elseif etag and headers.if_none_match == etag then
        connection:respond { status = 304, headers = { ETag = etag } }
      else
        connection:respond { body = origin.bundle, headers = { ETag = etag } }
      end
    end
  end, options)
  origin.bundle = bundle
  return origin
end

--- The command line of a proxy with its state in `folder`.
function bundled.arguments(origin, folder, ...)
  local scheme = origin.files and "https://" or "http://"
  return { "run", "--bundle", scheme .. origin.address .. "/policy", "--bundle-key", bundled.key_files().public,
    "--bundle-dir", folder, "--bundle-every", "200ms", "--bundle-node", "spec", "--workers", "1", "--admin",
    "127.0.0.1:0", ... }
end

function bundled.start(...) return perilune.start { args = bundled.arguments(...) } end

local function port() return tonumber(address:match "(%d+)$") end

--- What the policy answers.
function bundled.says() return client.request(port()).body end

function bundled.wait_says(name)
  scheduler.eventually(function()
    local ok, body = pcall(bundled.says)
    return ok and body == name
  end, nil, name)
end

--- What the status says of the bundle.
function bundled.state_of(proxy) return metrics.status(proxy).bundle end

return bundled
