-- SPDX-License-Identifier: Apache-2.0
-- `perilune check` has no word for what is right: the policies of the documents, and those that stand whole in these
-- specs. One policy loads all of them, each from a file of its own.
local perilune = require "perilune"
local process = require "process"

after_each(require("cleanup").run)

local AROUND = [[
local perilune = require "perilune"
local policy = {}
%s
policy.upstream_peer = policy.upstream_peer or function() return "127.0.0.1:8000" end
perilune.listen("127.0.0.1:0", policy)
]]

-- An example of a document as a policy of its own; nil: it is a spec.
local function example(text)
  if text:find "assert[.(]" or text:find "%f[%w]it%(" or text:find "%f[%w]test%." then return nil end
  if text:find "\nreturn " then return nil end -- a module
  text = text:gsub("127%.0%.0%.1:8080", "127.0.0.1:0"):gsub('listen%(":%d+"', 'listen("127.0.0.1:0"')
  text = text:gsub('os%.getenv "[%u_]*SECRET"', '("0a"):rep(32)')
  text = text:gsub('os%.getenv "(%u+)"', { LISTEN = '"127.0.0.1:0"', STORE = '"127.0.0.1:6379"',
    ETCD = '"http://127.0.0.1:2379"', CACHE = '"etcd.json"' })
  return text:find("perilune.listen", 1, true) and text or AROUND:gsub("%%s", function() return text end)
end

-- A string of a spec, if it is a policy without gaps to fill in; else nil.
local function whole(text)
  local has_gaps = text:find "%%[sqd]" or text:find "%$%u"
  local is_policy = text:find 'require "perilune"' and text:find "perilune%.listen%(" and loadstring(text)
  return not has_gaps and is_policy and text or nil
end

-- Does it change what the others need: settings of the process, what may be called once, files that are not there?
local function is_alone(policy)
  for _, what in ipairs { "perilune%.configure", "perilune%.tracing {", "perilune%.test", "/no/such/",
    "require.-resty%." } do
    if policy:find(what) then return true end
  end
  return false
end

-- Writes the policies that a pattern finds in a file into the directory. Their names are added to `names`.
local function collect(path, pattern, make, directory, names)
  for text in process.read_file(path):gmatch(pattern) do
    local policy = make(text)
    if policy and not is_alone(policy) then
      names[#names + 1] = ("%s_%d.lua"):format(path:gsub(".*/", ""):gsub("%.%w+$", ""), #names + 1)
      process.write_file(directory .. "/" .. names[#names], policy)
    end
  end
end

-- What is found in the policies of these names; and those that could not be loaded.
local function checked(directory, names)
  local driver = { 'local perilune = require "perilune"' }
  for _, name in ipairs(names) do
    driver[#driver + 1] = ("if not pcall(dofile, %q) then perilune.log.info('failed: ' .. %q) end"):format(name, name)
  end
  driver[#driver + 1] = 'perilune.listen("127.0.0.1:0", { upstream_peer = function() return "127.0.0.1:1" end })'
  local result = perilune.run("check", process.write_file(directory .. "/driver.lua", table.concat(driver, "\n")))
  local failed = {}
  local said = result.stderr:gsub("[^\n]*failed: ([^\n]*)\n", function(name) failed[#failed + 1] = name return "" end)
  return said, failed
end

local function files_in(folder, pattern)
  local files = {}
  for name in require("lfs").dir(folder) do
    if name:find(pattern) then files[#files + 1] = folder .. "/" .. name end
  end
  table.sort(files)
  return files
end

describe("`perilune check` has no word for", function()
  it("the policies of the documents", function()
    local directory, names = process.directory(), {}
    process.write_file(directory .. "/users.htpasswd", -- which docs/signin.md reads
      "ada:$2y$04$abcdefghijklmnopqrstuuhiTVLHQPvYzPykOsCOnc5I00eOfh33K\n")
    for _, path in ipairs { "README.md", unpack(files_in("docs", "%.md$")) } do
      collect(path, "```lua\n(.-)```", example, directory, names)
    end
    local said, failed = checked(directory, names)
    assert.is_true(#names > 20)
    assert.same({}, failed)
    assert.equal("", said)
  end)

  it("the policies of the specs, but for what is meant to be wrong", function()
    local directory, names = process.directory(), {}
    for _, folder in ipairs { "spec", "spec/policy" } do
      for _, path in ipairs(files_in(folder, "_spec%.lua$")) do
        local is_about_mistakes = path:find "mistake" or path:find "error" or path:find "/check_"
        if not is_about_mistakes then collect(path, "%[%[\n(.-)%]%]", whole, directory, names) end
      end
    end
    local said, failed = checked(directory, names)
    assert.is_true(#names - #failed > 15)
    assert.equal("", said)
  end)
end)
