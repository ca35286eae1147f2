-- SPDX-License-Identifier: Apache-2.0
-- perilune.yaml: YAML as values, by libyaml. Data from outside raises no error.

local check = require "perilune.check"
local core = require "perilune.core"
local own_files = require "perilune.own_files"

---@type perilune.yaml
local yaml = {
  --- null, as in perilune.json.
  null = core.json_null,
}

--- The value of a text; nil and where and why it is no YAML.
function yaml.decode(text)
  return core.yaml_decode(check.string("yaml.decode", 1, text))
end

--- The value of a file; nil and why not.
function yaml.read(path) return own_files.read("yaml.read", path, core.yaml_decode) end

return yaml
