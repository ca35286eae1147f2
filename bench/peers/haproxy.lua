-- SPDX-License-Identifier: Apache-2.0
-- luacheck: globals core
-- The policy of the bench, for HAProxy: counts in a table per second, Host rewritten, one response field added.
local most = tonumber(os.getenv("MAX_REQ")) or 1e9
local second, counts = 0, {}

local function count(appid)
  local now = core.now().sec
  if now ~= second then second, counts = now, {} end
  counts[appid] = (counts[appid] or 0) + 1
  return counts[appid]
end

local function refuse(txn)
  local reply = txn:reply { status = 429 }
  reply:add_header("X-Rate-Limit-Limit", tostring(most))
  reply:add_header("X-Rate-Limit-Remaining", "0")
  reply:add_header("X-Rate-Limit-Reset", "1")
  txn:done(reply)
end

core.register_action("on_request", { "http-req" }, function(txn)
  local appid = txn.sf:req_fhdr("appid")
  if appid ~= "" and count(appid) > most then return refuse(txn) end
  txn.http:req_set_header("Host", "one.one.one.one")
end, 0)

core.register_action("on_response", { "http-res" }, function(txn)
  txn.http:res_set_header("X-Served-By", "bench")
end, 0)
