#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs each fuzz driver for a time, one after another, on a copy of its seeds. What it finds stays in BUILD/found.
#   dist/fuzz.sh BUILD SECONDS
set -u
build=$1
seconds=$2
failed=0
mkdir -p "$build/found"
for driver in "$build"/fuzz/*; do
  [ -x "$driver" ] && [ -f "$driver" ] || continue
  name=$(basename "$driver")
  corpus=$build/corpus/$name
  mkdir -p "$corpus"
  [ -d "spec/fuzz/corpus/$name" ] && cp -r "spec/fuzz/corpus/$name/." "$corpus/"
  echo "fuzz: $name for $seconds seconds"
  "$driver" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -dict=spec/fuzz/tokens.dict -artifact_prefix="$build/found/$name-" "$corpus" >"$build/$name.log" 2>&1
  status=$?
  grep -E 'stat::number_of_executed_units|stat::new_units_added' "$build/$name.log"
  [ $status = 0 ] && continue
  tail -n 60 "$build/$name.log"
  echo "fuzz: $name found something: $build/found/$name-*"
  failed=1
done
exit $failed
