-- SPDX-License-Identifier: Apache-2.0
-- bundle_agent: fetches the bundle of `perilune run --bundle` again and again, on the control worker of the policy that
-- is in force; so each version fetches the next. What is known beyond a version is in core/runtime/deploy/bundle.h.
--
-- The data flow: an answer is checked whole in memory, then kept as the file `wanted` with its ETag, so that neither a
-- reload nor a restart forgets it. As soon as it is this proxy's turn, its files are unpacked into a folder of the
-- version, and that is tried as any reload is. Whatever fails on the way leaves the version in force where it is, and
-- is told in the log, the status and the metrics. A version that was refused is not tried again by this process.

local archive = require "perilune.bundle_archive"
local backoff = require "perilune.backoff"
local core = require "perilune.core"
local download = require "perilune.download"
local http = require "perilune.http"
local token_file = require "perilune.token_file"

local TICK = 0.5
local BYTES_MOST, TIME_MOST = 4194304, 60 -- of an answer
local TIMEOUT = 10
local EVERY_OURS = 1 -- seconds until it is asked again, where this machine lacked something
local VERSIONS_KEPT = 2

-- due: when it is asked next; manifest, text, etag: of what is wanted; script, unpacked: of what is tried.
local agent = { due = 0, retry_at = 0, holder = {} }

local function path_of(name) return core.bundle().folder .. "/" .. name end

--- ---------------------------------------------------------------------------------------------------------------
--- what is wanted

local function want(manifest)
  agent.manifest = manifest
  core.bundle_wanted(manifest.version)
end

-- What was kept of the last answer.
local function recall()
  local text = core.read_file(path_of "wanted")
  local manifest = text and archive.read(text)
  if not manifest then return end
  want(manifest)
  agent.etag = (core.read_file(path_of "etag") or ""):match "^([^\n]+)\n$"
  agent.text = text
end

-- Nil, or why the bundle is not wanted.
local function fault_of(manifest, text)
  local bundle, last = core.bundle(), agent.manifest
  local newest = math.max(bundle.running, bundle.seen, last and last.version or 0)
  if manifest.version < newest then
    return ("version %.0f is older than %.0f, which was there already"):format(manifest.version, newest)
  end
  if last and manifest.version == last.version and agent.text and text ~= agent.text then
    return ("version %.0f is not what it was; a changed bundle needs a new version"):format(manifest.version)
  end
end

local function keep(text, etag)
  local ok, why = core.replace_file(path_of "wanted", text)
  if ok then ok, why = core.replace_file(path_of "etag", (etag or "") .. "\n") end
  if not ok then return why end
  agent.text, agent.etag = text, etag
end

-- Nil, or what is wrong with the answer.
local function take(text, etag)
  local manifest, why = archive.read(text)
  if not manifest then return why end
  local fault = fault_of(manifest, text)
  if fault then return fault end
  if text == agent.text then
    agent.etag = etag
    return nil
  end
  fault = keep(text, etag)
  if fault then return fault end
  want(manifest)
end

--- ---------------------------------------------------------------------------------------------------------------
--- fetching

-- Nil, or what went wrong, and the name of the error where there was no connection.
local function fetch(bundle)
  agent.holder = {}
  local response, why, kind = http.request { url = bundle.url, stream = true, timeout = TIMEOUT, holder = agent.holder,
    ca = bundle.ca, certificate = bundle.certificate, key = bundle.key, token_file = bundle.token_file,
    headers = { ["If-None-Match"] = agent.etag } }
  if not response then return why, kind end
  if response.status == 401 and bundle.token_file then token_file.forget(bundle.token_file) end
  if response.status == 304 and agent.etag then
    response:close()
    return nil
  end
  local body, broken = download.body(response, BYTES_MOST, TIME_MOST)
  if response.status ~= 200 then return ("it answered %d"):format(response.status) end
  if not body then return broken end
  local etag = response.headers.etag
  return take(body, etag and #etag < 200 and etag or nil)
end

local function pull(bundle)
  local ok, why, kind = pcall(fetch, bundle)
  if core.is_retired() then return end
  if not ok or why then core.bundle_failed(tostring(why)) else core.bundle_good() end
  local every = backoff.is_ours(kind) and math.min(bundle.every, EVERY_OURS) or bundle.every
  agent.due = core.now() + every * (0.8 + math.random() * 0.4)
end

--- ---------------------------------------------------------------------------------------------------------------
--- trying

-- The script; or nil and why it could not be unpacked.
local function unpack_files(manifest)
  local fresh, folder = path_of "versions/new", path_of(("versions/%.0f"):format(manifest.version))
  core.bundle_remove(fresh)
  for _, file in ipairs(manifest.files) do
    local ok, why = core.bundle_put(path_of "", "versions/new/" .. file.path, file.bytes)
    if not ok then return nil, why end
  end
  local ok, why = core.bundle_put(path_of "versions", ("%.0f.signed"):format(manifest.version), manifest.head)
  if ok then ok, why = core.bundle_move(fresh, folder) end
  if not ok then return nil, why end
  core.bundle_tidy(path_of "versions", VERSIONS_KEPT)
  return folder .. "/" .. manifest.main
end

-- Is it the version that runs, whose files could not be loaded again, because somebody has changed them?
local function is_repair(manifest, bundle)
  return bundle.is_damaged and manifest.version == bundle.running
end

local function try(bundle)
  local manifest = agent.manifest
  if not manifest or manifest.version == bundle.refused then return end
  local repairs = is_repair(manifest, bundle)
  if not repairs then
    if manifest.version <= bundle.running then return end
    if not archive.is_due(manifest, bundle.node, core.time()) then return end
  end
  if repairs or agent.unpacked ~= manifest.version then
    local script, why = unpack_files(manifest)
    if not script then
      core.bundle_failed(why)
      agent.retry_at = core.now() + bundle.every
      return
    end
    agent.script, agent.unpacked = script, manifest.version
  end
  local canary = not repairs and manifest.canary or { share = 0, for_ms = 0, max_errors = 0 }
  core.bundle_try(manifest.version, agent.script, canary.share, canary.for_ms, canary.max_errors)
end

local function tick()
  local bundle = core.bundle()
  if bundle.is_trying then return end
  if core.now() >= agent.due then pull(bundle) end
  if core.is_retired() or core.now() < agent.retry_at then return end
  try(core.bundle())
end

core.after(0, function()
  recall()
  core.every(TICK, tick, { immediately = true })
end)
core.on_retire(function()
  if agent.holder.cancel then agent.holder.cancel() end
end)

return {}
