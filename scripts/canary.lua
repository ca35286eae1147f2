-- SPDX-License-Identifier: Apache-2.0
-- canary: sends some of the requests to a new version, and each client always to the same version.
--
--   local canary = require("perilune.canary").new { percent = 5, cookie = "canary" }
--   function policy.upstream_peer(session, ctx)
--     return canary:is_chosen(session, ctx) and new_version:select() or old_version:select()
--   end
--   function policy.response_filter(session, response, ctx) canary:remember(response, ctx) end
--
-- The cookie decides for a client that has it: 1 is the new version, 0 the old one; it can also be set by hand.
-- Without a cookie, requests with the same `key` (a user's id) get the same version; without either, each request is
-- drawn by lot.

local check = require "perilune.check"
local cookie = require "perilune.cookie"
local crypto = require "perilune.crypto"
local options = require "perilune.options"

---@type perilune.canary
local canary = {}

local valid = {
  percent = { "percent", options.required },
  cookie = { "cookie_name" },
  max_age = { "whole_seconds", 86400 },   -- seconds that it lives
  key = { "function" },           -- key(session): the same key, the same choice; nil: drawn
}

local Canary = {}
Canary.__index = Canary

-- A share of all keys from 0 to 100, evenly spread.
local function place_of(key)
  local a, b, c, d = crypto.md5(key):byte(1, 4)
  return (((a * 256 + b) * 256 + c) * 256 + d) / 2 ^ 32 * 100
end

local function draw(self, session)
  local key = self.key and self.key(session)
  return place_of(key or crypto.random(8)) < self.percent
end

--- Is this request for the new version? The same for all calls of an exchange.
function Canary:is_chosen(session, ctx)
  check.object("canary:is_chosen", self, "percent")
  check.ctx("canary:is_chosen", ctx, "canary:is_chosen(session, ctx)")
  if ctx.canary == nil then
    local said = self.cookie and session:cookie(self.cookie)
    ctx.canary_is_known = said == "1" or said == "0"
    if ctx.canary_is_known then ctx.canary = said == "1" else ctx.canary = draw(self, session) end
  end
  return ctx.canary
end

--- Gives the client its cookie, where it has none.
function Canary:remember(response, ctx)
  check.object("canary:remember", self, "percent")
  check.ctx("canary:remember", ctx, "canary:remember(response, ctx)")
  if not self.cookie or ctx.canary == nil or ctx.canary_is_known then return end
  local value = ctx.canary and "1" or "0"
  response:add_header("Set-Cookie", cookie.build(self.cookie, value, { path = "/", max_age = self.max_age }))
end

function canary.new(given, ...)
  check.no_more("canary.new", "its options are one table", ...)
  return setmetatable(options.read("canary.new", given, valid), Canary)
end

return canary
