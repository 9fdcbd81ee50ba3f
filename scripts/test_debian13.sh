#!/bin/bash
# Runs a command (by default `make test`) on a copy of this checkout in a Debian 13 root: glibc 2.41, Python 3.13, TFX 1.21.
#
#   scripts/test_debian13.sh [COMMAND ARGUMENT...]
#
# The root is made once and kept in ${XDG_CACHE_HOME:-~/.cache}/tfx-imbalance. Needs to be root, on Debian or a kin.
# Exit status: the command's; 75 when the root cannot be made or entered here, which says nothing about the code.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=ca-certificates,g++,git,make,python3,python3-dev,python3-venv
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tfx-imbalance
root=$cache/debian13
bundle=/etc/ssl/certs/ca-certificates.crt

cannot() {
  echo "test-debian13: cannot run: $1" >&2
  exit 75
}

make_root() {
  # Another list of packages is another root.
  [[ "$(cat "$root/etc/made-of" 2>/dev/null)" == "$packages" ]] && return
  if ! command -v debootstrap >/dev/null; then
    echo "test-debian13: installing debootstrap"
    { apt-get update && apt-get install --yes --no-install-recommends debootstrap; } \
      >"$cache/debootstrap.log" 2>&1 || cannot "debootstrap is missing and apt-get could not install it ($cache/debootstrap.log)"
  fi
  echo "test-debian13: making the Debian 13 root, some minutes, once"
  rm -rf --one-file-system "$root" "$root".partial.*
  partial=$root.partial.$$
  unshare --mount --propagation private debootstrap --variant=minbase --include="$packages" trixie "$partial" >"$cache/debootstrap.log" 2>&1 \
    || cannot "debootstrap failed ($cache/debootstrap.log)"
  echo "$packages" >"$partial/etc/made-of"
  mv "$partial" "$root"
}

[[ $EUID -eq 0 ]] || cannot "a chroot needs root"
[[ "$(uname -s) $(uname -m)" == "Linux x86_64" ]] || cannot "only for Linux on x86-64"
# Mounts are made in a namespace of their own: they end with it, even when this script is killed, and are never seen
# outside, so that removing a folder here cannot reach through one.
unshare --mount --pid --fork true 2>/dev/null || cannot "no permission for mount namespaces (unshare)"

mkdir -p "$cache"
exec 9>"$cache/debian13.lock"
flock 9 || cannot "the lock $cache/debian13.lock cannot be taken"

copy='' partial=''
# shellcheck disable=SC2317  # called by the trap
cleanup() {
  [[ -z "$copy" ]] || rm -rf --one-file-system "$copy"
  [[ -z "$partial" ]] || rm -rf --one-file-system "$partial"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

make_root

# What the network needs here: name servers, and the certificates this machine trusts.
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
[[ ! -r /etc/hosts ]] || cp -L /etc/hosts "$root/etc/hosts"
[[ ! -r $bundle ]] || cp -L "$bundle" "$root$bundle"

# A fresh folder each time, on the root's own file system so that uv can link from its cache there.
mkdir -p "$root/srv/home"
rm -rf --one-file-system "$root"/srv/checkout.*
copy=$(mktemp -d "$root/srv/checkout.XXXXXX")
chmod 755 "$copy"
# Not `git archive`: what is being worked on counts. Files that git lists but that are deleted here are left out.
git ls-files -z --cached --others --exclude-standard \
  | while IFS= read -r -d '' file; do [[ ! -e $file && ! -L $file ]] || printf '%s\0' "$file"; done \
  | tar --null --no-recursion --files-from=- --create --file=- \
  | tar --extract --no-same-owner --file=- --directory="$copy"

environment=(
  HOME=/srv/home
  LANG=C.UTF-8
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  "TERM=${TERM:-dumb}"
  "PIP_CERT=$bundle" "SSL_CERT_FILE=$bundle" "REQUESTS_CA_BUNDLE=$bundle" "CURL_CA_BUNDLE=$bundle"
)
for name in CI {http,https,no,all}_proxy {HTTP,HTTPS,NO,ALL}_PROXY PIP_INDEX_URL PIP_DEFAULT_TIMEOUT UV_DEFAULT_INDEX \
  UV_HTTP_TIMEOUT; do
  [[ -z "${!name:-}" ]] || environment+=("$name=${!name}")
done

[[ $# -gt 0 ]] || set -- make test
echo "test-debian13: $*"
status=0
# Run in the background and waited for: a trap runs at once then, not after the command. Killing unshare, or this
# script, kills all that runs inside; a milder signal unshare holds back.
# shellcheck disable=SC2016  # expanded inside
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private bash -euc '
  root=$1 folder=$2
  shift 2
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  exec chroot "$root" /usr/bin/env -i "${@:2:$1}" /bin/sh -c "cd \"\$0\" && exec \"\$@\"" "$folder" "${@:$1 + 2}"
' - "$root" "/srv/${copy##*/}" "${#environment[@]}" "${environment[@]}" "$@" 9>&- &
child=$!
trap 'kill -KILL "$child" 2>/dev/null; wait "$child" 2>/dev/null || true; exit 130' INT
trap 'kill -KILL "$child" 2>/dev/null; wait "$child" 2>/dev/null || true; exit 143' TERM HUP
wait "$child" || status=$?
exit "$status"
