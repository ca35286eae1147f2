-- SPDX-License-Identifier: Apache-2.0
-- Mistakes in what a policy says of services that it uses: an authority for certificates, a collector of traces, a
-- provider that people sign in at, sources of backends, Redis; and of files. They are found when the policy loads.
local perilune = require "perilune"
local process = require "process"

after_each(require("cleanup").run)

local POLICY = [[
local perilune = require "perilune"
local discovery, oidc, redis, token_auth = require "perilune.discovery", require "perilune.oidc", perilune.redis,
  require "perilune.token_auth"
local set = require("perilune.round_robin").new { name = "app" }

%s
perilune.listen("127.0.0.1:0", { upstream_peer = function() return set:select() end })
]]

-- { what the policy says, what is said behind "p.lua:6: " }
local MISTAKES = {
  { "listen { acme = true }", "option 'acme': expected a table of options" },
  { "listen { acme = { domains = 'a.example' } }",
    "option 'acme': option 'domains' must be a table: write { \"a.example\" }" },
  { "listen { acme = { domains = { 'https://a.example/' } } }",
    "'https://a.example/' is a URL: a domain is written 'a.example'" },
  { "listen { acme = { domains = { '127.0.0.1' } } }", "'127.0.0.1' is an address: only names get certificates" },
  { "listen { acme = { domains = { '*.a.example' } } }", "'*.a.example' needs dns-01: give the function 'dns'" },
  { "listen { acme = { domain = 'a.example' } }", "unknown option 'domain' (did you mean domains?)" },
  { "listen { acme = { domains = { 'a.example' }, staging = 'yes' } }", "'staging' must be true or false, got 'yes'" },
  { "listen { acme = { domains = { 'a.example' }, directory = 'x' } }", "'directory' must be a URL with https://" },
  { "listen { acme = { domains = { 'a.example' }, ca = 'no.pem' } }", "option 'ca': CA file D/no.pem: No such file" },
  { "perilune.files '/srv/www'", "expected a table of options, got '/srv/www': write { root = \"/srv/www\" }" },
  { "perilune.files { root = '/nowhere' }", "option 'root': /nowhere: No such file or directory" },
  { "perilune.files { root = '/', logging = function() end }",
    "'logging' is a hook, not an option: hooks belong into the table that perilune.listen gets, as function policy." },
  { "local f = perilune.files { root = '/' }; f.helper = function() end; perilune.listen('127.0.0.1:0', f)",
    "there is no hook 'helper' (keep helper functions in locals); there are " },
  { "require('perilune.health_check').http(set, { path = '/', statuses = 200 })", "must be a table: write { 200 }" },
  { "perilune.files { root = '/', indx = 'a' }", "unknown option 'indx' (did you mean index?)" },
  { "perilune.tracing 'http://127.0.0.1:4318'", "write { endpoint = \"http://127.0.0.1:4318\" }" },
  { "perilune.tracing { endpoint = '127.0.0.1:4318' }", "must be a URL such as http://127.0.0.1:4318" },
  { "perilune.tracing { endpoint = 'https://a', ca = 'no.pem' }", "option 'ca': CA file D/no.pem: No such file" },
  { "perilune.tracing { endpoint = 'http://a', ratio = 5 }", "'ratio' must be a number from 0 to 1, got 5" },
  { "perilune.tracing { endpoint = 'http://a', ration = 1 }", "unknown option 'ration' (did you mean ratio?)" },
  { "oidc.new {}", "options 'client_id', 'issuer', 'redirect_uri' and 'secret' are missing" },
  { "oidc.new { issuer = 'https://a', secrt = 'x' }", "unknown option 'secrt' (did you mean secret?)" },
  { "token_auth.new { jwks = 'a' }", "option 'jwks' must be a URL, got 'a'" },
  { "token_auth.new { jwks = 'https://a', algorithms = 'RS256' }", "'algorithms' must be a table: write { \"RS256\"" },
  { "token_auth.new { jwks = 'https://a', ca = 'no.pem' }", "option 'ca': CA file D/no.pem: No such file" },
  { "discovery.etcd()", "discovery.etcd: expected a set of backends (as of round_robin.new) as its first argument" },
  { "discovery.kube()", "perilune.discovery has no 'kube': did you mean kubernetes?" },
  { "discovery.etcd(set, '/a', { endpoint = 'x' })", "unknown option 'endpoint' (did you mean endpoints?)" },
  { "discovery.etcd(set, '/a', { endpoints = 'a:2379' })",
    "option 'endpoints': expected a URL like \"http://10.0.0.1:2379\", got a:2379" },
  { "discovery.etcd(set, '/a', { ca = 'no.pem' })", "discovery.etcd: option 'ca': CA file D/no.pem: No such file" },
  { "discovery.etcd(set, '/a', { ca = 'p.lua' })", "discovery.etcd: option 'ca': CA file D/p.lua: no certificate" },
  { "discovery.consul(set, 'a', { key = 'no.pem' })", "discovery.consul: option 'key': D/no.pem: No such file" },
  { "discovery.consul(set, 'a', { address = 'a:8500' })", "'address' must be a URL like \"http://127.0.0.1:8500\"" },
  { "discovery.kubernetes(set, 'web')", "discovery.kubernetes: expected a service like \"namespace/name\"" },
  { "require('perilune.cluster_purge').start()", "expected a cache, as of perilune.cache, as its first argument" },
  { "perilune.shared_dict('a', { store = 'a:1' })", "'store' must be a client of perilune.redis, as redis.new gives" },
  { "redis.cluster 'a:1'", "redis.cluster: expected a table of options, got 'a:1'" },
  { "redis.cluster { nodes = 'a:1' }", "option 'nodes' must be a table: write { \"a:1\" }" },
  { "redis.sentinel {}", "redis.sentinel: options 'master' and 'sentinels' are missing" },
  { "oidc.new { issuer = 'http://a', client_id = 'x', secret = 'x', redirect_uri = 'https://a/b' }",
    "option 'issuer' must be a URL with https://, got 'http://a'" },
  { "oidc.new { issuer = 'https://a', client_id = 'x', secret = ('x'):rep(32), redirect_uri = '/cb' }",
    "such as \"https://app.example/callback\"; got '/cb'" },
  { "token_auth.new { keys = { { kty = 'EC' } } }", "number 1: the curve (crv) of EC must be P-256, P-384 or P-521" },
  { "token_auth.new { secret = 'x', algorithms = { 'RS256' } }",
    "RS256 goes with 'keys' or 'jwks', not with 'secret'" },
  { "token_auth.new { jwks = 'https://a', algorithms = { 'HS256' } }", "HS256 goes with 'secret' only" },
  { "token_auth.new { jwks = 'https://a', algorithms = { 'none' } }", "none is unknown; valid are ES256, ES384, " },
  { "require('perilune.api_keys').new { keys = { 'abc' } }", "a key has an owner: write keys = { NAME = \"KEY\" }" },
  { "require('perilune.forward_auth').new { url = 'auth:80' }",
    "must be a URL such as \"http://10.0.0.1:8080/check\", got 'auth:80'" },
  { "discovery.srv(set, 'app:80')", "discovery.srv: the name of a service has no port: its records say the ports" },
  { "redis.new('a:1', { db = 3 })", "redis.new: unknown option 'db' (did you mean database?)" },
  { "perilune.files { directory = '/srv' }", "unknown option 'directory' (did you mean root?)" },
  { "redis.new('a:1', { tls = true, ca = 'no.pem' })", "redis.new: CA file D/no.pem: No such file" },
}

describe("loading a policy with a mistake about a service says what it was, and what would be right:", function()
  for _, case in ipairs(MISTAKES) do
    it(case[1], function()
      local directory = process.directory()
      local code = case[1]:gsub("^listen (%b{})$", 'perilune.listen("127.0.0.1:0", {}, %1)')
      local result = perilune.run("check", process.write_file(directory .. "/p.lua", POLICY:format(code)))
      local said = result.stderr:gsub(directory:gsub("%p", "%%%0"), "D")
      assert.equal(2, result.code, said)
      assert.is_truthy(said:find("p.lua:6: ", 1, true), said)
      assert.is_truthy(said:find(case[2], 1, true), said)
      assert.equal(1, select(2, said:gsub("[^\n]+", "")), said)
    end)
  end
end)
