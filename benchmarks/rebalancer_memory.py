"""Rebalancer's memory and time per row as the data grows fivefold, to at most 5 million rows.

Rows of 30 floats, 1 % minority, in 8 gzipped TFRecord files, balanced 1:1, so about twice as many
rows come out. Each is one fresh process that runs the executor's Do on Beam's in-memory runner.
Methods that decide on all rows have a memory_limit_mb that does not hold these, so that the
majority streams past the minority. Their time grows with the product of the two, so theirs are
fewer rows, and of it nothing is claimed.
Memory is that of its process tree, sampled every 0.1 s: what each process has for itself, plus
the largest share that a process has in common with others (its libraries), counted once.

`python -m benchmarks.rebalancer_memory ROWS...` prints the figures for other sizes.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from benchmarks import _peers
from benchmarks.claims import Claim

COUNTING = ("smote", "over")
STREAMING = ("borderline_smote_1", "tomek_links", "near_miss_1")
SIZES = {COUNTING: (1_000_000, 5_000_000), STREAMING: (200_000, 1_000_000)}
LIMIT_MB = 20
FEATURES, FILES, MINORITY_EVERY = 30, 8, 100
MAX_GB, MAX_GROWTH, MAX_TIME_GROWTH = 1.5, 1.3, 1.15
ROOT = Path(__file__).parents[1]
_BLOCK, _INTERVAL = 100_000, 0.1


@dataclass(frozen=True)
class Figures:
    """What one process took.

    Attributes:
      seconds: of Do, imports left out.
      peak: bytes.
      before: bytes, the largest before Do began.
    """

    seconds: float
    peak: int
    before: int


def run() -> Iterator[Claim]:
    """Yields, for each method, the peak, its growth and the growth of the time per row."""
    for methods, (few, many) in SIZES.items():
        small, large = measure(few, methods), measure(many, methods)
        for method in methods:
            yield from _claims(method, few, small[method], many, large[method])


def measure(rows: int, methods: Sequence[str]) -> dict[str, Figures]:
    """Generates `rows` rows and rebalances them by each method in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="rebalancer_memory-") as temporary:
        folder = Path(temporary)
        inputs = generate(folder / "in", rows)
        return {method: _in_fresh_process(inputs, folder, method) for method in methods}


def generate(folder: Path, rows: int) -> _peers.Inputs:
    """Normal features; the minority, every 100th row, has its mean at 1. Written at level 1."""
    from tfx_imbalance.components import hashing

    rng = np.random.default_rng(0)
    names = tuple(f"x{i}" for i in range(FEATURES))
    writer = _peers.Writer(folder, names, FILES, gzip_level=1)
    for start in range(0, rows, _BLOCK):
        n = min(_BLOCK, rows - start)
        minority = np.arange(start, start + n) % MINORITY_EVERY == 0
        x = rng.standard_normal((n, FEATURES), np.float32) + minority[:, None].astype(np.float32)
        ids = hashing.row_ids(pa.RecordBatch.from_arrays([pa.array(c) for c in x.T], names=names))
        label = np.where(minority, _peers.CLASSES[1], _peers.CLASSES[0]).astype(object)
        block = _peers.Rows(names, x, label, ids, np.zeros(n, np.int64))  # no two are equal
        writer.write(block)
    return writer.finish(block[:1000])


def main(sizes: list[int], methods: Sequence[str] = (*COUNTING, *STREAMING)) -> None:
    """Prints a Markdown row for each size and method."""
    print("| method | rows | s | us a row | peak MB | before MB |\n|---|---|---|---|---|---|")
    for rows in sizes:
        for method, figures in measure(rows, methods).items():
            cells = [f"{figures.seconds:.2f}", f"{figures.seconds / rows * 1e6:.2f}"]
            cells += [f"{value / 1e6:.0f}" for value in (figures.peak, figures.before)]
            print(f"| {method} | {rows:,} | " + " | ".join(cells) + " |", flush=True)


def _claims(method: str, few: int, a: Figures, many: int, b: Figures) -> Iterator[Claim]:
    detail = (
        f"{FEATURES} floats, 1 % minority, gzip in and out; {few:,} rows: {a.seconds:.1f} s, "
        f"{a.peak / 1e9:.2f} GB; {many:,} rows: {b.seconds:.1f} s, {b.peak / 1e9:.2f} GB; "
        f"{b.before / 1e9:.2f} GB of it before it began"
    )
    name = f"rebalance {method}"
    peak, growth = b.peak / 1e9, b.peak / a.peak
    yield _at_most(f"{name}: peak memory at {many:,} rows", peak, MAX_GB, "GB", detail)
    yield _at_most(
        f"{name}: peak memory at {many:,} rows by that at {few:,}", growth, MAX_GROWTH, "x", detail
    )
    if method in COUNTING:
        yield _at_most(
            f"{name}: time per row at {many:,} rows by that at {few:,}",
            b.seconds / many / (a.seconds / few),
            MAX_TIME_GROWTH,
            "x",
            detail,
        )


def _in_fresh_process(inputs: _peers.Inputs, folder: Path, method: str) -> Figures:
    """Runs `_rebalance` of this module and watches it.

    Raises:
      RuntimeError: it failed.
    """
    done, errors = folder / f"{method}.json", folder / f"{method}.log"
    task = [str(inputs.folder), str(folder / method), method, str(done)]
    command = [sys.executable, "-m", "benchmarks.rebalancer_memory", "--rebalance", *task]
    samples: list[tuple[float, int]] = []
    with errors.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            tree = psutil.Process(process.pid)
            while process.poll() is None:
                samples.append((time.time(), _bytes_of(tree)))
                time.sleep(_INTERVAL)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        raise RuntimeError(f"{method} ended with {process.returncode}: {_end_of(errors)}")
    found = json.loads(done.read_text())
    before = [size for at, size in samples if at < found["started"]]
    return Figures(found["seconds"], max(size for _, size in samples), max(before, default=0))


def _bytes_of(root: psutil.Process) -> int:
    """Memory of a process and its descendants, what they share counted once."""
    own, shared = 0, 0
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:  # it has just ended
        return 0
    if len(processes) == 1:
        processes, own = [], _rss(root)
    for process in processes:
        try:
            memory = process.memory_full_info()
        except psutil.Error:
            continue
        own += memory.uss
        shared = max(shared, memory.rss - memory.uss)
    return own + shared


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _rebalance(source: str, out: str, method: str, done: str) -> None:
    inputs = _peers.Inputs(Path(source), (), {})
    at, started = time.time(), time.perf_counter()
    options = {"memory_limit_mb": LIMIT_MB} if method in STREAMING else {}
    report = _peers.rebalancer(inputs, Path(out), method, **options)
    seconds = time.perf_counter() - started
    if len(set(report.after.values())) != 1 and method != "tomek_links":
        raise RuntimeError(f"{method} gave {report.after}")
    Path(done).write_text(json.dumps({"seconds": seconds, "started": at}))


def _end_of(path: Path) -> str:
    return path.read_text(errors="replace")[-2000:]


def _at_most(name: str, value: float, limit: float, unit: str, detail: str) -> Claim:
    return Claim(
        name,
        ours=value,
        peer=None,
        ratio=None,
        unit=unit,
        bar=f"<= {limit:g} {unit}",
        ok=value <= limit,
        detail=detail,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rebalance"]:
        _rebalance(*sys.argv[2:])
    else:
        main([int(rows) for rows in sys.argv[1:]] or list(SIZES[STREAMING]))
