-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.time: clocks, sleeping, and what libraries ask about the worker and the program.

local core = require "perilune.core"
local date = require "perilune.date"

local floor = math.floor

-- Workers are threads and share a process, but libraries take the pid of a worker for its name: as the owner of a lock,
-- in ids of events. So each VM has a number of its own, also behind a reload.
local function own_number()
  local a, b, c, d = core.random_bytes(4):byte(1, 4)
  return ((a * 256 + b) * 256 + c) * 128 + floor(d / 2) + 1
end

local worker = {}
local number
function worker.pid()
  number = number or own_number()
  return number
end
function worker.id() return core.worker() end
function worker.count() return core.workers() end
function worker.exiting() return core.is_retired() end
function worker.pids() return { worker.pid() } end

return function(ngx)
  function ngx.now() return floor(core.time() * 1000) / 1000 end
  function ngx.time() return floor(core.time()) end
  function ngx.update_time() end
  function ngx.today() return os.date "%Y-%m-%d" end
  function ngx.localtime() return os.date "%Y-%m-%d %H:%M:%S" end
  function ngx.utctime() return os.date "!%Y-%m-%d %H:%M:%S" end
  function ngx.http_time(seconds) return date.http(seconds) end
  function ngx.cookie_time(seconds) return os.date("!%a, %d-%b-%y %H:%M:%S GMT", seconds) end
  function ngx.parse_http_time(text) return type(text) == "string" and date.parse_http(text) or nil end
  function ngx.sleep(seconds)
    seconds = tonumber(seconds)
    if not seconds or seconds < 0 then core.raise 'ngx.sleep: invalid sleep duration "expected a number, 0 or more"' end
    core.sleep(seconds)
  end
  ngx.worker = worker
  ngx.config = {
    subsystem = "http", debug = false, is_console = false, nginx_version = 1025003, ngx_lua_version = 10026,
    prefix = function() return "./" end, nginx_configure = function() return "" end,
  }
  ngx.pid = nil
end
