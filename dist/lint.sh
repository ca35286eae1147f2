#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Everything that can be found without running a test. Goes through all checks and fails at the end if one did.
set -u
failed=0
check() {
  echo "lint: $1"
  shift
  "$@" || failed=1
}
existing() { for path in "$@"; do [ -e "$path" ] && echo "$path"; done; }

compiles() { make --no-print-directory -s -k CC="$1" WERROR=1 QUIET=1 PROFILE=no BUILD="build/lint-$1" objects; }
# Each version of clang-format has its own mind; ours is that of Debian 12.
FORMAT_VERSION=14
is_formatted() {
  if ! clang-format --version | grep -q "version $FORMAT_VERSION\."; then
    echo "not checked: clang-format is not version $FORMAT_VERSION"
    return 0
  fi
  for file in "$@"; do
    clang-format --dry-run -Werror "$file" 2>/dev/null || echo "$file: clang-format -i changes it"
  done | grep . && return 1
  return 0
}

parse() { for script in "$@"; do sh -n "$script" || return 1; done; }

c_files=$(find core lua spec bench -name '*.[ch]' -not -path '*/target/*' | sort)
check 'gcc compiles without a warning' compiles gcc
check 'clang compiles without a warning' compiles clang
check 'includes go one way, libraries stay in their place' awk -f dist/layers.awk $c_files
check 'files, functions, structs and lines are of their size, and includes go in no circle' \
  luajit dist/shape.lua $c_files $(find lua scripts examples spec bench dist -name '*.lua' -not -path '*/target/*' | sort)
check 'nothing is unused' luajit dist/unused.lua $(find core lua -name '*.[ch]' | sort) \
  $(find lua scripts examples -name '*.lua' | sort)
check 'C is formatted' is_formatted $c_files
check 'Lua has no warning' luacheck -q --no-color $(existing lua scripts examples spec bench dist)
check 'docs/api.md is what the annotations say' luajit dist/api.lua --check
check 'shell scripts parse' parse dist/*.sh .ci/run
exit $failed
