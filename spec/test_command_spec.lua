-- SPDX-License-Identifier: Apache-2.0
-- `perilune test`: where specs find their files, what a failure shows, and --watch.
local cleanup = require "cleanup"
local lfs = require "lfs"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"

after_each(cleanup.run)

local POLICY = [[
local perilune = require "perilune"
local words = require "words"
perilune.listen("127.0.0.1:0", {
  request_filter = function(session)
    if session:path() == "/bad" then local nothing; return nothing.field end
    return session:respond { status = 200, body = words.hello }
  end,
})
]]
local WORDS = "return { hello = 'hello' }\n"
local SPEC = [[
local test = require "perilune.test"
describe("hello", function()
  it("is said on the bench", function() assert.body("hello", test.policy("hello.lua"):request()) end)
  it("is said by the proxy", function()
    assert.body("hello", test.harness { policy = "hello.lua" }:request())
  end)
end)
]]

local BINARY = perilune.binary:gsub("^[^/]", lfs.currentdir() .. "/%0")

-- A directory with these files, by name.
local function project(files)
  local directory = process.directory()
  for name, text in pairs(files) do
    local folder = name:match "^(.*)/"
    if folder then lfs.mkdir(directory .. "/" .. folder) end
    process.write_file(directory .. "/" .. name, text)
  end
  return directory
end

-- The result of `perilune test` in a working directory.
local function run(cwd, ...)
  local command = ("cd '%s' && exec '%s' test -o TAP %s"):format(cwd, BINARY, table.concat({ ... }, " "))
  return process.run({ "sh", "-c", command }, { timeout = 60, env = { PERILUNE = BINARY } })
end

describe("a spec", function()
  it("finds its policy, and the policy its modules, beside itself, whatever the working directory", function()
    local directory = project { ["hello.lua"] = POLICY, ["words.lua"] = WORDS, ["hello_spec.lua"] = SPEC }
    for _, cwd in ipairs { "/", directory, lfs.currentdir() } do
      local result = run(cwd, directory .. "/hello_spec.lua")
      assert.equal(0, result.code, result.stdout .. result.stderr)
      assert.matches("ok 2 ", result.stdout)
    end
  end)

  it("prefers what lies beside it to what lies in the working directory, where it also looks", function()
    local elsewhere = project { ["hello.lua"] = POLICY, ["words.lua"] = "return { hello = 'other' }\n" }
    local directory = project { ["specs/hello_spec.lua"] = SPEC:gsub('"hello"', '"other"') }
    assert.equal(0, run(elsewhere, directory .. "/specs/hello_spec.lua").code)
    process.write_file(directory .. "/specs/hello.lua", POLICY)
    process.write_file(directory .. "/specs/words.lua", WORDS)
    local result = run(elsewhere, directory .. "/specs/hello_spec.lua")
    assert.equal(1, result.code)
    assert.matches('Found: "hello"', result.stdout)
  end)

  it("is told both places where a policy was looked for", function()
    local directory = project { ["hello_spec.lua"] = SPEC }
    local result = run("/", directory .. "/hello_spec.lua")
    assert.equal(1, result.code)
    local told = "there is no file hello.lua: neither beside the spec (in " .. directory
      .. "/) nor in the working directory (/)"
    local _, count = result.stdout:gsub(told:gsub("%p", "%%%0"), "")
    assert.equal(2, count, result.stdout)
    assert.matches("hello_spec.lua:3: test.policy: there is no", result.stdout)
  end)
end)

describe("perilune test without a spec", function()
  it("takes those of the working directory and of ./spec", function()
    local good = 'it("%s", function() end)'
    local directory = project { ["a_spec.lua"] = good:format "here", ["other.lua"] = "error 'no spec'" }
    local result = run(directory)
    assert.equal(0, result.code, result.stdout .. result.stderr)
    assert.matches("here", result.stdout)
    lfs.mkdir(directory .. "/spec")
    process.write_file(directory .. "/spec/b_spec.lua", good:format "there")
    local output = run(directory).stdout
    assert.matches("here", output)
    assert.matches("there", output)
  end)

  it("says that there is none", function()
    local result = run(process.directory())
    assert.equal(2, result.code)
    assert.matches("perilune test: no spec is named, and there is none here: [^\n]* write perilune test SPEC",
      result.stderr)
  end)

  it("says which of those that are named is not there, once", function()
    local directory = project { ["a_spec.lua"] = 'it("is here", function() end)' }
    local result = run(directory, "a_spec.lua", "--filter", "x", "none_spec.lua")
    assert.equal(2, result.code)
    assert.equal(("perilune test: there is no spec 'none_spec.lua' in %s\n"):format(directory), result.stderr)
    assert.equal("", result.stdout)
  end)
end)

describe("a test that fails", function()
  local FAILING = [[
    local test = require "perilune.test"
    it("fails", function()
      local h = test.harness { policy = "hello.lua" }
      assert.equal(200, h:request { path = "/bad" }.status)
    end)
    it("fails on the bench", function()
      assert.equal(200, test.policy("hello.lua"):request({ target = "/bad" }).status)
    end)
    it("fails for another reason", function()
      local h = test.harness { policy = "hello.lua" }
      assert.equal(201, h:request().status)
    end)
  ]]

  it("shows the lines of the log that tell why the answer was a 500, with the policy's line", function()
    local directory = project { ["hello.lua"] = POLICY, ["words.lua"] = WORDS, ["x_spec.lua"] = FAILING }
    local output = run("/", directory .. "/x_spec.lua").stdout
    local first, second, third = output:match "not ok 1(.*)not ok 2(.*)not ok 3(.*)"
    assert.matches("Expected objects to be equal.*The proxy has answered with 500 or more; its log in this test:",
      first)
    assert.matches("error worker 0: [^\n]*hello.lua:5: [^\n]*nothing", first)
    assert.matches("Errors and warnings in the log of this test:[^\n]*\n[^\n]*hello.lua:5: [^\n]*nothing", second)
    assert.is_nil(third:find "log")
  end)

  it("on the bench shows warnings, too: they say why it was a 503", function()
    local spec = [[
      local test = require "perilune.test"
      it("fails", function()
        local bench = test.policy("backends.lua")
        test.clock:advance(60)
        assert.equal(200, bench:request({}).status)
      end)
    ]]
    local policy = [[
      local perilune = require "perilune"
      local set = require("perilune.round_robin").new { "127.0.0.1:9" }
      require("perilune.health_check").http(set, { interval = 1 })
      perilune.listen("127.0.0.1:0", { upstream_peer = function() return set:select() end })
    ]]
    local directory = project { ["backends.lua"] = policy, ["x_spec.lua"] = spec }
    local output = run("/", directory .. "/x_spec.lua").stdout
    assert.matches("Errors and warnings in the log of this test:\n#? *warn: [^\n]*127%.0%.0%.1:9", output)
  end)

  it("of a harness that serves a whole file shows its own lines only", function()
    local spec = [[
      local test = require "perilune.test"
      describe("a file", function()
        local h
        lazy_setup(function() h = test.harness { policy = "hello.lua" } end)
        it("is bad", function() assert.status(500, h:request { path = "/bad" }) end)
        it("is good", function() assert.status(404, h:request()) end)
      end)
    ]]
    local directory = project { ["hello.lua"] = POLICY, ["words.lua"] = WORDS, ["x_spec.lua"] = spec }
    local output = run("/", directory .. "/x_spec.lua").stdout
    assert.matches("ok 1 .*not ok 2", output)
    assert.is_nil(output:find("500", 1, true))
  end)
end)

describe("perilune test --watch", function()
  local directory, temporary, watcher

  -- What has been said since a mark, once it has a pattern.
  local function wait_said(pattern)
    scheduler.eventually(function() return watcher:stderr():find(pattern, watcher.mark) end, 60,
      pattern .. " in:\n" .. watcher:stdout() .. watcher:stderr())
    local from, to = watcher:stderr():find(pattern, watcher.mark)
    watcher.mark = to + 1
    return watcher:stderr():sub(from, to)
  end

  local function start(files)
    directory, temporary = project(files), process.directory()
    watcher = process.start({ BINARY, "test", "--watch", directory .. "/hello_spec.lua" },
      { env = { TMPDIR = temporary } })
    watcher.mark = 1
    cleanup.add(2, function() watcher:kill() end)
  end

  local function count(path)
    local found = 0
    for name in lfs.dir(path) do found = found + (name:sub(1, 1) == "." and 0 or 1) end
    return found
  end

  -- With a name of its own first, as editors do.
  local function save(name, text)
    process.write_file(directory .. "/" .. name .. "~", text)
    assert(os.rename(directory .. "/" .. name .. "~", directory .. "/" .. name))
  end

  it("runs again when the spec, the policy or a module is saved, and says in a line what came of it", function()
    start { ["hello.lua"] = POLICY, ["words.lua"] = WORDS, ["hello_spec.lua"] = SPEC, ["notes.txt"] = "" }
    wait_said "perilune test: fine: 2 passed, 0 failed, 0 pending in [%d.]+ s; waiting for a change of 3 files"
    process.write_file(directory .. "/notes.txt", "not ours")
    save("words.lua", "return { hello = 'good bye' }\n")
    wait_said "perilune test: [^\n]*/words.lua was saved\nperilune test: FAILED: 0 passed, 2 failed, 0 pending"
    save("hello.lua", POLICY:gsub("words.hello", "'hello'"))
    wait_said "perilune test: [^\n]*/hello.lua was saved\nperilune test: fine: 2 passed"
    save("hello_spec.lua", "this is no Lua")
    wait_said "hello_spec.lua was saved\nperilune test: FAILED: 0 passed, 1 failed"
    process.write_file(directory .. "/hello_spec.lua", SPEC)
    wait_said "hello_spec.lua was saved\nperilune test: fine: 2 passed"
    assert.is_nil(watcher:stderr():find "notes.txt")
  end)

  it("ends a run that a save overtakes; and ends with Ctrl-C, in the middle of one too, leaving nothing", function()
    local hanging = "require 'perilune.test'\nit('hangs', function() io.open('" .. process.directory()
      .. "/began', 'w'):close() while true do end end)"
    local began = hanging:match "'(/[^']*began)'"
    start { ["hello_spec.lua"] = hanging }
    local function wait_begun()
      scheduler.eventually(function() return lfs.attributes(began) end, 60, "a run")
      os.remove(began)
    end
    wait_begun()
    save("hello_spec.lua", hanging .. "\n")
    wait_said "hello_spec.lua was saved"
    wait_begun()
    assert.equal(1, count(temporary))
    watcher:signal "INT"
    assert.equal(0, watcher:wait(30))
    assert.matches("perilune test: ended\n$", watcher:stderr())
    assert.equal(0, count(temporary))
  end)
end)
