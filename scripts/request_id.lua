-- SPDX-License-Identifier: Apache-2.0
-- request_id: an id for each request, to find it in all logs: it is sent to the peer and to the client.
--
--   local id = request_id.new { trust = { "10.0.0.0/8" } }
--   function policy.request_filter(session, ctx) id.request(session, ctx) end       -- sets ctx.request_id
--   function policy.answer_filter(session, response, ctx) id.response(response, ctx) end
--   function policy.logging(session, error, ctx) session:set_log_field("request_id", ctx.request_id) end
--
-- A request that cannot be read runs no request_filter: its answer gets an id from `response`.
-- An id that a client sends is kept only if it comes from the networks of `trust` and is a plain word.

local check = require "perilune.check"
local cidr = require "perilune.cidr"
local crypto = require "perilune.crypto"
local options = require "perilune.options"

---@type perilune.request_id
local request_id = {}

local valid = {
  header = { "field", "X-Request-Id" },
  trust = { "list" },  -- networks; { "0.0.0.0/0", "::/0" }: everybody
}

local function new_id() return crypto.hex(crypto.random(16)) end

local function brought(session, header, trusted)
  local id = trusted and trusted:contains(session:client_ip()) and session:get_header(header)
  return id and #id <= 128 and id:match "^[%w._:+/=-]+$"
end

--- { request = function(session, ctx), response = function(response, ctx) }
function request_id.new(given, ...)
  check.no_more("request_id.new", "its options are one table", ...)
  local wanted = options.read("request_id.new", given, valid)
  local trusted = wanted.trust and cidr.new(wanted.trust)
  return {
    request = function(session, ctx)
      ctx.request_id = brought(session, wanted.header, trusted) or new_id()
      session:request():set_header(wanted.header, ctx.request_id)
    end,
    response = function(response, ctx)
      ctx.request_id = ctx.request_id or new_id()
      response:set_header(wanted.header, ctx.request_id)
    end,
  }
end

return request_id
