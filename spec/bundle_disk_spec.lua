-- SPDX-License-Identifier: Apache-2.0
-- The files of a bundle on the disk: they are checked before each load, and put right from what was signed.
local bundled = require "bundled"
local perilune = require "perilune"
local process = require "process"
local shortage = require "shortage"

after_each(require("cleanup").run)
before_each(bundled.use_address)

-- What a changed disk does, with what the log says of it. D: the folder of the version.
local CHANGES = {
  { "a file is another one", "echo 'return \"evil\"' > D/parts/name.lua", "parts/name.lua: it is not as" },
  { "a file is gone", "rm D/parts/name.lua", "parts/name.lua: No such file" },
  { "a folder is gone", "rm -r D", "parts/name.lua: No such file" },
  { "a file leads elsewhere", "ln -sf /etc/hostname D/parts/name.lua", "parts/name.lua: it is not as it was signed" },
  { "a file is a FIFO", "rm D/policy.lua; mkfifo D/policy.lua", "policy.lua: it is " },
  { "there is another script",
    "mkdir D/parts/deep; echo x > D/parts/deep/more.lua", "deep/more.lua: it is not in the" },
  { "there is no signature", "rm D.signed", "1.signed: No such file" },
  { "the signature is cut", "head -c 150 D.signed > x; mv x D.signed", "1.signed: its signature is by none" },
  { "the manifest is another",
    "sed -i 's/\"size\"/ \"size\"/' D.signed", "1.signed: its signature is" },
}

local function damage(folder, command)
  bundled.sh("cd " .. folder .. " && " .. command:gsub("%f[%w]D%f[%W]", folder .. "/versions/1"))
end

local function pattern_of(said) return "[^\n]*" .. said:gsub("%p", "%%%0") end

-- A proxy with a bundle in force: it, its source and its folder.
local function running()
  local origin, folder = bundled.source(bundled.make(bundled.folder_of "good", 1)), process.directory() .. "/state"
  local proxy = bundled.start(origin, folder)
  bundled.wait_says "good"
  return proxy, origin, folder
end

describe("a bundle's files, at the start,", function()
  for _, place in ipairs { 1, 3, 7 } do
    local what, command, said = unpack(CHANGES[place])
    it(("are not run where %s, but taken anew from the bundle that was kept"):format(what), function()
      local proxy, origin, folder = running()
      proxy:stop()
      damage(folder, command)
      origin.bundle = nil
      proxy = bundled.start(origin, folder)
      proxy:wait_log("bundle: version 1 is not used: " .. pattern_of(said))
      bundled.wait_says "good"
      proxy:wait_log "bundle: version 1 is in force"
      assert.is_true(bundled.state_of(proxy).failures > 0)
    end)
  end

  it("are fetched anew where what was kept is damaged, too; but nothing older is taken", function()
    local origin, folder = bundled.source(bundled.make(bundled.folder_of "good", 5)), process.directory() .. "/state"
    local older = bundled.make(bundled.folder_of "older", 4)
    origin.etag = '"5"'
    local proxy = bundled.start(origin, folder)
    bundled.wait_says "good"
    proxy:stop()
    bundled.sh(("cd %s && echo >> wanted && echo >> versions/5/policy.lua"):format(folder))
    local right = origin.bundle
    origin.bundle, origin.etag = older, '"4"'
    proxy = bundled.start(origin, folder)
    proxy:wait_log "bundle: version 5 is not used"
    proxy:wait_log "version 4 is older than 5, which was there already"
    origin.bundle, origin.etag = right, '"5"'
    bundled.wait_says "good"
  end)

  it("may have others beside them, which are no scripts", function()
    local proxy, origin, folder = running()
    proxy:stop()
    damage(folder, "echo x > D/access.log; mkdir D/cache.lua; echo x > D/cache.lua/entry")
    proxy = bundled.start(origin, folder)
    assert.equal("good", bundled.says())
    assert.equal(0, proxy:count_log "is not used")
  end)
end)

describe("a bundle's files, at a reload,", function()
  it("are refused where they were changed, put right from the bundle, and loaded", function()
    local proxy, _, folder = running()
    for i, change in ipairs(CHANGES) do
      local from = #proxy:log() + 1
      damage(folder, change[2])
      proxy:signal "HUP"
      proxy:wait_log("reload: " .. pattern_of(change[3]) .. "[^\n]*; generation %d+ stays in force", nil, from)
      -- The bundle brings the next one; equal lines of the log, such as that it is in force, are not said so often.
      proxy:wait_log(("reloaded: generation %d is in force"):format(i + 2), nil, from)
      assert.equal('return "good"', process.read_file(folder .. "/versions/1/parts/name.lua"))
      assert.equal("policy.lua\nname.lua\n", bundled.sh("cd " .. folder .. "/versions/1; ls *.lua; ls parts"))
    end
    assert.is_true(proxy:count_log "bundle: version 1 is in force" > 1)
    local from = #proxy:log() + 1
    proxy:signal "HUP"
    proxy:wait_log("reloaded: generation %d+", nil, from)
    assert.equal("good", bundled.says())
  end)

  it("are refused where a folder of theirs cannot be read: there may be any script", function()
    local origin = bundled.source(bundled.make(bundled.folder_of "good", 1))
    local machine, folder = shortage.new(), process.directory() .. "/state"
    local proxy = perilune.start { args = bundled.arguments(origin, folder), env = machine.env }
    bundled.wait_says "good"
    machine:begin("opendir", "EIO", 1)
    proxy:signal "HUP"
    proxy:wait_log("reload: [^\n]*/versions/1: Input/output error; generation %d+ stays in force")
    machine:over()
    proxy:signal "HUP"
    proxy:wait_log "reloaded: generation %d+"
    assert.equal("good", bundled.says())
  end)
end)
