-- SPDX-License-Identifier: Apache-2.0
-- Answers that a policy writes piece by piece, on the bench: in virtual time, without a client.
local perilune = require "perilune"
local test = require "perilune.test"

local hooks = {}

function hooks.request_filter(session)
  session:start_response { status = 200, headers = { ["Content-Type"] = "text/event-stream" } }
  local i, most = 0, tonumber(session:path():match "%d+")
  repeat
    i = i + 1
    perilune.sleep(1)
    local ok = session:send { "data: ", i, "\n\n" }
  until not ok or i == most
end

function hooks.answer_filter(_, response) response:set_header("X-Seen", "yes") end

function hooks.logging(session) session:set_log_field("sent", session:body_bytes()) end

local function ticks() return test.policy(hooks) end

describe("an answer that is written piece by piece", function()
  it("is walked to its end, with the time that it wants", function()
    local x = ticks():exchange { path = "/3" }
    local before, response = test.clock.now(), x:walk()
    assert.same({ 200, "yes", "data: 1\n\ndata: 2\n\ndata: 3\n\n", 0 },
      { response.status, response.headers.x_seen, response.body, response.tries })
    assert.equal(3, test.clock.now() - before)
    assert.equal(27, x:log_fields().sent)
  end)

  it("ends when its client leaves, who is said to stay so long", function()
    local response = ticks():request { path = "/", leaves_after = 2.5 }
    assert.equal("data: 1\n\ndata: 2\n\n", response.body)
    assert.is_nil(response.failure)
  end)

  it("that does not end is told so", function()
    local ok, why = pcall(function() ticks():request {} end)
    assert.is_false(ok)
    assert.matches("written for more than an hour of the test's clock: say { leaves_after = seconds }", why)
  end)

  it("is looked at while it is written", function()
    local x = ticks():exchange {}
    assert.is_nil(x:stream())
    x:request_filter()
    test.clock:settle()
    assert.same({ body = "", ended = false }, x:stream())
    test.clock:advance(2)
    assert.equal("data: 1\n\ndata: 2\n\n", x:stream().body)
    x:leave()
    assert.is_true(x:stream().ended)
  end)

  it("shows a hook that waits in send that its client has left", function()
    local x = test.policy { request_filter = function(session)
      session:start_response { status = 200 }
      local ok, why
      repeat ok, why = session:send(("x"):rep(1e6)) until not ok
      perilune.log.warn("it has " .. why)
    end }:exchange {}
    x:request_filter()
    test.clock:settle()
    x:stream()
    x:leave()
    assert.truthy(test.log.find "it has closed")
  end)

  it("that fails has what was sent before, and the failure", function()
    local response = test.policy { request_filter = function(session)
      session:start_response { status = 200 }
      session:send "a"
      error "no"
    end }:request {}
    assert.same({ "a", "script" }, { response.body, response.failure })
  end)

  it("that is left open is written on by tasks, and ends by its time without them", function()
    local function walk(writer)
      return test.policy { request_filter = function(session)
        session:start_response { status = 200 }
        session:send "hook "
        perilune.spawn(writer, session)
        session:leave_open(5)
      end }:request {}
    end
    local whole = walk(function(session)
      perilune.sleep(4)
      session:send "task"
      session:finish()
    end)
    assert.same({ "hook task", nil }, { whole.body, whole.failure })
    local short = walk(function(session) session:send "task" end)
    assert.same({ "hook task", "script_timeout" }, { short.body, short.failure })
  end)

  it("is its head alone for HEAD", function()
    local response = ticks():request { method = "HEAD" }
    assert.same({ 200, "" }, { response.status, response.body })
  end)
end)
