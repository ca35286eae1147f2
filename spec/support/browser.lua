-- SPDX-License-Identifier: Apache-2.0
-- browser: the status page of a proxy as Chromium draws it. An origin of the spec shows the page in a frame of any
-- width, so that a script beside it can read what a person would see.
local client = require "client"
local origins = require "origins"
local process = require "process"

local M = {}

--- Its program; nil where there is none.
function M.find()
  for _, name in ipairs { "chromium", "chromium-browser", "google-chrome" } do
    local pipe = io.popen("command -v " .. name .. " 2>/dev/null")
    local path = pipe:read "*l"
    pipe:close()
    if path then return path end
  end
end

--- The document of that address as it is after two seconds of the page's own time. `words`: more for its command line.
function M.render(url, words)
  local directory = process.directory()
  local command = {
    M.find(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-dev-shm-usage", "--user-data-dir=" .. directory .. "/profile", "--virtual-time-budget=2000",
    "--enable-logging=stderr", "--dump-dom",
  }
  for _, word in ipairs(words or {}) do command[#command + 1] = word end
  command[#command + 1] = url
  local result = process.run(command, { directory = directory, timeout = 180 })
  assert(result.code == 0, result.stderr)
  for line in result.stderr:gmatch "[^\n]*CONSOLE[^\n]*" do -- Chromium's own pages may complain
    assert(line:find("source: chrome://", 1, true), line)
  end
  return result.stdout
end

-- Around the page. What goes wrong in it is told before its own script runs; what it shows, once it has been drawn.
local OUTER = [[
<!doctype html><title>spec</title>%s
<script>
const told = [];
function look(frame) {
  const root = frame.contentDocument.documentElement;
  const seen = root.cloneNode(true);
  for (const node of seen.querySelectorAll("script, style")) node.remove();
  return { width: frame.clientWidth, needs: root.scrollWidth, text: frame.contentDocument.body.innerText,
    html: seen.outerHTML, overlapping: frame.contentWindow.overlapping() };
}
/* The figures come with the first status.json. */
function drawn(frame) {
  const figures = frame.contentDocument && frame.contentDocument.getElementById("figures");
  return figures && figures.children.length > 0;
}
let waited = 0;
const timer = setInterval(() => {
  const frames = [...document.querySelectorAll("iframe")];
  if (++waited < 15 || (waited < 70 && !frames.every(drawn))) return;
  clearInterval(timer);
  const result = { told, looks: frames.map(look) };
  const out = document.createElement("pre");
  out.id = "result";
  out.textContent = encodeURIComponent(JSON.stringify(result));
  document.body.append(out);
}, 100);
</script>]]
local INNER = [[<script>
window.onerror = message => { parent.told.push("error: " + message); };
window.onunhandledrejection = event => { parent.told.push("rejected: " + event.reason); };
for (const name of ["error", "warn"])
  console[name] = (...words) => { parent.told.push(name + ": " + words.join(" ")); };
/* Labels of a plot that lie on one another. */
function overlapping() {
  const pairs = [], meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const frame = node => node.getBoundingClientRect();
  for (const plot of document.querySelectorAll(".plot")) {
    const labels = [...plot.querySelectorAll("span")];
    labels.forEach((a, i) => labels.slice(i + 1).forEach(b => {
      if (meet(frame(a), frame(b))) pairs.push(a.textContent + " on " + b.textContent);
    }));
  }
  return pairs;
}
</script>]]

local function serve(proxy, widths, meanwhile)
  local frames = {}
  for i, width in ipairs(widths) do
    frames[i] = ('<iframe src="/page" style="width:%dpx;height:3000px;border:0"></iframe>'):format(width)
  end
  return function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      local path = request.target
      if path == "/" then
        if meanwhile then meanwhile() end
        connection:respond { headers = { ["Content-Type"] = "text/html; charset=utf-8" },
          body = OUTER:format(table.concat(frames)) }
      else
        local answer = client.request { port = proxy.admin_port, host = "127.0.0.1",
          path = path == "/page" and "/" or path }
        local body = answer.body
        if path == "/page" then body = body:gsub("<script>", function() return INNER .. "<script>" end, 1) end
        connection:respond { status = answer.status, headers = { ["Content-Type"] = answer.headers["content-type"] },
          body = body }
      end
    end
  end
end

local function decode(text)
  return require "cjson".decode((text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)))
end

--- Looks at a proxy's page at some widths: { told = { what went wrong in it }, looks = { { width, needs (that wide it
--- is), text (as a person sees it), html, overlapping = { labels that lie on one another } } } }.
--- `meanwhile()` runs when the browser has started, before it sees the page: what that shows has just happened then.
function M.look(proxy, widths, meanwhile)
  local origin = origins.start(serve(proxy, widths, meanwhile))
  local page = M.render("http://" .. origin.address .. "/", { "--virtual-time-budget=8000" })
  local found = page:match '<pre id="result">(.-)</pre>'
  assert(found, "the page was not drawn in time: " .. page)
  return decode(found)
end

return M
