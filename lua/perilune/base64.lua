-- SPDX-License-Identifier: Apache-2.0
-- perilune.base64: RFC 4648. Decoding returns nil and a message if the text is not exactly what encoding would produce.

local core = require "perilune.core"

---@type perilune.base64
return {
  encode = core.encode_base64,
  decode = core.decode_base64,
  --- With - and _, without padding, as tokens have it.
  encode_url = core.encode_base64_url,
  decode_url = core.decode_base64_url,
}
