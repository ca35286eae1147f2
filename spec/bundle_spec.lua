-- SPDX-License-Identifier: Apache-2.0
-- A policy that comes as a signed bundle: how it is made, fetched, checked, tried, and kept.
local base64 = require "base64"
local bundled = require "bundled"
local client = require "client"
local metrics = require "metrics"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local sh, key_files, folder_of, make = bundled.sh, bundled.key_files, bundled.folder_of, bundled.make
local source, start, says, wait_says = bundled.source, bundled.start, bundled.says, bundled.wait_says
local bundle_of = bundled.state_of

before_each(bundled.use_address)

-- The same bundle with another manifest, which is signed, too.
local function with_manifest(bundle, change)
  local magic, length, rest = bundle:match "^(.-\n)[%w+/=]+\n(%d+)\n(.*)$"
  local manifest, files = change(rest:sub(1, length)), rest:sub(length + 1)
  local text, signature = process.directory() .. "/text", process.directory() .. "/signature"
  process.write_file(text, magic .. manifest)
  sh(("openssl pkeyutl -sign -rawin -inkey %s -in %s -out %s"):format(key_files().private, text, signature))
  return ("%s%s\n%d\n%s%s"):format(magic, base64.encode(process.read_file(signature)), #manifest, manifest, files)
end

describe("perilune bundle", function()
  it("makes the same bytes of the same files, and says what it has made", function()
    local folder = folder_of "a"
    process.write_file(folder .. "/.hidden", "secret")
    local first, second = make(folder, 7), make(folder, 7)
    assert.equal(first, second)
    assert.matches("^perilune%-bundle 1\n[%w+/=]+\n%d+\n{\"format\":1,\"version\":7,\"main\":\"policy.lua\"", first)
    assert.is_nil(first:find("secret", 1, true))
    assert.not_equal(first, make(folder, 8))
  end)

  it("refuses links, what has no script, and a key of another kind", function()
    local folder, key = folder_of "a", key_files()
    local function refused(...)
      local result = perilune.run("bundle", ...)
      assert.equal(2, result.code)
      return result.stderr
    end
    local out = process.directory() .. "/out"
    assert.matches("has no file start.lua; %-%-main names", refused(folder, "--key", key.private, "-o", out, "--main",
      "start.lua"))
    assert.matches("has no file policy.lua", refused(process.directory(), "--key", key.private, "-o", out))
    assert.matches("expected a private key of Ed25519", refused(folder, "--key", key.public, "-o", out))
    assert.matches("%-%-stages wants shares", refused(folder, "--key", key.private, "-o", out, "--stages", "half"))
    for _, stages in ipairs { "25%,10%", "100%@10m,50%@5m", "10%@5m,50%@1m", "10%,10%" } do
      assert.matches("%-%-stages: '.*' is out of order: shares and times rise", refused(folder, "--key", key.private,
        "-o", out, "--stages", stages))
    end
    for _, option in ipairs { "--for=5s", "--max-errors=1%" } do
      assert.matches("belong to %-%-canary", refused(folder, "--key", key.private, "-o", out, option))
    end
    assert.matches("above 0%%", refused(folder, "--key", key.private, "-o", out, "--canary", "0%"))
    assert.matches("%-%-key no%.pem: No such file", refused(folder, "--key", "no.pem", "-o", out))
    assert.matches("%-%-version wants a whole number", refused(folder, "--key", key.private, "-o", out, "--version",
      "1.5"))
    assert.matches("bundle wants %-%-key KEY and %-o FILE", refused(folder))
    process.run { "ln", "-s", "/etc/passwd", folder .. "/link" }
    assert.matches("link: it is no regular file", refused(folder, "--key", key.private, "-o", out))
    assert.is_nil(io.open(out))
  end)
end)

describe("a policy by a bundle", function()
  it("comes into force when it is there, and so does each higher version; unchanged ones are not fetched", function()
    local origin = source(make(folder_of "one", 1))
    origin.etag = '"1"'
    local proxy = start(origin, process.directory() .. "/state")
    wait_says "one"
    scheduler.eventually(function()
      return #origin.requests >= 3 and origin.requests[#origin.requests].headers.if_none_match == '"1"'
    end)
    origin.bundle, origin.etag = make(folder_of "two", 2), '"2"'
    wait_says "two"
    local state = bundle_of(proxy)
    assert.same({ 2, 2, false, 0 }, { state.running, state.wanted, state.is_down, state.refused })
    assert.matches("bundle +version 2 runs, 2 is wanted; asked %d+ s ago",
      perilune.run("status", "--pid", tostring(proxy.pid)).stdout)
    local page = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/metrics" }.body
    assert.matches("\nperilune_bundle_running_version 2\n", page)
  end)

  it("that is not good leaves the one in force, and says why", function()
    local origin = source(make(folder_of "good", 5))
    local proxy = start(origin, process.directory() .. "/state")
    wait_says "good"
    local other = process.directory() .. "/other"
    sh("openssl genpkey -algorithm ed25519 -out " .. other)
    local file = process.directory() .. "/bundle"
    assert.equal(0, perilune.run("bundle", folder_of "evil", "--key", other, "-o", file, "--version", "9").code)
    local evil, newer = process.read_file(file), make(folder_of "newer", 6)
    for what, bytes in pairs {
      ["its signature is by none of the keys"] = evil,
      ["version 4 is older than 5"] = make(folder_of "older", 4),
      ["it is cut off"] = newer:sub(1, -5),
      ["there is more in it than its manifest says"] = newer .. "x",
      ["policy.lua is damaged"] = newer:sub(1, -2) .. "~",
      ["it is no bundle of Perilune"] = "<html>",
      ["version 5 is not what it was"] = make(folder_of "changed", 5),
      ["it answered 503"] = false,
    } do
      origin.bundle = bytes or nil
      scheduler.eventually(function() return bundle_of(proxy).last_failure:find(what, 1, true) end, 20, what)
      assert.equal("good", says())
    end
    assert.equal(1, metrics.status(proxy).generation - 1)
    proxy:wait_log "bundle: http://[^ ]+: it answered 503; version 5 serves on"
    origin.bundle = newer
    wait_says "newer"
    proxy:wait_log "bundle: http://[^ ]+ is back"
  end)

  it("that names a file outside of its folder is refused, though it is signed, and nothing is written", function()
    local origin, top = source(make(folder_of "good", 1)), process.directory()
    local proxy = start(origin, top .. "/state")
    wait_says "good"
    local newer = make(folder_of "newer", 2)
    for _, name in ipairs { "../evil", "../../evil", top .. "/evil", "parts/../../evil", "./evil", "parts//evil",
      "evil/", "..", "" } do
      origin.bundle = with_manifest(newer, function(manifest)
        return (manifest:gsub('"parts/name.lua"', ("%q"):format(name)))
      end)
      local why = name == "" and "a bad name" or "a name that leads elsewhere: " .. name
      scheduler.eventually(function() return bundle_of(proxy).last_failure:find(why, 1, true) end, 20, why)
    end
    assert.equal("", sh("find " .. top .. " -name 'evil*'"))
    assert.equal("good", says())
    origin.bundle = with_manifest(newer, function(manifest) return manifest end)
    wait_says "newer"
  end)

  it("whose script cannot be loaded is refused once, and the next one is taken", function()
    local origin = source(make(folder_of "good", 1))
    local proxy = start(origin, process.directory() .. "/state")
    wait_says "good"
    local folder = folder_of "bad"
    process.write_file(folder .. "/policy.lua", "this is no Lua")
    origin.bundle = make(folder, 2)
    scheduler.eventually(function() return bundle_of(proxy).refused == 2 end)
    local state = bundle_of(proxy)
    assert.same({ 1, 2 }, { state.running, state.wanted })
    assert.matches("policy.lua:1: ", state.refusal)
    local asked = #origin.requests
    scheduler.eventually(function() return #origin.requests > asked + 3 end)
    assert.equal(1, proxy:count_log "version 2 is refused; version 1 serves on")
    proxy:signal "HUP"
    proxy:wait_log "reloaded: generation %d+"
    assert.equal("good", says())
    origin.bundle = make(folder_of "better", 3)
    wait_says "better"
  end)

  it("that fails as a canary is refused, and taken where it does not fail", function()
    local origin = source(make(folder_of "good", 1))
    local proxy = start(origin, process.directory() .. "/state")
    wait_says "good"
    local is_over
    scheduler.spawn(function()
      while not is_over do
        pcall(says)
        scheduler.sleep(0.01)
      end
    end)
    origin.bundle = make(folder_of("bad", "error 'deliberate'"), 2, "--canary", "50%", "--for", "60s")
    scheduler.eventually(function() return bundle_of(proxy).refused == 2 end)
    assert.matches("more script errors", bundle_of(proxy).refusal)
    origin.bundle = make(folder_of "better", 3, "--canary", "50%", "--for", "1s", "--max-errors", "100%")
    wait_says "better"
    scheduler.eventually(function() return bundle_of(proxy).running == 3 end)
    is_over = true
  end)

  it("is the last good one where the source is away at the start", function()
    local origin, folder = source(make(folder_of "good", 1)), process.directory() .. "/state"
    local proxy = start(origin, folder)
    wait_says "good"
    local bad = folder_of "bad"
    process.write_file(bad .. "/policy.lua", "this is no Lua")
    origin.bundle = make(bad, 2)
    scheduler.eventually(function() return bundle_of(proxy).refused == 2 end)
    proxy:stop()
    origin.bundle = nil
    proxy = start(origin, folder)
    assert.equal("good", says())
    scheduler.eventually(function() return bundle_of(proxy).is_down end)
    assert.equal(1, bundle_of(proxy).running)
    origin.bundle = make(folder_of "older", 1)
    scheduler.eventually(function()
      return bundle_of(proxy).last_failure:find("version 1 is older than 2", 1, true)
    end)
    proxy:stop()
    sh("rm -r " .. folder .. "/versions/1")
    origin.bundle = make(folder_of "newer", 3)
    start(origin, folder)
    wait_says "newer"
  end)

  it("serves nothing but the reason until there is a first one", function()
    local origin = source(nil)
    local proxy = start(origin, process.directory() .. "/state")
    proxy:wait_log "there is no version so far"
    proxy:wait_log "it answered 503; version 0 serves on"
    assert.equal(503, client.request(proxy.port).status)
    origin.bundle = make(folder_of "first", 1)
    wait_says "first"
  end)

  it("waits for the proxy's stage", function()
    local origin = source(make(folder_of "one", 1))
    local proxy = start(origin, process.directory() .. "/state")
    wait_says "one"
    origin.bundle = make(folder_of "two", 2, "--stages", "0.01%,100%@1h")
    scheduler.eventually(function() return bundle_of(proxy).wanted == 2 end)
    local asked = #origin.requests
    scheduler.eventually(function() return #origin.requests > asked + 3 end)
    assert.equal("one", says())
    origin.bundle = make(folder_of "three", 3, "--stages", "0.01%,100%")
    wait_says "three"
  end)

  it("is asked for with all that belongs together", function()
    for words, why in pairs {
      [{ "x.lua", "--bundle", "http://a/" }] = "either a SCRIPT or --bundle",
      [{ "--bundle", "http://a/" }] = "--bundle wants --bundle-key",
      [{ "x.lua", "--bundle-key", "k" }] = "--bundle is missing",
    } do
      local result = perilune.run("run", unpack(words))
      assert.equal(2, result.code)
      assert.matches(why, result.stderr, 1, true)
    end
    local open = process.directory()
    sh("chmod 777 " .. open)
    for words, why in pairs {
      [{ "--bundle-key", "/nowhere" }] = "--bundle-key /nowhere: No such file",
      [{ "--bundle-key", key_files().public, "--bundle-dir", open }] = "others can write to it",
    } do
      local result = perilune.run("run", "--bundle", "http://a/", unpack(words))
      assert.equal(2, result.code)
      assert.matches(why, result.stderr, 1, true)
    end
  end)
end)
