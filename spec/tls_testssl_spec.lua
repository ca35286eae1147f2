-- SPDX-License-Identifier: Apache-2.0
-- testssl.sh (Debian) against a listener: nothing weak above "LOW", nothing older than TLS 1.2. Takes minutes, so it
-- runs only where it is asked for: SLOW=1 make test ONLY=testssl
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local tls = require "tls"

after_each(require("cleanup").run)

-- Of the spec's own certificate, whose authority nobody trusts and which nobody can ask about, and of testssl.sh
-- itself.
local about_the_certificate = { "^cert_", "^scanTime$", "^scanProblem$", "^engine_problem$", "^DNS_CAArecord",
  "^overall_grade$", "^grade_cap_reason" }
-- HTTP is the policy's: the proxy adds no fields of its own to what it says.
local about_http = { "^HSTS", "^banner_", "^security_headers", "^HTTP_" }

local function is_about(id, patterns)
  for _, pattern in ipairs(patterns) do
    if id:match(pattern) then return true end
  end
  return false
end

describe("testssl.sh", function()
  it("finds nothing weak above LOW, and nothing older than TLS 1.2", function()
    if not os.getenv "SLOW" then return pending "it takes minutes: SLOW=1 make test ONLY=testssl" end
    if io.popen("command -v testssl"):read "*l" == nil then
      return pending "testssl.sh is not installed here: make deps"
    end
    local files, directory = tls.certificate "127.0.0.1", process.directory()
    local proxy = perilune.start { workers = 1, release = true, policy = policies.fill(policies.one_peer, {
      ADDRESS = "127.0.0.1:1", OPTIONS = "",
      HOOKS = "function policy.request_filter(session) return session:respond { status = 200, body = 'x' } end",
      LISTEN = ("certificate = %q, key = %q"):format(files.certificate, files.key),
    }) }
    local report = directory .. "/report.json"
    process.run({ "testssl", "--quiet", "--color", "0", "--warnings", "off", "--jsonfile", report,
      "127.0.0.1:" .. proxy.port }, { directory = directory, timeout = 900 })
    local file = assert(io.open(report), "testssl.sh has written no report")
    local text = file:read "*a"
    file:close()
    local weak, seen = {}, {}
    local line = '"id"%s*:%s*"([^"]*)".-"severity"%s*:%s*"([^"]*)".-"finding"%s*:%s*"([^"]*)"'
    for id, severity, finding in text:gmatch(line) do
      seen[id] = finding
      local is_bad = severity == "MEDIUM" or severity == "HIGH" or severity == "CRITICAL"
      if is_bad and not is_about(id, about_the_certificate) and not is_about(id, about_http) then
        weak[#weak + 1] = ("%s %s: %s"):format(severity, id, finding)
      end
    end
    assert.same({}, weak)
    for _, old in ipairs { "SSLv2", "SSLv3", "TLS1", "TLS1_1" } do assert.truthy(seen[old]:match "not offered") end
    for _, new in ipairs { "TLS1_2", "TLS1_3" } do assert.truthy(seen[new]:match "^offered") end
  end)
end)
