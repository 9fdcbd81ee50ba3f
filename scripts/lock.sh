#!/bin/sh
# Resolves requirements/*.in and pyproject.toml anew into the locks: name==version and hashes, nothing else.
set -eu
cd "$(dirname "$0")/.."

# What one machine has set (a mirror, a folder of wheels) must not decide or appear in what everyone installs.
unset PIP_FIND_LINKS UV_FIND_LINKS PIP_EXTRA_INDEX_URL UV_EXTRA_INDEX_URL UV_INDEX

uv=.venv/bin/uv
tmp=$(mktemp -d "${TMPDIR:-/tmp}/lock.XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM
if ! [ -x "$uv" ]; then # a lock that cannot be installed must still be replaceable
  python3 -m venv "$tmp/venv"
  "$tmp/venv/bin/python" -m pip install -q --require-hashes -r requirements/uv.txt
  uv=$tmp/venv/bin/uv
fi

compile() { # compile LOCK SOURCES-AND-OPTIONS...
  lock=$1
  shift
  echo "lock: $lock"
  "$uv" pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --output-file "$tmp/lock.txt" "$@"
  mv "$tmp/lock.txt" "$lock"
}

compile requirements/uv.txt requirements/uv.in --universal --python-version 3.10
compile requirements/tfx-1.16.txt requirements/tfx-1.16.in pyproject.toml --all-extras \
  --python-version 3.10 --python-platform x86_64-manylinux_2_28
compile requirements/tfx-1.21.txt requirements/tfx-1.21.in pyproject.toml --all-extras \
  --universal --python-version 3.10

# The image's: what is tested, with the extras that a cluster needs.
image() { # image VARIANT SOURCES...
  variant=$1
  shift
  compile "requirements/image-$variant.txt" requirements/tfx-1.21.in pyproject.toml "$@" --extra kubeflow --extra s3 \
    --constraints requirements/tfx-1.21.txt --python-version 3.13 --python-platform x86_64-manylinux_2_39
}
image cpu
image gpu requirements/image-gpu.in
compile requirements/hadolint.txt requirements/hadolint.in --universal --python-version 3.10

if grep -nE '://|^ *-(i|f|-[a-z-]*(index|find-links))' requirements/*.txt; then
  echo "lock: the lines above carry addresses; a lock must hold names, versions and hashes only" >&2
  exit 1
fi
