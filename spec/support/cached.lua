-- SPDX-License-Identifier: Apache-2.0
-- cached: what specs of the cache begin with: an origin, a proxy with a cache in front of it, and a client.
local origins = require "origins"
local perilune = require "perilune"
local scene = require "scene"

local M = {}

-- A proxy of so many workers with a cache, in front of an origin whose answers the spec gives.
function M.start(answer, options)
  options = options or {}
  local origin = origins.start(function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      local given = answer
      if type(answer) == "function" then given = answer(request, connection) end
      if not given then return end
      connection:respond(given)
    end
  end)
  local settings = options.admin and { "--admin", "127.0.0.1:0" } or nil
  local proxy = perilune.start { workers = options.workers or 1, settings = settings, policy = ([[
    local perilune = require "perilune"
    local policy = { upstream_peer = function() return { address = "%s" } end }
    local pages = perilune.cache("pages", { size = "%s" %s })
    %s
    perilune.listen("127.0.0.1:0", policy, { cache = pages %s })
  ]]):format(origin.address, options.size or "8M", options.cache or "", options.hooks or "", options.listen or "") }
  return scene.asker(proxy), origin, proxy
end

M.FRESH = { headers = { ["Cache-Control"] = "max-age=60" }, body = "stored" }

function M.fresh(more)
  local answer = { headers = { ["Cache-Control"] = "max-age=60" }, body = "stored" }
  for name, value in pairs(more or {}) do
    if name == "headers" then
      for field, text in pairs(value) do answer.headers[field] = text end
    else
      answer[name] = value
    end
  end
  return answer
end

return M
