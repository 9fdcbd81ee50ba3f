"""Small tables as files of each format, and the ingest without Beam over them."""

import csv
import gzip
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from tfx_imbalance.components.example_gen.files import find_files, format_of
from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.example_gen.plan import (
    Assignment,
    Plan,
    Summary,
    check_scans,
    is_settled,
    join_kinds,
    make_plan,
    scan_file,
)
from tfx_imbalance.components.example_gen.rows import FileRows, check_params
from tfx_imbalance.components.names import SPLITS

Table = dict[str, list[Any]]


@dataclass(frozen=True)
class Ingested:
    """What the ingest makes of a table."""

    summary: Summary
    plan: Plan
    rows: list[dict[str, Any]]
    """All rows in the order of the files, with `split`; absent values are None."""

    def column(self, name: str) -> list[Any]:
        return [row.get(name) for row in self.rows]

    def splits(self) -> dict[Any, set[str]]:
        """Row identity -> splits in which it is."""
        found: dict[Any, set[str]] = {}
        for row in self.rows:
            found.setdefault(row["_row_id"], set()).add(row["split"])
        return found

    def content(self) -> Counter[tuple[Any, ...]]:
        """The rows as a multiset."""
        return Counter(
            tuple(sorted((k, str(v)) for k, v in row.items() if v is not None)) for row in self.rows
        )


def run_ingest(path: str | Path, label: str = "y", **options: Any) -> Ingested:
    params = IngestParams(label=label, **options)
    check_params(params)
    files = find_files(str(path))
    file_format = format_of(files, params.format)
    scans = [scan_file(file, file_format, params) for file in files]
    check_scans(scans, file_format, params)
    kinds = join_kinds(scans, file_format)
    scans = [
        scan if is_settled(scan, kinds) else scan_file(scan.path, file_format, params, kinds)
        for scan in scans
    ]
    plan = make_plan(scans, kinds, params)
    rows: list[dict[str, Any]] = []
    for file in files:
        reader = FileRows(file, file_format, params, plan.summary.kinds)
        assignment = Assignment(plan, file, params)
        for first_row, batch in reader.batches():
            columns, split = assignment.assign(reader.convert(first_row, batch))
            rows += [
                {**row, "split": SPLITS[s]}
                for row, s in zip(columns.to_pylist(), split, strict=True)
            ]
    return Ingested(plan.summary, plan, rows)


@pytest.fixture
def ingest() -> Callable[..., Ingested]:
    return run_ingest


def csv_text(table: Table, delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(table)
    for row in zip(*table.values(), strict=True):
        writer.writerow(
            ["" if v is None else str(v).lower() if isinstance(v, bool) else v for v in row]
        )
    return out.getvalue()


def example(row: dict[str, Any]) -> bytes:
    result = tf.train.Example()
    for name, value in row.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if value is None:
            continue
        feature = result.features.feature[name]
        if isinstance(values[0], (bool, int, np.integer)):
            feature.int64_list.value.extend(int(v) for v in values)
        elif isinstance(values[0], (float, np.floating)):
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(v.encode() if isinstance(v, str) else v for v in values)
    return result.SerializeToString()


def rows_of(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def write_table(path: Path, table: Table) -> Path:
    """Writes the table in the format that the name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name
    if name.endswith(".csv"):
        path.write_text(csv_text(table))
    elif name.endswith(".csv.gz"):
        path.write_bytes(gzip.compress(csv_text(table).encode()))
    elif name.endswith(".parquet"):
        pq.write_table(pa.table(table), path)
    else:
        options = "GZIP" if name.endswith(".gz") else ""
        with tf.io.TFRecordWriter(str(path), options) as writer:
            for row in rows_of(table):
                writer.write(example(row))
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write("name.csv", table), below tmp_path."""
    return lambda name, table: write_table(tmp_path / name, table)


def take(table: Table, index: Sequence[int]) -> Table:
    return {name: [values[i] for i in index] for name, values in table.items()}


@pytest.fixture
def make_table() -> Callable[..., Table]:
    """A table of n rows with every kind of column, equal rows among them."""

    def make(rows: int = 400, seed: int = 0) -> Table:
        rng = np.random.default_rng(seed)
        distinct = max(rows * 3 // 4, 1)
        table: Table = {
            "age": rng.integers(-5, 10_000, distinct).tolist(),
            "amount": [round(float(v), 3) + 0.5 for v in rng.normal(0, 100, distinct)],
            "city": rng.choice(["Rome", "Bern", "a,b", "Zürich", "?"], distinct).tolist(),
            "gap": [int(v) if v < 50 else None for v in rng.integers(0, 100, distinct)],
            "y": rng.choice(["no", "yes", "perhaps"], distinct, p=[0.7, 0.2, 0.1]).tolist(),
        }
        return take(table, [i % distinct for i in rng.permutation(rows)])

    return make


@pytest.fixture
def shuffled() -> Callable[[Table, int], Table]:
    def shuffle(table: Table, seed: int) -> Table:
        order = np.random.default_rng(seed).permutation(len(next(iter(table.values()))))
        return take(table, order.tolist())

    return shuffle


@pytest.fixture
def part() -> Callable[[Table, int, int], Table]:
    """part(table, i, n): every n-th row from the i-th on."""
    return lambda table, i, n: take(table, range(i, len(next(iter(table.values()))), n))
