#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the program with all that belongs to it, or removes exactly what was installed.
#   dist/install.sh install BINARY | uninstall      environment: PREFIX (absolute), DESTDIR (for packages; may be empty)
# What was installed stands in share/perilune/installed, a line for each file: so another version's is removed, too.
set -eu
: "${PREFIX:?}" "${DESTDIR=}"
case $PREFIX in /*) ;; *) echo "perilune: PREFIX must be an absolute path, not $PREFIX" >&2; exit 2 ;; esac
list=share/perilune/installed
root=$DESTDIR$PREFIX

# Removes files, whose names come line by line, and the folders that are empty then, up to PREFIX.
remove() {
  while IFS= read -r file; do
    rm -f "$root/$file"
    (cd "$root" && rmdir -p --ignore-fail-on-non-empty "${file%/*}" 2>/dev/null) || true
  done
}
put() { # MODE SOURCE TARGET
  install -D -m "$1" "$2" "$root/$3"
  echo "$3" >>"$new"
}
# With the place of the program in it.
put_unit() {
  sed "s|/usr/local/bin/perilune|$PREFIX/bin/perilune|" "dist/$1" >"$text"
  put 644 "$text" "lib/systemd/system/$1"
}

install_all() {
  new=$(mktemp)
  text=$(mktemp)
  trap 'rm -f "$new" "$text"' EXIT
  put 755 "$1" bin/perilune
  find lua/perilune scripts examples -name '*.lua' | sort >"$text.files"
  while IFS= read -r file; do put 644 "$file" "share/perilune/$file"; done <"$text.files"
  rm -f "$text.files"
  put_unit perilune.service
  put_unit perilune.socket
  put 644 dist/perilune.1 share/man/man1/perilune.1
  put 644 dist/perilune.bash share/bash-completion/completions/perilune
  put 644 dist/perilune.zsh share/zsh/vendor-completions/_perilune
  put 644 dist/perilune.fish share/fish/vendor_completions.d/perilune.fish
  for file in README.md LICENSE docs/*.md; do put 644 "$file" "share/doc/perilune/${file##*/}"; done
  echo "$list" >>"$new"
  [ ! -e "$root/$list" ] || grep -vxF -f "$new" "$root/$list" | remove # of a version before
  install -D -m 644 "$new" "$root/$list"
}

case ${1:-} in
install) install_all "$2" ;;
uninstall)
  [ -e "$root/$list" ] || { echo "perilune: nothing is installed under $root ($list is not there)" >&2; exit 1; }
  names=$(cat "$root/$list")
  echo "$names" | remove
  ;;
*) echo "usage: dist/install.sh install BINARY | uninstall" >&2; exit 2 ;;
esac
