"""Rebalancer's SMOTE on Flink with one slot and with two, and what the cores did meanwhile.

Rows of 30 floats, 1 % minority, in 8 gzipped TFRecord files, balanced 1:1. The cluster is
scripts/flink.sh's: two TaskManagers of one slot, as processes on this machine, with Beam's Python
workers beside them; a job of one slot uses one of them. A first, tiny job is measured, too: what
each job takes to start its workers. Cores busy are those of all the cluster's processes.

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

ROWS = 1_000_000
AT_LEAST = 1.6
MEMORY_MB = 2048
SCRIPT = Path(__file__).parents[1] / "scripts" / "flink.sh"


@dataclass(frozen=True)
class Run:
    """One job: seconds, cores busy on average, and the machine's load before it."""

    seconds: float
    cores: float
    load: float


def run() -> Iterator[Claim]:
    """Yields the speed-up from one slot to two."""
    start, one, two = measure(ROWS)
    detail = (
        f"{ROWS:,} rows of 30 floats, {psutil.cpu_count()} cores; one slot {one.seconds:.1f} s "
        f"with {one.cores:.2f} cores busy, two {two.seconds:.1f} s with {two.cores:.2f}; a job of "
        f"{rebalancer_memory.FILES * 100} rows {start.seconds:.1f} s; load before: {one.load:.1f}, "
        f"{two.load:.1f}"
    )
    name = "SMOTE on Flink, two slots by one"
    yield Claim.against(
        name, two.seconds, one.seconds, unit="s", at_least=AT_LEAST, better="less", detail=detail
    )


def measure(rows: int) -> tuple[Run, Run, Run]:
    """The tiny job, then all rows with one slot and with two.

    Raises:
      RuntimeError: there is no Java or no Maven.
    """
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"no {tool} on PATH, and Flink needs it")
    with tempfile.TemporaryDirectory(prefix="flink_smote-") as temporary:
        folder = Path(temporary)
        tiny = rebalancer_memory.generate(folder / "tiny", rebalancer_memory.FILES * 100)
        many = rebalancer_memory.generate(folder / "in", rows)
        with _cluster(folder / "flink") as (options, pids):
            return (
                _timed(tiny, folder / "out-tiny", options, 2, pids),
                _timed(many, folder / "out-1", options, 1, pids),
                _timed(many, folder / "out-2", options, 2, pids),
            )


@contextlib.contextmanager
def _cluster(state: Path) -> Iterator[tuple[list[str], list[int]]]:
    def call(command: str, *more: str) -> str:
        return subprocess.check_output([SCRIPT, command, "--state", state, *more], text=True)

    try:
        call("start", "--task-managers", "2", "--slots", "1", "--memory", str(MEMORY_MB))
        pids = json.loads((state / "cluster.json").read_text())["pids"]
        yield call("options").split(), list(pids.values())
    finally:
        call("stop")


def _timed(
    inputs: _peers.Inputs, out: Path, options: list[str], slots: int, pids: list[int]
) -> Run:
    from tfx_imbalance.components.rebalancer.features import Features
    from tfx_imbalance.components.rebalancer.params import RebalanceParams
    from tfx_imbalance.components.rebalancer.rebalance import rebalance

    names = [f"x{i}" for i in range(rebalancer_memory.FEATURES)]
    load, busy, started = os.getloadavg()[0], _cpu_seconds(pids), time.monotonic()
    rebalance(
        lambda: beam.Pipeline(argv=[*options, f"--parallelism={slots}"]),
        inputs.files,
        str(out),
        label=_peers.LABEL,
        classes=[name.decode() for name in _peers.CLASSES],
        features=Features(dict.fromkeys(names, "float")),
        params=RebalanceParams(method="smote", seed=0),
    )
    seconds = time.monotonic() - started
    shutil.rmtree(out)
    return Run(seconds, (_cpu_seconds(pids) - busy) / seconds, load)


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
    for what, found in zip(("tiny", "1 slot", "2 slots"), measure(int(sys.argv[1])), strict=True):
        print(f"{what}: {found.seconds:.1f} s, {found.cores:.2f} cores, load {found.load:.1f}")
