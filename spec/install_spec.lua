-- SPDX-License-Identifier: Apache-2.0
-- `make install` and `make uninstall`, into a folder of the spec's own; the man page; completion in bash.
local lfs = require "lfs"
local perilune = require "perilune"
local process = require "process"

after_each(require("cleanup").run)

-- What stands below a folder: names of files, sorted.
local function files_below(folder)
  local files, listing = {}, io.popen(("cd '%s' && find . -type f | sort"):format(folder))
  for line in listing:lines() do files[#files + 1] = line:sub(3) end
  return files
end

local function make(target, destination, ...)
  local result = process.run({ "make", "-s", target, "DESTDIR=" .. destination, "PREFIX=/opt/p", "BINARY=" ..
    perilune.binary, ... }, { env = { MAKEFLAGS = false, MAKELEVEL = false, CC = false } })
  assert.equal(0, result.code, result.stdout .. result.stderr)
end

local function has(files, name)
  for _, file in ipairs(files) do
    if file == name then return true end
  end
  return false
end

local function destination()
  local folder = process.directory() .. "/a folder"
  assert(lfs.mkdir(folder))
  return folder
end

describe("make install", function()
  it("puts program, modules, units, man page and completion below DESTDIR and PREFIX, and nothing else", function()
    local to = destination()
    make("install", to)
    local files = files_below(to)
    for _, name in ipairs { "bin/perilune", "share/perilune/lua/perilune/init.lua", "share/perilune/scripts/router.lua",
      "share/perilune/examples/routing.lua", "lib/systemd/system/perilune.service",
      "lib/systemd/system/perilune.socket", "share/man/man1/perilune.1",
      "share/bash-completion/completions/perilune", "share/doc/perilune/api.md" } do
      assert.is_true(has(files, "opt/p/" .. name), name)
    end
    for _, name in ipairs(files) do assert.matches("^opt/p/", name) end
    local unit = process.read_file(to .. "/opt/p/lib/systemd/system/perilune.service")
    assert.matches("\nExecStart=/opt/p/bin/perilune run ", unit)
    assert.not_matches("/usr/local", unit)
  end)

  it("installs a program that finds its modules, wherever it lies", function()
    local to = destination()
    make("install", to)
    local moved = to .. " moved"
    assert(os.rename(to, moved))
    local result = process.run { moved .. "/opt/p/bin/perilune", "check",
      moved .. "/opt/p/share/perilune/examples/routing.lua" }
    assert.equal("", result.stderr)
    assert.equal(0, result.code)
  end)

  it("takes away what a version before had installed in addition", function()
    local to = destination()
    make("install", to)
    local before = files_below(to)
    local old = to .. "/opt/p/share/perilune/scripts/old/gone.lua"
    assert(os.execute(("mkdir -p '%s'"):format(old:match "(.*)/")) == 0)
    process.write_file(old, "")
    local list = to .. "/opt/p/share/perilune/installed"
    process.write_file(list, process.read_file(list) .. "share/perilune/scripts/old/gone.lua\n")
    make("install", to)
    assert.same(before, files_below(to))
  end)
end)

describe("make uninstall", function()
  it("removes what was installed, with its folders, and nothing of anybody else", function()
    local to = destination()
    local others = { "opt/p/share/perilune/scripts/mine.lua", "opt/p/bin/other" }
    make("install", to)
    for _, name in ipairs(others) do process.write_file(to .. "/" .. name, "mine") end
    make("uninstall", to)
    table.sort(others)
    assert.same(others, files_below(to))
    assert.is_nil(lfs.attributes(to .. "/opt/p/share/man"))
    assert.is_nil(lfs.attributes(to .. "/opt/p/share/perilune/lua"))
  end)

  it("says where nothing is installed", function()
    local to = destination()
    local result = process.run({ "make", "-s", "uninstall", "DESTDIR=" .. to, "PREFIX=/opt/p" },
      { env = { MAKEFLAGS = false, MAKELEVEL = false } })
    assert.not_equal(0, result.code)
    assert.matches("nothing is installed under .*/opt/p", result.stderr)
  end)
end)

describe("the man page", function()
  it("is the help of the program: `make docs` writes it", function()
    assert.equal(perilune.run("help", "--man").stdout, process.read_file "dist/perilune.1")
  end)
end)

describe("completion", function()
  local function complete(...)
    local words = { "perilune", ... }
    for i, word in ipairs(words) do words[i] = "'" .. word .. "'" end
    local text = ([[perilune() { %s "$@"; }; . dist/perilune.bash; COMP_WORDS=(%s); COMP_CWORD=%d; _perilune
      printf '%%s\n' "${COMPREPLY[@]}"]]):format(perilune.binary, table.concat(words, " "), #words - 1)
    return process.run({ "bash", "-c", text }).stdout
  end

  it("knows commands, the options of each, and the words of help", function()
    assert.equal("reload\n", complete "rel")
    assert.equal("run\nreload\nrecord\nreplay\nrepl\n", complete "r")
    assert.equal("--health\n", complete("proxy", "--hea"))
    assert.equal("--pid\n--pid-file\n", complete("stop", "--pi"))
    assert.equal("\n", complete("stop", "--work"))
    assert.equal("status\nstop\n", complete("help", "st"))
    assert.equal("warn\n", complete("run", "--log-level", "w"))
  end)
end)
