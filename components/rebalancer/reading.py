"""What is parsed of serialized tf.Examples, a block of thousands at a time."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow as tf
from tfx_bsl.coders import example_coder

from .. import examples_io, hashing
from ..errors import UserError
from ..names import ROW_ID
from ..tfrecord import Frames, read_frames
from .features import Features
from .params import RebalanceParams
from .rows import COPIED, Rows


@dataclass(frozen=True)
class Layout:
    """What of every example decides whether and how often it is written.

    Attributes:
      label: name of the bytes feature that holds the class's name.
      classes: class names; a class's code is its index.
      has_row_id: whether examples carry their identity; else it is hashed from their content.
      constants: name and value of the int features that synthetic rows have, too.
    """

    label: str
    classes: tuple[str, ...]
    has_row_id: bool
    constants: tuple[tuple[str, int], ...] = ()


class Job(NamedTuple):
    """What is to be done.

    Attributes:
      layout: of the examples.
      features: what synthetic rows are made of.
      params: method, strategies, limits, seed.
    """

    layout: Layout
    features: Features
    params: RebalanceParams


class Block(NamedTuple):
    """n examples and what was parsed of them.

    Attributes:
      frames: the records themselves.
      codes: int64 [n], class indices; -1: no class.
      ids: int64 [n], identities.
      strangers: labels that are no class, one for each such row; '' where it is missing.
    """

    frames: Frames
    codes: np.ndarray
    ids: np.ndarray
    strangers: list[str]


@dataclass
class BlockParser:
    """Parses blocks; pickled without what a worker builds for itself.

    Attributes:
      layout: what is parsed.
    """

    layout: Layout
    _decoder: example_coder.ExamplesToRecordBatchDecoder | None = field(default=None, init=False)

    def __getstate__(self) -> Layout:
        return self.layout

    def __setstate__(self, layout: Layout) -> None:
        self.layout, self._decoder = layout, None

    def __call__(self, frames: Frames) -> Block:
        """Label and identity of each record.

        Raises:
          UserError: a row's label or identity is not one value of its type.
        """
        records = frames.payloads()
        try:
            codes, label, ids = (
                found.numpy() for found in _parser(self.layout)(tf.constant(records, tf.string))
            )
        except tf.errors.InvalidArgumentError as error:
            raise UserError(
                f"train: every row needs one text value '{self.layout.label}'"
                + (f" and one int64 '{ROW_ID}'" if self.layout.has_row_id else "")
                + f"; TensorFlow says: {first_line(error)}"
            ) from None
        if not self.layout.has_row_id:
            if self._decoder is None:
                self._decoder = examples_io.decoder()
            ids = hashing.row_ids(self._decoder.DecodeBatch(records), {self.layout.label})
        known = codes >= 0
        strangers = [] if known.all() else label[~known].tolist()
        return Block(frames, codes, ids, [name.decode("utf-8", "replace") for name in strangers])


@functools.lru_cache(maxsize=8)
def _parser(layout: Layout) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Parses records into codes int64 [n], labels string [n], identities int64 [n or 0]."""
    spec = {layout.label: tf.io.FixedLenFeature([], tf.string, "")}
    if layout.has_row_id:
        spec[ROW_ID] = tf.io.FixedLenFeature([], tf.int64)
    codes = np.arange(len(layout.classes))
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(list(layout.classes), codes), -1
    )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(records, spec)
        label = parsed[layout.label]
        return table.lookup(label), label, parsed.get(ROW_ID, tf.zeros([0], tf.int64))

    return parse


def rows_of(block: Block, chosen: np.ndarray, features: Features, classes: Sequence[str]) -> Rows:
    """Decodes the features of the rows of a mask, bool [n].

    Raises:
      UserError: a feature of a row is missing, NaN or infinite, or has another number of values.
    """
    records = block.frames.select(chosen).payloads()
    codes = block.codes[chosen]
    shapes = {
        name: [features.widths[name]] if name in features.widths else [] for name in features.types
    }
    # An int has no value that means missing: TensorFlow refuses a row without one.
    spec = {
        name: tf.io.FixedLenFeature(shapes[name], tf.int64)
        if kind == "int"
        else tf.io.FixedLenFeature(
            shapes[name], tf.float32, np.full(shapes[name], np.nan, np.float32)
        )
        for name, kind in features.types.items()
    }
    there = ", ".join(classes[code] for code in np.unique(codes))
    try:
        parsed = tf.io.parse_example(tf.constant(records, tf.string), spec)
    except tf.errors.InvalidArgumentError as error:
        raise UserError(
            f"train, class {there}: this method needs a number for each feature in every row; "
            "fill it in Transform, or use rebalance.method over or under; TensorFlow says: "
            f"{first_line(error)}"
        ) from None
    columns = {name: parsed[name].numpy() for name in spec}
    for name, column in columns.items():
        finite = np.isfinite(column).all(axis=tuple(range(1, column.ndim)))
        if not finite.all():
            there = ", ".join(classes[code] for code in np.unique(codes[~finite]))
            raise UserError(
                f"train, class {there}: feature '{name}' is missing, NaN or infinite in some "
                "rows, but this method needs a number in every row; fill it in Transform, or use "
                "rebalance.method over or under"
            )
    if features.copied:
        columns[COPIED] = np.array([_only(record, features.copied) for record in records], object)
    return Rows(block.ids[chosen], codes, columns)


class BlockDoFn(beam.DoFn, ABC):
    """A step on blocks of examples, of Frames or of files, which it reads itself.

    So only names cross to it. A runner may begin a stage at each step with a side input, as Flink
    does, and what has been read before that step crosses the network.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._parse = job, BlockParser(job.layout)

    def process(self, source: str | Frames, *known: Any) -> Iterator[Any]:
        for frames in read_frames(source) if isinstance(source, str) else (source,):
            yield from self.of(self._parse(frames), *known)

    @abstractmethod
    def of(self, block: Block, *known: Any, **more: Any) -> Iterator[Any]:
        """What comes of a block; `known` are the side inputs."""

    def rows(self, block: Block, chosen: np.ndarray | None = None) -> Rows:
        """Its rows, or those of a mask, as `rows_of` decodes them."""
        mask = np.ones(len(block.ids), bool) if chosen is None else chosen
        return rows_of(block, mask, self._job.features, self._job.layout.classes)


def _only(record: bytes, names: Sequence[str]) -> bytes:
    """Some features of a serialized example as a serialized tf.train.Features."""
    found = tf.train.Example.FromString(record).features.feature
    kept = tf.train.Features(feature={name: found[name] for name in names if name in found})
    return bytes(kept.SerializeToString(deterministic=True))


def has_row_id(records: Sequence[bytes], label: str) -> bool:
    """Whether the first record carries its identity.

    Raises:
      UserError: there is none, or its label is no text.
    """
    if not records:
        raise UserError("the train split has no rows to rebalance")
    features = tf.train.Example.FromString(records[0]).features.feature
    kind = features[label].WhichOneof("kind") if label in features else None
    if kind != "bytes_list":
        raise UserError(
            f"train: label '{label}' is {kind or 'missing'} in the first row; expected the class's "
            "name as text, passed through Transform unchanged"
        )
    return ROW_ID in features


def first_line(error: tf.errors.OpError) -> str:
    """Of what TensorFlow says."""
    return str(error.message).splitlines()[0]
