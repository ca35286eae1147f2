-- SPDX-License-Identifier: Apache-2.0
-- Mistakes that people make on the command line and in addresses, and what they are told: what is wrong, where, and
-- what would be right. To add one: a line in a table.
local lfs = require "lfs"
local perilune = require "perilune"
local process = require "process"

after_each(require("cleanup").run)

local function words_of(text)
  local words = {}
  for word in text:gmatch "%S+" do words[#words + 1] = word end
  return words
end

-- Wrong input is told in one line, and nothing is served.
local function assert_told(message, result)
  assert.equal(2, result.code, result.stdout .. result.stderr)
  assert.equal("", result.stdout)
  assert.matches("^perilune: [^\n]*\n$", result.stderr)
  assert.truthy(result.stderr:find(message, 1, true), ("%q is not in %s"):format(message, result.stderr))
end

local SEE = "see 'perilune help"

local command_line = {
  -- commands
  { "", "a command is missing, such as 'run SCRIPT'; " .. SEE },
  { "rnu x.lua", "unknown command 'rnu'; did you mean 'run'? See 'perilune help'" },
  { "realod", "unknown command 'realod'; did you mean 'reload'?" },
  { "restart", "unknown command 'restart'; did you mean 'upgrade'?" },
  { "start x.lua", "unknown command 'start'; did you mean 'run'?" },
  { "xyz", "unknown command 'xyz'; see 'perilune help'" },
  { "hello.lua", "unknown command 'hello.lua'; did you mean 'run hello.lua'?" },
  { "--workers 2 run x.lua", "a command comes first, and options behind it, not --workers" },
  { "help relaod", "unknown command 'relaod'; did you mean 'reload'?" },
  { "help run check", "help takes one [COMMAND], and 'check' is a second one" },
  -- operands
  { "run", "run wants a SCRIPT; see 'perilune help run'" },
  { "check", "check wants a SCRIPT; see 'perilune help check'" },
  { "run a.lua b.lua", "run takes one SCRIPT, and 'b.lua' is a second one" },
  { "run no-such.lua", "cannot open no-such.lua: No such file or directory" },
  { "run spec", "cannot open spec: it is a directory" },
  { "check /dev/null", "cannot open /dev/null: it is no regular file" },
  { "check -", "check has no option -" },
  { "run spec/c/shared/nothing.lua", "cannot open spec/c/shared/nothing.lua: No such file or directory" },
  { "run  ", "run wants a SCRIPT" },
  { "reload --pid-file=", "--pid-file is empty; it wants FILE" },
  { "proxy --to=", "--to is empty; it wants ADDR" },
  { "proxy x.lua", "proxy takes no 'x.lua'" },
  { "reload hello.lua", "reload takes no 'hello.lua'; see 'perilune help reload'" },
  { "stop 1234", "stop takes no '1234'; see 'perilune help stop'" },
  -- options
  { "run --wrokers 2 x.lua", "run has no option --wrokers; did you mean --workers? See 'perilune help run'" },
  { "run -workers 2 x.lua", "run has no option -workers; did you mean --workers?" },
  { "run --pidfile x x.lua", "run has no option --pidfile; did you mean --pid-file?" },
  { "run --port 80 x.lua", "run has no option --port; see 'perilune help run'" },
  { "run --listen :80 x.lua", "run has no option --listen" },
  { "reload --workers 2", "reload has no option --workers" },
  { "reload --strict --abort", "--strict is for what is loaded: leave it away" },
  { "proxy --listen :0 --to ftp://a",
    "without \"ftp://\", or a URL with http://, https://, h2:// (HTTP/2 by TLS) or h2c:// (HTTP/2 with" },
  { "proxy --listen ftp://a:1 --to :1", "without \"ftp://\", or a URL with http://, https:// or h2c://" },
  { "proxy --listen :0 --to :1 --cache 9000G", "--cache: size must be from 1 MiB to half of the machine's memory, " },
  { "status --jsno", "status has no option --jsno; did you mean --json?" },
  { "proxy --form x", "proxy has no option --form" },
  { "proxy --tls-certificate x", "proxy has no option --tls-certificate" },
  { "run x.lua --workers", "a value is missing: --workers N; see" },
  { "run --workers --watch x.lua", "a value is missing: --workers N" },
  { "run --workers=2 --workers=two x.lua", "--workers wants a whole number from 1 to 1024, or auto, not 'two'" },
  { "proxy --health /a --health /b", "--health is given twice, and takes one value" },
  { "reload --pid 1 --pid 2", "--pid is given twice, and takes one value" },
  { "run --workers=0 x.lua", "--workers wants a whole number from 1 to 1024, or auto, not '0'" },
  { "run --workers two x.lua", "--workers wants a whole number from 1 to 1024, or auto, not 'two'" },
  { "run -w 2 x.lua", "run has no option -w; did you mean --workers? See 'perilune help run'" },
  { "reload -w 2", "reload has no option -w; valid are --canary, " },
  { "check --daemon x.lua", "check has no option --daemon" },
  { "check --watch x.lua", "check has no option --watch" },
  { "run --grace 5x x.lua", "--grace wants a time such as 30, 30s, 500ms, 5m or 1h, not '5x'" },
  { "run --grace 0 x.lua", "not '0'; the shortest is 1ms, and 'perilune stop --now' does not wait" },
  { "run --grace 0.0001 x.lua", "not '0.0001'; the shortest is 1ms; see" },
  { "run --grace 2000h x.lua", "not '2000h'; the longest is 1111h" },
  { "run --drain 0 x.lua", "--drain wants a time such as 30, 30s, 500ms, 5m or 1h, not '0'; the shortest is 1ms" },
  { "reload --shadow --for 0", "not '0'; the shortest is 1ms" },
  { "run --grace= x.lua", "--grace wants a time" },
  { "run --access-log x.log:xml x.lua", "--access-log 'x.log:xml': there is no format 'xml'; valid is :json" },
  { "run --access-log stdout:JSON x.lua", "there is no format 'JSON'; valid is :json" },
  { "run --log-level loud x.lua", "--log-level wants debug, info, warn or error, not 'loud'" },
  { "run --watch=yes x.lua", "--watch wants true or false, not 'yes'" },
  { "stop --now=1", "--now takes no value" },
  { "reload --for 30x --shadow", "--for wants a time such as 30, 30s, 500ms, 5m or 1h, not '30x'" },
  { "reload --for 25h --shadow", "--for wants a time" },
  { "reload --canary 5", "--canary wants a share such as 5%, not '5'" },
  { "reload --canary 0%", "--canary wants a share above 0%" },
  { "reload --for 30s", "--for belongs to --canary or --shadow" },
  { "reload --max-errors 1%", "--max-errors belongs to --canary" },
  { "reload --abort --canary 5%", "one of --canary, --shadow, --abort and --close-old at a time" },
  { "reload --abort --for 1m", "--for belongs to --canary or --shadow" },
  { "reload --abort now", "reload takes no 'now'" },
  { "reload --canary 5% --shadow", "one of --canary, --shadow, --abort and --close-old at a time" },
  { "stop --pid abc", "--pid wants the id of a process, not 'abc'" },
  { "run --user no-such-user examples/routing.lua", "no-such-user" },
  { "run --pid-file /no/such/folder/pid examples/routing.lua", "/no/such/folder/pid" },
  { "check --admin 9000 examples/routing.lua", "--admin '9000': a port alone is written with a colon, \":9000\"" },
  { "check --admin :9000 examples/routing.lua", "give a loopback address or unix:/path, or --admin-public, too" },
  { "check --admin http://127.0.0.1:9000 examples/routing.lua", 'an address is host:port, without "http://"' },
  -- files
  { "check --socket no/such/s examples/routing.lua", "--socket 'no/such/s': its folder does not exist" },
  { "check --socket unix:/tmp/x examples/routing.lua", [[--socket 'unix:/tmp/x': it is a path, without "unix:"]] },
  { "check --socket spec examples/routing.lua", "--socket 'spec': it is a directory" },
  { "run --socket no/such/s examples/routing.lua", "cannot listen on unix:no/such/s: its folder does not exist" },
  { "run --socket spec examples/routing.lua", "cannot listen on unix:spec: it is a directory" },
  { "run --socket Makefile examples/routing.lua",
    "cannot listen on unix:Makefile: there is a file that is no socket, and it is left" },
  { "run --pid-file spec examples/routing.lua", "cannot write the pid file spec: it is a directory" },
  { "run --pid-file Makefile examples/routing.lua", "the pid file Makefile: there is something else than a number" },
  { "run --pid-file=unix:/x examples/routing.lua", [[--pid-file 'unix:/x': it is a path, without "unix:"]] },
  { "run --error-log no/such/x examples/routing.lua", "--error-log no/such/x: its folder does not exist" },
  { "run --error-log Makefile/x examples/routing.lua", "--error-log Makefile/x: its folder is a file" },
  { "run --error-log spec examples/routing.lua", "--error-log spec: it is a directory" },
  { "run --error-log stdout examples/routing.lua", "--error-log 'stdout': valid are a file, stderr and syslog" },
  { "run --error-log syslog:json examples/routing.lua", "--error-log 'syslog:json': the error log has one format" },
  { "run --access-log no/such/x examples/routing.lua", "--access-log no/such/x: its folder does not exist" },
  { "run --access-log spec examples/routing.lua", "--access-log spec: it is a directory" },
  { "run --access-log json examples/routing.lua", "a format follows a place, like stdout:json" },
  { "run --access-log :json examples/routing.lua", "--access-log ':json': the place is missing, like stdout:json" },
  { "check --access-log no/such/x examples/routing.lua", "--access-log 'no/such/x': its folder does not exist" },
  { "run --admin unix:no/such/s examples/routing.lua", "--admin 'unix:no/such/s': cannot listen on" },
  { "run --admin /tmp/s examples/routing.lua", 'a unix socket is written "unix:/tmp/s"' },
  { "run --admin localhost examples/routing.lua", 'the port is missing: an address is host:port, like "localhost:80"' },
  { "check --group no-such-group examples/routing.lua", "group 'no-such-group': there is none of that name" },
  { "run --log-level INFO examples/routing.lua", "--log-level wants debug, info, warn or error, not 'INFO'" },
  { "run --watch true examples/routing.lua", "run takes one SCRIPT, and 'examples/routing.lua' is a second one" },
  { "run --no-watch x.lua", "run has no option --no-watch; did you mean --watch?" },
  { "run --reload-timeout 0 x.lua", "--reload-timeout wants a time such as 30, 30s, 500ms, 5m or 1h, not '0'" },
  { "version x", "version takes no 'x'; see 'perilune help version'" },
  { "--version --json", "version has no option --json; it takes none" },
  -- proxy
  { "proxy --listen unix:no/such/s --to 1", "cannot listen on unix:no/such/s: its folder does not exist" },
  { "proxy --listen unix:spec --to 1", "cannot listen on unix:spec: it is a directory" },
  { "proxy --listen 192.0.2.1:80 --to 1", "Cannot assign requested address (it is no address of this machine)" },
  { "proxy --listen :0 --to ,", '--to "": it is empty' },
  { "proxy --listen :0 --to a:1,,b:1", '--to "": it is empty' },
  { "proxy --listen :0 --to https://", '--to "https://": it is empty' },
  { "proxy --listen :0 --to", "a value is missing: --to ADDR" },
  { "proxy --listen [::1 --to 1", "the bracket of the IPv6 address is not closed" },
  { "proxy --listen :0 --to [::1]", '--to "[::1]": the port is missing' },
  { "proxy --listen 256.1.1.1:80 --to 1", "neither an IP address nor a host name" },
  { "proxy --listen :0 --to 1 --health http://a/health", "--health wants a path such as /health" },
  { "proxy", "proxy wants --listen ADDR: where to listen" },
  { "proxy --listen :0", "proxy wants --to ADDR: where to forward to" },
  { "proxy --listen :0 --to 1 --tls-cert x", "--tls-cert and --tls-key go together: --tls-key is missing" },
  { "proxy --listen :0 --to 1 --tls-key x", "--tls-cert and --tls-key go together: --tls-cert is missing" },
  { "proxy --listen :0 --to 1 --tls-cert no.pem --tls-key no.pem", "--tls-cert no.pem: No such file or directory" },
  { "proxy --listen :0 --to 1 --tls-cert Makefile --tls-key Makefile",
    "--tls-cert " .. lfs.currentdir() .. "/Makefile: no start line like -----BEGIN CERTIFICATE-----: it is not PEM, "
      .. "or holds something else, such as the other one of certificate and key" },
  { "proxy --listen h2://:0 --to 1", "write https://, where clients choose HTTP/2 themselves" },
  { "proxy --listen :0 --to h2c://a:1,http://b:1", "all peers are h2:// or h2c://, or none is" },
  { "proxy --listen :0 --to h2c://a:1 --health /", "--health asks by HTTP/1.1, which peers of h2:// and h2c://" },
  { "proxy --listen :0 --to https://a --ca no.pem", "--ca no.pem: No such file or directory" },
  { "proxy --listen :0 --to a:1 --ca Makefile", "--ca is for peers by TLS, and no --to begins with https://" },
  { "proxy --listen :0 --to a:1 --insecure-skip-verify", "--insecure-skip-verify is for peers by TLS" },
  { "proxy --listen :0 --to https://a --ca Makefile --insecure-skip-verify", "trusts everybody: give one" },
  { "proxy --listen :0 --to https://a,http://b", 'all peers are https://, or none is; a policy can have both: begin' },
  { "proxy --print-config --listen :0 --to https://a --to b:1",
    "begin with what --print-config prints for one of them" },
  { "proxy --domain 1 --to 1", "--domain wants a name such as example.org, not '1'" },
  { "proxy --domain a.example --to 1 --tls-cert Makefile --tls-key Makefile", "give one of them" },
  { "proxy --listen :0 --to 1 --staging", "--email, --staging and --acme-directory belong to --domain" },
  { "proxy --domain a.example --listen http://:0 --listen http://:1 --to 1", "one address is http://" },
  { "proxy --listen https://:0 --to 1", "TLS needs a certificate: give --tls-cert and --tls-key, too" },
  { "proxy --listen http://:0 --to 1 --tls-cert Makefile --tls-key Makefile", "each --listen says http://" },
  { "proxy --listen :8080 --listen :8080 --to 1", '--listen ":8080": it is listened on already' },
  { "proxy --listen :0 --to 1,localhost:1", '--to "localhost:1": it is named twice' },
  { "proxy --listen :0 --to 1 --health health", "--health wants a path such as /health, not 'health'" },
  { "proxy --listen 127.0.0.1:82 --to 127.0.0.1:82", '--to "127.0.0.1:82": is also a --listen' },
  { "proxy --listen :82 --to 1,82", '--to "localhost:82": is also a --listen' },
  { "proxy --listen 0.0.0.0:82 --to 127.0.0.2:82", "is also a --listen" },
  { "proxy --listen unix:/tmp/x --to unix:/tmp/x", "is also a --listen" },
  { "proxy --listen :0 --to http://a/path", "a peer has no path: it gets the one that the client has asked for" },
}

-- In addresses: of both kinds, to listen on, and to connect to.
local both = {
  { "8080x", "the port is missing: an address is host:port, like \"8080x:80\"" },
  { "tcp://1.2.3.4:80", 'an address is host:port, without "tcp://"' },
  { "*:80", 'every address of this machine is written ":80"' },
  { "::1:80", 'an IPv6 address is written in brackets, like "[::1]:80"' },
  { "user:pw@127.0.0.1:80", "user and password do not belong in an address" },
  { "http://user:pw@127.0.0.1:80", "user and password do not belong in an address" },
  { "/run/x.sock", 'a unix socket is written "unix:/run/x.sock"' },
  { "127.0.0.1:80/path", 'an address is host:port, without "/path" behind it' },
  { "127.0.0.1:99999", "the port is not a number from 0 to 65535" },
  { "127.0.0.1:http", "the port is not a number from 0 to 65535" },
  { "1.2.3:80", "neither an IP address nor a host name" },
  { "unix:", "the path of the unix socket is missing" },
}
local listen = {
  { "8080", 'a port alone is written with a colon, ":8080"' },
  { "a.example:80", "an address to listen on is an IP address, a port alone like \":80\", localhost, or unix:/path" },
}
local to = {
  { "127.0.0.1:0", "the port must not be 0" },
}
local in_policies = { -- the command line takes these
  { "http://1.2.3.4:80", 'an address is host:port, without "http://"' },
  { "https://example.com", 'an address is host:port, without "https://"' },
}

local function check(policy, ...)
  local script = process.write_file(process.directory() .. "/policy.lua", policy:format(...))
  return perilune.run("check", script)
end

local LISTENS = 'require("perilune").listen(%s, { request_filter = function() end })'
local SELECTS = 'require("perilune.round_robin").new { %q }\n' .. LISTENS:format '":0"'

describe("a mistake", function()
  it("on the command line is told in one line that says what would be right", function()
    for _, case in ipairs(command_line) do
      assert_told(case[2], perilune.run { args = words_of(case[1]), env = { LISTEN = "127.0.0.1:0" } })
    end
  end)

  it("in an address to listen on is told with the way out, by the command line and by perilune.listen", function()
    for _, cases in ipairs { both, listen } do
      for _, case in ipairs(cases) do
        assert_told(case[2], perilune.run("proxy", "--to", "1", "--listen", case[1]))
        assert_told(case[2], check(LISTENS, ("%q"):format(case[1])))
      end
    end
    for _, case in ipairs(in_policies) do assert_told(case[2], check(LISTENS, ("%q"):format(case[1]))) end
    assert_told('a port alone is written with a colon, ":8080"', check(LISTENS, "8080"))
  end)

  it("in an address to connect to is told with the way out, by the command line and by a set of backends", function()
    for _, cases in ipairs { both, to } do
      for _, case in ipairs(cases) do
        assert_told(case[2], perilune.run("proxy", "--listen", ":0", "--to", case[1]))
        assert_told(case[2], check(SELECTS, case[1]))
      end
    end
    for _, case in ipairs(in_policies) do assert_told(case[2], check(SELECTS, case[1])) end
  end)
end)
