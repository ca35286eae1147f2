-- SPDX-License-Identifier: Apache-2.0
-- perilune hash-password: in a terminal, and from standard input. perilune.basic_auth takes what it makes.
local base64 = require "base64"
local client = require "client"
local perilune = require "perilune"
local process = require "process"
local terminal = require "terminal"

after_each(require("cleanup").run)

-- By the words behind the command, with `input` at standard input.
local function hash(input, ...)
  local file = process.write_file(process.directory() .. "/input", input)
  return process.run { "sh", "-c", 'f=$1; shift; exec "$@" <"$f"', "sh", file, perilune.binary, "hash-password", ... }
end

local function statuses(users, ...)
  local proxy = perilune.start { policy = ([[
    local perilune = require "perilune"
    local login = require("perilune.basic_auth").new { file = %q }
    perilune.listen("127.0.0.1:0", { request_filter = function(session, ctx)
      return login(session, ctx) or session:respond { status = 200, body = ctx.user }
    end })
  ]]):format(process.write_file(process.directory() .. "/users", users)) }
  local list = {}
  for i, pair in ipairs { ... } do
    list[i] = client.request { port = proxy.port, path = "/", headers = {
      Authorization = "Basic " .. base64.encode(pair) } }.status
  end
  return list
end

describe("perilune hash-password", function()
  it("makes lines for a file of users, each with a salt of its own, that basic_auth takes", function()
    local lines = {}
    for _, method in ipairs { "yescrypt", "bcrypt", "argon2id" } do
      local result = hash("love:lace \n", method, "--method", method)
      if method == "argon2id" and result.code ~= 0 then
        assert.matches("this build has no argon2: take yescrypt", result.stderr)
      else
        assert.equal("", result.stderr)
        lines[#lines + 1] = result.stdout
        assert.matches("^" .. method .. ":%$[^\n:]+\n$", result.stdout)
        assert.not_equal(result.stdout, hash("love:lace \n", method, "--method", method).stdout)
      end
    end
    assert.same({ 200, 200, 401 }, statuses(table.concat(lines), "yescrypt:love:lace ", "bcrypt:love:lace ",
      "bcrypt:love:lace"))
  end)

  it("prints the hash alone without a name, by yescrypt, of a line with and without an end", function()
    for _, input in ipairs { "secret\n", "secret" } do
      local result = hash(input)
      assert.equal(0, result.code)
      assert.matches("^%$y%$j9T%$[./%w]+%$[./%w]+\n$", result.stdout)
    end
  end)

  it("asks twice in a terminal, and shows nothing of it", function()
    local t = terminal.start { perilune.binary, "hash-password", "ada" }
    local function asked(question)
      require("scheduler").eventually(function() return t:log():find(question, 1, true) end, nil, question)
    end
    asked "Password: "
    t:type "love lace"
    asked "Again: "
    t:type "love lace"
    local line = t:wait "(ada:%$y%$[^\n]+)\n"
    assert.is_nil(t:text():find("lace", 1, true))
    assert.same({ 200 }, statuses(line .. "\n", "ada:love lace"))
  end)

  it("puts the terminal right where it is interrupted, and makes nothing of two passwords", function()
    local t = terminal.start { "sh", "-c", [[stty -a >before; trap : INT; "$0" hash-password; echo "code $?"
      stty -a >after; cmp before after && echo same; rm before after; "$0" hash-password; echo "code $?"]],
      perilune.binary }
    local function asked(question, times)
      require("scheduler").eventually(function()
        return select(2, t:log():gsub(question, "")) == times
      end, nil, question)
    end
    asked("Password: ", 1)
    t:key "\3"
    t:wait "code 130\n"
    t:wait "same\n"
    asked("Password: ", 2)
    t:type "one"
    asked("Again: ", 1)
    t:type "two"
    t:wait "code 2\n"
    assert.matches("these were two passwords", t:log())
  end)

  local refused = {
    ["\n"] = "there is no password", [""] = "there is no password", ["a\nb\n"] = "more than one line",
    ["a\0b\n"] = "a byte 0", [("x"):rep(512)] = "it may have 511 bytes", [("x"):rep(100000)] = "511 bytes",
  }
  it("says what is no password, and what it cannot make", function()
    for input, what in pairs(refused) do
      local result = hash(input)
      assert.equal(2, result.code)
      assert.equal("", result.stdout)
      assert.is_truthy(result.stderr:find(what, 1, true), result.stderr)
    end
    assert.equal(0, hash(("x"):rep(511)).code)
    assert.matches("first 72 bytes", hash(("x"):rep(73), "--method", "bcrypt").stderr)
    assert.equal(0, hash(("x"):rep(72), "--method", "bcrypt").code)
    assert.matches("wants yescrypt, bcrypt or argon2id, not 'md5'", hash("x", "--method", "md5").stderr)
    for _, name in ipairs { "a:b", "a\nb", "#a", " a" } do
      assert.matches("is no name of a user", hash("x", name).stderr)
    end
  end)
end)
