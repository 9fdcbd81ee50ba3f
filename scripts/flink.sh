#!/bin/sh
# A Flink cluster on this machine for Beam's portable runner; `scripts/flink.sh help` lists what it does.
#
# Exit status: 0 done; 1 it failed, or not every TaskManager worked; 2 the machine lacks something.
exec "$(dirname "$0")/cluster.sh" flink "$@"
