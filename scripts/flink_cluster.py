"""A Flink cluster of processes on this machine, ready for Beam's portable runner.

One JobManager, several TaskManagers, Beam's job server, and a Beam worker pool from this Python: an
EXTERNAL environment, as a cluster with the workers as sidecars has it. Flink comes from PyPI
(requirements/flink.txt), Beam's Flink runner from Maven Central (requirements/flink.pom.xml), both
checked against requirements/flink.sha256 and kept in ${XDG_CACHE_HOME:-~/.cache}/tfx-imbalance.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / "build" / "flink"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy-dependencies"
START_SECONDS = 120
STOP_SECONDS = 15
POOL = "tfx_imbalance.pipeline.runners.beam_workers"

# What a JVM from 16 on must be told that Flink and Beam reflect upon.
OPENS = (
    "lang lang.reflect net io nio text time util util.concurrent util.concurrent.atomic "
    "util.concurrent.locks"
)
JAVA = (
    "java",
    *(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in OPENS.split()),
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    "-XX:+IgnoreUnrecognizedVMOptions",
)
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


class ClusterError(Exception):
    """The cluster cannot be had; the message says why, in one line."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """What is fetched for an engine.

    Attributes:
      name: of the files in requirements/ and of the folder in the cache.
      jars: matches the path of each jar that is wanted in the archive from PyPI; group 1: its name.
      size: of the downloads.
    """

    name: str
    jars: str
    size: str

    @property
    def pins(self) -> Path:
        """The package from PyPI."""
        return ROOT / "requirements" / f"{self.name}.txt"

    @property
    def pom(self) -> Path:
        """Beam's runner, for Maven."""
        return ROOT / "requirements" / f"{self.name}.pom.xml"

    @property
    def sums(self) -> Path:
        """Checksums of all jars."""
        return ROOT / "requirements" / f"{self.name}.sha256"


FLINK = Engine("flink", r"[^/]+/deps/lib/((?:flink-dist|log4j)[^/]*\.jar)", "330 MB")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
      rest: port of Flink's REST interface.
      jobs: port of Beam's job server.
      pool: port of Beam's worker pool.
      pids: process name -> process id.
      slots: of each TaskManager.
      memory_mb: heap of each TaskManager.
    """

    rest: int
    jobs: int
    pool: int
    pids: dict[str, int]
    slots: int
    memory_mb: int

    @property
    def task_managers(self) -> list[str]:
        """Their names."""
        return sorted(name for name in self.pids if name.startswith("taskmanager"))

    def options(self, parallelism: int | None = None) -> list[str]:
        """Beam's options for pipelines that are to run here."""
        return [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{self.jobs}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{self.pool}",
            f"--parallelism={parallelism or self.slots * len(self.task_managers)}",
            # The workers are this environment; without this, TFX packs a copy of itself for them.
            "--sdk_container_image=unused",
            # Workers outlive the step; without this, each of its steps starts its own.
            "--environment_cache_millis=30000",
            "--max_cache_memory_usage_mb=512",
        ]

    def get(self, path: str) -> Any:
        """What Flink's REST interface answers."""
        url = f"http://localhost:{self.rest}{path}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)


def cache(engine: Engine = FLINK) -> Path:
    """The folder of jars for these very pins; it is whole or not there."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    files = (engine.pins, engine.pom, engine.sums)
    pins = b"".join(path.read_bytes() for path in files if path.exists())
    # The engine has all jars on its own class path. Beam's job server would send it those that it
    # finds on its own with each job, and no option stops it: but not those with this in their path.
    folder = Path(hashlib.sha256(pins).hexdigest()[:16]) / "gradle" / "wrapper"
    return Path(base) / "tfx-imbalance" / engine.name / folder


def fetch(engine: Engine = FLINK) -> Path:
    """Downloads the jars, or finds them in the cache.

    Raises:
      ClusterError: a registry cannot be reached, or a jar is not the one that is pinned.
    """
    target = cache(engine)
    if target.is_dir():
        return target
    print(f"{engine.name}: fetching it and Beam's runner for it, {engine.size}, once", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        jars = _download(engine, Path(work))
        _verify(engine, jars)
        with contextlib.suppress(OSError):  # another call was faster
            jars.rename(target)
    return target


def _download(engine: Engine, work: Path) -> Path:
    jars = work / "jars"
    jars.mkdir()
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    pins = ["--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", str(engine.pins)]
    _step("the Python package index", [*pip, *pins, "--dest", str(work)])
    [archive] = work.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        for member in tar:
            if found := re.fullmatch(engine.jars, member.name):
                source = tar.extractfile(member)
                assert source is not None
                with source, (jars / found[1]).open("wb") as file:
                    shutil.copyfileobj(source, file)
    options = ["-B", "-q", "-f", str(engine.pom), COPY, "-DincludeScope=runtime"]
    _step("Maven", ["mvn", *options, f"-DoutputDirectory={jars}"])
    return jars


def _step(what: str, command: Sequence[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        words = [line for line in done.stdout.splitlines() if "ERROR" in line] or [done.stdout]
        raise ClusterError(f"download by {what} failed: {words[0].strip()[:500]}")


def _verify(engine: Engine, jars: Path) -> None:
    lines = engine.sums.read_text("utf-8").splitlines()
    wanted = {name: digest for digest, name in map(str.split, lines)}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in jars.iterdir()}
    if wrong := sorted(set(wanted.items()) ^ set(found.items())):
        raise ClusterError(
            f"{wrong[0][0]} is not what requirements/{engine.sums.name} has; after the pins have "
            f"changed, `scripts/{engine.name}.sh lock` writes that file anew"
        )


def lock(engine: Engine = FLINK) -> None:
    """Writes the checksums of what the pins bring now."""
    with tempfile.TemporaryDirectory() as work:
        lines = (
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
            for path in sorted(_download(engine, Path(work)).iterdir())
        )
        engine.sums.write_text("".join(lines), encoding="utf-8")


def load(state: Path) -> Cluster | None:
    """The cluster of a state folder; None where none was started."""
    try:
        return Cluster(**json.loads((state / "cluster.json").read_text("utf-8")))
    except FileNotFoundError:
        return None


def require_none(state: Path) -> None:
    """Raises ClusterError if a cluster of this folder runs."""
    if (running := load(state)) and any(_alive(pid, state) for pid in running.pids.values()):
        raise ClusterError(f"a cluster runs already for {state}; stop it first")


def require_all_alive(state: Path, cluster: Cluster) -> None:
    """Raises ClusterError if a process has ended."""
    for name, pid in cluster.pids.items():
        if not _alive(pid, state):
            log = state / "logs" / f"{name}.log"
            raise ClusterError(f"the {name} ended as it was starting; the reason is in {log}")


def _save(state: Path, cluster: Cluster) -> None:
    partial = state / "cluster.json.partial"
    partial.write_text(json.dumps(dataclasses.asdict(cluster), indent=1), encoding="utf-8")
    partial.replace(state / "cluster.json")


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
    jars = fetch()
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
        _wait_until_ready(state, cluster, task_managers)
    except BaseException:
        stop(state)
        raise
    return cluster


def add_task_manager(state: Path, cluster: Cluster) -> str:
    """Starts one more and returns its name; it registers by itself within seconds."""
    name = f"taskmanager-{len(cluster.task_managers) + 1}"
    java = [*_java(state, cache(), cluster.memory_mb), "-XX:MaxDirectMemorySize=1g"]
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


def pool_command(port: int) -> list[str]:
    """Starts Beam's worker pool."""
    return [sys.executable, "-W", "ignore", "-m", POOL, str(port)]


def spawn(state: Path, cluster: Cluster, name: str, command: list[str]) -> None:
    """Starts a process of the cluster, with a log and a process group of its own."""
    (state / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "TFX_IMBALANCE_FLINK": str(state)}
    with (state / "logs" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=state,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    cluster.pids[name] = process.pid
    _save(state, cluster)


def _wait_until_ready(state: Path, cluster: Cluster, task_managers: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        require_all_alive(state, cluster)
        with contextlib.suppress(OSError):
            found = cluster.get("/overview")["taskmanagers"]
            if found >= task_managers and listens(cluster.jobs) and listens(cluster.pool):
                return
        time.sleep(0.3)
    raise ClusterError(f"not ready after {START_SECONDS} s; the logs are in {state / 'logs'}")


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def listens(port: int) -> bool:
    """Whether something takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
        return True
    return False


def _alive(pid: int, state: Path) -> bool:
    """Whether the process is there and is of this cluster, not one that got a freed number."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    environment = Path(f"/proc/{pid}/environ")
    if environment.parent.parent.joinpath("self").exists():
        with contextlib.suppress(OSError):
            return f"TFX_IMBALANCE_FLINK={state}".encode() in environment.read_bytes().split(b"\0")
        return False
    with contextlib.suppress(OSError):  # no /proc, as on macOS
        return os.getpgid(pid) == pid
    return False


def kill(state: Path, cluster: Cluster, name: str) -> None:
    """Ends one process at once, as a crash does."""
    if _alive(cluster.pids[name], state):
        os.kill(cluster.pids[name], signal.SIGKILL)


def stop(state: Path) -> None:
    """Ends all processes of the cluster, those that refuse by force."""
    cluster = load(state)
    if cluster is None:
        return
    groups = [pid for pid in cluster.pids.values() if _alive(pid, state)]
    deadline = time.monotonic() + STOP_SECONDS
    for sent in (signal.SIGTERM, signal.SIGKILL):
        for pid in groups:
            with contextlib.suppress(OSError):
                os.killpg(pid, sent)  # the pool's workers are of its group
        while time.monotonic() < deadline and any(_alive(pid, state) for pid in groups):
            time.sleep(0.1)
    (state / "cluster.json").unlink(missing_ok=True)


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
        fetch()
    elif args.command == "fetched":
        return 0 if cache().is_dir() else 1
    elif args.command == "lock":
        lock()
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


def main() -> int:
    """The command line; messages are one line."""
    parser = _parser()
    args = parser.parse_args()
    if args.command in (None, "help"):
        parser.print_help()
        return 0
    try:
        return _act(args)
    except ClusterError as error:
        print(f"flink: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
