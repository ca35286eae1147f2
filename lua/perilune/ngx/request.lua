-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.request: ngx.req over the session. What changes the request works until a peer is asked.

local core = require "perilune.core"
local field_values = require "perilune.ngx.field_values"
local request_socket = require "perilune.ngx.request_socket"
local state = require "perilune.ngx.state"

local BODY_MOST = 8 * 1024 * 1024 -- there are no files for larger ones

local function session_of(name) return state.request("req." .. name).session end

-- "user_agent" is User-Agent, in any spelling.
local insensitive = {
  __index = function(fields, name)
    return type(name) == "string" and rawget(fields, (name:lower():gsub("_", "-"))) or nil
  end,
}

local function fields_of(message, most, is_raw)
  local fields, count, is_cut = {}, 0, nil
  most = most or 100
  for name, value in message:headers() do
    if count == most and most > 0 then
      is_cut = "truncated"
      break
    end
    count = count + 1
    if not is_raw then name = name:lower() end
    local old = fields[name]
    if type(old) == "table" then
      old[#old + 1] = value
    else
      fields[name] = old and { old, value } or value
    end
  end
  return is_raw and fields or setmetatable(fields, insensitive), is_cut
end

local methods = { "GET", "HEAD", "POST", "PUT", "DELETE", "MKCOL", "COPY", "MOVE", "OPTIONS", "PROPFIND", "PROPPATCH",
  "LOCK", "UNLOCK", "PATCH", "TRACE" }
local method_of = {} -- by nginx's numbers
for i, name in ipairs(methods) do method_of[2 ^ i] = name end

local function target_with(session, args)
  local text = session:path()
  return args ~= "" and text .. "?" .. args or text
end

local function install_fields(ngx, req)
  function req.get_headers(most, is_raw) return fields_of(session_of "get_headers", most, is_raw) end
  function req.set_header(name, value)
    local request = session_of("set_header"):request()
    name, value = tostring(name), field_values.value_of(value)
    if field_values.is_framing(name) then return end
    if value == nil then
      request:remove_header(name)
    else
      request:set_header(name, value)
    end
  end
  function req.clear_header(name) req.set_header(name, nil) end
  function req.get_uri_args(most) return ngx.decode_args(session_of("get_uri_args"):query() or "", most) end
  function req.set_uri_args(args)
    local session = session_of "set_uri_args"
    local text = type(args) == "table" and ngx.encode_args(args) or tostring(args)
    session:request():set_target(target_with(session, text))
  end
end

local function install_line(req)
  function req.get_method() return session_of("get_method"):method() end
  function req.set_method(number)
    local name = method_of[number] or core.raise "ngx.req.set_method: a constant such as ngx.HTTP_POST is expected"
    session_of("set_method"):set_method(name)
  end
  function req.http_version() return session_of("http_version"):version() end
  function req.start_time() return core.time() - session_of("start_time"):duration() end
  function req.is_internal() return false end
  function req.set_uri(uri, jumps)
    if jumps then core.raise "ngx.req.set_uri: there are no locations to jump to" end
    local session = session_of "set_uri"
    local query = session:query()
    session:request():set_target(query and uri .. "?" .. query or uri)
  end
  function req.raw_header()
    local session, lines = session_of "raw_header", {}
    lines[1] = ("%s %s HTTP/%.1f"):format(session:method(), session:target(), session:version())
    for name, value in session:headers() do lines[#lines + 1] = name .. ": " .. value end
    return table.concat(lines, "\r\n") .. "\r\n\r\n"
  end
end

local function install_body(ngx, req)
  function req.read_body()
    local of = state.request "req.read_body"
    of.session:read_body(BODY_MOST)
    of.body_was_read = true
  end
  function req.discard_body() state.request "req.discard_body" end
  function req.get_body_data(most)
    local of = state.request "req.get_body_data"
    local text = of.body_was_read and of.session:read_body(BODY_MOST) or ""
    if text == "" then return nil end
    return most and most > 0 and text:sub(1, most) or text
  end
  function req.get_body_file() return nil end
  function req.socket(is_raw) return request_socket(state.request "req.socket", is_raw, BODY_MOST) end
  function req.get_post_args(most)
    local text = req.get_body_data()
    if not text then return {} end
    return ngx.decode_args(text, most)
  end
  function req.set_body_data(text)
    local session = session_of "set_body_data"
    session:read_body(BODY_MOST)
    session:set_body(text)
  end
  -- A body in pieces: init_body, append_body, finish_body.
  function req.init_body() state.request("req.init_body").body_parts = {} end
  function req.append_body(text)
    local parts = state.request("req.append_body").body_parts
    if not parts then core.raise "ngx.req.append_body: init_body comes first" end
    parts[#parts + 1] = text
  end
  function req.finish_body()
    local of = state.request "req.finish_body"
    req.set_body_data(table.concat(of.body_parts or {}))
    of.body_parts = nil
  end
end

return function(ngx)
  local req = {}
  ngx.req = req
  install_fields(ngx, req)
  install_line(req)
  install_body(ngx, req)
  for number, name in pairs(method_of) do ngx["HTTP_" .. name] = number end
end
