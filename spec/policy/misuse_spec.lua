-- SPDX-License-Identifier: Apache-2.0
-- Every function of the API is called with what it does not expect. Methods are in misuse_methods_spec.lua: the thread
-- sanitizer keeps some frames of each error that is raised, and has no room for those of both.
local misuse = require "misuse"
local perilune = require "perilune"
local test = require "perilune.test"

local MODULES = {
  "log", "json", "base64", "crypto", "url", "cookie", "date", "cidr", "regex", "tcp", "http", "dns", "metrics",
  "round_robin", "hash", "health_check", "discovery", "rate_limit", "access_control", "basic_auth", "token_auth",
  "cors", "maintenance", "router", "canary", "header_rules", "body_replace", "mirror", "request_id", "access_log",
  "grpc_web", "redis", "acme", "oidc", "forward_auth", "api_keys",
  "client_certificate",
}
-- Its limit would be in force for what follows.
local LEFT_OUT = { ["perilune.set_memory_limit"] = true }

describe("what a function does not expect raises at the caller's line, with a sentence:", function()
  before_each(function() test.policy({ request_filter = function() end }) end)

  for _, module in ipairs { "", unpack(MODULES) } do
    it(module == "" and "perilune" or "perilune." .. module, function()
      local faults, functions = {}, module == "" and perilune or require("perilune." .. module)
      for name, fn in pairs(functions) do
        name = (module == "" and "perilune" or module) .. "." .. name
        if type(fn) == "function" and not LEFT_OUT[name] then misuse.try_all(name, fn, nil, faults) end
      end
      assert.same({}, faults)
    end)
  end
end)
