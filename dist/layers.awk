# SPDX-License-Identifier: Apache-2.0
# Checks the include direction base <- {net, http, shared} <- relay <- exchange <- downstream <- upstream <- runtime <-
# {lua, cli} <- main, and where the libraries may be used (invariant I3). Reads all C files of the project:
#   awk -f dist/layers.awk FILE...
# Programs under spec/ and bench/ may include whatever they need, but want their SPDX line too.

BEGIN {
  rank["base"] = 0
  rank["net"] = rank["http"] = rank["shared"] = 1
  rank["relay"] = 2
  rank["exchange"] = 3
  rank["downstream"] = 4
  rank["upstream"] = 5
  rank["runtime"] = 6
  rank["lua"] = rank["cli"] = 7
  rank["main"] = 8
}

FNR == 1 {
  in_comment = 0
  layer = layer_of(FILENAME)
  if ($0 !~ /SPDX-License-Identifier: Apache-2.0/) complain("the first line must be the SPDX line")
}

layer == "spec" || layer == "bench" { next }
{ line = without_comments($0) }
line ~ /^[ \t]*#[ \t]*include/ { check_include(line) }
line ~ /lua_(resume|pcall|cpcall)[ \t]*\(/ && FILENAME !~ /^lua\/vm\/(task|code_lines)\.c$/ { complain("lua_resume and lua_pcall belong in lua/vm/task.c") }

END { exit failed }

function complain(text) {
  printf "%s:%d: %s\n", FILENAME, FNR, text
  failed = 1
}

function layer_of(path,   parts) {
  if (path == "core/main.c") return "main"
  split(path, parts, "/")
  if (parts[1] == "core") return parts[2]
  return parts[1]
}

function without_comments(text,   at) {
  if (in_comment) {
    if (!(at = index(text, "*/"))) return ""
    text = substr(text, at + 2)
    in_comment = 0
  }
  gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, "", text)
  sub(/\/\/.*/, "", text)
  if (at = index(text, "/*")) {
    in_comment = 1
    text = substr(text, 1, at - 1)
  }
  return text
}

function check_include(text,   path, to) {
  path = text
  sub(/^[^"<]*["<]/, "", path)
  sub(/[">].*/, "", path)
  if (text ~ /</) { check_library(path); return }
  to = path
  sub(/\/.*/, "", to)
  if (to == path || !(to in rank)) complain("include paths begin with the layer: " path)
  else if (to != layer && rank[to] >= rank[layer]) complain(layer " must not include " path)
}

function check_library(header) {
  if (header ~ /^openssl\// && FILENAME !~ /^core\/net\/tls/) complain("OpenSSL belongs in core/net/tls*")
  if (header == "argon2.h" && FILENAME != "core/net/tls_argon2.c") complain("libargon2 belongs in core/net/tls_argon2.c")
  if (header == "crypt.h" && FILENAME != "core/net/password.c") complain("libcrypt belongs in core/net/password.c")
  if (header ~ /llhttp\.h$/ && FILENAME != "core/http/parser.c") complain("llhttp belongs in core/http/parser.c")
  if (header ~ /nghttp2/ && FILENAME !~ /^core\/http\/h2_(parts|memory)\.h$/) complain("nghttp2 belongs behind core/http/h2_session.h")
  if (header ~ /^(zlib\.h|brotli\/.*|zstd.*\.h)$/ && FILENAME !~ /^core\/http\/coding_(zlib|brotli|zstd)\.c$/)
    complain("zlib, brotli and zstd belong behind core/http/coding.h")
  if (header == "pcre2.h" && FILENAME != "lua/api/regex.c") complain("PCRE2 belongs in lua/api/regex.c")
  if (header == "ncurses.h" && FILENAME != "core/cli/top/screen.c") complain("ncurses belongs in core/cli/top/screen.c")
  if (header == "yaml.h" && FILENAME != "lua/api/yaml.c") complain("libyaml belongs in lua/api/yaml.c")
  if (header == "ev.h" && layer != "net" && layer != "runtime") complain("ev.h belongs in core/net and core/runtime")
  if (header ~ /^(lua|lauxlib|lualib|luajit)\.h$/ && layer != "lua") complain("Lua belongs in lua/")
}
