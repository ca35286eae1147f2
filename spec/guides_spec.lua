-- SPDX-License-Identifier: Apache-2.0
-- docs/getting_started.md does what it says: its blocks are run in their order, in an empty folder. docs/index.md names
-- every guide.

local machine = require "spec.support.machine"
local perilune = require "spec.support.perilune"
local process = require "perilune.test.process"
local origins = require "perilune.test.origins"

describe("docs/getting_started.md", function()
  it("works by copy and paste", function()
    local text, directory = process.read_file "docs/getting_started.md", process.directory()
    local origin = origins.start "from the origin"
    local listen = origins.free_address()
    local lua, shell = {}, {}
    for language, block in text:gmatch "```(%l+)\n(.-)```" do
      block = block:gsub("127%.0%.0%.1:8000", origin.address):gsub("127%.0%.0%.1:8080", listen)
      if language == "lua" then lua[#lua + 1] = block else shell[#shell + 1] = block end
    end
    assert.equal(2, #lua)
    local binary = process.run({ "realpath", perilune.binary }).stdout:gsub("\n", "")
    -- What the reader does between two blocks: saves a file, and waits until the proxy that was started is there.
    local script = { "set -e", ("cd %q; mkdir here; cd here; ln -s %q perilune; export PATH=$PWD:$PATH")
        :format(directory, binary),
      ("ready() { for i in $(seq 300); do curl -so /dev/null http://%s/ && return; sleep 0.1; done; false; }")
        :format(listen) }
    local function add(line) script[#script + 1] = line end
    local function steps(block)
      for line in block:gmatch "[^\n]+" do
        if not line:find "^python3" then
          line = line:gsub("^(perilune st%a+)$", "%1 --pid $!")
          add(line)
          if line:find "&$" then add "ready" end
        end
      end
    end
    steps(shell[1])
    steps(shell[2])
    process.write_file(directory .. "/mine.lua", lua[1])
    process.write_file(directory .. "/policy_spec.lua", lua[2])
    add "cp ../mine.lua policy.lua; cp ../policy_spec.lua ."
    for i = 3, #shell do steps(shell[i]) end
    local result = process.run({ "bash", "-c", table.concat(script, "\n") }, { directory = directory, timeout = 240 })
    assert.equal(0, result.code, result.stdout .. result.stderr)
    for _, words in ipairs { "from the origin", "hello from the policy", "X-Proxy: perilune", "policy.lua: fine" } do
      assert.is_truthy(result.stdout:find(words, 1, true), words .. ":\n" .. result.stdout .. result.stderr)
    end
  end)
end)

-- With ports that are free, and etcd on some of them: its environment says so. All else is as it stands there.
local FLEET_PORTS = { "6379", "2379", "8000", "8001", "8002", "8081", "8082", "8083" }

local function fleet_script(text, directory)
  local free = {}
  for _, port in ipairs(FLEET_PORTS) do free[port] = origins.free_address():match "%d+$" end
  local client_url = "http://127.0.0.1:" .. free["2379"]
  local peer_url = "http://" .. origins.free_address()
  local binary = process.run({ "realpath", perilune.binary }).stdout:gsub("\n", "")
  local script = { ("cd %q; mkdir bin; ln -s %q bin/perilune; export PATH=$PWD/bin:$PATH"):format(directory, binary),
    ("export ETCD_LISTEN_CLIENT_URLS=%s ETCD_ADVERTISE_CLIENT_URLS=%s"):format(client_url, client_url),
    ("export ETCD_LISTEN_PEER_URLS=%s ETCD_INITIAL_ADVERTISE_PEER_URLS=%s"):format(peer_url, peer_url),
    ("export ETCD_INITIAL_CLUSTER=default=%s ETCD_UNSAFE_NO_FSYNC=true"):format(peer_url),
    "trap 'kill $(jobs -p)' EXIT" }
  for language, block in text:gmatch "\n```(%l+)\n(.-)```" do
    block = block:gsub("%f[%w]%d%d%d%d%f[%W]", free)
    if language == "lua" then
      process.write_file(directory .. "/policy.lua", block)
      block = "mkdir policy; cp ../policy.lua policy/"
    end
    script[#script + 1] = ("echo == block %d\n%s"):format(#script, block)
  end
  return table.concat(script, "\n"), free
end

describe("docs/fleet.md", function()
  local has_all = machine.has_program "etcd" and machine.has_program "redis-server" and machine.has_program "python3"
  local test = has_all and it or function(sentence)
    pending(sentence .. " (redis-server, etcd-server, python3: make deps)")
  end
  test("works by copy and paste: three proxies with one limit, one list of servers, and one policy", function()
    local text, directory = process.read_file "docs/fleet.md", process.directory()
    local script, free = fleet_script(text, directory)
    local result = process.run({ "timeout", "200", "bash", "-c", script }, { timeout = 240 })
    local said = result.stdout .. "\n--\n" .. result.stderr
    assert.matches("\n200 200 200 200 200 \nHTTP/1.1 429[^\n]*\n", result.stdout, nil, nil, said)
    local from_first = ("from %s\n"):format(free["8001"])
    assert.is_truthy(result.stdout:find("}\n" .. from_first:rep(6) .. "== block", 1, true), said)
    for status, seconds in result.stdout:gmatch "(%d+) after ([%d.]+) s\n" do
      assert.is_true((status == "200" or status == "429") and tonumber(seconds) < 5, said) -- by its part of the limit
    end
    assert.matches("source +http[^\n]+1 backend, as of [^\n]+\n +it fails: ", result.stdout)
    assert.matches("%d%d%d after [%d.]+ s\n%d%d%d after [%d.]+ s\n%d%d%d after", result.stdout)
    assert.matches("x%-policy: two\r?\nx%-policy: two\r?\nx%-policy: two", result.stdout:lower())
    assert.matches("version 3 is refused: [^\n]*policy.lua:%d+: [^\n]*\nx%-policy: two", result.stdout:lower())
    assert.equal("", process.run({ "ls", directory }).stdout:gsub("bin\n", ""):gsub("policy.lua\n", ""))
  end)
end)

describe("docs/index.md", function()
  it("names every guide", function()
    local index = process.read_file "docs/index.md"
    for path in process.run({ "ls", "docs" }).stdout:gmatch "%S+%.md" do
      assert.is_truthy(path == "index.md" or index:find("](" .. path .. ")", 1, true), path)
    end
  end)
end)
