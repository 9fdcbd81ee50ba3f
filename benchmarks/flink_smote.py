"""Rebalancer's SMOTE on Flink with one slot and with two, and what the cores did meanwhile.

Rows of 30 floats, 1 % minority, in 8 gzipped TFRecord files, balanced 1:1. The cluster is
scripts/flink.sh's: TaskManagers of one slot, as processes on this machine, with Beam's Python
workers beside them. One slot keeps more than one core busy (Python's threads pack and parse, Java
moves data), so it is measured twice: with all cores for it, and with a cluster that is confined to
one core, which is what a second machine of that size is to be compared with. Times are of jobs that
find their workers started; a job of few rows tells what each one takes before it reads. One process
without a cluster is measured, too.

`python -m benchmarks.flink_smote ROWS` prints the figures for another size.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import psutil

from benchmarks import _peers, rebalancer_memory
from benchmarks.claims import Claim
from tfx_imbalance.components.compat import IN_PROCESS_BEAM

ROWS = 5_000_000
AT_LEAST = 1.6
SCRIPT = Path(__file__).parents[1] / "scripts" / "flink.sh"


@dataclass(frozen=True)
class Run:
    """One job: seconds, and cores of the cluster's processes busy on average."""

    seconds: float
    cores: float


def run() -> Iterator[Claim]:
    """Yields the speed-up from one slot on one core to two slots on two."""
    found = measure(ROWS)
    one, confined, two = (found[name] for name in ("one slot", "one slot on one core", "two slots"))
    detail = (
        f"{ROWS:,} rows of 30 floats, {psutil.cpu_count()} cores; one slot with all cores for it "
        f"{one.seconds:.1f} s, {one.cores:.2f} of them busy, two slots {two.cores:.2f}; "
        f"one process {found['one process'].seconds:.1f} s; a job of few rows "
        f"{found['few rows'].seconds:.1f} s"
    )
    yield Claim.against(
        "SMOTE on Flink, two slots on two cores by one on one",
        two.seconds,
        confined.seconds,
        unit="s",
        at_least=AT_LEAST,
        better="less",
        detail=detail,
    )


def measure(rows: int) -> dict[str, Run]:
    """What was run -> how it went.

    Raises:
      RuntimeError: there is no Java, no Maven or no taskset.
    """
    for tool in ("java", "mvn", "taskset"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"no {tool} on PATH, and this needs it")
    with tempfile.TemporaryDirectory(prefix="flink_smote-") as temporary:
        folder = Path(temporary)
        few = rebalancer_memory.generate(folder / "few", rebalancer_memory.FILES * 100)
        many = rebalancer_memory.generate(folder / "in", rows)
        found = {"one process": _timed(many, folder / "out", list(IN_PROCESS_BEAM), [os.getpid()])}
        with _cluster(folder / "flink", 2) as cluster:
            found["few rows, first job"] = _timed_on(cluster, 2, few, folder / "out")
            found["few rows"] = _timed_on(cluster, 2, few, folder / "out")
            found["one slot"] = _timed_on(cluster, 1, many, folder / "out")
            found["two slots"] = _timed_on(cluster, 2, many, folder / "out")
        with _cluster(folder / "confined", 1, "taskset", "--cpu-list", "0") as cluster:
            _timed_on(cluster, 1, few, folder / "out")
            found["one slot on one core"] = _timed_on(cluster, 1, many, folder / "out")
        return found


@contextlib.contextmanager
def _cluster(state: Path, slots: int, *prefix: str) -> Iterator[tuple[list[str], list[int]]]:
    """Beam's options and the processes; `prefix` goes before the command that starts them."""

    def call(command: str, *more: str) -> str:
        words = [*prefix, SCRIPT, command, "--state", state, *more]
        return subprocess.check_output(words, text=True)

    try:
        call("start", "--task-managers", str(slots), "--slots", "1")
        pids = json.loads((state / "cluster.json").read_text())["pids"]
        yield call("options").split(), list(pids.values())
    finally:
        call("stop")


def _timed_on(
    cluster: tuple[list[str], list[int]], slots: int, inputs: _peers.Inputs, out: Path
) -> Run:
    options, pids = cluster
    return _timed(inputs, out, [*options, f"--parallelism={slots}"], pids)


def _timed(inputs: _peers.Inputs, out: Path, options: list[str], pids: list[int]) -> Run:
    from tfx_imbalance.components.rebalancer.features import Features
    from tfx_imbalance.components.rebalancer.params import RebalanceParams
    from tfx_imbalance.components.rebalancer.rebalance import rebalance

    names = [f"x{i}" for i in range(rebalancer_memory.FEATURES)]
    busy, started = _cpu_seconds(pids), time.monotonic()
    rebalance(
        lambda: beam.Pipeline(argv=options),
        inputs.files,
        str(out),
        label=_peers.LABEL,
        classes=[name.decode() for name in _peers.CLASSES],
        features=Features(dict.fromkeys(names, "float")),
        params=RebalanceParams(method="smote", seed=0),
    )
    seconds = time.monotonic() - started
    shutil.rmtree(out)
    return Run(seconds, (_cpu_seconds(pids) - busy) / seconds)


def _cpu_seconds(pids: list[int]) -> float:
    """Of the processes and all that they started, those that have ended included."""
    total = 0.0
    for pid in pids:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
                total += times.children_user + times.children_system
    return total


if __name__ == "__main__":
    for what, done in measure(int(sys.argv[1])).items():
        print(f"{what}: {done.seconds:.1f} s, {done.cores:.2f} cores busy")
