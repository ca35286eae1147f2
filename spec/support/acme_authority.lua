-- SPDX-License-Identifier: Apache-2.0
-- acme_authority: an authority of ACME that is scripted here, for specs on virtual time: test.http answers with it. It
-- proves nothing: each order is ready at once. Its clock is its own, so that the proxy's can be wrong.
local base64 = require "perilune.base64"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local date = require "perilune.date"
local json = require "perilune.json"
local test = require "perilune.test"

local M = {}

M.HOST = "https://ca.example"

local HOST = M.HOST
local DIRECTORY = { newNonce = HOST .. "/nonce", newAccount = HOST .. "/account", newOrder = HOST .. "/order",
  renewalInfo = HOST .. "/ari" }

local function pem_of(request)
  local text = base64.encode(base64.decode_url(request)):gsub(("."):rep(64), "%0\n")
  return "-----BEGIN CERTIFICATE REQUEST-----\n" .. text .. "\n-----END CERTIFICATE REQUEST-----\n"
end

--- An answer that says what is wrong.
function M.problem(status, kind, headers)
  return { status = status, headers = headers, body = json.encode {
    type = "urn:ietf:params:acme:error:" .. kind, detail = "so\nit is" } }
end

local function finalize(self, payload, names)
  local key = assert(crypto.key(pem_of(payload.csr)))
  local from = self.time() - 60
  return core.certificate_sign(self.key or key, self.signer, self.names or names, from, from + self.days * 86400)
end

-- What it answers by itself, by path; the number of an order is in its paths.
local function own_answers(self)
  local orders = {}
  local function order_of(path) return orders[tonumber(path:match "%d+$")] end
  return {
    dir = function() return { body = json.encode(DIRECTORY) } end,
    nonce = function() return {} end,
    account = function() return { status = 201, headers = { Location = HOST .. "/account/1" }, body = "{}" } end,
    order = function(payload, path)
      local order = order_of(path)
      if order then
        return { body = json.encode { status = order.chain and "valid" or "ready",
          certificate = order.chain and HOST .. "/certificate/" .. order.id or nil } }
      end
      order = { id = #orders + 1, names = {} }
      self.replaces = payload.replaces
      for i, one in ipairs(payload.identifiers) do order.names[i] = one.value end
      orders[order.id] = order
      return { status = 201, headers = { Location = HOST .. "/order/" .. order.id }, body = json.encode {
        status = "ready", authorizations = {}, finalize = HOST .. "/finalize/" .. order.id } }
    end,
    finalize = function(payload, path)
      local order = order_of(path)
      order.chain = finalize(self, payload, order.names)
      self.issued[#self.issued + 1] = order.names[1]
      return { body = "{}" }
    end,
    certificate = function(_, path) return { body = order_of(path).chain } end,
    ari = function() return self.on_ari and self.on_ari() or M.problem(404, "malformed") end,
  }
end

--- An authority that signs at once. `given`: wrong (answers instead of its own, by path: a table or
--- function(payload, nth)), key and names (for wrong certificates), days (1: how long a certificate is valid), time (a
--- function: what its clock shows; the proxy's), on_ari (what it answers about
--- renewals). It has `issued`, the first names of its certificates; `counts` of
--- requests, by path.
function M.start(given)
  local self = { wrong = {}, days = 1, time = core.time, counts = {}, issued = {}, signer = crypto.new_key "P-256" }
  for name, value in pairs(given or {}) do self[name] = value end
  local own, serial = own_answers(self), 0
  self.calls = test.http(function(request)
    local path = request.url:sub(#HOST + 1)
    self.counts[path] = (self.counts[path] or 0) + 1
    local body = request.body ~= "" and json.decode(request.body)
    local payload = body and body.payload ~= "" and json.decode(base64.decode_url(body.payload)) or {}
    local answer = self.wrong[path]
    if type(answer) == "function" then answer = answer(payload, self.counts[path]) end
    local answers = own[path:match "^/(%l+)"]
    answer = answer or answers and answers(payload, path) or M.problem(404, "malformed")
    if answer.error then return answer end -- there is none
    serial = serial + 1
    answer.headers = answer.headers or {}
    answer.headers["Replay-Nonce"] = ("nonce%d"):format(serial)
    answer.headers.Date = answer.headers.Date or date.http(self.time())
    return answer
  end)
  return self
end

return M
