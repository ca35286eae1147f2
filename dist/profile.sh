#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# profile.sh BINARY: keeps an instrumented binary busy for some seconds, as a proxy without and with a script, so that
# the compiler learns which of its code is in use (gcc -fprofile-generate; the counts are written as it ends). The
# origin and the clients run in the same binary, but what they use is not counted.
#
# Our client has one request at a time on a connection of HTTP/2. So it asks a row of proxies over HTTP/1.1: the first
# asks over HTTP/2, with many streams on one connection, the second passes that on, the third asks the origin over
# HTTP/1.1. Most of the training is HTTP/1.1 all the same, so code that both share is laid out for that.
set -eu
cd "$(dirname "$0")/.."
binary=$1
seconds=60 # in which it must be done
logs=$(mktemp -d)
running=
finish() {
  for pid in $running; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in $running; do wait "$pid" || true; done
  rm -rf "$logs"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# start NAME ARGUMENTS...: the process's log gets that name
start() {
  name=$1
  shift
  : >"$logs/$name"
  "$binary" "$@" --workers 1 --socket "$logs/$name.sock" 2>"$logs/$name" >&2 </dev/null &
  running="$running $!"
}
# await NAME PATTERN: what the pattern's group has matched in the log
await() {
  turns=0
  until found=$(sed -n "s/.*$2.*/\1/p" "$logs/$1" | head -n 1) && [ -n "$found" ]; do
    turns=$((turns + 1))
    if [ $turns -gt $((seconds * 10)) ]; then
      echo "profile: $1 is not ready in $seconds s:" >&2
      cat "$logs/$1" >&2
      exit 1
    fi
    sleep 0.1
  done
  echo "$found"
}

ROLE=origin GCOV_PREFIX=$logs/uncounted start origin run dist/profile.lua
origin=$(await origin 'listening on \([0-9.:]*\)')
LISTEN=127.0.0.1:0 ORIGINS=$origin start policy run bench/policies/balancer.lua
start plain proxy --listen 127.0.0.1:0 --to "$origin"
LISTEN=127.0.0.1:0 ORIGINS=$origin start h2_to_h1 run bench/policies/tls.lua
third=$(await h2_to_h1 'listening on \([0-9.:]*\)')
LISTEN=127.0.0.1:0 ORIGINS=$third UPSTREAM_H2=on start h2_to_h2 run bench/policies/tls.lua
second=$(await h2_to_h2 'listening on \([0-9.:]*\)')
LISTEN=127.0.0.1:0 ORIGINS=$second UPSTREAM_H2=on start h1_to_h2 run bench/policies/tls.lua
targets=
for name in policy plain h1_to_h2; do targets="$targets $(await $name 'listening on \([0-9.:]*\)')"; done
ROLE=clients GCOV_PREFIX=$logs/uncounted TARGETS=$targets start clients run dist/profile.lua
await clients 'profile: \(done\)' >/dev/null
