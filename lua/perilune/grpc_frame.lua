-- SPDX-License-Identifier: Apache-2.0
-- perilune.grpc_frame: one frame of gRPC as bytes: its flags, its length and its content. gRPC-Web has the same.

local grpc_frame = {}

--- The bytes of a frame. `flags` is a string of one byte: "\0" is a message that is not compressed.
function grpc_frame.write(flags, content)
  local length = #content
  return flags .. string.char(math.floor(length / 16777216) % 256, math.floor(length / 65536) % 256,
    math.floor(length / 256) % 256, length % 256) .. content
end

return grpc_frame
