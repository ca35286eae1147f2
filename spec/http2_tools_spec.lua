-- SPDX-License-Identifier: Apache-2.0
-- HTTP/2 with the programs that people use: curl, nghttp, h2load and Chromium. Those that are not here are pending.
local browser = require "browser"
local process = require "process"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"
local sockets = require "sockets"
local tls = require "tls"

after_each(require("cleanup").run)

local function program(name, package, body)
  if os.execute("command -v " .. name .. " >/dev/null 2>&1") == 0 then return body end
  return function() pending(("%s is not installed here: apt-get install %s"):format(name, package)) end
end

-- Answers each request with what was sent, in pieces of any kind.
local function echo(at)
  while true do
    local request = at:read_request()
    if not request then return end
    at:respond { body = request.body ~= "" and request.body or request.target, chunked = request.method == "PUT",
      headers = { ["Content-Type"] = "text/plain" } }
  end
end

local function start(handler)
  local files = tls.certificate "localhost"
  local proxy = scene.proxied(handler or echo, { hooks = ([[
    perilune.listen("127.0.0.1:0", policy, { certificate = %q, key = %q })]]):format(files.certificate, files.key),
    listen = "h2c = true" })
  return { secure = "https://localhost:" .. proxy.ports[1], plain = "http://127.0.0.1:" .. proxy.ports[2],
    ca = files.ca, proxy = proxy }
end

local function run(...)
  local result = process.run({ ... }, { timeout = 120 })
  assert.equal(0, result.code, result.stdout .. result.stderr)
  return result.stdout
end

describe("curl", function()
  it("asks, uploads and downloads over HTTP/2, plain and with TLS", function()
    local h = start()
    local path = process.directory() .. "/upload"
    local body = ("0123456789abcdef"):rep(65536)
    process.write_file(path, body)
    local told = "\n%{http_version} %{http_code}"
    for _, words in ipairs { { "--http2-prior-knowledge", h.plain }, { "--http2", "--cacert", h.ca, h.secure } } do
      local function curl(...)
        local all = { "curl", "-s", "-w", told, unpack(words) }
        for _, word in ipairs { ... } do all[#all + 1] = word end
        return run(unpack(all))
      end
      assert.equal("/\n2 200", curl())
      assert.is_true(curl("--data-binary", "@" .. path) == body .. "\n2 200")
      assert.is_true(curl("-T", path) == body .. "\n2 200")
      assert.matches("^HTTP/2 200", curl "-I")
    end
  end)

  it("has many transfers side by side on one connection", function()
    local h = start()
    local all = { "curl", "-s", "-Z", "--http2", "--cacert", h.ca, "-w", "%{num_connects}\n" }
    for i = 1, 20 do
      all[#all + 1] = ("%s/%d"):format(h.secure, i)
      all[#all + 1] = "-o"
      all[#all + 1] = "/dev/null"
    end
    local connections = 0
    for count in run(unpack(all)):gmatch "%d+" do connections = connections + tonumber(count) end
    assert.is_true(connections < 20, connections .. " connections")
  end)
end)

describe("nghttp", function()
  it("asks with many streams, a body and trailers, and finds no fault", program("nghttp", "nghttp2-client", function()
    local h = start()
    local path = process.write_file(process.directory() .. "/body", ("x"):rep(100000))
    local told = run("nghttp", "-v", "-m", "10", "-d", path, "--trailer", "x-sum: 9", h.plain .. "/a")
    local _, answers = told:gsub(":status: 200", "")
    assert.equal(10, answers)
    assert.is_nil(told:find "RST_STREAM")
    assert.is_nil(told:find "error_code=[^N]")
  end))
end)

describe("h2load", function()
  it("loses no request of many streams of many connections", program("h2load", "nghttp2-client", function()
    local h = start()
    for _, url in ipairs { h.plain, h.secure } do
      local told = run("h2load", "-n", "600", "-c", "6", "-m", "20", url)
      assert.matches("600 succeeded, 0 failed, 0 errored, 0 timeout", told)
      assert.matches("600 2xx", told)
    end
  end))
end)

local PAGE = [[
<!doctype html><title>spec</title><pre id=result></pre>
<script>
async function ask(i) {
  const response = await fetch("/part" + i, i % 2 ? {} : { method: "POST", body: "part" + i });
  return (await response.text()).replace("/", "") === "part" + i;
}
Promise.all([...Array(30).keys()].map(ask)).then((right) => {
  const entries = performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource"));
  const protocols = [...new Set(entries.map((entry) => entry.nextHopProtocol))];
  document.getElementById("result").textContent = right.filter(Boolean).length + " right by " + protocols.join();
});
</script>]]

describe("Chromium", function()
  it("loads a page and its parts over HTTP/2", function()
    if not browser.find() then return pending "no Chromium here: apt-get install chromium" end
    local at_once, most = 0, 0
    local h = start(function(at)
      while true do
        local request = at:read_request()
        if not request then return end
        at_once = at_once + 1
        most = math.max(most, at_once)
        scheduler.sleep(0.01)
        at_once = at_once - 1
        if request.target == "/" then
          at:respond { body = PAGE, headers = { ["Content-Type"] = "text/html" } }
        else
          at:respond(request.body ~= "" and { body = request.body } or request.target)
        end
      end
    end)
    local text = browser.render(h.secure .. "/", { "--ignore-certificate-errors" })
    assert.matches("30 right by h2<", text)
    assert.is_true(most > 6, "only " .. most .. " at once") -- as many as over HTTP/1.1
  end)
end)

describe("nghttpx", function()
  it("is a peer of HTTP/2 that carries WebSockets of both versions (RFC 8441)", program("nghttpx", "nghttp2-proxy",
    function()
      local origin = origins.start(sockets.accepting(sockets.echo))
      local directory = process.directory()
      local path = directory .. "/front"
      process.write_file(directory .. "/conf", "")
      local server = process.start({ "nghttpx", "--conf=" .. directory .. "/conf", "--workers=1", "--frontend=unix:" ..
        path .. ";no-tls", "--backend=" .. origin.address:gsub(":", ",") }, {})
      require("cleanup").add(3, function() server:kill() end)
      scheduler.eventually(function() return os.execute("test -S " .. path) == 0 end, 20, "start of nghttpx")
      local proxy = scene.start({ address = "unix:" .. path }, { listen = "h2c = true", peer = ", http2 = true" })
      for _, version in ipairs { "1.1", "2" } do
        local socket, response = sockets.open(version, proxy)
        assert.equal(version == "2" and 200 or 101, response.status)
        local text = ("\0abc"):rep(20000)
        local sender = scheduler.spawn(function() socket:send(text) end)
        assert.is_true(socket:read(#text) == text)
        scheduler.wait_until(function() return sender.is_done end)
        socket:cut() -- half an end is none to nghttpx
      end
      assert.equal("websocket", origin.requests[1].headers.upgrade)
      scheduler.eventually(function() return origin:open_count() == 0 end)
    end))
end)
