#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the name of a perilune, of any build folder, that was linked after the given files had changed; fails if there is
# none. It is for what any build can do: `make docs`.
#   dist/built.sh FILE...
for binary in build/perilune build/*/perilune; do
  [ -x "$binary" ] || continue
  is_new=yes
  for file; do [ "$file" -nt "$binary" ] && is_new=no; done
  [ $is_new = yes ] && echo "$binary" && exit 0
done
exit 1
