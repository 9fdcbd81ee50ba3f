#!/bin/sh
# Makes .venv from the locks in requirements/, or does nothing (in milliseconds) when it stands already.
#
#   PYTHON=/path/to/python3.12   use this interpreter and no other
#   TFX_STACK=1.16|1.21          use this stack instead of the newest that the machine can run
#
# Exit status: 0 ready; 1 the build failed (the old .venv, if any, is left as it was); 2 the machine lacks something.
#
# The environment is built in .venvs/ and .venv is a link to it, set when all is done: so .venv is whole or not there.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd -P)
if [ -n "${PYTHON:-}" ]; then # a name, a shim or another environment's: what it really is
  PYTHON=$("$PYTHON" -I -c 'import sys; print(sys._base_executable)' 2>/dev/null || echo "$PYTHON")
fi

die() { # die STATUS MESSAGE
  echo "setup: $2" >&2
  exit "$1"
}

checksum() {
  cat "$@" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -c 1-64
}

host="$(uname -s) $(uname -m) $(getconf GNU_LIBC_VERSION 2>/dev/null || true)"

# What decides whether .venv can stay: line 1 asks for a new one when it changes, line 2 for a new install of this project.
stamp_text() { # stamp_text STACK PYTHON
  echo "$1 $2 | $host | $here | $(checksum "requirements/tfx-$1.txt" requirements/uv.txt scripts/setup.sh)"
  checksum pyproject.toml setup.py
}

# Sets $state to current, stale-project or stale.
check() {
  state=stale
  [ -L .venv ] && [ -x .venv/bin/python ] && [ -r .venv/stamp ] || return 0
  { read -r stack python rest && read -r project; } <.venv/stamp || return 0
  [ -x "$python" ] && [ -r "requirements/tfx-$stack.txt" ] || return 0
  [ "${TFX_STACK:-$stack}" = "$stack" ] && [ "${PYTHON:-$python}" = "$python" ] || return 0
  now=$(stamp_text "$stack" "$python")
  if [ "$now" = "$stack $python $rest
$project" ]; then
    state=current
  elif [ "${now%
*}" = "$stack $python $rest" ]; then
    state=stale-project
  fi
}

check
[ "$state" != current ] || exit 0

glibc_at_least() { # glibc_at_least MINOR, of glibc 2
  case $host in
    *" glibc 2."*) [ "$(echo "${host##* glibc 2.}" | sed 's/[^0-9].*//')" -ge "$1" ] ;;
    *) false ;;
  esac
}

pick_stack() {
  case $host in
    "Linux x86_64 glibc"*) if glibc_at_least 39; then stack=1.21; else stack=1.16; fi ;;
    "Darwin arm64"*) stack=1.21 ;;
    *) die 2 "TFX has no packages for this platform (${host% }); it needs Linux on x86-64 with glibc, or macOS on arm64" ;;
  esac
  stack=${TFX_STACK:-$stack}
  case $stack in
    # 3.13 first: it is Debian 13's own, so the one that `make test-debian13` runs; then downwards, newest first.
    1.21) versions="3.13 3.12 3.11 3.10" ;;
    1.16) versions="3.10" ;;
    *) die 2 "TFX_STACK is '$stack'; it can be 1.16 or 1.21" ;;
  esac
  if [ "$stack" = 1.21 ] && [ "${host%% *}" = Linux ] && ! glibc_at_least 39; then
    die 2 "TFX 1.21 needs glibc 2.39 or newer, this machine has ${host##* }; leave TFX_STACK out"
  fi
}

# Each is executed: a pyenv shim stands on PATH for versions that it then refuses to run.
# Prints VERSION:LACKS:PATH; the path is the interpreter's own, not a shim's or another environment's.
probe='
import importlib.util as u, os, platform, sys, sysconfig
version = "%d.%d" % sys.version_info[:2]
if platform.python_implementation() != "CPython" or sys.maxsize < 2**32: version = "other"
lacks = ""
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")): lacks = "headers"
if not (u.find_spec("venv") and u.find_spec("ensurepip")): lacks = "venv"
print(version, lacks, sys._base_executable, sep=":")
'

candidates() { # candidates VERSION: one path a line
  version=$1
  (
    IFS=:
    for folder in $PATH; do
      for name in "python$version" python3 python; do
        if [ -x "${folder:-.}/$name" ]; then echo "${folder:-.}/$name"; fi
      done
    done
  )
  for root in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv"; do
    for path in "$root/versions/$version".*/bin/"python$version"; do
      if [ -x "$path" ]; then echo "$path"; fi
    done
  done
}

# Sets $python, or $without_venv or $without_headers to the first that was found instead.
find_python() {
  python='' without_venv='' without_headers=''
  for version in $versions; do
    while IFS= read -r path; do
      found=$("$path" -I -c "$probe" 2>/dev/null </dev/null) || continue
      path=${found#*:*:}
      case $found in
        "$version:headers:"*)
          if [ "$stack" = 1.16 ]; then python=$path && return; fi # nothing to compile there
          without_headers=${without_headers:-$path}
          ;;
        "$version:venv:"*) without_venv=${without_venv:-$path} ;;
        "$version::"*) python=$path && return ;;
      esac
    done <<EOF
${PYTHON:-$(candidates "$version")}
EOF
  done
}

if [ "$(uname -s)" = Darwin ]; then
  get_python='brew install python@3.13, or pyenv install 3.13'
  get_compiler='xcode-select --install'
else
  get_python='apt-get install python3 python3-venv python3-dev g++, or pyenv install 3.13'
  get_compiler='apt-get install g++ python3-dev'
fi

explain_no_python() {
  if [ -n "$without_headers" ]; then
    die 2 "$without_headers lacks its C headers, and TFX 1.21 compiles one dependency (pyfarmhash); get them: $get_compiler"
  elif [ -n "$without_venv" ]; then
    die 2 "$without_venv cannot make virtual environments (no ensurepip); get that: apt-get install python3-venv"
  elif [ "$stack" = 1.16 ]; then
    wanted='Python 3.10' get_python='pyenv install 3.10'
  else
    wanted='Python 3.10, 3.11, 3.12 or 3.13'
  fi
  if [ -n "${PYTHON:-}" ]; then
    die 2 "TFX $stack needs $wanted, and PYTHON=$PYTHON is not that"
  fi
  die 2 "TFX $stack needs $wanted, and none was found on PATH or in pyenv; get one: $get_python"
}

log=.venvs/setup.log

# One build at a time; the second waits and then finds the work done. A lock whose owner has died is taken over.
lock() {
  mkdir -p .venvs 2>/dev/null || true
  [ -w .venvs ] || die 1 "$here cannot be written to"
  until ln -s $$ .venvs/lock 2>/dev/null; do
    owner=$(readlink .venvs/lock 2>/dev/null) || continue
    if kill -0 "$owner" 2>/dev/null; then sleep 1; else rm -f .venvs/lock; fi
  done
  trap 'rm -rf "${new:-}"; rm -f .venvs/lock' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

step() { # step WHAT COMMAND...
  what=$1
  shift
  echo "+ $*" >>"$log"
  if "$@" >>"$log" 2>&1; then return; fi
  if tail -n 40 "$log" | grep -qiE 'resolve host|name resolution|dns error|connection (refused|error|timed? ?out)|network is unreachable|max retries|failed to connect|error sending request|no matching distribution found for uv'; then
    die 1 "$what failed: the Python package index could not be reached; check the network (details: $log)"
  fi
  die 1 "$what failed; the reason is at the end of $log"
}

install_project() { # install_project ENVIRONMENT
  step 'installing tfx-imbalance' "$1/bin/uv" pip install --no-config --python "$1/bin/python" \
    --no-deps --no-build-isolation --reinstall --editable .
}

# Environments that .venv does not lead to: the one before, and those of builds that were killed.
remove_others() {
  current=$(readlink .venv || true)
  for old in .venvs/tfx-*; do
    if [ "$old" != "$current" ]; then rm -rf "$old"; fi
  done
}

build() {
  remove_others
  new=.venvs/tfx-$stack-$$
  : >"$log"
  step 'making the virtual environment' "$python" -I -m venv "$new"
  step 'installing uv' "$new/bin/python" -m pip install --require-hashes --no-deps -r requirements/uv.txt
  # The lock bounds what source distributions are built with, too: a new setuptools must not break an old lock.
  step 'installing the dependencies' "$new/bin/uv" pip install --python "$new/bin/python" \
    --require-hashes --no-deps --build-constraints "requirements/tfx-$stack.txt" -r "requirements/tfx-$stack.txt"
  install_project "$new"
  stamp_text "$stack" "$python" >"$new/stamp"
  "$new/bin/python" -c 'import os, sys; os.symlink(sys.argv[1], ".venvs/link"); os.replace(".venvs/link", ".venv")' "$new"
  new=''
  remove_others
}

if [ -e .venv ] && ! [ -L .venv ]; then
  die 2 "there is a .venv here that this script did not make; remove it or move it away"
fi

lock
rm -f .venvs/link
check # another call may have built it while this one waited
case $state in
  current) exit 0 ;;
  stale-project)
    : >"$log"
    install_project .venv
    stamp_text "$stack" "$python" >.venv/stamp
    exit 0
    ;;
esac

pick_stack
find_python
[ -n "$python" ] || explain_no_python
if [ "$stack" = 1.21 ] && ! command -v "${CXX:-g++}" >/dev/null && ! command -v c++ >/dev/null; then
  die 2 "no C++ compiler, and TFX 1.21 compiles one dependency (pyfarmhash); get one: $get_compiler"
fi

# uv and pip each read their own names for the same wishes.
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
if [ -n "${PIP_CERT:-}" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"; fi
if [ -n "${PIP_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"; fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 UV_NO_PROGRESS=1 UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-120}"

echo "setup: making .venv with TFX $stack on $("$python" -V 2>&1), about a minute; a first download takes longer"
started=$(date +%s)
build
echo "setup: .venv is ready ($(($(date +%s) - started)) s)"
