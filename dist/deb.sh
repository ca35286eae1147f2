#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian package of a program that is built:  dist/deb.sh BINARY FOLDER
# It prints the name of the package. What it depends on is what the program is linked with here, so it is for this release
# of Debian. Wants dpkg-dev.
set -eu
binary=$1 folder=$2
version=$(sed -n 's/.*PERILUNE_VERSION "\(.*\)".*/\1/p' core/base/version.h)
architecture=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/stage
umask 022

PREFIX=/usr DESTDIR=$stage dist/install.sh install "$binary"
rm -f "$stage/usr/share/perilune/installed" "$stage/usr/share/doc/perilune/LICENSE"
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$stage/usr/bin/perilune"
gzip -9n "$stage/usr/share/man/man1/perilune.1"
put() { install -D -m "$1" "$2" "$stage/$3"; }
put 644 dist/debian/policy.lua etc/perilune/policy.lua
put 644 dist/debian/logrotate etc/logrotate.d/perilune
put 644 dist/debian/sysusers.conf usr/lib/sysusers.d/perilune.conf
put 644 dist/debian/copyright usr/share/doc/perilune/copyright

# The time of the last commit, so that one state of the sources gives one package.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || date +%s)}"
export SOURCE_DATE_EPOCH
printf 'perilune (%s) unstable; urgency=medium\n\n  * See the history of the sources.\n\n -- %s  %s\n' "$version" \
  'The Perilune authors <maintainers@perilune.example>' "$(date -uRd "@$SOURCE_DATE_EPOCH")" >"$work/changelog"
gzip -9n "$work/changelog"
put 644 "$work/changelog.gz" usr/share/doc/perilune/changelog.gz

mkdir -p "$work/debian" "$stage/DEBIAN"
printf 'Source: perilune\n\nPackage: perilune\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O stage/usr/bin/perilune 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
cat >"$stage/DEBIAN/control" <<EOF
Package: perilune
Version: $version
Architecture: $architecture
Maintainer: The Perilune authors <maintainers@perilune.example>
Installed-Size: $(du -ks --exclude=DEBIAN "$stage" | cut -f1)
Depends: $depends, systemd | systemd-standalone-sysusers | systemd-sysusers
Recommends: ca-certificates, logrotate
Suggests: lua-busted
Section: httpd
Priority: optional
Description: programmable HTTP proxy whose configuration is a Lua script
 Perilune listens, decides by a script, and forwards: where a request goes, what
 is answered, changed, limited, cached and logged. Clients and peers speak
 HTTP/1.1 and HTTP/2, with TLS; a new policy is put in force without a lost
 request.
EOF
printf '/etc/perilune/policy.lua\n/etc/logrotate.d/perilune\n' >"$stage/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 755 "dist/debian/$script" "$stage/DEBIAN/$script"; done
(cd "$stage" && find . -path ./DEBIAN -prune -o -type f -print | sed 's|^\./||' | sort | grep -v '^etc/' | xargs md5sum) \
  >"$stage/DEBIAN/md5sums"
chmod 644 "$stage/DEBIAN/md5sums" "$stage/DEBIAN/conffiles" "$stage/DEBIAN/control"
mkdir -p "$folder"
package=$folder/perilune_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$stage" "$package" >/dev/null
echo "$package"
