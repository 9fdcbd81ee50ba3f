"""A Spark cluster of processes on this machine, ready for Beam's portable runner.

One master, two workers, Beam's job server, and the Python workers of beam_workers.py, as
flink_cluster.py has them for Flink. Spark comes from PyPI (requirements/spark.txt), Beam's Spark
runner from Maven Central (requirements/spark.pom.xml).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from cluster import (
    JAVA,
    ROOT,
    Cluster,
    ClusterError,
    Engine,
    cache,
    call,
    fetch,
    free_ports,
    listens,
    load,
    lock,
    pool_command,
    require_none,
    spawn,
    stop,
    wait_until,
)

# Beam's libraries want a newer Guava; what Spark itself does with it is the same in both.
SPARK = Engine("spark", r"[^/]+/deps/jars/((?!guava-)[^/]*\.jar)", "420 MB")
STATE = ROOT / "build" / "spark"
WORKERS = 2
SPARK_JAVA = (
    *JAVA,
    "--add-opens=java.base/java.lang.invoke=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.cs=ALL-UNNAMED",
    "--add-opens=java.base/sun.security.action=ALL-UNNAMED",
    "--add-opens=java.base/sun.util.calendar=ALL-UNNAMED",
)


def options(cluster: Cluster) -> list[str]:
    """Beam's options for pipelines that are to run here."""
    return [each for each in cluster.options() if not each.startswith("--parallelism")]


def start(state: Path, memory_mb: int) -> Cluster:
    """Starts everything and waits until jobs can be sent.

    Args:
      state: folder for logs; one cluster a folder.
      memory_mb: heap of each worker's executor.

    Raises:
      ClusterError: one runs here already, or a process did not come up.
    """
    require_none(state)
    jars = fetch(SPARK)
    shutil.rmtree(state, ignore_errors=True)
    (state / "logs").mkdir(parents=True)
    master, page, jobs, artifacts, pool = free_ports(5)
    # Executors take their class path from a Spark home. The path stops jars from being sent.
    home = state / "gradle" / "wrapper"
    home.mkdir(parents=True)
    (home / "jars").symlink_to(jars)
    os.environ.update(
        SPARK_HOME=str(home),
        SPARK_SCALA_VERSION="2.12",
        SPARK_LOCAL_IP="127.0.0.1",
        SPARK_LOCAL_HOSTNAME="localhost",
    )
    cluster = Cluster(page, jobs, pool, {}, 1, memory_mb)
    url = f"spark://localhost:{master}"
    java = [*SPARK_JAVA, "-Xmx768m", "-cp", f"{jars}/*"]
    spark = "org.apache.spark.deploy"
    try:
        where = ["--host", "localhost", "--port", str(master), "--webui-port", str(page)]
        spawn(state, cluster, "master", [*java, f"{spark}.master.Master", *where])
        spawn(state, cluster, "pool", pool_command(pool))
        wait_until(state, cluster, lambda: listens(master))
        for i in range(1, WORKERS + 1):
            size = ["--host", "localhost", "--cores", "1", "--memory", f"{memory_mb + 512}M"]
            size += ["--webui-port", "0", "--work-dir", str(state / "work"), url]
            spawn(state, cluster, f"worker-{i}", [*java, f"{spark}.worker.Worker", *size])
        server = ["--spark-master-url", url, "--artifacts-dir", str(state / "staged")]
        server += ["--job-port", str(jobs), "--artifact-port", str(artifacts)]
        main = "org.apache.beam.runners.spark.SparkJobServerDriver"
        memory = f"-Dspark.executor.memory={memory_mb}m"
        command = [*java[:-2], memory, *java[-2:], main, *server, "--expansion-port", "-1"]
        spawn(state, cluster, "jobserver", command)
        wait_until(
            state,
            cluster,
            lambda: (
                listens(jobs) and listens(pool) and cluster.get("/json/")["aliveworkers"] >= WORKERS
            ),
        )
    except BaseException:
        stop(state)
        raise
    return cluster


def _act(args: argparse.Namespace) -> int:
    state = args.state.resolve()
    if args.command == "fetch":
        fetch(SPARK)
    elif args.command == "fetched":
        return 0 if cache(SPARK).is_dir() else 1
    elif args.command == "lock":
        lock(SPARK)
    elif args.command == "stop":
        stop(state)
    elif args.command == "start":
        start(state, args.memory)
        print(f"spark: {WORKERS} workers")
    else:
        running = load(state)
        if running is None:
            raise ClusterError("no cluster runs; start one: scripts/spark.sh start")
        print(*options(running), sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/spark.sh", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, words in {
        "help": "this text",
        "fetch": "download what it needs, unless it is there",
        "fetched": "exit 0 if nothing has to be downloaded",
        "lock": "write requirements/spark.sha256 anew",
        "start": "start a cluster",
        "options": "Beam options for it, one a line",
        "stop": "stop it",
    }.items():
        command = commands.add_parser(name, help=words)
        command.add_argument("--state", type=Path, default=STATE, help="folder of files and logs")
        command.add_argument("--memory", type=int, default=1024, help="MB, of each executor")
    return parser


if __name__ == "__main__":
    sys.exit(call("spark", _parser(), _act))
