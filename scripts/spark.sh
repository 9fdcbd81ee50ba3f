#!/bin/sh
# A Spark cluster on this machine for Beam's portable runner; `scripts/spark.sh help` lists what it does.
#
# Exit status: 0 done; 1 it failed; 2 the machine lacks something.
exec "$(dirname "$0")/cluster.sh" spark "$@"
