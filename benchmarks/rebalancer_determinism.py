"""Rebalancer gives the same rows whatever the files, their order, the runner and the machine.

20,000 rows of three classes, every tenth a copy of another, as tf.Examples. All of what a run
writes, each example as its features sorted by name, is sorted and hashed: equal hashes mean equal
multisets of rows, to the bit.

Two machines, or two stacks, are compared by what each chose:

    python -m benchmarks.rebalancer_determinism --save FILE      on the first
    python -m benchmarks.rebalancer_determinism --compare FILE   on the second

The second says for each method how many rows, identities, labels, bases and neighbours differ
(none may), and by how much gaps and features do (1e-6 at most); its status is 0 or 1.
"""

import argparse
import hashlib
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from benchmarks.claims import Claim
from tfx_imbalance.components import examples_io, hashing
from tfx_imbalance.components.names import (
    ROW_ID,
    SYNTHETIC_BASE,
    SYNTHETIC_GAP,
    SYNTHETIC_METHOD,
    SYNTHETIC_NEIGHBOR,
)
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rebalance import rebalance
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS

METHODS = tuple(
    sorted(set(SAMPLERS) - {"none", "both", "downsample_upweight", "smote_n", "imblearn"})
)
"""Those that change train of themselves and take these features."""
IN_PROCESSES = ("under", "smote", "tomek_links")
"""Also run by two worker processes, which take long to start."""
ROWS, SEED = 20_000, 7
CLASSES = ("no", "perhaps", "yes")
NUMERIC, CATEGORICAL, LABEL = ("a", "b", "c", "d"), ("k", "l"), "y"
TOLERANCE = 1e-6

_SHARES = (0.8, 0.15, 0.05)
_TEXT = "S24"
_CHOICES = (ROW_ID, LABEL, SYNTHETIC_BASE, SYNTHETIC_NEIGHBOR, *CATEGORICAL)
_FLOATS = (SYNTHETIC_GAP, *NUMERIC)


def run() -> Iterator[Claim]:
    """Yields a claim for each method."""
    for method in METHODS:
        yield _claim(method)


def _claim(method: str) -> Claim:
    rows = made_rows(method)
    found = {
        "1 file": written(rows, method, files=1),
        "2 files": written(rows, method, files=2),
        "7 files of shuffled rows": written(_shuffled(rows), method, files=7),
    }
    if method in IN_PROCESSES:
        found["2 files by 2 processes"] = written(rows, method, files=2, pipeline=_two_processes)
    first = found["1 file"]
    different = len({one.digest() for one in found.values()})
    # A notebook has no identities: it computes them, and names rows by their place.
    hidden = (ROW_ID, SYNTHETIC_BASE, SYNTHETIC_NEIGHBOR, SYNTHETIC_GAP, SYNTHETIC_METHOD)
    different += resampled(rows, method).digest() != first.without(*hidden).digest()
    return Claim(
        f"rebalance {method}: different outputs of one input",
        different,
        None,
        None,
        unit="outputs",
        bar="= 1",
        ok=different == 1,
        detail=f"{', '.join(found)} and `resample`; {len(rows):,} rows in, {len(first):,} out, "
        f"sha256 {first.digest()[:12]}",
    )


@dataclass(frozen=True)
class Table:
    """n rows with at most one value a feature.

    Attributes:
      columns: feature -> int64, float32 or bytes (S24) [n]; zero where there is no value.
      there: feature -> bool [n], whether there is one.
    """

    columns: dict[str, np.ndarray]
    there: dict[str, np.ndarray]

    @classmethod
    def full(cls, columns: Mapping[str, np.ndarray]) -> "Table":
        """Of columns that have a value in each row."""
        there = {name: np.ones(len(column), bool) for name, column in columns.items()}
        return cls(dict(columns), there)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, index: np.ndarray) -> "Table":
        """The rows at `index`."""
        return Table(
            {name: column[index] for name, column in self.columns.items()},
            {name: there[index] for name, there in self.there.items()},
        )

    def without(self, *names: str) -> "Table":
        """All columns but these."""
        columns = {name: c for name, c in self.columns.items() if name not in names}
        return Table(columns, {name: self.there[name] for name in columns})

    def digest(self) -> str:
        """sha256 of all rows in the order of their bytes; equal for equal multisets of rows."""
        names = sorted(self.columns)
        parts = []
        for name in names:
            column = np.ascontiguousarray(self.columns[name])
            parts += [self.there[name][:, None].view(np.uint8)]
            parts += [column.view(np.uint8).reshape(len(self), column.itemsize)]
        rows = sorted(row.tobytes() for row in np.concatenate(parts, axis=1))
        return hashlib.sha256("\n".join(names).encode() + b"".join(rows)).hexdigest()


def made_rows(method: str, rows: int = ROWS) -> Table:
    """Rows for a method, the same to the bit on every machine: features, label, identity.

    Every tenth row has the features of another, mostly of the same class; 50 rows are equal.
    """
    number = np.arange(rows)

    def drawn(what: str) -> np.ndarray:
        return hashing.uniform(hashing.keyed(number, SEED, what))

    codes = np.searchsorted(np.cumsum(_SHARES)[:-1], drawn("label"), side="right")
    columns: dict[str, np.ndarray] = {}
    for i, name in enumerate(NUMERIC):
        # About normal; no function whose last bit depends on the machine.
        value = sum((drawn(f"{name}{j}") for j in range(4)), 0.4 * (i < 2) * codes)
        columns[name] = value.astype(np.float32)
    if method == "smote_nc":
        for i, name in enumerate(CATEGORICAL):
            columns[name] = (drawn(name) * (3 + 4 * i)).astype(np.int64)
    source = np.where(number % 10 == 9, number - 9, number)
    source[100:150] = 100
    columns = {name: column[source] for name, column in columns.items()}
    codes = np.where(number % 100 == 99, codes, codes[source])
    features = pa.table({name: pa.array(column) for name, column in columns.items()})
    columns[ROW_ID] = hashing.row_ids(features)
    columns[LABEL] = np.array(CLASSES, _TEXT)[codes]
    return Table.full(columns)


def written(
    rows: Table,
    method: str,
    files: int,
    pipeline: Callable[[], beam.Pipeline] | None = None,
) -> Table:
    """What Rebalancer writes, with provenance.

    Args:
      rows: the input.
      method: of rebalancing.
      files: over so many files of unequal size the input is spread.
      pipeline: makes a Beam pipeline; in memory when not given.
    """
    with tempfile.TemporaryDirectory(prefix="rebalancer_determinism-") as temporary:
        out = Path(temporary) / "out"
        rebalance(
            pipeline or _in_memory,
            _input_files(rows, Path(temporary), files),
            str(out),
            label=LABEL,
            classes=CLASSES,
            features=Features(
                dict.fromkeys(NUMERIC, "float"), tuple(c for c in CATEGORICAL if c in rows.columns)
            ),
            params=RebalanceParams.model_validate(_params(method) | {"provenance": True}),
        )
        paths = sorted(map(str, out.iterdir()))
        return _decoded([r for block in examples_io.read_blocks(paths) for r in block.tolist()])


def resampled(rows: Table, method: str) -> Table:
    """What a notebook gets of the same rows: features and label."""
    given = rows.without(ROW_ID, LABEL).columns
    done = resample(
        pd.DataFrame(given),
        rows.columns[LABEL].astype(str),
        RebalanceParams.model_validate(_params(method)),
        categorical=[name for name in CATEGORICAL if name in given],
    )
    columns = {name: done.x[name].to_numpy(given[name].dtype) for name in given}
    return Table.full({**columns, LABEL: done.y.astype(_TEXT)})


def save(path: Path) -> None:
    """Writes what each method chose on this machine."""
    arrays = {}
    for method in METHODS:
        print(f"{method} ...", flush=True)
        for name, column in _sorted(written(made_rows(method), method, files=2)).items():
            arrays[f"{method}/{name}"] = column
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def compare(path: Path) -> bool:
    """Prints how what each method chooses here differs from a file of `save`; whether it does not.

    Floats are compared where all choices are the same; differences are by the larger of 1 and the
    value.
    """
    alike = True
    print("| method | rows there | rows here | choices that differ | largest float difference |")
    print("|---|---|---|---|---|")
    with np.load(path) as saved:
        for method in METHODS:
            there = {name: saved[f"{method}/{name}"] for name in _names(saved.files, method)}
            here = _sorted(written(made_rows(method), method, files=2))
            differing = _differing(here, there)
            furthest = np.nan if differing else _furthest(here, there)
            alike &= differing == 0 and furthest <= TOLERANCE
            sizes = f"{len(there[ROW_ID]):,} | {len(here[ROW_ID]):,}"
            print(f"| {method} | {sizes} | {differing:,} | {furthest:.1e} |", flush=True)
    print("the same" if alike else "NOT the same")
    return alike


def _names(keys: Sequence[str], method: str) -> list[str]:
    return [key.split("/", 1)[1] for key in keys if key.startswith(f"{method}/")]


def _sorted(rows: Table) -> dict[str, np.ndarray]:
    names = [name for name in (*_CHOICES, *_FLOATS) if name in rows.columns]
    order = np.lexsort([rows.columns[name] for name in reversed(names)])
    return {name: rows.columns[name][order] for name in names}


def _differing(here: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray]) -> int:
    """Rows that only one of the two has, by what was chosen."""
    if here.keys() != there.keys():
        raise RuntimeError(f"columns are {sorted(here)} here, {sorted(there)} there")
    names = [name for name in _CHOICES if name in here]
    mine, other = (
        Counter(zip(*(table[name].tolist() for name in names), strict=True))
        for table in (here, there)
    )
    return ((mine - other) + (other - mine)).total()


def _furthest(here: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray]) -> float:
    return max(
        float((np.abs(here[name] - there[name]) / np.maximum(1, np.abs(here[name]))).max(initial=0))
        for name in _FLOATS
        if name in here
    )


def _params(method: str) -> dict[str, Any]:
    return {"method": method, "seed": SEED}


def _shuffled(rows: Table) -> Table:
    return rows.take(np.random.default_rng(0).permutation(len(rows)))


def _input_files(rows: Table, folder: Path, files: int) -> list[str]:
    """Writes gzipped TFRecord files; the i-th of n has about 2 i - 1 of n**2 parts of the rows."""
    lists = pa.RecordBatch.from_arrays(
        [
            pa.ListArray.from_arrays(np.arange(len(rows) + 1, dtype=np.int32), pa.array(column))
            for column in (
                c.astype(object) if c.dtype.kind == "S" else c for c in rows.columns.values()
            )
        ],
        names=list(rows.columns),
    )
    records = examples_io.encode(lists)
    cuts = [i * i * len(records) // files**2 for i in range(files + 1)]
    paths = []
    for i in range(files):
        paths.append(str(folder / f"data-{i}-of-{files}.gz"))
        with tf.io.TFRecordWriter(paths[-1], "GZIP") as writer:
            for record in records[cuts[i] : cuts[i + 1]]:
                writer.write(record)
    return paths


def _decoded(records: list[bytes]) -> Table:
    """Examples as columns.

    Raises:
      RuntimeError: a feature has several values in a row.
    """
    batch = examples_io.decoder().DecodeBatch(records)
    columns, there = {}, {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
        if lengths.max(initial=0) > 1:
            raise RuntimeError(f"feature {name} has several values in a row")
        values = column.flatten().to_numpy(zero_copy_only=False)
        there[name] = lengths == 1
        columns[name] = np.zeros(len(records), _TEXT if values.dtype == object else values.dtype)
        columns[name][there[name]] = values
    return Table(columns, there)


def _in_memory() -> beam.Pipeline:
    return beam.Pipeline(runner=FnApiRunner())


def _two_processes() -> beam.Pipeline:
    options = PipelineOptions(direct_num_workers=2, direct_running_mode="multi_processing")
    return beam.Pipeline(runner=FnApiRunner(), options=options)


def main(arguments: list[str] | None = None) -> int:
    """Saves or compares; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebalancer_determinism")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--save", type=Path, metavar="FILE", help="write what is chosen here")
    action.add_argument("--compare", type=Path, metavar="FILE", help="compare with what is here")
    given = parser.parse_args(arguments)
    if given.save:
        save(given.save)
        return 0
    return 0 if compare(given.compare) else 1


if __name__ == "__main__":
    sys.exit(main())
