#!/bin/sh
# Puts the benchmarks' peers that are not in the lock into build/peers, or does nothing when they are there already.
#
# They go into a folder of their own: tfx-addons 0.6.0 asks for a TFX of 2022, so its dependencies stay out.
set -eu
cd "$(dirname "$0")/.."

target=build/peers
list=requirements/peers.txt
stamp=$target/peers.txt
if cmp -s "$list" "$stamp"; then exit 0; fi

new=$target.$$
log=build/peers.log
trap 'rm -rf "$new"' EXIT
mkdir -p build
if ! .venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check \
  --no-deps --require-hashes -r "$list" --target "$new" >"$log" 2>&1; then
  if grep -qiE 'resolve host|name resolution|connection|network is unreachable|max retries|no matching distribution' "$log"; then
    echo "peers: the Python package index could not be reached; check the network (details: $log)" >&2
  else
    echo "peers: installing $list failed; the reason is at the end of $log" >&2
  fi
  exit 1
fi
cp "$list" "$new/peers.txt"
rm -rf "$target"
mv "$new" "$target"
