-- SPDX-License-Identifier: Apache-2.0
-- h2spec (github.com/summerwind/h2spec), its 145 cases over TLS: a plain port that takes HTTP/1.1, too, answers a
-- preface that is none as HTTP/1.1. It runs where h2spec is on PATH.
local machine = require "machine"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local tls = require "tls"

after_each(require("cleanup").run)

local CASES = 145

describe("h2spec", function()
  it("finds no fault in a listener with TLS", function()
    if not machine.has_program "h2spec" then
      return pending "finds no fault in a listener with TLS (h2spec: make deps, with a Go that can build it)"
    end
    local files = tls.certificate "127.0.0.1"
    local proxy = perilune.start { workers = 1, policy = policies.fill(policies.one_peer, {
      ADDRESS = "127.0.0.1:1", OPTIONS = "",
      HOOKS = [[function policy.request_filter(session)
        session:read_body() -- an answer at once may end a stream before the frame that h2spec sends next
        return session:respond { status = 200, body = 'hello' }
      end]],
      LISTEN = ("certificate = %q, key = %q"):format(files.certificate, files.key),
    }) }
    local run = process.run({ "h2spec", "-t", "-k", "-o", "10", "-h", "127.0.0.1", "-p", tostring(proxy.port) },
      { timeout = 300 })
    local faults = {}
    for line in run.stdout:gmatch "[^\n]+" do
      if line:find("×", 1, true) then faults[#faults + 1] = line end
    end
    assert.same({}, faults)
    assert.matches(CASES .. " tests, " .. CASES .. " passed", run.stdout)
  end)
end)
