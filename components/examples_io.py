"""tf.Example TFRecord files, read and written in blocks of thousands of rows.

Decoding and encoding are tfx_bsl's C++ coders; files are TensorFlow's C++ readers and writers.
"""

import os
import uuid
from collections.abc import Iterator, Sequence

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders import example_coder

BATCH_ROWS = 8192


def compression_of(path: str) -> str:
    """'GZIP' for a name that ends in .gz, else ''."""
    return "GZIP" if path.endswith(".gz") else ""


def read_blocks(files: Sequence[str], batch_rows: int = BATCH_ROWS) -> Iterator[np.ndarray]:
    """Serialized records of the files in order, as object arrays of bytes [<= batch_rows].

    Raises tf.errors.DataLossError for a truncated or corrupt file.
    """
    for path in files:
        dataset = tf.data.TFRecordDataset(path, compression_of(path), buffer_size=8 << 20)
        yield from dataset.batch(batch_rows).prefetch(2).as_numpy_iterator()


def decoder(features: dict[str, str] | None = None) -> example_coder.ExamplesToRecordBatchDecoder:
    """A decoder of serialized tf.Examples to Arrow: `.DecodeBatch(list_of_bytes)`.

    Args:
      features: name -> 'int', 'float' or 'bytes' for the only features to decode; None: all.

    Every column of the result is a list; a feature absent from a row is null.
    """
    if features is None:
        return example_coder.ExamplesToRecordBatchDecoder()
    types = {"int": schema_pb2.INT, "float": schema_pb2.FLOAT, "bytes": schema_pb2.BYTES}
    schema = schema_pb2.Schema()
    for name, kind in features.items():
        schema.feature.add(name=name, type=types[kind])
    return example_coder.ExamplesToRecordBatchDecoder(schema.SerializeToString())


def encode(batch: pa.RecordBatch) -> list[bytes]:
    """Serialized tf.Examples of a batch whose columns are lists of int64, float32 or binary."""
    return example_coder.RecordBatchToExamples(batch)


class WriteExamples(beam.PTransform):
    """Writes blocks of serialized examples as the gzipped TFRecord files of one split.

    Input: PCollection of sequences of bytes, a block each. The write stays fused to what feeds
    it: no shuffle, one file a bundle. Files appear in `directory` whole, under their final names
    `data_tfrecord-NNNNN-of-NNNNN.gz`, after all were written; a bundle that is retried leaves
    nothing behind. At least one file is written, also for no rows. Returns the number of rows.
    """

    def __init__(self, directory: str, gzip_level: int = 1) -> None:
        super().__init__()
        self._directory = directory
        self._staging = f"{directory.rstrip('/')}.writing-{uuid.uuid4().hex}"
        self._gzip_level = gzip_level

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        parts = blocks | "WriteParts" >> beam.ParDo(_WritePart(self._staging, self._gzip_level))
        return (
            parts
            | "CollectNames" >> beam.combiners.ToList()
            | "Rename" >> beam.Map(_publish, self._staging, self._directory, self._gzip_level)
        )


def _options(gzip_level: int) -> tf.io.TFRecordOptions:
    return tf.io.TFRecordOptions(compression_type="GZIP", compression_level=gzip_level)


class _WritePart(beam.DoFn):
    def __init__(self, staging: str, gzip_level: int) -> None:
        self._staging, self._gzip_level = staging, gzip_level
        self._writer: tf.io.TFRecordWriter | None = None

    def start_bundle(self) -> None:
        self._writer, self._rows, self._path = None, 0, ""

    def process(self, block: Sequence[bytes]) -> None:
        if self._writer is None:
            tf.io.gfile.makedirs(self._staging)
            self._path = os.path.join(self._staging, uuid.uuid4().hex)
            self._writer = tf.io.TFRecordWriter(self._path, _options(self._gzip_level))
        for record in block:
            self._writer.write(record)
        self._rows += len(block)

    def finish_bundle(self) -> Iterator[beam.utils.windowed_value.WindowedValue]:
        if self._writer is not None:
            self._writer.close()
            window = beam.transforms.window.GlobalWindow()
            yield beam.utils.windowed_value.WindowedValue(
                (self._path, self._rows), window.max_timestamp(), [window]
            )


def _publish(parts: list[tuple[str, int]], staging: str, directory: str, gzip_level: int) -> int:
    tf.io.gfile.makedirs(directory)
    if not parts:
        path = os.path.join(directory, "data_tfrecord-00000-of-00001.gz")
        tf.io.TFRecordWriter(path, _options(gzip_level)).close()
        return 0
    for i, (path, _) in enumerate(sorted(parts)):
        name = f"data_tfrecord-{i:05d}-of-{len(parts):05d}.gz"
        tf.io.gfile.rename(path, os.path.join(directory, name))
    tf.io.gfile.rmtree(staging)
    return sum(rows for _, rows in parts)
