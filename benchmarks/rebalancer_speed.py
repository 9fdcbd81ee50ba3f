"""Rebalancer's wall time beside a script that does the same in memory.

Both read the gzipped TFRecord files of 100,000 rows (10 float features, 1 % minority), balance the
classes and write gzipped TFRecord files at the same compression level. The script is the fastest
that one process does: tf.data parses in batches, imbalanced-learn resamples, tfx_bsl encodes. Ours
runs on Beam's in-memory runner.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from imblearn.over_sampling import SMOTE, RandomOverSampler

from benchmarks.claims import Claim
from tfx_imbalance.components import examples_io, hashing
from tfx_imbalance.components.names import ROW_ID
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rebalance import rebalance

ROWS, MINORITY, FILES, REPEATS = 100_000, 1_000, 4, 3
NAMES = [f"x{i}" for i in range(10)]
CLASSES = ["no", "yes"]
LABEL = "label"
PEERS = {"over": RandomOverSampler, "smote": SMOTE}


def run() -> Iterator[Claim]:
    """Yields one claim a method: how many times faster ours is, medians of alternating runs."""
    folder = Path(tempfile.mkdtemp(prefix="rebalancer_speed-"))
    try:
        files = _generate(folder / "in")
        for method in PEERS:
            ours, peer = [], []
            # The first round warms up both.
            for i in range(1 + REPEATS):
                ours.append(_seconds(_rebalancer, method, files, folder / f"{method}-ours-{i}"))
                peer.append(_seconds(_script, method, files, folder / f"{method}-peer-{i}"))
            yield Claim.against(
                f"rebalance {method}: wall time beside an in-memory imbalanced-learn script",
                statistics.median(ours[1:]),
                statistics.median(peer[1:]),
                unit="s",
                at_least=1.0,
                better="less",
                detail=f"{ROWS:,} rows x {len(NAMES)} floats, 1 % minority, balanced 1:1, gzip in "
                f"and out, medians of {REPEATS} runs; ours with the row identity in the examples",
            )
    finally:
        shutil.rmtree(folder)


def _seconds(call: Callable[[str, list[str], Path], None], *args: object) -> float:
    started = time.perf_counter()
    call(*args)
    return time.perf_counter() - started


def _rebalancer(method: str, files: list[str], out: Path) -> None:
    report = rebalance(
        lambda: beam.Pipeline(runner=FnApiRunner()),
        files,
        str(out / "Split-train"),
        label=LABEL,
        classes=CLASSES,
        features=Features(dict.fromkeys(NAMES, "float")),
        params=RebalanceParams(method=method),
    )
    assert set(report.after.values()) == {ROWS - MINORITY}


def _script(method: str, files: list[str], out: Path) -> None:
    spec = {name: tf.io.FixedLenFeature([], tf.float32) for name in NAMES}
    spec[LABEL] = tf.io.FixedLenFeature([], tf.string)
    dataset = tf.data.TFRecordDataset(files, "GZIP", buffer_size=8 << 20)
    dataset = dataset.batch(4096).map(lambda records: tf.io.parse_example(records, spec))
    batches = list(dataset.prefetch(2).as_numpy_iterator())
    y = np.concatenate([batch[LABEL] for batch in batches]) == b"yes"
    x = np.column_stack([np.concatenate([batch[name] for batch in batches]) for name in NAMES])
    x, y = PEERS[method](random_state=0).fit_resample(x, y)
    assert len(y) == 2 * (ROWS - MINORITY)
    out.mkdir(parents=True)
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
    with tf.io.TFRecordWriter(str(out / "examples.gz"), options) as writer:
        for start in range(0, len(y), 10_000):
            rows = slice(start, start + 10_000)
            for record in _encoded(x[rows], np.where(y[rows], b"yes", b"no").astype(object)):
                writer.write(record)


def _generate(folder: Path) -> list[str]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, len(NAMES))).astype(np.float32)
    label = np.full(ROWS, b"no", object)
    label[rng.permutation(ROWS)[:MINORITY]] = b"yes"
    ids = hashing.row_ids(pa.RecordBatch.from_arrays([pa.array(c) for c in x.T], names=NAMES))
    folder.mkdir()
    files = []
    for i, rows in enumerate(np.array_split(np.arange(ROWS), FILES)):
        files.append(str(folder / f"train-{i}.gz"))
        with tf.io.TFRecordWriter(files[-1], "GZIP") as writer:
            for record in _encoded(x[rows], label[rows], ids[rows]):
                writer.write(record)
    return files


def _encoded(x: np.ndarray, label: np.ndarray, ids: np.ndarray | None = None) -> list[bytes]:
    columns = dict(zip(NAMES, np.ascontiguousarray(x.T), strict=True)) | {LABEL: label}
    if ids is not None:
        columns[ROW_ID] = ids
    offsets = np.arange(len(x) + 1, dtype=np.int32)
    lists = [pa.ListArray.from_arrays(offsets, pa.array(column)) for column in columns.values()]
    return examples_io.encode(pa.RecordBatch.from_arrays(lists, names=list(columns)))
