"""Rows a second that reach a learner: from files into memory, and from memory as batches.

Read: transformed examples of 13 features, label and `_row_id` in gzipped TFRecord files, read by
trainer/input.read_rows, of which the best of three runs counts. Batches: the same rows, 2 % of them
positive, in batches of 256 through `mlp.batches` in each mode of `mlp.sampling`, ten epochs from
the first batch on; the peers are tf.data's own ways to a balanced stream over the same arrays, as
TensorFlow's guide on imbalanced data writes them.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from benchmarks.claims import Claim
from tfx_imbalance.components.examples_io import encode, framed
from tfx_imbalance.components.tfrecord import Writer
from tfx_imbalance.components.trainer.input import Rows, model_features, read_rows
from tfx_imbalance.components.trainer.learners.mlp import batches
from tfx_imbalance.components.trainer.params import SamplingParams
from tfx_imbalance.components.trainer.sampling import plan

ROWS, FILES, BLOCK = 400_000, 4, 20_000
NUMBERS, CATEGORIES, IDS = 8, 5, 40
MINORITY, SIZE, EPOCHS, RUNS = 0.02, 256, 10, 3
MIN_READ = 150_000
SHUFFLED = 100_000  # rows of a peer's buffer
CLASSES = ["no", "yes"]
SECONDS = 5.0


def run() -> Iterator[Claim]:
    """Yields the read, then each mode of sampling."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        rows, rate = read(folder)
    yield Claim(
        f"read gzipped examples of {NUMBERS + CATEGORIES} features into memory",
        rate,
        None,
        None,
        unit="rows/s",
        bar=f">= {MIN_READ:,} rows/s",
        ok=rate >= MIN_READ,
        detail=f"{ROWS:,} rows in {FILES} files; best of {RUNS} runs",
    )
    peers = {"per_class": sampled_from_datasets, "rejection": rejection_resampled}
    plain = rate_of(rows, "none")
    for mode in ("per_class", "balanced_batches", "rejection"):
        peer = peers.get(mode, sampled_from_datasets)
        yield Claim.against(
            f"batches with mlp.sampling {mode}, against tf.data's {peer.__name__}",
            rate_of(rows, mode),
            peer(rows),
            unit="rows/s",
            at_least=1,
            better="more",
            detail=f"{ROWS:,} rows in memory, {MINORITY:.0%} positive, batches of {SIZE}; "
            f"{plain:,.0f} rows/s without sampling",
        )


def write(folder: Path) -> None:
    """The examples."""
    rng = np.random.default_rng(0)
    for number in range(FILES):
        with Writer(str(folder / f"data_tfrecord-{number:05d}-of-{FILES:05d}.gz")) as writer:
            for _ in range(ROWS // FILES // BLOCK):
                columns = {f"n{i}": rng.normal(size=BLOCK).astype("f4") for i in range(NUMBERS)}
                columns |= {f"c{i}": rng.integers(0, IDS, BLOCK) for i in range(CATEGORIES)}
                positive = rng.random(BLOCK) < MINORITY
                columns["y"] = np.where(positive, b"yes", b"no").astype(object)
                columns["_row_id"] = rng.integers(-(2**62), 2**62, BLOCK)
                writer.write(framed(encode(_as_lists(columns))).buffer)


def read(folder: str) -> tuple[Rows, float]:
    """The rows, and how many of them a second."""
    transform = _transform()
    features = model_features(transform, "y", None)
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        rows = read_rows(
            [f"{folder}/*"], transform, features, label="y", classes=CLASSES, weight=None
        )
        best = min(best, time.perf_counter() - start)
    return rows, len(rows) / best


def rate_of(rows: Rows, mode: str) -> float:
    """Rows a second in `EPOCHS` epochs of a mode."""
    params = SamplingParams.model_validate({"mode": mode})
    way = plan(params, rows, CLASSES, size=SIZE, epochs=EPOCHS, seed=0)
    return _rate(batches(rows, rows.weights, way.epoch, EPOCHS))


def sampled_from_datasets(rows: Rows) -> float:
    """Rows a second of `sample_from_datasets` over filtered, shuffled and repeated datasets."""
    streams = []
    for label in range(len(CLASSES)):
        index = np.flatnonzero(rows.labels == label)
        stream = _dataset(rows, index).shuffle(min(len(index), SHUFFLED), seed=0).repeat()
        streams.append(stream)
    mixed = tf.data.Dataset.sample_from_datasets(streams, [0.5, 0.5], seed=0)
    return _rate(mixed.batch(SIZE).prefetch(tf.data.AUTOTUNE))


def rejection_resampled(rows: Rows) -> float:
    """Rows a second of `rejection_resample` over a shuffled and repeated dataset."""
    stream = _dataset(rows, np.arange(len(rows))).shuffle(SHUFFLED, seed=0).repeat()
    kept = stream.rejection_resample(
        lambda *row: row[2], [0.5, 0.5], [1 - MINORITY, MINORITY], seed=0
    )
    return _rate(kept.map(lambda _, row: row).batch(SIZE).prefetch(tf.data.AUTOTUNE))


def _rate(dataset: tf.data.Dataset) -> float:
    """Rows a second after the first batch, to the end, or as many as there are in SECONDS."""
    following = iter(dataset)
    next(following)
    count, start = 0, time.perf_counter()
    for batch in following:
        count += len(batch[-1])
        if time.perf_counter() - start > SECONDS:
            break
    return count / (time.perf_counter() - start)


def _dataset(rows: Rows, index: np.ndarray) -> tf.data.Dataset:
    arrays = (rows.numbers, rows.categories, rows.labels, rows.weights)
    return tf.data.Dataset.from_tensor_slices(tuple(array[index] for array in arrays))


def _as_lists(columns: dict[str, np.ndarray]) -> pa.RecordBatch:
    offsets = pa.array(np.arange(BLOCK + 1), pa.int32())
    lists = {name: pa.ListArray.from_arrays(offsets, pa.array(v)) for name, v in columns.items()}
    return pa.RecordBatch.from_pydict(lists)


def _transform() -> SimpleNamespace:
    """Stands for Transform's output of these examples."""
    specs = {f"n{i}": tf.io.FixedLenFeature([1], tf.float32) for i in range(NUMBERS)}
    specs |= {f"c{i}": tf.io.FixedLenFeature([1], tf.int64) for i in range(CATEGORIES)}
    specs["y"] = tf.io.FixedLenFeature([1], tf.string)
    specs["_row_id"] = tf.io.FixedLenFeature([1], tf.int64)
    schema = schema_pb2.Schema()
    for name in specs:
        feature = schema.feature.add(name=name)
        if name.startswith("c"):
            feature.int_domain.min, feature.int_domain.max = 0, IDS - 1
    return SimpleNamespace(
        transformed_feature_spec=lambda: specs,
        transformed_metadata=SimpleNamespace(schema=schema),
    )
