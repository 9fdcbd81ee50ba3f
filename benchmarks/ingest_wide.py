"""How the ingest's time grows with the columns of a table, at the same number of rows.

CSV files of as many numbers as texts, 200 rows. Each is read twice as the ingest does it: the first
pass finds kinds, facts and splits, the second makes tf.Examples; both without Beam. The time is
that of the processor, the shorter one of two runs, by the number of cells.
`python -m benchmarks.ingest_wide` prints a table.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.example_gen.plan import Assignment, join_kinds, make_plan, scan_file
from tfx_imbalance.components.example_gen.rows import FileRows, examples
from tfx_imbalance.components.examples_io import encode, framed

from .claims import Claim

COLUMNS = (1_000, 5_000, 20_000)
ROWS, RUNS = 200, 2
MOST_GROWTH, MOST_SECONDS = 1.3, 120
PARAMS = IngestParams(label="y")


def write(path: Path, columns: int) -> None:
    """A CSV of ROWS rows: numbers and texts in turn, and the label y of two classes."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(",".join([*(f"col{i}" for i in range(columns)), "y"]) + "\n")
        for row in range(ROWS):
            values = rng.normal(size=columns).round(4).astype(object)
            values[1::2] = [f"word {i}" for i in rng.integers(0, 50, len(values[1::2])).tolist()]
            file.write(",".join(map(str, [*values, "ab"[row % 2]])) + "\n")


def seconds(path: str) -> tuple[float, float]:
    """Processor time of the first and of the second pass."""
    started = time.process_time()
    scan = scan_file(path, "csv", PARAMS)
    plan = make_plan([scan], join_kinds([scan], "csv"), PARAMS)
    between = time.process_time()
    rows, assignment = FileRows(path, "csv", PARAMS, scan.kinds), Assignment(plan, path, PARAMS)
    for first_row, batch in rows.batches():
        columns, _ = assignment.assign(rows.convert(first_row, batch))
        framed(encode(examples(columns)))
    return between - started, time.process_time() - between


def measured() -> Iterator[tuple[int, float, float]]:
    """Yields (columns, seconds of the first pass, seconds of the second) for each table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wide.csv"
        write(path, 10)
        seconds(str(path))  # loads what it needs
        for columns in COLUMNS:
            write(path, columns)
            first, second = min((seconds(str(path)) for _ in range(RUNS)), key=sum)
            yield columns, first, second


def run() -> Iterator[Claim]:
    """Yields the time a cell by that of the narrowest table, and the seconds of the widest."""
    (narrow, *narrow_seconds), *wider = measured()
    least = sum(narrow_seconds) / narrow
    for columns, first, second in wider:
        growth = (first + second) / columns / least
        yield Claim(
            f"ingest of a CSV: time a cell, {narrow:,} to {columns:,} columns",
            growth,
            None,
            None,
            unit="x",
            bar=f"<= {MOST_GROWTH}x",
            ok=growth <= MOST_GROWTH,
            detail=f"{ROWS} rows, half numbers, half texts; processor time",
        )
    yield Claim(
        f"ingest of a CSV of {columns:,} columns and {ROWS} rows",
        first + second,
        None,
        None,
        unit="s",
        bar=f"<= {MOST_SECONDS} s",
        ok=first + second <= MOST_SECONDS,
        detail=f"processor time: {first:.1f} s the first pass, {second:.1f} s the second",
    )


def main() -> None:
    """Prints microseconds a cell, and the process's peak of memory by then."""
    print(f"{'columns':>8}  {'first, us':>9}  {'second, us':>10}  {'seconds':>7}  {'peak, MB':>8}")
    for columns, first, second in measured():
        cells = columns * ROWS / 1e6
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{columns:8,}  {first / cells:9.2f}  {second / cells:10.2f}  {first + second:7.1f}  "
            f"{peak:8.0f}"
        )


if __name__ == "__main__":
    main()
