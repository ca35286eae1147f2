-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.var: nginx variables that libraries read, from the session. A name that says nothing here is nil. Those
-- that perilune.ngx { vars = {...} } has named can be written, for one request.

local core = require "perilune.core"
local settings = require "perilune.ngx.settings"
local state = require "perilune.ngx.state"

local function split(address)
  local host, port = address:match "^%[?(.-)%]?:(%d+)$"
  return host or address, port
end

local readers = {}
function readers.scheme(s) return s:scheme() end
function readers.https(s) return s:scheme() == "https" and "on" or "" end
function readers.host(s) return s:host() or "" end
readers.server_name = readers.host
function readers.http_host(s) return s:get_header "host" end
function readers.uri(s)
  local text = s:path()
  return text:find("%", 1, true) and core.decode_url(text:gsub("%+", "%%2B"), true) or text
end
readers.document_uri = readers.uri
function readers.request_uri(s) return s:target() end
function readers.args(s) return s:query() end
readers.query_string = readers.args
function readers.is_args(s) return (s:query() or "") ~= "" and "?" or "" end
function readers.request_method(s) return s:method() end
function readers.request(s)
  return ("%s %s %s"):format(s:method(), s:target(), readers.server_protocol(s))
end
function readers.server_protocol(s) return ("HTTP/%.1f"):format(s:version()) end
function readers.remote_addr(s) return s:client_ip() or "unix:" end
readers.realip_remote_addr = readers.remote_addr
function readers.binary_remote_addr(s) return s:client_ip() or "unix:" end
function readers.remote_port(s) return (select(2, split(s:client_address()))) or "" end
function readers.server_addr(s) return (split(s:server_address() or "")) end
function readers.server_port(s) return (select(2, split(s:server_address() or ""))) or "" end
function readers.status(s) return s:response_status() and tostring(s:response_status()) or "000" end
function readers.bytes_sent(s) return tostring(s:body_bytes()) end
readers.body_bytes_sent = readers.bytes_sent
function readers.request_length(s) return tostring(s:request_bytes()) end
function readers.request_time(s) return ("%.3f"):format(s:duration()) end
function readers.upstream_addr(s) return s:peer_address() end
function readers.upstream_status(s) return s:response_status() and tostring(s:response_status()) end
function readers.content_length(s) return s:get_header "content-length" end
function readers.content_type(s) return s:get_header "content-type" end
function readers.connection_requests(s) return tostring(s:connection_requests()) end
function readers.time_local() return os.date "%d/%b/%Y:%H:%M:%S %z" end
function readers.time_iso8601() return os.date "!%Y-%m-%dT%H:%M:%S+00:00" end
function readers.msec() return ("%.3f"):format(core.time()) end
function readers.pid() return "1" end
function readers.hostname() return os.getenv "HOSTNAME" or "" end
function readers.nginx_version() return "1.25.3" end
function readers.ssl_protocol(s) return (s:tls() or {}).version end
function readers.ssl_cipher(s) return (s:tls() or {}).cipher end
function readers.ssl_server_name(s) return (s:tls() or {}).server_name end
function readers.request_id(_, of)
  of.request_id = of.request_id or core.encode_hex(core.random_bytes(16))
  return of.request_id
end
function readers.request_body(s, of) return of.body_was_read and s:read_body() or nil end

-- By the beginning of a name: what is behind it is asked for.
local families = {
  http = function(s, name) return s:get_header((name:gsub("_", "-"))) end,
  cookie = function(s, name) return s:cookie(name) end,
  arg = function(s, name) return s:query_arg(name) end,
}

local function sent_header(name)
  local response = core.current_response()
  return response and response:get_header((name:gsub("_", "-"))) or nil
end

local var = {}

function var.__index(_, name)
  if type(name) == "number" then return nil end -- a group of a location's pattern: there are no locations
  if type(name) ~= "string" then core.raise "ngx.var: the name of a variable is expected" end
  local of = state.get()
  if of.vars and of.vars[name] ~= nil then return of.vars[name] end
  if settings.vars[name] ~= nil then return settings.vars[name] end
  if not of.session then state.request "var" end
  local read = readers[name]
  if read then return read(of.session, of) end
  local family, rest = name:match "^(%l+)_(.+)$"
  if family == "sent" or family == "upstream" then
    rest = rest:match "^http_(.+)$"
    return rest and sent_header(rest)
  end
  return families[family] and families[family](of.session, rest) or nil
end

function var.__newindex(_, name, value)
  local of = state.get()
  if settings.vars[name] == nil then
    core.raise(('ngx.var.%s: variable "%s" not found for writing; maybe it is a built-in variable: name it in '
      .. 'perilune.ngx { vars = { %s = "" } }'):format(tostring(name), tostring(name), tostring(name)))
  end
  of.vars = of.vars or {}
  of.vars[name] = value ~= nil and tostring(value) or nil
end

return setmetatable({}, var)
