-- Does what 'perilune proxy' does. Save it, and run it by 'perilune run'.
local perilune = require "perilune"
local round_robin = require "perilune.round_robin"

local upstreams = round_robin.new {
  "127.0.0.1:39099",
  name = "proxy",
}

local policy = {}

function policy.upstream_peer()
  return { address = upstreams:select() }
end

perilune.listen("127.0.0.1:49229", policy)
