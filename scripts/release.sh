#!/bin/sh
# Makes dist/mxfp4-VERSION-x86_64-linux.tar.zst of what git holds and the program, and prints its path. Unpacked, it is a
# workspace. The same commit and compiler make the same bytes.
set -eu
cd "$(dirname -- "$0")/.."

cargo build --release --locked --quiet
version=$(cargo pkgid -p mxfp4)
name=mxfp4-${version##*[@#]}-x86_64-linux
mkdir -p dist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive --prefix="$name/" HEAD | tar -x -C "$work"
mkdir -p "$work/$name/target/release"
# Where the scripts look for it; the link is for people.
cp target/release/mxfp4 "$work/$name/target/release/mxfp4"
ln -s target/release/mxfp4 "$work/$name/mxfp4"
tar --sort=name --owner=0 --group=0 --numeric-owner --mode=go=u,go-w --mtime="@$(git log -1 --format=%ct)" \
    -C "$work" -c "$name" | zstd -q -19 -f -o "dist/$name.tar.zst"
echo "$PWD/dist/$name.tar.zst"
