#!/bin/sh
# Builds the kernel packages and prints their paths: `mxfp4 build`.
root=$(dirname -- "$0")/..
binary=$root/target/release/mxfp4
[ -x "$binary" ] || binary=mxfp4
exec "$binary" --root "$root" build "$@"
