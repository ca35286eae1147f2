#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the C units and the busted specs against one build, and closes with "N passed, N failed" over both.
#   dist/test.sh BUILD [PATTERN]
# PATTERN picks the spec files whose name holds it, or else the specs whose sentence matches it.
# Fails if anything failed, and also if nothing ran: a run that tests nothing must not look like a good one.
set -u
build=$1
pattern=${2:-}
counts=$build/spec-counts
report=$build/units.txt
passed=0
failed=0

add() { passed=$((passed + $1)) failed=$((failed + $2)); }

# In an abort of a sanitizer the closing line is missing, which counts as one failure.
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
export TSAN_OPTIONS="${TSAN_OPTIONS:-suppressions=$PWD/spec/support/tsan.supp}"
"$build/units" "$pattern" >"$report" 2>&1
status=$?
sed '$d' "$report"
line=$(tail -n 1 "$report")
case $line in
  [0-9]*' passed, '[0-9]*' failed')
    add "${line%% *}" "$(echo "$line" | awk '{print $3}')"
    [ $status != 0 ] && [ "${line%, 0 failed}" != "$line" ] && add 0 1
    echo "units: $line"
    ;;
  *)
    echo "$line"
    echo "units: ended with status $status and no summary"
    add 0 1
    ;;
esac

files=
[ -n "$pattern" ] && files=$(find spec -maxdepth 1 -name "*$pattern*_spec.lua" | sort)
if [ -n "$files" ]; then set -- $files
elif [ -n "$pattern" ]; then set -- --filter="$pattern" spec
else set -- spec
fi
rm -f "$counts"
PERILUNE=${PERILUNE:-$build/perilune} SPEC_COUNTS=$counts timeout -k 10 "${SPEC_SECONDS:-1800}" \
  luajit "$(command -v busted)" --lpath='./spec/support/?.lua;./?.lua' \
  --output=spec/support/output.lua --pattern=_spec.lua --no-recursive "$@"
status=$?
if [ -s "$counts" ]; then
  read -r spec_passed spec_failed <"$counts"
  add "$spec_passed" "$spec_failed"
  [ $status != 0 ] && [ "$spec_failed" = 0 ] && add 0 1
else
  echo "specs: busted ended with status $status and no summary"
  add 0 1
fi

# Specs that run in the proxy's own VM, with its own test command.
inside=$build/inside.txt
files=
[ -n "$pattern" ] && files=$(find spec/policy -name "*$pattern*_spec.lua" | sort)
if [ -n "$files" ]; then set -- $files
elif [ -n "$pattern" ]; then set -- --filter="$pattern" spec/policy
else set -- spec/policy
fi
"$build/perilune" test --output=TAP "$@" >"$inside" 2>&1
status=$?
inside_failed=$(grep -c '^not ok' "$inside")
[ $status != 0 ] && [ "$inside_failed" = 0 ] && inside_failed=1
[ "$inside_failed" != 0 ] && grep -v '^ok' "$inside"
add "$(grep -c '^ok' "$inside")" "$inside_failed"
echo "inside: $(grep -c '^ok' "$inside") passed, $inside_failed failed"

echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
