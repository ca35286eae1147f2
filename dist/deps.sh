#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that are missing, and says nothing when none is. For specs, also into build/, what Debian
# does not have.
#   dist/deps.sh [--check] SET...      sets: run test every_spec lint fuzz bench
# With --check it installs nothing: it names what is missing and fails.
#
# What is there is found out by looking for the thing itself, not for the package: it may come from elsewhere.
set -u

has_command() { command -v "$1" >/dev/null 2>&1; }
has_library() { pkg-config --exists "$1" 2>/dev/null; }
has_header() { echo "#include <$1>" | cc -E -x c - >/dev/null 2>&1; }
has_file() { for file in "$@"; do [ -e "$file" ] && return 0; done; return 1; }
has_llhttp() { has_library libllhttp || has_file /usr/share/llhttp/llhttp.c; }
has_redis() { has_command redis-server || has_command valkey-server; }
has_browser() { has_command chromium || has_command chromium-browser || has_command google-chrome; }
has_grpcio() { python3 -c 'import grpc' 2>/dev/null || /usr/bin/python3 -c 'import grpc' 2>/dev/null; }
has_venv() { python3 -c 'import venv, ensurepip' 2>/dev/null; }
has_libfuzzer() {
  runtime=$(clang -print-runtime-dir 2>/dev/null) || return 1
  has_file "$runtime"/libclang_rt.fuzzer*.a "$runtime"/../*/libclang_rt.fuzzer*.a
}

# need PACKAGES CHECK...: packages are alternatives, split by |, the first that Debian has is taken.
missing=
need() {
  packages=$1
  shift
  "$@" || missing="$missing $packages"
}
need_for_run() {
  need gcc has_command gcc
  need libc6-dev has_header stdio.h
  need make has_command make
  need pkg-config has_command pkg-config
  need 'libluajit2-5.1-dev|libluajit-5.1-dev' has_library luajit
  need libev-dev has_header ev.h
  need libssl-dev has_library openssl
  need 'libllhttp-dev|node-llhttp' has_llhttp
  need libc-ares-dev has_library libcares
  need libxxhash-dev has_library libxxhash
  need libpcre2-dev has_library libpcre2-8
  need libnghttp2-dev has_library libnghttp2
  need zlib1g-dev has_library zlib
  need libbrotli-dev has_library libbrotlienc
  need libzstd-dev has_library libzstd
  need libncurses-dev has_library ncursesw
  need libyaml-dev has_library yaml-0.1
  need openssl has_command openssl
  need curl has_command curl
}
need_for_test() {
  need 'luajit2|luajit' has_command luajit
  need lua-busted has_command busted
  need lua-cjson has_file /usr/lib/*/lua/5.1/cjson.so /usr/local/lib/lua/5.1/cjson.so
  need wrk has_command wrk
  need strace has_command strace
  need 'redis-server|valkey-server' has_redis
  need etcd-server has_command etcd
  need python3 has_command python3
}
# What some specs look with; without it they are pending, and say so.
need_for_every_spec() {
  need pebble has_command pebble
  need tmux has_command tmux
  need chromium has_browser
  need systemd has_command systemd-analyze
  need nghttp2-client has_command h2load
  need nghttp2-proxy has_command nghttpx
  need python3-grpcio has_grpcio
  need testssl.sh has_command testssl
  need memcached has_command memcached
  need python3-venv has_venv
}
need_for_lint() {
  need clang has_command clang
  need clang-format has_command clang-format
  need lua-check has_command luacheck
  need 'luajit2|luajit' has_command luajit
}
need_for_fuzz() {
  need clang has_command clang
  need 'libclang-rt-dev|libclang-rt-19-dev|libclang-rt-14-dev' has_libfuzzer
}
# The peers from Debian; Pingora's needs cargo, which the bench can do without.
need_for_bench() {
  need python3 has_command python3
  need wrk has_command wrk
  need nginx has_command nginx
  need libnginx-mod-http-lua has_file /usr/lib/nginx/modules/ngx_http_lua_module.so
  need haproxy has_command haproxy
  need varnish has_command varnishd
  need caddy has_command caddy
  need openssl has_command openssl
}

# Lua libraries, as Debian packages them. Some would bring nginx along, and start it: their files are enough.
lua_libraries="lua-nginx-redis lua-nginx-redis-connector lua-nginx-memcached lua-nginx-string lua-nginx-cookie
  lua-nginx-dns lua-nginx-kafka lua-nginx-websocket lua-resty-lrucache"
unpack_lua_libraries() {
  folder=$PWD/build/lua-libraries
  [ -e "$folder/usr/share/lua/5.1/nginx/redis.lua" ] && return 0
  has_command apt-get && has_command dpkg || return 0
  packages=$(mktemp -d)
  mkdir -p "$folder"
  for package in $lua_libraries; do
    (cd "$packages" && apt-get download -qq "$package" >/dev/null 2>&1 && dpkg -x "$package"_*.deb "$folder") ||
      echo "perilune: $package could not be fetched from Debian: its specs are pending" >&2
  done
  rm -rf "$packages"
}

# What Debian does not have, from PyPI and the Go module proxy; the spec of what cannot be had is pending. The Go of
# Debian 12 is too old for h2spec: it is built where there is another one.
tools=$PWD/build/tools
h2spec=github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
has_opentelemetry() {
  for python in python3 /usr/bin/python3 "$tools/python/bin/python"; do
    "$python" -c 'import opentelemetry.proto.collector.trace.v1.trace_service_pb2' 2>/dev/null && return 0
  done
  return 1
}
get_opentelemetry() {
  python3 -m venv "$tools/python" && "$tools/python/bin/pip" install -q 'opentelemetry-proto<2'
} >/dev/null 2>&1
has_h2spec() { has_command h2spec || [ -x "$tools/bin/h2spec" ]; }
get_h2spec() { GOPATH="$tools/go" GOBIN="$tools/bin" GOFLAGS=-modcacherw go install "$h2spec"; } >/dev/null 2>&1
install_tools() {
  has_opentelemetry || get_opentelemetry ||
    echo "perilune: opentelemetry-proto could not be fetched from PyPI: its spec is pending" >&2
  has_h2spec || get_h2spec || echo "perilune: h2spec could not be built with Go: its spec is pending" >&2
}

is_in_debian() { apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'; }
first_in_debian() {
  for package in $(echo "$1" | tr '|' ' '); do
    is_in_debian "$package" && echo "$package" && return 0
  done
  return 1
}
choose() {
  chosen=
  for packages in $missing; do
    package=$(first_in_debian "$packages") || return 1
    case " $chosen " in *" $package "*) ;; *) chosen="$chosen $package" ;; esac
  done
}
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}
update() { as_root apt-get update -qq; }
install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $chosen
}

check_only=no
[ "${1:-}" = --check ] && check_only=yes && shift
for set in "$@"; do "need_for_$set"; done

# Once the packages of Debian are there.
finish() {
  case " $* " in *" every_spec "*) ;; *) exit 0 ;; esac
  [ $check_only = yes ] && exit 0
  unpack_lua_libraries
  install_tools
  exit 0
}
[ -z "$missing" ] && finish "$@"

# Without package lists, as in a fresh container, nobody knows which alternative Debian has: then it is the first.
names() { choose && echo "$chosen" || echo "$missing" | sed 's/|[^ ]*//g'; }

if ! has_command apt-get; then
  echo "perilune: not a Debian system; install what these packages hold:$missing" >&2
  exit 1
fi
if [ $check_only = yes ]; then
  echo "perilune: these Debian packages are missing:$(names)" >&2
  echo "perilune: \`make deps\` installs them" >&2
  exit 1
fi
why="perilune: installing from Debian what \`$*\` needs"
if [ "$(id -u)" != 0 ]; then
  if ! has_command sudo; then
    echo "perilune: packages are missing, and there is no sudo; as root, run: apt-get install$(names)" >&2
    exit 1
  fi
  why="$why, with sudo because apt-get must be root"
fi

# Package lists may be missing (a fresh container) or older than the mirror: then they are fetched once.
choose || { update && choose; } || { echo "perilune: Debian has none of:$missing" >&2; exit 1; }
echo "$why:$chosen"
install || { update && install; } || {
  echo "perilune: could not install what is missing; as root, run: apt-get install$chosen" >&2
  exit 1
}
finish "$@"
