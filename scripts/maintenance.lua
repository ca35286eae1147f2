-- SPDX-License-Identifier: Apache-2.0
-- maintenance: answers every request with a page while it is on. All workers share the switch, and it survives a
-- reload.
--
--   local closed = maintenance.new { page = "<h1>Back at noon</h1>", retry_after = 3600, allow = { "10.0.0.0/8" } }
--   function policy.request_filter(session) return closed(session) end
--   closed:turn(true)                 -- turn(false) ends it
--
-- Requests from the networks of `allow` are served as usual. turn(true, "10m") ends by itself after ten minutes.

local check = require "perilune.check"
local cidr = require "perilune.cidr"
local core = require "perilune.core"
local options = require "perilune.options"
local refusal = require "perilune.refusal"
local shared = require "perilune.shared"

---@type perilune.maintenance
local maintenance = {}

local valid = {
  name = { "string", "maintenance" },  -- of the switch
  page = { "string" },
  content_type = { "string", "text/html; charset=utf-8" }, -- of the page
  answer = { "answer" },                       -- instead of a page
  retry_after = { "whole_seconds" },           -- seconds
  allow = { "list" },
}

local PAGE = "<!doctype html><title>Maintenance</title><p>Back soon."

local Maintenance = {}
Maintenance.__index = Maintenance

--- Begins or ends it, for a time (seconds, or a text such as "10m") or until it is turned again.
function Maintenance:turn(on, seconds)
  local switch = check.object("maintenance:turn", self, "switch").switch
  if type(on) ~= "boolean" then check.raise "maintenance:turn: expected true or false" end
  local ttl = seconds ~= nil and core.duration(seconds) or nil
  if seconds ~= nil and not ttl then check.raise("maintenance:turn: expected " .. core.duration_wanted) end
  return switch:set("on", on or nil, ttl)
end

function Maintenance:is_on() return check.object("maintenance:is_on", self, "switch").switch:get "on" == true end

--- For request_filter: true says that it has answered.
function Maintenance:__call(session)
  if not self:is_on() or self.allowed and self.allowed:contains(session:client_ip()) then return false end
  local headers = { ["Cache-Control"] = "no-store", ["Retry-After"] = self.retry_after }
  return self.refuse(session, 503, "the site is closed for maintenance", headers)
end

function maintenance.new(given, ...)
  check.no_more("maintenance.new", "its options are one table", ...)
  local wanted = options.read("maintenance.new", given, valid)
  if wanted.answer and wanted.page then
    check.raise "maintenance.new: give 'page' or 'answer', not both"
  end
  local page = { body = wanted.page or PAGE, headers = { ["Content-Type"] = wanted.content_type } }
  return setmetatable({
    switch = shared.dict(wanted.name, { size = 65536 }),
    allowed = wanted.allow and cidr.new(wanted.allow),
    retry_after = wanted.retry_after,
    refuse = refusal.new("maintenance.new", wanted.answer or page),
  }, Maintenance)
end

return maintenance
