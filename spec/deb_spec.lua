-- SPDX-License-Identifier: Apache-2.0
-- `make deb`: a package that Debian's own check finds no errors in; the image's and Kubernetes' files.

local perilune = require "spec.support.perilune"
local process = require "perilune.test.process"

local function run(words, options)
  local result = process.run(words, options)
  assert.equal(0, result.code, result.stdout .. result.stderr)
  return result.stdout
end
local function has(program) return process.run({ "sh", "-c", "command -v " .. program }).code == 0 end

describe("make deb", function()
  local package
  lazy_setup(function()
    if not has "dpkg-shlibdeps" then return end
    local env = { MAKEFLAGS = false, MAKELEVEL = false, CC = false, DPKG_DEB_COMPRESSOR_LEVEL = "0" }
    package = run({ "make", "-s", "deb", "OUT=" .. process.directory(), "BINARY=" .. perilune.binary },
      { env = env, timeout = 240 }):match "%S+%.deb"
  end)

  it("packs the program with its modules, units, settings, rotation of logs, man page and completion", function()
    if not package then return pending "dpkg-dev is not installed" end
    local list = run { "dpkg-deb", "--contents", package }
    for _, name in ipairs { "/usr/bin/perilune", "/usr/share/perilune/lua/perilune/init.lua",
      "/usr/share/perilune/scripts/files.lua", "/usr/lib/systemd/system/perilune.service", "/etc/perilune/policy.lua",
      "/etc/logrotate.d/perilune", "/usr/lib/sysusers.d/perilune.conf", "/usr/share/man/man1/perilune.1.gz",
      "/usr/share/bash-completion/completions/perilune", "/usr/share/zsh/vendor-completions/_perilune",
      "/usr/share/fish/vendor_completions.d/perilune.fish", "/usr/share/doc/perilune/copyright" } do
      assert.is_truthy(list:find(" ." .. name .. "\n", 1, true), name)
    end
    for owner in list:gmatch "\n%S+ (%S+) " do assert.equal("root/root", owner) end
    assert.is_nil(list:find "/usr/local")
    local conffiles = run { "dpkg-deb", "--info", package, "conffiles" }
    assert.equal("/etc/perilune/policy.lua\n/etc/logrotate.d/perilune\n", conffiles)
    local depends = run { "dpkg-deb", "--field", package, "Depends" }
    for _, library in ipairs { "libev4", "libssl3", "libnghttp2%-14", "libyaml%-0%-2" } do
      assert.matches(library, depends)
    end
  end)

  it("gives a program that finds its modules, and a policy that it takes", function()
    if not package then return pending "dpkg-dev is not installed" end
    local root = process.directory()
    run { "dpkg-deb", "--extract", package, root }
    local policy = process.read_file(root .. "/etc/perilune/policy.lua"):gsub("/var/log/perilune", root)
      :gsub("/run/perilune", root)
    local path = process.write_file(root .. "/policy.lua", policy)
    assert.is_truthy(run({ root .. "/usr/bin/perilune", "check", path }):find "fine")
  end)

  it("lets the service keep certificates, and leaves nothing of it behind when it is purged", function()
    if not package then return pending "dpkg-dev is not installed" end
    local root = process.directory()
    run { "dpkg-deb", "--extract", package, root }
    run { "dpkg-deb", "--control", package, root .. "/control" }
    assert.matches("\nStateDirectory=perilune\nStateDirectoryMode=0700\n",
      process.read_file(root .. "/usr/lib/systemd/system/perilune.service"))
    local script = process.read_file(root .. "/control/postrm"):gsub("/var/", root .. "/var/")
    for _, folder in ipairs { "log", "lib", "log/private", "lib/private" } do
      run { "mkdir", "-p", ("%s/var/%s/perilune/acme"):format(root, folder) }
    end
    run { "sh", process.write_file(root .. "/postrm", script), "remove" }
    assert.matches("acme", run { "find", root .. "/var", "-name", "acme" })
    script = script:gsub("deb%-systemd%-helper", "no-such-helper")
    run { "sh", process.write_file(root .. "/postrm", script), "purge" }
    assert.equal("", run { "find", root .. "/var", "-name", "perilune" })
  end)

  it("passes lintian without errors", function()
    if not package then return pending "dpkg-dev is not installed" end
    if not has "lintian" then return pending "lintian is not installed" end
    -- It leaves a folder of its own behind.
    local result = process.run({ "lintian", "--fail-on", "error", package },
      { timeout = 240, env = { TMPDIR = process.directory() } })
    assert.equal(0, result.code, result.stdout .. result.stderr)
  end)
end)

describe("The scripts of completion", function()
  it("are those that the program writes, and read by their shells", function()
    for _, shell in ipairs { "bash", "zsh", "fish" } do
      local file = "dist/perilune." .. shell
      assert.equal(process.read_file(file), run { perilune.binary, "help", "--completion", shell })
      if has(shell) then run { shell, "-n", file } end
    end
    local wrong = perilune.run("help", "--completion", "tcsh")
    assert.equal(2, wrong.code)
    assert.is_truthy(wrong.stderr:find("--completion wants bash, zsh or fish, not 'tcsh'", 1, true))
  end)
end)

-- The package of Debian 12 for each library; those without one are in every image, or only in builds for tests.
local NONE = {}
local debian_12 = {
  ["luajit-5.1"] = "libluajit2-5.1-2", ev = "libev4", ssl = "libssl3", crypto = "libssl3", cares = "libc-ares2",
  xxhash = "libxxhash0", ["pcre2-8"] = "libpcre2-8-0", nghttp2 = "libnghttp2-14", z = "zlib1g",
  brotlienc = "libbrotli1", brotlidec = "libbrotli1", zstd = "libzstd1", ["yaml-0"] = "libyaml-0-2",
  ncursesw = "libncursesw6", tinfo = "libncursesw6", crypt = "libcrypt1", argon2 = "libargon2-1",
  c = NONE, m = NONE, gcc_s = NONE, asan = NONE, ubsan = NONE, tsan = NONE, llhttp = NONE,
}

describe("The image", function()
  it("has a policy that the program takes, and names packages of all libraries that it is linked with", function()
    assert.equal(0, perilune.run("check", "deploy/policy.lua").code)
    local text = process.read_file "Dockerfile"
    local count = 0
    for library in run({ "readelf", "-d", perilune.binary }):gmatch "Shared library: %[lib(.-)%.so" do
      local package = debian_12[library]
      count = count + 1
      assert.is_truthy(package, "no package is known here for lib" .. library)
      assert.is_truthy(package == NONE or text:find(" " .. package .. " ", 1, true), package)
    end
    assert.is_true(count > 10)
    assert.matches("\nUSER 65532:65532\n", text)
    assert.matches("groupadd %-%-gid 65532 perilune", text) -- useradd by itself takes another number
    assert.matches("\nHEALTHCHECK ", text)
  end)
end)

describe("The commands for a container", function()
  it("mount the folder of the policy, whose files may be replaced, and give it the time of a stop", function()
    for _, path in ipairs { "Dockerfile", "docs/deployment.md" } do
      local command = process.read_file(path):match "docker run[^\n]*"
      assert.matches(" %-v %./policy:/etc/perilune:ro ", command)
      assert.is_true(tonumber(command:match "%-%-stop%-timeout (%d+)") > 30)
    end
  end)
end)

describe("deploy/kubernetes", function()
  local text = process.read_file "deploy/kubernetes/perilune.yaml"

  it("has a policy that the program takes, and probes of places that there are", function()
    local indented = text:match "  policy%.lua: |\n(.-)\n%-%-%-"
    local policy = ("\n" .. indented):gsub("\n    ", "\n"):gsub("0%.0%.0%.0:9000", "127.0.0.1:0")
    local path = process.write_file(process.directory() .. "/policy.lua", policy)
    local result = perilune.run("check", path)
    assert.equal(0, result.code, result.stderr)
    assert.is_truthy(text:find("path: /readyz", 1, true) and text:find("path: /healthz", 1, true))
  end)

  it("is YAML of the kinds that it says", function()
    local kinds = {}
    for kind in text:gmatch "\nkind: (%w+)" do kinds[#kinds + 1] = kind end
    assert.same({ "ConfigMap", "Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy" }, kinds)
    if has "python3" and process.run({ "python3", "-c", "import yaml" }).code == 0 then
      run { "python3", "-c", "import yaml; list(yaml.safe_load_all(open('deploy/kubernetes/perilune.yaml')))" }
    end
  end)
end)
