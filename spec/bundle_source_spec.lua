-- SPDX-License-Identifier: Apache-2.0
-- The server of a bundle: how it shows who it is, and how the proxy does.
local bundled = require "bundled"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"
local shortage = require "shortage"
local tls = require "tls"

after_each(require("cleanup").run)
before_each(bundled.use_address)

local function copy(from, to) process.write_file(to, process.read_file(from)) end

describe("the server of a bundle", function()
  it("is trusted by the authorities that are said, and by no others", function()
    local origin = bundled.source(bundled.make(bundled.folder_of "one", 1), { tls = {}, names = { "127.0.0.1" } })
    local proxy = bundled.start(origin, process.directory() .. "/state")
    scheduler.eventually(function() return bundled.state_of(proxy).last_failure:find("certificate", 1, true) end)
    proxy:stop()
    bundled.start(origin, process.directory() .. "/state", "--bundle-ca", origin.files.ca)
    bundled.wait_says "one"
  end)

  it("is asked again in a moment, not when it is due, where this machine lacks a port", function()
    local origin, lack = bundled.source(bundled.make(bundled.folder_of "one", 1)), shortage.new()
    local words = bundled.arguments(origin, process.directory() .. "/state")
    for i, word in ipairs(words) do words[i] = word == "200ms" and "1h" or word end
    lack:begin("connect", "EADDRNOTAVAIL", 1)
    perilune.start { args = words, env = lack.env }
    scheduler.eventually(function() return lack:count "connect" > 0 end)
    lack:over()
    bundled.wait_says "one"
  end)

  it("gets the token in a file, as it is by then", function()
    local origin, file = bundled.source(bundled.make(bundled.folder_of "one", 1)), process.directory() .. "/token"
    origin.token = "first"
    process.write_file(file, "first\n")
    local proxy = bundled.start(origin, process.directory() .. "/state", "--bundle-token-file", file)
    bundled.wait_says "one"
    origin.token, origin.bundle = "second", bundled.make(bundled.folder_of "two", 2)
    scheduler.eventually(function() return bundled.state_of(proxy).last_failure == "it answered 401" end)
    process.write_file(file, "second\n")
    bundled.wait_says "two"
    assert.is_false(bundled.state_of(proxy).is_down)
    origin.token = nil
    process.write_file(file, "third\n") -- which is read though the last one was not refused
    scheduler.eventually(function()
      return origin.requests[#origin.requests].headers.authorization == "Bearer third"
    end)
  end)

  it("sees the proxy's certificate, as its file is by then", function()
    local first, second = tls.certificate "first.test", tls.certificate "second.test"
    local folder = process.directory()
    local certificate, key = folder .. "/certificate", folder .. "/key"
    local function use(files)
      copy(files.certificate, certificate)
      copy(files.key, key)
    end
    local origin = bundled.source(bundled.make(bundled.folder_of "one", 1),
      { names = { "127.0.0.1" }, tls = { client_ca = first.ca } })
    local function is_seen(files)
      scheduler.eventually(function()
        local last = origin.requests[#origin.requests]
        return last and last.client_name == files.name
      end, nil, files.name)
    end
    use(first)
    bundled.start(origin, folder .. "/state", "--bundle-ca", origin.files.ca, "--bundle-cert", certificate,
      "--bundle-cert-key", key)
    bundled.wait_says "one"
    is_seen(first)
    use(second)
    is_seen(second)
  end)

  it("is said in full: what does not go together is refused, and each file is named", function()
    local key, missing = bundled.key_files(), process.directory() .. "/missing"
    local ca = tls.certificate("ca.test").ca
    for _, case in ipairs {
      { "--bundle wants a URL that begins with https:// or http://, not 'ftp://a/'", "ftp://a/" },
      { "--bundle-ca is for https://", "http://a/", "--bundle-ca", ca },
      { "--bundle-cert is for https://", "http://a/", "--bundle-cert", ca, "--bundle-cert-key", ca },
      { "--bundle-cert and --bundle-cert-key go together", "https://a/", "--bundle-cert", ca },
      { "--bundle-ca " .. missing .. ": No such file", "https://a/", "--bundle-ca", missing },
      { "--bundle-token-file " .. missing .. ": No such file", "https://a/", "--bundle-token-file", missing },
      { "--bundle-ca, --bundle-cert: CA file " .. key.public, "https://a/", "--bundle-ca", key.public },
      { "--bundle-ca, --bundle-cert: ", "https://a/", "--bundle-cert", ca, "--bundle-cert-key", key.private },
    } do
      local result = perilune.run("run", "--bundle-key", key.public, "--bundle-dir", process.directory() .. "/state",
        "--bundle", unpack(case, 2))
      assert.equal(2, result.code, case[1])
      assert.matches(case[1], result.stderr, 1, true)
    end
    local other = perilune.run("run", "--bundle", "https://a/", "--bundle-key", ca)
    assert.matches("--bundle-key: " .. ca .. ": expected a public key of Ed25519", other.stderr, 1, true)
    local alone = perilune.run("run", "x.lua", "--bundle-token-file", missing)
    assert.matches("--bundle-token-file: --bundle is missing", alone.stderr, 1, true)
  end)
end)
