#!/bin/sh
# cluster.sh ENGINE COMMAND...: what flink.sh and spark.sh do, after a look at what the machine has.
set -eu
engine=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd -P)

die() {
  echo "$engine: $1" >&2
  exit 2
}

[ -x "$root/.venv/bin/python" ] || die "no .venv; make it: make setup"
case ${1:-help} in
  help | -h | --help | stop | status | work | options) ;;
  *)
    java -version >/dev/null 2>&1 || die "no Java on PATH; get 11 or 17: apt-get install openjdk-17-jre-headless"
    mvn -version >/dev/null 2>&1 || "$root/.venv/bin/python" "$root/scripts/${engine}_cluster.py" fetched ||
      die "no Maven on PATH; get it: apt-get install maven"
    ;;
esac
exec "$root/.venv/bin/python" "$root/scripts/${engine}_cluster.py" "$@"
