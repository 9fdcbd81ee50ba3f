"""Reads damaged files as the ingest does and compares with pandas, pyarrow and TensorFlow.

    python -m tests.components.example_gen.mutated csv|parquet|tfrecord COUNT FOLDER

Prints a line for each file that went wrong and, last, JSON: outcome -> files, and the peak in MB.
"""

import csv
import faulthandler
import gzip
import io
import json
import random
import resource
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.components.example_gen.conftest import example, run_ingest
from tfx_imbalance.components.errors import ImbalanceError, UserError
from tfx_imbalance.components.example_gen import sources
from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.example_gen.preflight import inspect

SECONDS = 60  # for one file, on a busy machine
NULLS = [""]
WORDS = ["no, yes", 'say "so"', "Zürich", "line\nend", "", "NA", "null", "x" * 300, " b ", "'", "7"]
PIECES = [
    b'"',
    b'""',
    b",",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"   \n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
]
PIECES += [
    b";",
    b"\t",
    b"1e999",
    b"-inf",
    b"NaN",
    b"9" * 400,
    b"1" + b"0" * 30,
    b"\xc3",
    b"\x1e\x1f",
]
PIECES += ["\u2028\u0085".encode(), b"\\", b"'", b"#", b"0x10", b"2020-01-01", b"y" * 5_000_000]


def main(kind: str, count: int, folder: Path) -> None:
    """Tries the first `count` files of a kind."""
    warnings.simplefilter("ignore")
    outcomes: Counter[str] = Counter()
    for seed in range(count):
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        print(f"seed {seed}", file=sys.stderr, flush=True)
        try:
            outcome = {"csv": try_csv, "parquet": try_parquet, "tfrecord": try_tfrecord}[kind](
                random.Random(f"{kind}{seed}"), folder
            )
        except Exception:
            outcome = "WRONG: " + traceback.format_exc()
        if outcome.startswith("WRONG"):
            print(f"seed {seed}: {outcome}")
            outcome = "wrong"
        outcomes[outcome] += 1
    faulthandler.cancel_dump_traceback_later()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({"outcomes": outcomes, "peak_mb": peak}))


def try_csv(rng: random.Random, folder: Path) -> str:
    """One CSV."""
    packed = rng.random() < 0.15
    path = folder / ("a.csv.gz" if packed else "a.csv")
    data = mutate(rng, csv_bytes(rng)) if rng.random() < 0.95 else csv_bytes(rng)
    if rng.random() < 0.05:
        data = data.decode(errors="replace").encode(
            rng.choice(["utf-16", "utf-16-le", "utf-8-sig"])
        )
    if packed:
        whole, data = data, gzip.compress(data, 1)
        if rng.random() < 0.6:
            data = flipped(rng, data)
    path.write_bytes(data)
    if packed:
        try:
            whole = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        except Exception:
            whole = b""
    else:
        whole = data
    expected, why = by_pandas(whole)
    told = check_uses(path)
    try:
        names = sources.column_names(str(path), "csv")
        found = [
            list(map(list_of, zip(*b.columns, strict=True))) for b in sources.read(str(path), "csv")
        ]
    except UserError as error:
        if "\n" in str(error):
            return f"WRONG: two lines: {error}"
        if expected is None:
            return f"refused: {why}"
        return f"WRONG: refused, and pandas reads it: {str(error)[:200]}"
    rows = [row for block in found for row in block]
    if expected is None:
        if why in ("pads", "no rows"):
            return f"WRONG: read, and pandas {why}" if rows else "no rows"
        return f"WRONG: read {len(rows)} rows, and pandas: {why}"
    if len(set(names)) == len(names) and all(names) and names != list(expected.columns):
        return f"WRONG: names {names} and {list(expected.columns)}"
    theirs = expected.astype(object).where(expected.notna(), None).to_numpy().tolist()
    if len(rows) != len(theirs):
        return f"WRONG: {len(rows)} rows, and pandas {len(theirs)}"
    if rows != theirs:
        at = next(i for i, row in enumerate(rows) if row != theirs[i])
        return f"WRONG: row {at}: {str(rows[at])[:300]}, and pandas {str(theirs[at])[:300]}"
    return f"read as pandas, ingest {told}"


def list_of(row: tuple[Any, ...]) -> list[Any]:
    return [value.as_py() for value in row]


def by_pandas(data: bytes) -> tuple[pd.DataFrame | None, str]:
    """What pandas reads; None where it raises or makes fields up, and why."""
    if not data:
        return None, "nothing to unpack"
    if b"\0" in data:
        return None, "NUL"
    try:
        text = data.decode("utf-8-sig")
        csv.field_size_limit(1 << 30)
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        rows = [row for row in rows if len(row) > 1 or row[0].strip()]
        table = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, na_values=NULLS)
    except Exception as error:
        return None, type(error).__name__
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        return None, "pads"
    return table, ""


def try_parquet(rng: random.Random, folder: Path) -> str:
    """One Parquet file."""
    path = folder / "a.parquet"
    table = parquet_table(rng)
    options = {"compression": rng.choice(["snappy", "zstd", "gzip", "none"])}
    pq.write_table(table, path, row_group_size=rng.choice([7, 50, 1000]), **options)
    damaged = rng.random() < 0.7
    if damaged:
        path.write_bytes(flipped(rng, path.read_bytes()))
    told = check_uses(path)
    try:
        expected = pq.read_table(io.BytesIO(path.read_bytes()))
    except Exception as error:
        expected = None
        reason = type(error).__name__
    try:
        found = pa.Table.from_batches(sources.read(str(path), "parquet"))
    except UserError as error:
        if expected is not None:
            return f"WRONG: refused, and pyarrow reads it: {error}"
        return f"refused: {reason}"
    except ValueError as error:  # no batches
        return f"no batches: {error}"[:60]
    if expected is None:
        return f"WRONG: read {found.num_rows} rows, and pyarrow: {reason}"
    if found.schema != expected.schema or list(map(plain_text, found.columns)) != list(
        map(plain_text, expected.columns)
    ):
        return "WRONG: other values than pyarrow's"
    return f"read as pyarrow, {'damaged, ' if damaged else ''}ingest {told}"


def try_tfrecord(rng: random.Random, folder: Path) -> str:
    """One TFRecord file."""
    import tensorflow as tf

    packed = rng.random() < 0.3
    path = folder / ("a.tfrecord.gz" if packed else "a.tfrecord")
    with tf.io.TFRecordWriter(str(path), "GZIP" if packed else "") as writer:
        for row in tfrecord_rows(rng):
            writer.write(example(row) if not isinstance(row, bytes) else row)
    if rng.random() < 0.7:
        path.write_bytes(flipped(rng, path.read_bytes()))
    told = check_uses(path)
    try:
        dataset = tf.data.TFRecordDataset(str(path), "GZIP" if packed else "")
        records = [record.numpy() for record in dataset]
        rows = [plain(tf.train.Example.FromString(record)) for record in records]
    except Exception as error:
        rows, reason = None, type(error).__name__
    try:
        batches = list(sources.read(str(path), "tfrecord"))
    except UserError as error:
        if rows is None:
            return f"refused: {reason}"
        if packed or "it ends within a record" in str(error):
            return "refused: cut where TensorFlow takes it for the end"
        if "one type a feature" in str(error):
            return "refused: a feature of two types"
        return f"WRONG: refused, and TensorFlow reads it: {error}"
    found = [
        {name: value for name, value in row.items() if value is not None}
        for batch in batches
        for row in batch.to_pylist()
    ]
    if rows is None:
        return f"WRONG: read {len(found)} rows, and TensorFlow: {reason}"
    if str(sorted(map(ordered, found))) != str(sorted(map(ordered, rows))):
        return f"WRONG: {len(found)} and {len(rows)} rows with other values"
    return f"read as TensorFlow, ingest {told}"


def plain_text(column: pa.ChunkedArray) -> str:
    if pa.types.is_timestamp(column.type):  # Python's end in 9999
        column = column.cast(pa.int64())
    return str(column.to_pylist())


def ordered(row: dict[str, Any]) -> str:
    return str(sorted(row.items()))


def plain(record: Any) -> dict[str, Any]:
    row = {}
    for name, feature in record.features.feature.items():
        kind = feature.WhichOneof("kind")
        if kind is not None:
            row[name] = list(getattr(feature, kind).value)
    return row


def check_uses(path: Path) -> str:
    """Looks at the file and ingests it; only errors for people may come of it."""
    for use in (
        lambda: inspect(str(path), IngestParams(label="y", unlabelled="drop")),
        lambda: run_ingest(path, unlabelled="drop"),
    ):
        try:
            use()
        except ImbalanceError as error:
            assert "\n" not in str(error), str(error)
            return "refused"
    return "done"


def csv_bytes(rng: random.Random) -> bytes:
    out = io.StringIO()
    writer = csv.writer(
        out,
        quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        lineterminator=rng.choice(["\n", "\n", "\r\n", "\r"]),
    )
    names = ["a", "b", "text", "gap", "y"]
    writer.writerow(names)
    for _ in range(rng.choice([0, 5, 80, 300])):
        writer.writerow(
            [
                rng.randrange(-50, 1000),
                rng.choice([rng.random(), rng.gauss(0, 1e9), 1e-300]),
                rng.choice(WORDS),
                rng.choice(["", rng.randrange(9), "2021-03-04"]),
                rng.choice(["no", "yes", "no"]),
            ]
        )
    return out.getvalue().encode()


def mutate(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice([1, 3, 40, 400]))
        kind = rng.randrange(6)
        if kind == 0:
            data = flipped(rng, data) if rng.random() < 0.3 else data[:at] + data[end:]
        elif kind == 1:
            data = data[:at] + data[at:end] * 2 + data[end:]
        elif kind == 2 and rng.random() < 0.3:
            data = data[:at]
        else:
            data = data[:at] + rng.choice(PIECES) + data[at:]
    return data


def flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    kind = rng.randrange(5)
    if kind == 0:
        return bytes(changed[: rng.randrange(len(changed) + 1)])
    if kind == 1:
        at = rng.randrange(len(changed) + 1)
        return bytes(changed[:at] + changed[at : at + rng.randrange(200)] + changed[at:])
    for _ in range(rng.choice([1, 1, 3, 10])):
        if changed:
            # Half of them near the end, where a Parquet file says what it holds.
            low = max(0, len(changed) - 900) if rng.random() < 0.5 else 0
            changed[rng.randrange(low, len(changed))] = rng.randrange(256)
    return bytes(changed)


def parquet_table(rng: random.Random) -> pa.Table:
    n = rng.choice([0, 3, 60, 200])
    some = [
        lambda: pa.array([rng.choice([None, rng.randrange(9)]) for _ in range(n)], pa.int32()),
        lambda: pa.array([rng.choice([2**63, 5]) for _ in range(n)], pa.uint64()),
        lambda: pa.array([rng.choice([1e300, float("nan"), 0.5, -0.0]) for _ in range(n)]),
        lambda: pa.array([rng.choice(WORDS) for _ in range(n)]),
        lambda: pa.array([rng.choice([[], [1], [1, 2]]) for _ in range(n)], pa.list_(pa.int64())),
        lambda: pa.array([{"k": 1}] * n, pa.struct([("k", pa.int64())])),
        lambda: pa.array([rng.choice(WORDS) for _ in range(n)]).dictionary_encode(),
        lambda: pa.array([rng.randrange(10**12) for _ in range(n)], pa.timestamp("ms")),
        lambda: pa.array([10**15] * n, pa.timestamp("s")).cast(pa.timestamp("s")),
        lambda: pa.array([b"\xff\x00"] * n, pa.binary()),
        lambda: pa.nulls(n),
        lambda: pa.array([[0.5]] * n, pa.large_list(pa.float32())),
        lambda: pa.array([rng.random() < 0.5 for _ in range(n)]),
        lambda: pa.array([1] * n, pa.decimal128(9, 3)),
        lambda: pa.array([1] * n, pa.time64("us")),
    ]
    columns = {f"x{i}": rng.choice(some)() for i in range(rng.choice([1, 2, 4]))}
    labels = pa.array([rng.choice(["no", "yes"]) for _ in range(n)], pa.string())
    return pa.table({"a": pa.array(range(n), pa.int64()), **columns, "y": labels})


def tfrecord_rows(rng: random.Random) -> list[Any]:
    rows: list[Any] = []
    for i in range(rng.choice([0, 3, 60, 200])):
        row = {"a": i, "x": rng.random(), "t": rng.choice(WORDS), "y": rng.choice(["no", "yes"])}
        row["gap"] = rng.choice([None, 3])
        if rng.random() < 0.002:
            row["a"] = rng.choice([0.5, "text", (1, 2), (1, 2, 3)])
        rows.append(b"\xff no example" if rng.random() < 0.001 else row)
    return rows


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
