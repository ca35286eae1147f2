-- SPDX-License-Identifier: Apache-2.0
-- The policies of docs/cookbook.md do what their texts say, as they are written there.

local client = require "perilune.test.client"
local process = require "perilune.test.process"
local scheduler = require "perilune.test.scheduler"
local scripted = require "perilune.test.origins"
local test = require "perilune.test"

local text = process.read_file "docs/cookbook.md"

-- The blocks of a recipe by their language: the last of Lua is the policy.
local function recipe(number)
  local part = assert((text .. "\n## "):match("\n## " .. number .. "%. (.-)\n## "))
  local blocks = {}
  for language, block in part:gmatch "```(%l+)\n(.-)```" do
    blocks[#blocks + 1] = block
    blocks[language] = block
  end
  return blocks
end

-- Starts it with origins in the places of the addresses that it names; `files` are beside it.
local function start(number, origins, files)
  local directory, policy = process.directory(), recipe(number).lua
  policy = policy:gsub("127%.0%.0%.1:808%d", "127.0.0.1:0")
  for port, origin in pairs(origins) do policy = policy:gsub("127%.0%.0%.1:" .. port, origin.address) end
  for name, content in pairs(files or {}) do
    for port, origin in pairs(origins) do content = content:gsub("127%.0%.0%.1:" .. port, origin.address) end
    process.write_file(directory .. "/" .. name, content)
  end
  return test.harness { policy = process.write_file(directory .. "/policy.lua", policy) }, directory
end

describe("the cookbook's policy", function()
  it("1 sends each path to its service, without the prefix", function()
    local users, others = scripted.start "users", scripted.start "others"
    local h = start(1, { ["8001"] = users, ["8000"] = others })
    local response = h:request { path = "/api/users/7?a=b" }
    assert.body("users", response)
    assert.matches("^%x+$", response.headers.x_request_id)
    assert.equal("/7?a=b", users.requests[1].target)
    assert.body("others", h:request { path = "/x" })
    local connection = client.connect(h.proxy.port)
    connection:send "rubbish\r\n\r\n"
    local broken = connection:read_response()
    assert.equal(400, broken.status)
    assert.matches("^%x+$", broken.headers:all("x-request-id")[1])
  end)

  it("2 switches between two versions", function()
    local h = start(2, { ["8001"] = scripted.start "blue", ["8002"] = scripted.start "green" })
    assert.body("blue", h:request {})
    h:request { listener = 2, method = "POST", path = "/green" }
    local response = h:request {}
    assert.body("green", response)
    assert.field("X-Version", "green", response)
  end)

  it("3 writes another text into bodies", function()
    local h = start(3, { ["8000"] = scripted.start(function(connection)
      while connection:read_request() do
        connection:respond { body = "see http://inside.example/x", headers = { ["Content-Type"] = "text/html" } }
      end
    end) })
    assert.body("see https://www.example/x", h:request {})
  end)

  it("4 is closed while the file is there", function()
    local h, directory = start(4, { ["8000"] = scripted.start "open" })
    assert.body("open", h:request {})
    process.write_file(directory .. "/closed", "")
    scheduler.eventually(function() return h:request({}).status == 503 end)
    os.remove(directory .. "/closed")
    scheduler.eventually(function() return h:request({}).status == 200 end)
  end)

  it("5 tells the peer where the client is", function()
    local origin = scripted.start "x"
    assert.status(200, start(5, { ["8000"] = origin }):request {})
    assert.equal("this machine", origin.requests[1].headers.x_site)
  end)

  it("6 asks another service, once for each token", function()
    local asked = 0
    local judge = scripted.start(function(connection)
      while true do
        local request = connection:read_request()
        if not request then return end
        asked = asked + 1
        connection:respond { status = request.headers.authorization == "good" and 200 or 403 }
      end
    end)
    local h = start(6, { ["8001"] = judge, ["8000"] = scripted.start "in" })
    assert.status(401, h:request {})
    for _ = 1, 3 do assert.body("in", h:request { headers = { Authorization = "good" } }) end
    assert.status(403, h:request { headers = { Authorization = "bad" } })
    assert.equal(2, asked)
  end)

  it("7 lets in tunnels of its own pages alone", function()
    local h = start(7, { ["8000"] = scripted.start "x" })
    assert.status(200, h:request { headers = { Origin = "https://www.example" } })
    assert.status(403, h:request { headers = { Origin = "https://evil.example" } })
  end)

  it("8 redirects, serves files, and leaves the rest to the application", function()
    local h = start(8, { ["8000"] = scripted.start "app" }, { ["a.txt"] = "file" })
    assert.field("Location", "/new", h:request { path = "/old" })
    assert.body("file", h:request { path = "/a.txt" })
    assert.body("app", h:request { path = "/b" })
  end)

  it("9 uses the other data centre when this one does not serve", function()
    local near, far = scripted.start "near", scripted.start "far"
    local h = start(9, { ["8001"] = near, ["8000"] = far })
    assert.body("near", h:request {})
    near:stop()
    scheduler.eventually(function() return h:request({}).body == "far" end)
  end)

  it("10 writes lines of JSON without queries and names", function()
    local h = start(10, { ["8000"] = scripted.start "x" })
    h:request { path = "/a?token=secret", headers = { ["X-User"] = "ada", Referer = "http://a/?token=secret" } }
    scheduler.eventually(function() return h.proxy:stdout():find "\n" end)
    local line = h.proxy:stdout()
    assert.is_truthy(line:find('"target":"/a"', 1, true), line)
    assert.matches('"user":"%x+"', line)
    assert.is_nil(line:find "secret")
    assert.is_nil(line:find "ada")
  end)

  it("11 loads, and serves the old version's answer", function()
    assert.body("old", start(11, { ["8000"] = scripted.start "old", ["8001"] = scripted.start "new" }):request {})
  end)

  it("12 has its modules and its settings beside it", function()
    local blocks = recipe(12)
    local h = start(12, { ["8000"] = scripted.start "x" }, { ["settings.yaml"] = blocks.yaml:gsub("100", "1"),
      ["limits.lua"] = blocks[2] })
    assert.body("x", h:request {})
    assert.status(429, h:request {})
  end)

  it("13 tells an open page, again and again, until it is closed", function()
    local h = start(13, { ["8000"] = scripted.start "page" })
    assert.body("page", h:request {})
    local connection = client.connect(h.proxy.port)
    connection:send "GET /events HTTP/1.1\r\nHost: a\r\n\r\n"
    assert.matches("text/event%-stream", connection:read_until "\r\n\r\n")
    for _ = 1, 2 do assert.matches("data: %d+%.%d", connection:read_until "\n\n") end
  end)

  it("14 lets in by passwords, and makes who has tried ten wait", function()
    local origin = scripted.start(function(connection)
      for request in function() return connection:read_request() end do
        connection:respond { body = "user " .. request.headers.x_user }
      end
    end)
    local h = start(14, { ["8000"] = origin }, { ["users.htpasswd"] = "ada:plain:secret\n" })
    local function ask(password)
      local code = require("perilune.base64").encode("ada:" .. password)
      return h:request { headers = { Authorization = "Basic " .. code, ["X-User"] = "root" } }
    end
    assert.status(401, h:request {})
    for _ = 1, 9 do assert.status(401, ask "guess") end
    assert.body("user ada", ask "secret")
    assert.status(401, ask "guess")
    assert.status(429, ask "guess")
    assert.status(429, ask "secret")
  end)

  it("15 keeps a client at its version, and a response of each version in the cache", function()
    local function origin(name)
      return scripted.start(function(connection)
        while connection:read_request() do
          connection:respond { body = name, headers = { ["Cache-Control"] = "max-age=60" } }
        end
      end)
    end
    local old, new = origin "old", origin "new"
    local h = start(15, { ["8000"] = old, ["8001"] = new })
    local function ask(version) return h:request { path = "/page", headers = { Cookie = "canary=" .. version } } end
    for _ = 1, 2 do
      assert.body("new", ask "1")
      assert.body("old", ask "0")
    end
    assert.same({ 1, 1 }, { #old.requests, #new.requests })
    local first = h:request { path = "/page" }
    assert.body(first.headers.set_cookie:match "^canary=1" and "new" or "old", first)
    assert.body(first.body, h:request { path = "/page" })
    assert.same({ 1, 1 }, { #old.requests, #new.requests })
  end)

  it("16 asks another backend for a GET, and for nothing else", function()
    local function origin(name, status)
      return scripted.start(function(connection)
        while connection:read_request() do connection:respond { status = status, body = name } end
      end)
    end
    local bad, good = origin("bad", 503), origin("good", 200)
    local h = start(16, { ["8000"] = bad, ["8001"] = good })
    local bodies = {}
    for _ = 1, 2 do bodies[#bodies + 1] = h:request({ method = "DELETE" }).body end
    table.sort(bodies)
    assert.same({ "bad", "good" }, bodies)
    for _ = 1, 2 do assert.body("good", h:request {}) end
    assert.is_true(#bad.requests >= 2)
  end)
end)
