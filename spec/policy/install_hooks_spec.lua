-- SPDX-License-Identifier: Apache-2.0
-- Default policies with install(policy): hooks that the policy has already go on to work.
local base64 = require "perilune.base64"
local body_replace = require "perilune.body_replace"
local grpc_web = require "perilune.grpc_web"
local test = require "perilune.test"

local function policy_with(hooks)
  hooks.upstream_peer = function() return "127.0.0.1:1" end
  return hooks
end

local function replacing(from, to) return body_replace.new { texts = { [from] = to } } end

local function walk(policy, body)
  local x = test.policy(policy):exchange {}
  return x:walk { body = body, headers = { ["Content-Type"] = "text/html" } }, x
end

describe("body_replace.install", function()
  it("keeps the hooks that the policy has, which are called first", function()
    local policy = policy_with {
      upstream_request_filter = function(_, request) request:set_header("X-Own", "1") end,
      response_filter = function(_, response) response:set_header("X-Limit", "5") end,
      response_body_filter = function(_, chunk) return { (chunk:gsub("fox", "c")), "at" } end,
    }
    replacing("cat", "dog").install(policy)
    local response, x = walk(policy, "a fox")
    assert.body("a dog", response)
    assert.field("X-Limit", "5", response)
    assert.field("X-Own", "1", x:upstream_request())
    assert.field("Accept-Encoding", "zstd, br, gzip", x:upstream_request())
  end)

  it("takes a piece that the policy's hook drops as an empty one", function()
    local policy = policy_with { response_body_filter = function(_, chunk, is_last)
      if is_last then return chunk end
      return nil
    end }
    replacing("cat", "dog").install(policy)
    assert.body("dog", (walk(policy, { "a ", "b ", "cat" })))
  end)

  it("ends where the policy's hook has a result, or raises", function()
    local policy = policy_with { response_filter = function() return false end }
    local replace = replacing("cat", "dog")
    replace.install(policy)
    local ctx = {}
    assert.is_false(policy.response_filter(nil, nil, ctx))
    assert.is_nil(next(ctx))
    policy = policy_with { response_filter = function() error "closed" end }
    replacing("cat", "dog").install(policy)
    assert.has_error(function() policy.response_filter(nil, nil, ctx) end)
    assert.is_nil(next(ctx))
  end)

  it("may be called for several objects, and twice for one", function()
    local policy, first = policy_with {}, replacing("cat", "dog")
    first.install(policy)
    first.install(policy)
    replacing("dog", "cow").install(policy)
    for _, pieces in ipairs { { "a cat, a dog" }, { "a c", "at, a do", "g" } } do
      assert.body("a cow, a cow", (walk(policy, pieces)))
    end
    policy = policy_with {}
    local longer = replacing("a", "aa")
    longer.install(policy)
    longer.install(policy)
    assert.body("aa", (walk(policy, "a")))
  end)

  it("refuses what is no policy, and a hook that is no function, and changes nothing then", function()
    local policy = { response_filter = 5 }
    assert.error_matches(function() replacing("a", "b").install(policy) end,
      "body_replace.install: hook 'response_filter' of the policy must be a function, got a number value", 1, true)
    assert.same({ response_filter = 5 }, policy)
    assert.error_matches(function() replacing("a", "b").install() end,
      "body_replace.install: expected the table of hooks, got a nil value", 1, true)
  end)
end)

describe("grpc_web.install", function()
  -- The whole of an exchange whose request is a text, as its hooks get it.
  local function run(policy)
    local ctx, sent = {}, {}
    local message = { get_header = function() return "application/grpc-web-text" end, set_header = function() end,
      remove_header = function() end, headers = function() return next, { ["grpc-status"] = "0" } end }
    policy.upstream_request_filter(message, message, ctx)
    sent.request = policy.request_body_filter(nil, base64.encode "hello", true, ctx)
    policy.response_filter(nil, { get_header = function() return "application/grpc" end,
      set_header = function() end }, ctx)
    sent.body = policy.response_body_filter(nil, "abc", true, ctx)
    sent.trailers = policy.response_trailer_filter(nil, message, ctx)
    return sent
  end

  it("keeps the hooks that the policy has, and translates once", function()
    local seen = {}
    local policy = {
      request_body_filter = function(_, chunk) seen.request = chunk return chunk end,
      response_body_filter = function(_, chunk) seen.body = chunk return chunk end,
      response_trailer_filter = function() return { "en", "d" } end,
    }
    grpc_web.new().install(policy)
    grpc_web.new().install(policy)
    local sent = run(policy)
    assert.same({ request = base64.encode "hello", body = "abc" }, seen)
    local frame = base64.encode "\128\0\0\0\16grpc-status: 0\r\n"
    assert.same({ request = "hello", body = base64.encode "abc", trailers = base64.encode "end" .. frame }, sent)
  end)

  it("gives a policy without hooks its own", function()
    local policy = {}
    grpc_web.new().install(policy)
    assert.equal(base64.encode "\128\0\0\0\16grpc-status: 0\r\n", run(policy).trailers)
  end)
end)
