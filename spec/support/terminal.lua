-- SPDX-License-Identifier: Apache-2.0
-- terminal: a program in a terminal of its own (script, of util-linux), at which the spec types.
local cleanup = require "cleanup"
local process = require "process"
local scheduler = require "scheduler"

local M = {}

local Terminal = {}
Terminal.__index = Terminal

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

-- The terminal's input is a FIFO, which stays open as long as the spec has it.
local COMMAND = 'exec script -qfec "$1" /dev/null <"$2" 2>"$3"'

--- Starts it. What it writes to standard error goes to the file that log() reads, and not to the terminal.
---@param words string[] the program and its arguments
function M.start(words)
  local self = setmetatable({ directory = process.directory() }, Terminal)
  local fifo = self.directory .. "/input"
  assert(os.execute("mkfifo " .. quote(fifo)) == 0)
  self.input = assert(io.open(fifo, "r+"))
  self.input:setvbuf "no"
  self.log_file = self.directory .. "/log"
  local quoted = {}
  for i, word in ipairs(words) do quoted[i] = quote(word) end
  local line = "exec " .. table.concat(quoted, " ") .. " 2>>" .. quote(self.log_file)
  self.process = process.start { "sh", "-c", COMMAND, "sh", line, fifo, self.directory .. "/script" }
  cleanup.add(2, function() self:close() end)
  return self
end

--- What it has written, without the terminal's carriage returns.
function Terminal:text() return (self.process:stdout():gsub("\r", "")) end

function Terminal:log() return process.read_file(self.log_file) end

--- Types a line.
function Terminal:type(line) self.input:write(line .. "\n") end

--- Types a key: "\3" is Ctrl-C, "\4" Ctrl-D.
function Terminal:key(key) self.input:write(key) end

--- Waits until the pattern stands in what was written behind what was waited for before. Returns what it captures.
function Terminal:wait(pattern, timeout)
  local found
  scheduler.eventually(function()
    found = { self:text():find(pattern, self.at or 1) }
    return found[1]
  end, timeout, pattern .. " on the terminal:\n" .. self:text())
  self.at = found[2] + 1
  return unpack(found, 3)
end

--- Types a line, and waits for what comes behind it and for the prompt. Returns what stands between.
function Terminal:ask(line, prompt)
  self:type(line)
  self:wait((line:gsub("%p", "%%%0")) .. "\n")
  return (self:wait("(.-)" .. prompt))
end

--- The program has ended: its exit code.
function Terminal:ended(timeout) return self.process:wait(timeout) end

function Terminal:close()
  if self.process:exit_code() == nil then self.process:kill() end
  self.input:close()
end

return M
