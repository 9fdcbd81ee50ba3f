"""Rebalancer and its peers, each as one call over the same Examples artifact.

Peers: a script that does the work in memory, in its fastest and in its usual form, and the Sampler
of tfx-addons 0.6.0, which scripts/peers.sh puts into build/peers.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import json_utils

from tfx_imbalance.artifacts import ImbalanceReport, RebalanceReport
from tfx_imbalance.components import examples_io
from tfx_imbalance.components.artifact_io import read_report, write_report
from tfx_imbalance.components.imbalance_detector.report import Imbalance
from tfx_imbalance.components.names import BOOKKEEPING, ROW_COPY, ROW_ID, TRAIN, VAL
from tfx_imbalance.components.rebalancer.executor import Executor
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.report import Rebalancing

LABEL = "label"
CLASSES = (b"no", b"yes")
"""Majority and minority."""
PEERS_FOLDER = Path(__file__).parents[1] / "build" / "peers"
BEAM_ARGS = ["--runner=FnApiRunner"]
IN_MEMORY = {"over": RandomOverSampler, "under": RandomUnderSampler, "smote": SMOTE}
_BLOCK = 10_000


class MissingPeerError(ImportError):
    """A peer is not installed; the message says what to run."""


@dataclass(frozen=True)
class Rows:
    """Rows of two classes.

    Attributes:
      names: feature names.
      x: float32 [n, len(names)].
      label: object [n] of bytes, of CLASSES.
      ids: int64 [n], row identities.
      copies: int64 [n], which of the rows of its identity each is.
    """

    names: tuple[str, ...]
    x: np.ndarray
    label: np.ndarray
    ids: np.ndarray
    copies: np.ndarray

    def __getitem__(self, rows: slice | np.ndarray) -> Rows:
        return Rows(self.names, self.x[rows], self.label[rows], self.ids[rows], self.copies[rows])


@dataclass(frozen=True)
class Inputs:
    """What Transform and ImbalanceDetector would hand to Rebalancer.

    Attributes:
      folder: holds `examples`, `graph` and `imbalance`.
      names: feature names.
      counts: class name -> rows of train.
    """

    folder: Path
    names: tuple[str, ...]
    counts: dict[str, int]

    @property
    def files(self) -> list[str]:
        """Train's files."""
        return sorted(map(str, (self.folder / "examples" / f"Split-{TRAIN}").iterdir()))

    @property
    def examples(self) -> types.Artifact:
        """Examples with the splits train and val."""
        examples = _artifact(standard_artifacts.Examples, self.folder / "examples")
        examples.split_names = artifact_utils.encode_split_names([TRAIN, VAL])
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        return examples

    @property
    def artifacts(self) -> dict[str, list[types.Artifact]]:
        """Rebalancer's input_dict."""
        graph = _artifact(standard_artifacts.TransformGraph, self.folder / "graph")
        report = _artifact(ImbalanceReport, self.folder / "imbalance")
        return {
            "transformed_examples": [self.examples],
            "transform_graph": [graph],
            "imbalance_report": [report],
        }


class Writer:
    """Writes rows, block by block, as the inputs of a benchmark: gzipped TFRecord files."""

    def __init__(self, folder: Path, names: tuple[str, ...], files: int, gzip_level: int) -> None:
        self._folder, self._names = folder, names
        self._counts = dict.fromkeys((name.decode() for name in CLASSES), 0)
        train = folder / "examples" / f"Split-{TRAIN}"
        train.mkdir(parents=True)
        options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=gzip_level)
        paths = (train / f"data_tfrecord-{i:05d}-of-{files:05d}.gz" for i in range(files))
        self._writers = [tf.io.TFRecordWriter(str(path), options) for path in paths]

    def write(self, rows: Rows) -> None:
        """Deals the rows out to the files in blocks."""
        for start in range(0, len(rows.x), _BLOCK):
            part = rows[start : start + _BLOCK]
            writer = self._writers[0]
            for record in _with_identity(part):
                writer.write(record)
            self._writers.append(self._writers.pop(0))
            for name, count in zip(*np.unique(part.label, return_counts=True), strict=True):
                self._counts[name.decode()] += int(count)

    def finish(self, val: Rows) -> Inputs:
        """Closes the files and writes val and the other artifacts."""
        for writer in self._writers:
            writer.close()
        path = self._folder / "examples" / f"Split-{VAL}"
        path.mkdir()
        with tf.io.TFRecordWriter(str(path / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
            for record in _with_identity(val):
                writer.write(record)
        schema = schema_pb2.Schema()
        kinds = dict.fromkeys(self._names, schema_pb2.FLOAT) | {LABEL: schema_pb2.BYTES}
        kinds |= dict.fromkeys(BOOKKEEPING, schema_pb2.INT)
        for name, kind in kinds.items():
            schema.feature.add(name=name, type=kind).shape.dim.add(size=1)
        metadata_io.write_metadata(
            dataset_metadata.DatasetMetadata(schema),
            str(self._folder / "graph" / "transformed_metadata"),
        )
        report = _artifact(ImbalanceReport, self._folder / "imbalance")
        write_report({"report": [report]}, "report", _detected(self._counts))
        return Inputs(self._folder, self._names, self._counts)


def rebalancer(inputs: Inputs, out: Path, method: str, **options: int) -> Rebalancing:
    """Rebalancer's executor on Beam's in-memory runner, to 1:1 where the method counts."""
    outputs = {
        "examples": [_artifact(standard_artifacts.Examples, out / "examples")],
        "report": [_artifact(RebalanceReport, out / "report")],
    }
    params = RebalanceParams.model_validate({"method": method, **options})
    _executor(Executor).Do(
        inputs.artifacts, outputs, {"params": params.to_property(), "code_fingerprint": "x"}
    )
    return read_report(outputs, "report", Rebalancing)


@functools.lru_cache
def _executor(cls: type[BaseBeamExecutor]) -> BaseBeamExecutor:
    """Made once: TFX packs itself for other machines whenever one is made, outside Do."""
    return cls(BaseBeamExecutor.Context(beam_pipeline_args=list(BEAM_ARGS)))


def fast_script(inputs: Inputs, out: Path, method: str, gzip_level: int) -> int:
    """tf.data parses in batches, imbalanced-learn resamples, tfx_bsl encodes.

    Returns the number of rows written.
    """
    x, y = IN_MEMORY[method](random_state=0).fit_resample(*_parsed(inputs))
    with _writer(out, gzip_level) as writer:
        for start in range(0, len(y), _BLOCK):
            rows = slice(start, start + _BLOCK)
            for record in encoded(x[rows], _names_of(y[rows]), inputs.names):
                writer.write(record)
    return len(y)


def usual_script(inputs: Inputs, out: Path, method: str, gzip_level: int) -> int:
    """The same as fast_script, except that a tf.train.Example is built for each row it writes."""
    x, y = IN_MEMORY[method](random_state=0).fit_resample(*_parsed(inputs))
    with _writer(out, gzip_level) as writer:
        for record in _encoded_by_row(x, _names_of(y), inputs.names):
            writer.write(record)
    return len(y)


def tfx_addons_sampler(inputs: Inputs, out: Path, method: str) -> Path:
    """The executor of tfx-addons' Sampler ('over' or 'under') on Beam's in-memory runner.

    Returns the folder of the resampled split. Counts there are right on average only.

    Raises:
      MissingPeerError: tfx-addons is not in build/peers.
    """
    executor, spec = tfx_addons_executor(), import_tfx_addons()[1]
    strategy = {
        "over": spec.SamplingStrategy.OVERSAMPLE,
        "under": spec.SamplingStrategy.UNDERSAMPLE,
    }
    executor.Do(
        {spec.SAMPLER_INPUT_KEY: [inputs.examples]},
        {spec.SAMPLER_OUTPUT_KEY: [_artifact(standard_artifacts.Examples, out)]},
        {
            spec.SAMPLER_LABEL_KEY: LABEL,
            spec.SAMPLER_SPLIT_KEY: json_utils.dumps([TRAIN]),
            spec.SAMPLER_COPY_KEY: True,
            spec.SAMPLER_SHARDS_KEY: 0,
            spec.SAMPLER_CLASSES_KEY: json_utils.dumps([]),
            spec.SAMPLER_SAMPLE_KEY: strategy[method],
        },
    )
    return out / f"Split-{TRAIN}"


def tfx_addons_executor() -> BaseBeamExecutor:
    """Sampler's executor, made once."""
    return _executor(import_tfx_addons()[0].Executor)


def import_tfx_addons() -> tuple[Any, Any]:
    """tfx_addons.sampling's modules `executor` and `spec`.

    Raises:
      MissingPeerError: tfx-addons is not in build/peers.
    """
    if str(PEERS_FOLDER) not in sys.path:
        sys.path.append(str(PEERS_FOLDER))
    try:
        from tfx_addons.sampling import executor, spec
    except ImportError as error:
        raise MissingPeerError(
            f"tfx-addons' Sampler cannot be imported ({error}); run scripts/peers.sh"
        ) from None
    return executor, spec


def encoded(
    x: np.ndarray,
    label: np.ndarray,
    names: tuple[str, ...],
    bookkeeping: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> list[bytes]:
    """Serialized tf.Examples by tfx_bsl: one float a feature, the label, the bookkeeping given."""
    columns = dict(zip(names, np.ascontiguousarray(x.T), strict=True)) | {LABEL: label}
    columns |= bookkeeping
    offsets = np.arange(len(x) + 1, dtype=np.int32)
    lists = [pa.ListArray.from_arrays(offsets, pa.array(column)) for column in columns.values()]
    return examples_io.encode(pa.RecordBatch.from_arrays(lists, names=list(columns)))


def _with_identity(rows: Rows) -> list[bytes]:
    return encoded(rows.x, rows.label, rows.names, {ROW_ID: rows.ids, ROW_COPY: rows.copies})


def _encoded_by_row(x: np.ndarray, label: np.ndarray, names: tuple[str, ...]) -> Iterator[bytes]:
    for values, name in zip(x, label, strict=True):
        feature = {
            key: tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
            for key, value in zip(names, values.tolist(), strict=True)
        }
        feature[LABEL] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[name]))
        yield tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _parsed(inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 [n, d] and whether each row is of the minority, bool [n]."""
    spec = {name: tf.io.FixedLenFeature([], tf.float32) for name in inputs.names}
    spec[LABEL] = tf.io.FixedLenFeature([], tf.string)
    files = inputs.files
    dataset = tf.data.TFRecordDataset(files, "GZIP", 8 << 20, num_parallel_reads=len(files))
    dataset = dataset.batch(4096).map(
        lambda records: tf.io.parse_example(records, spec), num_parallel_calls=tf.data.AUTOTUNE
    )
    batches = list(dataset.prefetch(tf.data.AUTOTUNE).as_numpy_iterator())
    y = np.concatenate([batch[LABEL] for batch in batches]) == CLASSES[1]
    columns = [np.concatenate([batch[name] for batch in batches]) for name in inputs.names]
    return np.column_stack(columns), y


def _names_of(y: np.ndarray) -> np.ndarray:
    return np.where(y, CLASSES[1], CLASSES[0]).astype(object)


def _writer(out: Path, gzip_level: int) -> tf.io.TFRecordWriter:
    out.mkdir(parents=True)
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=gzip_level)
    return tf.io.TFRecordWriter(str(out / "examples.gz"), options)


def _artifact(cls: type[types.Artifact], folder: Path) -> types.Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    artifact = cls()
    artifact.uri = str(folder)
    return artifact


def _detected(counts: dict[str, int]) -> Imbalance:
    """A report that says as much as Rebalancer reads, the rest by definition or left empty."""
    majority, minority = (name.decode() for name in CLASSES)
    return Imbalance(
        label=LABEL,
        classes=[majority, minority],
        positive=minority,
        counts={TRAIN: counts},
        unlabelled={TRAIN: 0},
        majority=majority,
        minority=minority,
        minority_share=counts[minority] / sum(counts.values()),
        imbalance_ratio=counts[majority] / counts[minority],
        normalized_entropy=0.0,
        severity="extreme",
        prior_shift={},
        slices=[],
        class_weights=dict.fromkeys(counts, 1.0),
        suggested_class_weights={},
        anomalies={},
        checks=[],
        recommendation={"technique": "none", "reasons": []},
    )
