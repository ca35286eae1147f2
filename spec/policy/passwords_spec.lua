-- SPDX-License-Identifier: Apache-2.0
-- Hashes of passwords: what crypto.verify_password and perilune.basic_auth take, and what they refuse. The hashes
-- are of the cheapest kind; other programs have made them.
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local process = require "perilune.test.process"
local test = require "perilune.test"

local HASHES = {
  bcrypt = "$2y$04$abcdefghijklmnopqrstuuhiTVLHQPvYzPykOsCOnc5I00eOfh33K",
  sha256_crypt = "$5$rounds=1000$salt$NCJSRshWpCcO8cDL5DYfej6yPob3H3PRTXp06fB59o5",
  sha512_crypt = "$6$salt$eT84IvWF1JcyEDNAOC1qGSzF.E8g3gNVik6Lygl/mS./poAEMAD/cpL8bbXUuPI0TqXDhOep3I.3C8dC5klSP.",
  yescrypt = "$y$j75$abcdefgh$4hm/JoVOjPsRr5anra1JjPirlfvbScQqKUQE.vnzHS6",
  digest = "sha256:" .. crypto.hex(crypto.sha256 "lovelace"),
  plain = "plain:lovelace",
}
if core.password_has_argon2 then
  HASHES.argon2id = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$uMn4sFedylOXJnkEcMHc06Qu+8hXTO2f9hT/BqRs8Eo"
  HASHES.argon2i = "$argon2i$v=19$m=64,t=1,p=2$c2FsdHNhbHRzYWx0$gIiFik2TMyMJ95LbBq1NaKCdgarodYn0Srkz82yD7WU"
  HASHES.argon2d = "$argon2d$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$/maoeuWjr4dOas2+vHfLbA"
end

-- What a hook of the test bench gives: checks may wait, which the main chunk cannot.
local function in_hook(fn)
  local results
  local x = test.policy({ request_filter = function()
    results = { fn() }
    return false
  end }):exchange {}
  assert.is_nil(x:request_filter().failure)
  return unpack(results, 1, 2)
end
local function verify(password, hash)
  return in_hook(function() return crypto.verify_password(password, hash) end)
end

describe("crypto.verify_password", function()
  for kind, hash in pairs(HASHES) do
    it("lets the one password fit a hash of " .. kind, function()
      assert.is_true(verify("lovelace", hash))
      for _, wrong in ipairs { "Lovelace", "lovelac", "lovelace ", "", "lovelace\0", "lovelace\0x", hash,
        ("x"):rep(100000) } do
        assert.is_false((verify(wrong, hash)))
      end
    end)

    it("takes no hash of " .. kind .. " that has been changed", function()
      for at = #hash - 3, #hash do
        local changed = hash:sub(1, at - 1) .. (hash:sub(at, at) == "a" and "b" or "a") .. hash:sub(at + 1)
        assert.is_not_true((verify("lovelace", changed)))
      end
      assert.is_not_true((verify("lovelace", hash .. "a")))
      assert.is_not_true((verify("lovelace", hash:sub(1, -2))))
      assert.is_not_true((verify("lovelace", hash .. "\0")))
    end)
  end

  local refused = {
    ["lovelace"] = "is no hash of bcrypt.*yescrypt or argon2; `perilune hash%-password.*plain text put plain:",
    [""] = "is no hash",
    ["2y$04$abcdefghijklmnopqrstuuhiTVLHQPvYzPykOsCOnc5I00eOfh33K"] = "is no hash",
    ["$apr1$salt$xxxxxxxxxxxxxxxxxxxxxx"] = "apr1 %(MD5%) is too weak.*htpasswd",
    ["$1$salt$xxxxxxxxxxxxxxxxxxxxxx"] = "MD5 is too weak",
    ["{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="] = "SHA%-1 is too weak",
    ["sha256:abc"] = "must have 64 digits",
    ["$2y$16$abcdefghijklmnopqrstuuhiTVLHQPvYzPykOsCOnc5I00eOfh33K"] = "cost is too high for a server: at most 15",
    ["$2y$99$abcdefghijklmnopqrstuuhiTVLHQPvYzPykOsCOnc5I00eOfh33K"] = "cost is too high",
    ["$2y$03$abcdefghijklmnopqrstuuhiTVLHQPvYzPykOsCOnc5I00eOfh33K"] = "cost of a bcrypt hash is 4 or more",
    ["$2y$10$abc"] = "60 characters",
    ["$5$rounds=99999999$salt$NCJSRshWpCcO8cDL5DYfej6yPob3H3PRTXp06fB59o5"] = "rounds is too high",
    ["$6$rounds=x$salt$NCJSRshWpCcO8cDL5DYfej6yPob3H3PRTXp06fB59o5"] = "SHA%-crypt hash ends",
    ["$y$jzT$abcdefgh$4hm/JoVOjPsRr5anra1JjPirlfvbScQqKUQE.vnzHS6"] = "memory in KiB is too high",
    ["$y$j75.....$abcdefgh$4hm/JoVOjPsRr5anra1JjPirlfvbScQqKUQE.vnzHS6"] = "as mkpasswd makes it",
    ["$argon2id$v=19$m=9999999,t=1,p=1$c2FsdHNhbHRzYWx0$/maoeuWjr4dOas2+vHfLbA"] = "memory in KiB %(m%) is too high",
    ["$argon2id$v=19$m=65536,t=999,p=1$c2FsdHNhbHRzYWx0$/maoeuWjr4dOas2+vHfLbA"] = "passes %(t%) is too high",
    ["$argon2id$v=19$m=65536,t=1,p=99$c2FsdHNhbHRzYWx0$/maoeuWjr4dOas2+vHfLbA"] = "lanes %(p%) is too high",
    ["$argon2id$v=19$m=0,t=0,p=0$c2FsdHNhbHRzYWx0$/maoeuWjr4dOas2+vHfLbA"] = "t and p are at least 1",
    ["$argon2id$v=19$m=64,t=1,p=1$c2Fs$/maoeuWjr4dOas2+vHfLbA"] = "salt has 8 to 64 bytes",
    ["$argon2id$v=18$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$/maoeuWjr4dOas2+vHfLbA"] = "hash is like",
    ["$argon2xx$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$/maoeuWjr4dOas2+vHfLbA"] = "hash is like",
  }
  it("says why a text is no hash that it takes, and does not repeat it", function()
    for text, why in pairs(refused) do
      local fits, message = verify("lovelace", text)
      assert.is_nil(fits)
      assert.matches(why, message)
      assert.is_true(text == "" or text == "lovelace" or not message:find(text, 1, true))
    end
  end)

  it("raises for what is no text", function()
    assert.error_matches(function() crypto.verify_password(nil, "x") end,
      "crypto.verify_password: expected a string as argument 1")
    assert.error_matches(function() crypto.verify_password("x", 5) end, "expected a string as argument 2")
  end)
end)

describe("basic_auth", function()
  local basic_auth = require "perilune.basic_auth"

  -- The status for a name and a password (0: the request may pass), and the user.
  local function sign_in(login, name, password)
    local x = test.policy({ request_filter = login }):exchange {
      headers = { Authorization = "Basic " .. require("perilune.base64").encode(name .. ":" .. password) } }
    local result = x:request_filter()
    while result.waits do test.clock:advance(0.001) end
    assert.is_nil(result.failure)
    return result.answer and result.answer.status or 0, x:ctx().user
  end

  it("lets in by hashes of all kinds, and says who it is", function()
    local login = basic_auth.new { users = HASHES }
    for kind in pairs(HASHES) do
      for _ = 1, 2 do -- checked, and remembered
        assert.same({ 0, kind }, { sign_in(login, kind, "lovelace") })
        assert.same({ 401 }, { sign_in(login, kind, "Lovelace") })
      end
    end
    for _, nobody in ipairs { "", "nobody", "eve", "mallory", "x" } do
      assert.equal(401, (sign_in(login, nobody, "lovelace")))
    end
  end)

  it("reads a file of htpasswd, beside a table", function()
    local path = process.write_file(process.directory() .. "/users", "# people\n\nada:" .. HASHES.bcrypt
      .. "\r\nbob:" .. HASHES.yescrypt .. "  \nci:" .. HASHES.digest)
    local login = basic_auth.new { file = path, users = { eve = HASHES.plain } }
    for _, name in ipairs { "ada", "bob", "ci", "eve" } do assert.equal(0, (sign_in(login, name, "lovelace"))) end
    assert.equal(401, (sign_in(login, "dan", "lovelace")))
  end)

  local mistakes = {
    ["ada"] = ":1: a line is name:hash",
    [":" .. HASHES.bcrypt] = ":1: a line is name:hash",
    ["ada:" .. HASHES.bcrypt .. "\n\nada:" .. HASHES.bcrypt] = ":3: 'ada' is there twice: first in line 1",
    ["# none"] = ": there is no user in it; `htpasswd %-B FILE NAME` adds one",
    [""] = ": there is no user in it",
    ["ada:" .. HASHES.bcrypt .. "\nbob:$apr1$s$x"] = ":2: 'bob': apr1 %(MD5%) is too weak",
    ["ada:lovelace"] = ":1: 'ada': it is no hash",
    ["eve:" .. HASHES.bcrypt] = ":1: 'eve' is in 'users', too",
  }
  it("names the line of a mistake in a file", function()
    local path = process.directory() .. "/users"
    for text, why in pairs(mistakes) do
      process.write_file(path, text)
      local ok, message = pcall(basic_auth.new, { file = path, users = { eve = HASHES.plain } })
      assert.is_false(ok)
      assert.matches("basic_auth.new: .*/users" .. why, message)
    end
    assert.error_matches(function() basic_auth.new { file = path .. "x" } end,
      "basic_auth.new: .*/usersx: No such file or directory")
  end)

  it("says what is wrong with its options", function()
    assert.error_matches(function() basic_auth.new {} end,
      "basic_auth.new: expected 'users', 'file' or both")
    assert.error_matches(function() basic_auth.new { users = {} } end, "there is no user in 'users'")
    assert.error_matches(function() basic_auth.new { users = { ada = "lovelace" } } end,
      "basic_auth.new: the password of 'ada': it is no hash.*before a password as plain text put plain:")
    assert.error_matches(function() basic_auth.new { users = { HASHES.bcrypt } } end, "'1' is no name of a user")
    assert.error_matches(function() basic_auth.new { users = { ["a:b"] = HASHES.bcrypt } } end, "no name of a user")
    assert.error_matches(function() basic_auth.new { users = { ada = 5 } } end, "expected a string, got a number value")
    assert.error_matches(function() basic_auth.new { users = HASHES, remember = -1 } end, "option 'remember' must be")
  end)
end)
