-- SPDX-License-Identifier: Apache-2.0
-- bundle_archive: reads what `perilune bundle` has made (core/cli/bundle_command.c has the format). Nothing of it is
-- believed before the signature of its manifest is checked, and no file before its digest is.

local core = require "perilune.core"

local archive = {}

local MAGIC = "perilune-bundle 1\n"
local MANIFEST_MOST, FILES_MOST, PATH_MOST = 1048576, 1000, 255
local VERSION_MOST = 2 ^ 53

local function is_whole(value, least, most)
  return type(value) == "number" and value >= least and value <= most and value % 1 == 0
end

-- The manifest's text, where the files begin, and all before them; or nil and what is wrong.
local function split(text)
  if text:sub(1, #MAGIC) ~= MAGIC then return nil, "it is no bundle of Perilune, or of a later format" end
  local signature, length, from = text:match("^([%w+/=]+)\n(%d+)\n()", #MAGIC + 1)
  signature = signature and #signature <= 128 and core.decode_base64(signature)
  length = tonumber(length)
  if not signature or not length or length > MANIFEST_MOST then return nil, "its head is malformed" end
  local manifest = text:sub(from, from + length - 1)
  if #manifest < length then return nil, "it is cut off" end
  local ok, why = core.bundle_is_signed(MAGIC .. manifest, signature)
  if not ok then return nil, why end
  return manifest, from + length, text:sub(1, from + length - 1)
end

-- What is wrong with a path, which must stay below its folder; nil: nothing.
local function path_fault(path)
  if type(path) ~= "string" or path == "" or #path > PATH_MOST or path:find "[%c\\]" then return "a bad name" end
  for part in (path .. "/"):gmatch "([^/]*)/" do
    if part == "" or part == "." or part == ".." then return "a name that leads elsewhere: " .. path end
  end
end

-- Takes the files' bytes. nil and what is wrong.
local function read_files(listed, text, from)
  local files, seen = {}, {}
  for i, entry in ipairs(listed) do
    local fault = type(entry) ~= "table" and "no entry" or path_fault(entry.path)
    if fault then return nil, ("file %d of it has %s"):format(i, fault) end
    if seen[entry.path] then return nil, ("it has %s twice"):format(entry.path) end
    if not is_whole(entry.size, 0, #text) then return nil, entry.path .. ": a bad size" end
    local bytes = text:sub(from, from + entry.size - 1)
    if #bytes < entry.size then return nil, "it is cut off in " .. entry.path end
    if core.encode_hex(core.digest("sha256", bytes)) ~= entry.sha256 then return nil, entry.path .. " is damaged" end
    seen[entry.path] = true
    files[i] = { path = entry.path, bytes = bytes }
    from = from + entry.size
  end
  if from ~= #text + 1 then return nil, "there is more in it than its manifest says" end
  return files, seen
end

local function stages_fault(manifest)
  if manifest.stages == nil then return nil end
  if type(manifest.stages) ~= "table" or not is_whole(manifest.created, 0, VERSION_MOST) then return "bad stages" end
  for _, stage in ipairs(manifest.stages) do
    if type(stage) ~= "table" or not is_whole(stage.share, 1, 10000) or not is_whole(stage.after, 0, 1e10) then
      return "a bad stage"
    end
  end
end

local function canary_fault(canary)
  if canary == nil then return nil end
  local is_fine = type(canary) == "table" and is_whole(canary.share, 1, 10000) and is_whole(canary.for_ms, 1, 1e9)
    and is_whole(canary.max_errors, 0, 10000)
  return not is_fine and "a bad canary" or nil
end

local function manifest_fault(manifest)
  if type(manifest) ~= "table" or manifest.format ~= 1 then return "a manifest of another format" end
  if not is_whole(manifest.version, 1, VERSION_MOST) then return "no version" end
  if type(manifest.files) ~= "table" or #manifest.files > FILES_MOST then return "no list of files, or a long one" end
  return stages_fault(manifest) or canary_fault(manifest.canary)
end

--- The manifest (version, main, stages, created, canary) with its files, each { path, bytes }, and its head, which is
--- what core/runtime/deploy/bundle_check.h reads; or nil and what is wrong.
function archive.read(text)
  local json, from, head = split(text)
  if not json then return nil, from end
  local manifest = core.json_decode(json)
  local fault = manifest_fault(manifest)
  if fault then return nil, "it has " .. fault end
  local files, names = read_files(manifest.files, text, from)
  if not files then return nil, names end
  if type(manifest.main) ~= "string" or not names[manifest.main] then return nil, "its script is not in it" end
  manifest.files, manifest.head = files, head
  return manifest
end

--- Is it this proxy's turn? A proxy has a place by a hash of its name and the version, so that it is not always the
--- same ones that come first.
function archive.is_due(manifest, node, now)
  if not manifest.stages then return true end
  local digest = core.encode_hex(core.digest("sha256", ("%s:%.0f"):format(node, manifest.version)))
  local place = tonumber(digest:sub(1, 8), 16) % 10000
  for _, stage in ipairs(manifest.stages) do
    if now >= manifest.created + stage.after and place < stage.share then return true end
  end
  return false
end

return archive
