-- SPDX-License-Identifier: Apache-2.0
-- perilune.download: answers of servers that our modules ask themselves, within bounds.

local core = require "perilune.core"
local http = require "perilune.http"
local json = require "perilune.json"

local download = {}

--- The body of a response that is streamed, of at most so many bytes, within so many seconds; or nil and why not.
function download.body(response, most, seconds)
  local parts, bytes, deadline = {}, 0, core.now() + seconds
  for piece in response.read, response do
    bytes = bytes + #piece
    parts[#parts + 1] = piece
    if bytes > most then response.failure = ("the answer is longer than %d bytes"):format(most) end
    if core.now() > deadline then response.failure = ("the answer takes longer than %d s"):format(seconds) end
    if response.failure then response:close() end
  end
  if response.failure then return nil, response.failure end
  return table.concat(parts)
end

--- The JSON of an answer with the status 200 to a request, as http.request takes it; or nil and why there is none, and
--- the name of the error where there was no connection.
--- fault_of(value) says what is wrong with it; nil: nothing.
function download.json(request, fault_of)
  local answer, why, kind = http.request(request)
  if not answer then return nil, why, kind end
  if answer.status ~= 200 then return nil, ("%s: status %d"):format(request.url, answer.status) end
  local value = json.decode(answer.body)
  local fault = fault_of(value)
  if fault then return nil, ("%s: %s"):format(request.url, fault) end
  return value
end

return download
