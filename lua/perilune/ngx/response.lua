-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.response: ngx.header, ngx.status, say, print, exit and redirect. Before there is a response, fields are
-- promised for whichever one the client will get, and a text becomes the answer. That is sent when the hook ends, or as
-- it is written, from the first flush, eof or send_headers on. In the filters of a response they are that response's.
-- Framing is the proxy's: writing such a field does nothing.

local core = require "perilune.core"
local field_values = require "perilune.ngx.field_values"
local state = require "perilune.ngx.state"

local filters = { upstream_response_filter = true, response_filter = true, answer_filter = true }

local function name_of(name)
  if name == nil then core.raise "ngx.header: the name of a field is expected" end
  return (tostring(name):gsub("_", "-"))
end

local header = {}

function header.__index(_, name)
  local of = state.request "header"
  name = name_of(name)
  local promised = of.headers and of.headers[name:lower()]
  if promised ~= nil then return promised end
  local response = core.current_response()
  if not response then return nil end
  local values = response:get_headers(name)
  if #values > 1 then return values end
  return values[1]
end

function header.__newindex(_, name, value)
  local of = state.request "header"
  name, value = name_of(name), field_values.value_of(value)
  if field_values.is_framing(name) then return end
  local response = filters[of.hook] and core.current_response()
  if response then
    if value == nil then response:remove_header(name) else response:set_header(name, value) end
    return
  end
  if of.streams or of.session:response_status() and not core.has_answer(of.session) then
    core.log_about("error", "ngx.header",
      "ngx.header." .. name .. ": attempt to set a field after the response has begun")
    return
  end
  of.headers = of.headers or {}
  of.headers[name:lower()] = value
  of.session:set_response_header(name, value)
end

local function get_headers(most)
  local response = core.current_response()
  local fields, count = {}, 0
  for name, value in pairs(state.request("resp.get_headers").headers or {}) do fields[name] = value end
  if not response then return fields end
  for name, value in response:headers() do
    if count == (most or 100) then return fields, "truncated" end
    count, name = count + 1, name:lower()
    local old = fields[name]
    if type(old) == "table" then old[#old + 1] = value else fields[name] = old and { old, value } or value end
  end
  return fields
end

local function get_status(of)
  if not of.session then state.request "status" end
  return of.status or of.session:response_status() or 0
end

local function set_status(of, status)
  if not of.session then state.request "status" end
  local response = filters[of.hook] and core.current_response()
  if not response and of.streams then
    core.log_about("error", "ngx.status", "ngx.status: attempt to set it after the response has begun")
  elseif not response then
    of.status = status
    if core.has_answer(of.session) then core.answer_status(of.session, status) end
  elseif response:status() ~= status then
    response:set_status(status)
  end
end

local function add_words(words, value)
  if type(value) == "table" then
    for _, one in ipairs(value) do add_words(words, one) end
  else
    words[#words + 1] = value == core.json_null and "null" or type(value) == "number" and core.text(value)
      or tostring(value)
  end
end

local function put(name, ending, ...)
  local of, words = state.request(name), {}
  for i = 1, select("#", ...) do add_words(words, (select(i, ...))) end
  words[#words + 1] = ending
  if of.is_finished then return nil, "seen eof" end
  if of.streams then
    local ok, why = of.session:send(words)
    return ok and 1, why
  end
  local is_first = not core.has_answer(of.session)
  core.answer_add(of.session, table.concat(words))
  if is_first and of.status then core.answer_status(of.session, of.status) end
  return 1
end

-- From now on what is said is sent at once, where the hook may answer and somebody reads. What was said before goes
-- first.
local function begin(of)
  if of.streams then return true end
  local is_first = not core.has_answer(of.session)
  if is_first and of.status then core.answer_status(of.session, of.status) end
  local said = core.answer_begin(of.session)
  if not said then return false end
  of.streams = true
  if said ~= "" then return of.session:send(said) end
  return true
end

local function result(ok, why) return ok and 1 or nil, why end

-- wait: until the connection has taken it all.
local function flush(wait)
  local of = state.request "flush"
  if not of.streams and not core.has_answer(of.session) then return nil, "nothing to flush" end
  local ok, why = begin(of)
  if ok and wait and not of.is_finished then ok, why = of.session:flush() end
  return result(ok ~= nil, why)
end

local function send_headers() return result(begin(state.request "send_headers") ~= nil) end

local function eof()
  local of = state.request "eof"
  if not begin(of) then return 1 end
  of.is_finished = true
  return result(of.session:finish())
end

local ERROR = -1
local statuses = {
  CONTINUE = 100, SWITCHING_PROTOCOLS = 101, OK = 200, CREATED = 201, ACCEPTED = 202, NO_CONTENT = 204,
  PARTIAL_CONTENT = 206, SPECIAL_RESPONSE = 300, MOVED_PERMANENTLY = 301, MOVED_TEMPORARILY = 302, SEE_OTHER = 303,
  NOT_MODIFIED = 304, TEMPORARY_REDIRECT = 307, PERMANENT_REDIRECT = 308, BAD_REQUEST = 400, UNAUTHORIZED = 401,
  PAYMENT_REQUIRED = 402, FORBIDDEN = 403, NOT_FOUND = 404, NOT_ALLOWED = 405, NOT_ACCEPTABLE = 406,
  REQUEST_TIMEOUT = 408, CONFLICT = 409, GONE = 410, UPGRADE_REQUIRED = 426, TOO_MANY_REQUESTS = 429, CLOSE = 444,
  ILLEGAL = 451, INTERNAL_SERVER_ERROR = 500, METHOD_NOT_IMPLEMENTED = 501, BAD_GATEWAY = 502,
  SERVICE_UNAVAILABLE = 503, GATEWAY_TIMEOUT = 504, VERSION_NOT_SUPPORTED = 505, INSUFFICIENT_STORAGE = 507,
}

-- What nginx answers without a text.
local function page_of(status) return status >= 400 and ("%d\n"):format(status) or nil end

-- The request ends without a response, as nginx ends it; where a backend is looked for, by 500.
local function abort(of)
  local hook = of.session:phase()
  if hook == "logging" then return end
  if hook == "upstream_peer" then
    core.answer_status(of.session, 500)
  elseif not pcall(of.session.reset, of.session) then
    core.raise "ngx.exit: ngx.ERROR ends a response that has begun"
  end
end

local function answer_by(of, status)
  local has_said = core.has_answer(of.session)
  if of.streams or of.session:phase() == "logging" then return end
  if status == statuses.CLOSE then
    of.session:reset()
  elseif not has_said then
    core.answer_status(of.session, of.status and status == 200 and of.status or status)
    if page_of(status) then core.answer_add(of.session, page_of(status)) end
  elseif status ~= 200 then
    core.answer_status(of.session, status)
  end
end

--- Ends the handler. From 200 on it ends the request as well: by that status, or by what was said; and so does
--- ngx.ERROR, which refuses a handshake where that is under way.
local function exit(status)
  local of = state.get()
  local is_request = of.session and core.current_task()
  status = tonumber(status) or core.raise "ngx.exit: a status is expected"
  if is_request and status >= 200 then answer_by(of, status) end
  if status == ERROR then
    of.is_refused = true
    if is_request then abort(of) end
  end
  of.is_over = of.is_over or status >= 200 or status == ERROR
  core.leave()
end

local function redirect(uri, status)
  local of = state.request "redirect"
  status = status or 302
  if status ~= 301 and status ~= 302 and status ~= 303 and status ~= 307 and status ~= 308 then
    core.raise "ngx.redirect: only ngx.HTTP_MOVED_TEMPORARILY, MOVED_PERMANENTLY, 303, 307 and 308 are allowed"
  end
  if of.streams then core.raise "ngx.redirect: the response has begun" end
  of.session:set_response_header("Location", tostring(uri))
  core.answer_status(of.session, status)
  of.is_over = true
  core.leave()
end

return function(ngx, fields)
  for name, status in pairs(statuses) do ngx["HTTP_" .. name] = status end
  ngx.OK, ngx.ERROR, ngx.AGAIN, ngx.DONE, ngx.DECLINED = 0, ERROR, -2, -4, -5
  ngx.header, ngx.resp = setmetatable({}, header), { get_headers = get_headers }
  function ngx.print(...) return put("print", "", ...) end
  function ngx.say(...) return put("say", "\n", ...) end
  ngx.flush, ngx.eof, ngx.send_headers = flush, eof, send_headers
  ngx.exit, ngx.redirect = exit, redirect
  fields.status = { get_status, set_status }
  fields.headers_sent = { function(of)
    return of.session ~= nil and (core.has_answer(of.session) or of.session:response_status() ~= nil)
  end }
  fields.ctx = { function(of)
    of.ctx = of.ctx or {}
    return of.ctx
  end, function(of, value) of.ctx = value end }
  fields.arg = { function(of) return of.arg end, function(of, value) of.arg = value end }
  fields.is_subrequest = { function() return false end }
end
