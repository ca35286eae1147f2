#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the C units and all specs against one build, and closes with "N passed, N failed" over all of them.
#   dist/test.sh BUILD [PATTERN]
# PATTERN picks the spec files whose name holds it, or else the specs whose sentence matches it.
# Fails if anything failed, and also if nothing ran: a run that tests nothing must not look like a good one.
set -u
# Less is kept of freed memory and of the stacks of allocations than by default: both cost page faults in each process.
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1:quarantine_size_mb=16:malloc_context_size=12}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
export TSAN_OPTIONS="${TSAN_OPTIONS:-suppressions=$PWD/spec/support/tsan.supp}"
# How long specs wait for what should happen at once: long, so that a machine at its limit fails nothing; and shorter
# than the waits of a minute that are set where nothing is set.
export SPEC_TIMEOUT="${SPEC_TIMEOUT:-40}"
# What `make deps` has put there, behind what the machine has.
export PATH="$PATH:$PWD/build/tools/bin"
[ -x build/tools/python/bin/python ] && export OTLP_PYTHON="${OTLP_PYTHON:-$PWD/build/tools/python/bin/python}"
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/perilune-test-XXXXXX") || exit 1
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT
mkdir -p "$1/reports"
rm -f "$1"/reports/*
luajit dist/test.lua "$@"
