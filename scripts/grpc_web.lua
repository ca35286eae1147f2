-- SPDX-License-Identifier: Apache-2.0
-- grpc_web: lets pages of browsers ask gRPC servers (grpc/doc/PROTOCOL-WEB.md). Requests of gRPC-Web, binary or text
-- (base64), become gRPC; trailers, which no script of a page can read, become the last frame of the body. Other
-- requests pass as they are. The peers must be reached over HTTP/2.
--
--   require("perilune.grpc_web").new().install(policy)
--
-- Hooks that the policy has already are called first (lua/perilune/hook_chain.lua): they see requests of gRPC-Web, and
-- answers of gRPC. Installing twice does nothing more: what is gRPC already must not be translated again.
--
-- A message is passed on as soon as it comes: each piece of a text is base64 with padding of its own, which the
-- protocol allows at any place of both directions.

local base64 = require "perilune.base64"
local check = require "perilune.check"
local grpc_frame = require "perilune.grpc_frame"
local hook_chain = require "perilune.hook_chain"
local options = require "perilune.options"

---@type perilune.grpc_web
local grpc_web = {}

local TRAILERS = "\128" -- the flags of their frame

local installed = setmetatable({}, { __mode = "k" }) -- policies

-- "+proto" or "" of a media type of gRPC-Web, and whether it is the kind of text; nil: it is none.
local function kind_of(content_type)
  local text, suffix = (content_type or ""):lower():match "^application/grpc%-web(%-?%a*)(%+?[%w.+-]*)%s*;?"
  if text == "" then return suffix, false end
  if text == "-text" then return suffix, true end
end

-- The bytes of base64 that comes in pieces, and what is kept for the next one: less than four characters.
local function decode(text)
  local whole, parts = #text - #text % 4, {}
  for run in text:sub(1, whole):gmatch "[^=]+=*" do
    local bytes = base64.decode(run)
    if not bytes then error { status = 400 } end
    parts[#parts + 1] = bytes
  end
  return table.concat(parts), text:sub(whole + 1)
end

local function frame_of(trailers)
  local lines = {}
  for name, value in trailers:headers() do lines[#lines + 1] = name:lower() .. ": " .. value .. "\r\n" end
  if #lines == 0 then return nil end
  return grpc_frame.write(TRAILERS, table.concat(lines))
end

--- { request, request_body, response, body, trailers, install }: for upstream_request_filter, request_body_filter,
--- response_filter, response_body_filter and response_trailer_filter.
function grpc_web.new(given, ...)
  check.no_more("grpc_web.new", "its options are one table", ...)
  options.read("grpc_web.new", given, {})
  local M = {}

  function M.request(session, request, ctx)
    local suffix, is_text = kind_of(session:get_header "content-type")
    if not suffix then return end
    ctx.grpc_web = ctx.grpc_web or { suffix = suffix, is_text = is_text, held = "" } -- a retry goes on in the body
    request:set_header("Content-Type", "application/grpc" .. suffix)
    request:remove_header "Accept"
    request:remove_header "X-Grpc-Web"
  end

  function M.request_body(_, chunk, is_last, ctx)
    local state = ctx.grpc_web
    if not state or not state.is_text then return chunk end
    local bytes
    bytes, state.held = decode(state.held .. chunk)
    if is_last and state.held ~= "" then error { status = 400 } end
    return bytes
  end

  function M.response(_, response, ctx)
    local state = ctx.grpc_web
    local kind = state and (response:get_header "content-type" or ""):lower()
    if not state or not kind:find "^application/grpc" then return end
    state.answers = true
    local suffix = kind:match "^application/grpc(%+[%w.+-]*)" or state.suffix
    response:set_header("Content-Type", "application/grpc-web" .. (state.is_text and "-text" or "") .. suffix)
  end

  local function encode(ctx, bytes)
    local state = ctx.grpc_web
    return state.is_text and bytes ~= "" and base64.encode(bytes) or bytes
  end

  function M.body(_, chunk, _, ctx)
    return ctx.grpc_web and ctx.grpc_web.answers and encode(ctx, chunk) or chunk
  end

  function M.trailers(_, trailers, ctx)
    if not ctx.grpc_web or not ctx.grpc_web.answers then return end
    local frame = frame_of(trailers)
    return frame and encode(ctx, frame)
  end

  function M.install(policy)
    if installed[policy] then return end
    hook_chain.install("grpc_web.install", policy, { upstream_request_filter = M.request,
      request_body_filter = M.request_body, response_filter = M.response, response_body_filter = M.body,
      response_trailer_filter = M.trailers })
    installed[policy] = true
  end

  return check.strict(M, "what grpc_web.new gives")
end

return grpc_web
