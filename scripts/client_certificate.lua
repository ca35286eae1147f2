-- SPDX-License-Identifier: Apache-2.0
-- client_certificate: rules on what client certificates say, for listeners with client_ca and client_verify.
--
--   local check = client_certificate.new { subjects = { "CN=alice,O=Example", "*,O=Ops" } }
--   function policy.request_filter(session, ctx) return check(session, ctx) end     -- sets ctx.subject
--
-- That a certificate is one of the authority's is checked by the listener; here it is which of them may come in.

local check = require "perilune.check"
local options = require "perilune.options"
local refusal = require "perilune.refusal"

---@type perilune.client_certificate_rules
local client_certificate = {}

local valid = {
  subjects = { "list" },     -- as session:tls().client has them; "*" stands for any text
  issuers = { "list" },      -- likewise
  fingerprints = { "list" }, -- SHA-256, in hexadecimal
  serials = { "list" },      -- in hexadecimal
  answer = refusal.option,
}

-- "CN=*,O=Ops" as a pattern of Lua: everything else stands for itself.
local function pattern_of(text)
  return "^" .. text:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*") .. "$"
end

local function texts_of(name, list)
  for position, text in ipairs(list) do
    if type(text) ~= "string" or text == "" then
      check.raise(("client_certificate.new: option '%s', number %d, is no text"):format(name, position))
    end
  end
  if #list == 0 then check.raise(("client_certificate.new: option '%s' is empty"):format(name)) end
  return list
end

local function patterns_of(name, list)
  if not list then return nil end
  local patterns = {}
  for position, text in ipairs(texts_of(name, list)) do patterns[position] = pattern_of(text) end
  return function(value)
    for _, pattern in ipairs(patterns) do if value:find(pattern) then return true end end
    return false
  end
end

-- "AA:BB" and "aabb" are the same.
local function plain_hex(text) return (text:lower():gsub(":", "")) end

local function digits_of(name, list)
  if not list then return nil end
  local known = {}
  for _, text in ipairs(texts_of(name, list)) do
    if not plain_hex(text):find "^%x+$" then
      check.raise(("client_certificate.new: option '%s': '%s' is not hexadecimal"):format(name, text))
    end
    known[plain_hex(text)] = true
  end
  return function(value) return known[plain_hex(value)] == true end
end

--- A function for request_filter: true says that it has refused the request (403). All options that are given must fit.
function client_certificate.new(given, ...)
  check.no_more("client_certificate.new", "its options are one table", ...)
  local wanted = options.read("client_certificate.new", given, valid)
  local rules = { subject = patterns_of("subjects", wanted.subjects), issuer = patterns_of("issuers", wanted.issuers),
    fingerprint = digits_of("fingerprints", wanted.fingerprints), serial = digits_of("serials", wanted.serials) }
  if not next(rules) then
    check.raise "client_certificate.new: give 'subjects', 'issuers', 'fingerprints' or 'serials'"
  end
  local refuse = refusal.new("client_certificate.new", wanted.answer)
  return function(session, ctx)
    local tls = session:tls()
    local client = tls and tls.client
    local fits = client ~= nil
    for name, rule in pairs(rules) do fits = fits and rule(client[name] or "") end
    if not fits then
      return refuse(session, 403, client and "this certificate may not come in" or "a client certificate is needed")
    end
    if ctx then ctx.subject = client.subject end
    return false
  end
end

return client_certificate
