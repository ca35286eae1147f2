-- SPDX-License-Identifier: Apache-2.0
-- debugged: what specs of `perilune run --break` begin with: a policy, a proxy at a terminal that stops at its lines,
-- and requests that are under way.
local cleanup = require "cleanup"
local client = require "client"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local terminal = require "terminal"

local M = {}

M.PROMPT = "debug[ (+%d)]*> " -- of one that is stopped, or of more

M.POLICY = [[
local perilune = require "perilune"
local policy = {}
local count = 0

perilune.every(0.02, function() perilune.log.info "tick" end)

local function double(number)
  local twice = number * 2
  return twice
end

local function in_c(text)
  return (text:gsub(".", function(letter)
    local upper = letter:upper()
    return upper
  end))
end

local function in_coroutine(first)
  local step = coroutine.wrap(function(number)
    local more = number + 1
    coroutine.yield(more)
    local last = more + 1
    return last
  end)
  return step(first) + step()
end

function policy.request_filter(session, ctx)
  local path = session:path()
  if path == "/other" then
    perilune.sleep(0.01)
    return session:respond { status = 200, body = "other" }
  end
  local fine, sum = pcall(function()
    local first = double(#path)
    return first + double(1)
  end)
  count = count + 1
  ctx.sum = sum
  if path == "/c" then ctx.sum = in_c(path) end
  if path == "/cw" then ctx.sum = coroutine.wrap(in_c)(path) end
  if path == "/co" then ctx.sum = in_coroutine(1) end
  return session:respond { status = 200, body = path .. " " .. tostring(fine) .. " " .. tostring(ctx.sum) }
end

function policy.logging(session, failure, ctx)
  local ended = ctx.sum
  return ended
end

perilune.listen("127.0.0.1:0", policy)
]]

--- The number of the line of POLICY that has this text.
function M.line_of(text)
  local number = 0
  for line in M.POLICY:gmatch "([^\n]*)\n" do
    number = number + 1
    if line:find(text, 1, true) then return number end
  end
  error("no line has " .. text)
end

--- A proxy at a terminal, with a breakpoint at that line of POLICY, or of options.policy.
function M.start(line, options)
  options = options or {}
  local directory = process.directory()
  local path = process.write_file(directory .. "/policy.lua", options.policy or M.POLICY)
  local pid_file = directory .. "/pid"
  local words = { perilune.binary, "run", "--workers", "1", "--pid-file", pid_file, "--access-log", "stderr",
    "--break", "policy.lua:" .. line }
  for _, word in ipairs(options.words or {}) do words[#words + 1] = word end
  words[#words + 1] = path
  local t = terminal.start(words)
  t.pid_file, t.path = pid_file, path
  cleanup.add(1, function()
    if io.open(pid_file) then running.command(pid_file, "stop", "--now") end
  end)
  scheduler.eventually(function() return t:log():find " ready: " end, nil, "it is ready")
  t.port = tonumber(t:log():match "listening on 127.0.0.1:(%d+)")
  return t
end

--- A request that is under way; wait() gives its response.
function M.request(t, path)
  local result = {}
  scheduler.spawn(function()
    local fine, response = pcall(client.request, { port = t.port, target = path, timeout = 60 })
    result.response = fine and response or nil
    result.is_over = true
  end)
  function result.wait()
    scheduler.eventually(function() return result.is_over end, 60, "the response to " .. path)
    return result.response
  end
  return result
end

--- A request that is stopped at the line of t. The prompt alone would not show it: the terminal may write one again.
function M.stop(t, path)
  local stopped = M.request(t, path)
  t:wait "stopped in worker"
  t:wait(M.PROMPT)
  return stopped
end

--- What start gives, and a request that is stopped at that line.
function M.stop_at(line, path, options)
  local t = M.start(line, options)
  return t, M.stop(t, path)
end

--- What is said of a line that is typed.
function M.ask(t, line) return t:ask(line, M.PROMPT) end

--- The log says it once more than now.
function M.wait_log(t, text)
  local from = #t:log() + 1
  scheduler.eventually(function() return t:log():find(text, from, true) end, nil, text)
end

return M
