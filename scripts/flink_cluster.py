"""A Flink cluster of processes on this machine, ready for Beam's portable runner.

One JobManager, several TaskManagers, Beam's job server, and a Beam worker pool from this Python: an
EXTERNAL environment, as a cluster with the workers as sidecars has it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
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

STATE = ROOT / "build" / "flink"
FLINK = Engine("flink", r"[^/]+/deps/lib/((?:flink-dist|log4j)[^/]*\.jar)", "330 MB")
LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
logger.pekko.name = org.apache.pekko
logger.pekko.level = WARN
"""


def start(state: Path, task_managers: int, slots: int, memory_mb: int) -> Cluster:
    """Starts everything and waits until jobs can be sent.

    Args:
      state: folder for configuration and logs; one cluster a folder.
      task_managers: how many.
      slots: of each TaskManager.
      memory_mb: heap of each TaskManager; side inputs lie there, and for each slot up to 1 GB of
        what a step hands on.

    Raises:
      ClusterError: one runs here already, or a process did not come up.
    """
    require_none(state)
    jars = fetch(FLINK)
    shutil.rmtree(state, ignore_errors=True)
    (state / "conf").mkdir(parents=True)
    (state / "logs").mkdir()
    rpc, rest, jobs, artifacts, pool = free_ports(5)
    (state / "conf" / "log4j.properties").write_text(LOG4J, encoding="utf-8")
    config = _flink_config(state, rpc, rest, slots, memory_mb)
    text = "".join(f"{key}: {value}\n" for key, value in config.items())
    (state / "conf" / "config.yaml").write_text(text, encoding="utf-8")
    cluster = Cluster(rest, jobs, pool, {}, slots, memory_mb)
    server = ["--flink-master", f"localhost:{rest}", "--artifacts-dir", str(state / "staged")]
    server += ["--job-port", str(jobs), "--artifact-port", str(artifacts), "--expansion-port", "-1"]
    main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    try:
        conf = ["--configDir", str(state / "conf")]
        spawn(state, cluster, "jobmanager", [*_java(state, jars, 768), main, *conf])
        main = "org.apache.beam.runners.flink.FlinkJobServerDriver"
        spawn(state, cluster, "jobserver", [*_java(state, jars, 512), main, *server])
        spawn(state, cluster, "pool", pool_command(pool))
        for _ in range(task_managers):
            add_task_manager(state, cluster)
        wait_until(
            state,
            cluster,
            lambda: (
                cluster.get("/overview")["taskmanagers"] >= task_managers
                and listens(jobs)
                and listens(pool)
            ),
        )
    except BaseException:
        stop(state)
        raise
    return cluster


def add_task_manager(state: Path, cluster: Cluster) -> str:
    """Starts one more and returns its name; it registers by itself within seconds."""
    name = f"taskmanager-{len(cluster.task_managers) + 1}"
    java = [*_java(state, cache(FLINK), cluster.memory_mb), "-XX:MaxDirectMemorySize=1g"]
    main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    flags = ["--configDir", str(state / "conf"), f"-Dtaskmanager.resource-id={name}"]
    spawn(state, cluster, name, [*java, main, *flags])
    return name


def _flink_config(
    state: Path, rpc: int, rest: int, slots: int, memory_mb: int
) -> dict[str, str | int]:
    return {
        "jobmanager.rpc.address": "localhost",
        "jobmanager.rpc.port": rpc,
        "jobmanager.bind-host": "localhost",
        "rest.address": "localhost",
        "rest.bind-address": "localhost",
        "rest.port": rest,
        "taskmanager.host": "localhost",
        "taskmanager.bind-host": "localhost",
        "taskmanager.numberOfTaskSlots": slots,
        "taskmanager.cpu.cores": slots,
        # Flink's start scripts would work these out; without them all must be told.
        "taskmanager.memory.framework.heap.size": "128m",
        "taskmanager.memory.framework.off-heap.size": "128m",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        "taskmanager.memory.jvm-overhead.min": "192m",
        "taskmanager.memory.jvm-overhead.max": "192m",
        "taskmanager.memory.task.heap.size": f"{memory_mb - 128}m",
        "taskmanager.memory.task.off-heap.size": "64m",
        "taskmanager.memory.managed.size": "192m",
        "taskmanager.memory.network.min": "256m",
        "taskmanager.memory.network.max": "256m",
        # A Beam job has many small exchanges, and each would take 16 MB of that.
        "taskmanager.network.sort-shuffle.min-buffers": 64,
        # Both work even where one had slots enough.
        "cluster.evenly-spread-out-slots": "true",
        # Without checkpoints, which batch jobs have none of, Flink's default is never to try again.
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 3,
        # Longer than it takes to notice that a TaskManager is gone (two heartbeats); else the tries
        # are all spent on it.
        "restart-strategy.fixed-delay.delay": "5 s",
        "heartbeat.interval": 2000,
        "heartbeat.timeout": 30000,
        "io.tmp.dirs": str(state / "tmp"),
        "jobstore.type": "Memory",
    }


def _java(state: Path, jars: Path, heap_mb: int) -> list[str]:
    return [
        *JAVA,
        f"-Xmx{heap_mb}m",
        f"-Dlog4j.configurationFile=file:{state / 'conf' / 'log4j.properties'}",
        # Flink's own first: it holds other versions of what both use.
        "-cp",
        f"{next(jars.glob('flink-dist-*.jar'))}:{jars}/*",
    ]


@dataclasses.dataclass
class Work:
    """What one TaskManager did: subtasks that finished, records that they read and wrote."""

    tasks: int = 0
    read: int = 0
    written: int = 0
    seconds: float = 0.0


def work(cluster: Cluster) -> dict[str, Work]:
    """TaskManager's name -> what it did, from the REST interface's metrics of all jobs."""
    done = {name: Work() for name in cluster.task_managers}
    for job in cluster.get("/jobs")["jobs"]:
        for vertex in cluster.get(f"/jobs/{job['id']}")["vertices"]:
            path = f"/jobs/{job['id']}/vertices/{vertex['id']}/taskmanagers"
            for part in cluster.get(path)["taskmanagers"]:
                name = part["taskmanager-id"]
                found = done.setdefault(name, Work())
                found.tasks += part["status-counts"]["FINISHED"]
                found.read += part["metrics"]["read-records"]
                found.written += part["metrics"]["write-records"]
                found.seconds += max(part["duration"], 0) / 1000
    return done


def say_work(cluster: Cluster) -> bool:
    """Prints what each TaskManager did; whether all did something."""
    jobs = cluster.get("/jobs")["jobs"]
    states = ", ".join(sorted({job["status"].lower() for job in jobs})) or "none"
    print(f"Flink ran {len(jobs)} jobs ({states}):")
    done = work(cluster)
    for name, each in sorted(done.items()):
        print(
            f"  {name:<16}{each.tasks:>6} tasks {each.read:>10,} records read "
            f"{each.written:>10,} written {each.seconds:>8.1f} s"
        )
    return all(each.tasks and each.read + each.written for each in done.values())


def run(state: Path, config: Path, cluster: Cluster) -> int:
    """Runs a pipeline with its Beam nodes on the cluster; its exit code, or 1 for idle workers."""
    import yaml

    with config.open(encoding="utf-8") as file:
        name = yaml.safe_load(file)["name"]
    own = {
        "extends": str(config.resolve()),
        "name": f"{name}-flink",
        "output": {"runs_dir": str(state / "runs")},  # empty, so that nothing comes from a cache
        "beam": {"default": cluster.options()},
    }
    path = state / "config.yaml"
    path.write_text(yaml.safe_dump(own), encoding="utf-8")
    done = subprocess.run([str(Path(sys.executable).parent / "tfx-imbalance"), "run", str(path)])
    return 0 if say_work(cluster) and not done.returncode else done.returncode or 1


@contextlib.contextmanager
def _stopped_at_the_end(state: Path) -> Iterator[None]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        stop(state)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/flink.sh", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state", type=Path, default=STATE, help="folder of its files and logs")
    size = argparse.ArgumentParser(add_help=False)
    size.add_argument("--task-managers", type=int, default=2)
    size.add_argument("--slots", type=int, default=1, help="of each TaskManager")
    size.add_argument("--memory", type=int, default=2048, help="MB, heap of each TaskManager")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add(name: str, words: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[common, *parents], help=words)

    add("help", "this text")
    add("fetch", "download what it needs, unless it is there")
    add("fetched", "exit 0 if nothing has to be downloaded")
    add("lock", "write requirements/flink.sha256 anew")
    add("start", "start a cluster", size)
    add("add", "start one more TaskManager")
    add("options", "Beam options for it, one a line")
    add("status", "its ports and processes, as JSON")
    add("work", "what each TaskManager has done; exit 1 if one did nothing")
    add("stop", "stop it")
    runs = add("run", "start a cluster, run a config's pipeline on it, stop it", size)
    runs.add_argument("config", type=Path)
    return parser


def _act(args: argparse.Namespace) -> int:
    state = args.state.resolve()
    if args.command == "fetch":
        fetch(FLINK)
    elif args.command == "fetched":
        return 0 if cache(FLINK).is_dir() else 1
    elif args.command == "lock":
        lock(FLINK)
    elif args.command == "stop":
        stop(state)
    elif args.command == "start":
        cluster = start(state, args.task_managers, args.slots, args.memory)
        print(f"flink: {len(cluster.task_managers)} TaskManagers, REST on port {cluster.rest}")
    elif args.command == "run":
        with _stopped_at_the_end(state):
            cluster = start(state, args.task_managers, args.slots, args.memory)
            return run(state, args.config, cluster)
    else:
        running = load(state)
        if running is None:
            raise ClusterError("no cluster runs; start one: scripts/flink.sh start")
        if args.command == "add":
            add_task_manager(state, running)
        elif args.command == "options":
            print(*running.options(), sep="\n")
        elif args.command == "status":
            print((state / "cluster.json").read_text("utf-8"))
        else:
            return 0 if say_work(running) else 1
    return 0


if __name__ == "__main__":
    sys.exit(call("flink", _parser(), _act))
