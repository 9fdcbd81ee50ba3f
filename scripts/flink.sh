#!/bin/sh
# A Flink cluster on this machine for Beam's portable runner; `scripts/flink.sh help` lists what it does.
#
# Exit status: 0 done; 1 it failed, or not every TaskManager worked; 2 the machine lacks something.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)

die() {
  echo "flink: $1" >&2
  exit 2
}

[ -x "$root/.venv/bin/python" ] || die "no .venv; make it: make setup"
case ${1:-help} in
  help | -h | --help | stop | status | work | options) ;;
  *)
    java -version >/dev/null 2>&1 || die "no Java on PATH; get 11 or 17: apt-get install openjdk-17-jre-headless"
    mvn -version >/dev/null 2>&1 || "$root/.venv/bin/python" "$root/scripts/flink_cluster.py" fetched ||
      die "no Maven on PATH; get it: apt-get install maven"
    ;;
esac
exec "$root/.venv/bin/python" "$root/scripts/flink_cluster.py" "$@"
