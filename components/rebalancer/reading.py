"""What is parsed of serialized tf.Examples, a block of thousands at a time."""

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow as tf
from tfx_bsl.coders import example_coder

from .. import examples_io, hashing
from ..errors import UserError
from ..names import ROW_COPY, ROW_ID
from ..tfrecord import Frames, read_frames
from .features import Features
from .params import RebalanceParams
from .rows import COPIED, Rows

_NO_LABEL: Final = -(2**63)


@dataclass(frozen=True)
class Layout:
    """What of every example decides whether and how often it is written.

    Attributes:
      label: name of the feature that holds the class: its name, or an integer.
      classes: class names; a class's code is its index.
      has_row_id: whether examples carry their identity; else it is hashed from their content.
      has_row_copy: whether they carry which of the rows of one identity they are; else they are
        numbered first, see `copies`.
      values: of an int64 label what stands for each class; None: the label is text, the names.
      constants: name and value of the int features that synthetic rows have, too.
    """

    label: str
    classes: tuple[str, ...]
    has_row_id: bool
    has_row_copy: bool = False
    values: tuple[int, ...] | None = None
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
      ids: int64 [n], identities among equal rows (`hashing.copy_ids`): what chooses goes by these.
      content: int64 [n], identities of content (`hashing.row_ids`).
      strangers: labels that are no class, one for each such row; '' where it is missing.
    """

    frames: Frames
    codes: np.ndarray
    ids: np.ndarray
    content: np.ndarray
    strangers: list[str]


class Numbered(NamedTuple):
    """A file of examples without `_row_copy`, and which copies its rows are.

    Attributes:
      path: of the file.
      rows: int64 [m], places in it of rows that are no first copies, ascending.
      copies: int64 [m], which copies they are; the others are 0.
    """

    path: str
    rows: np.ndarray
    copies: np.ndarray


class Told(NamedTuple):
    """Examples whose identities are known; `ids` and `content` as a Block has them."""

    frames: Frames
    ids: np.ndarray
    content: np.ndarray


Source = str | Numbered | Frames | Told
"""Examples as steps get them: the name of a file, or what is in memory."""


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

    def __call__(self, frames: Frames, copies: np.ndarray | None = None) -> Block:
        """Label and identity of each record.

        Args:
          frames: n records.
          copies: int64 [n], which copies they are; None: as the records say, else 0.

        Raises:
          UserError: a row's label or identity is not one value of its type.
        """
        records = frames.payloads()
        codes, strangers, content, said = self._parsed(records, self.layout)
        if not self.layout.has_row_id:
            if self._decoder is None:
                self._decoder = examples_io.decoder()
            content = hashing.row_ids(self._decoder.DecodeBatch(records), {self.layout.label})
        if copies is None and self.layout.has_row_copy:
            copies = said
        if copies is None or not copies.any():
            return Block(frames, codes, content, content, strangers)
        return Block(frames, codes, hashing.copy_ids(content, copies), content, strangers)

    def told(self, known: Told) -> Block:
        """Labels of records whose identities are known; raises as a call does."""
        layout = replace(self.layout, has_row_id=False, has_row_copy=False)
        codes, strangers, *_ = self._parsed(known.frames.payloads(), layout)
        return Block(known.frames, codes, known.ids, known.content, strangers)

    def _parsed(
        self, records: list[bytes], layout: Layout
    ) -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
        """Codes, strangers, identities of content and copies; these if the layout has them."""
        try:
            codes, strangers, ids, copies = (
                found.numpy() for found in _parser(layout)(tf.constant(records, tf.string))
            )
        except tf.errors.InvalidArgumentError as error:
            kind, others = (
                ("text", "; of an int64 label give the classes as numbers")
                if layout.values is None
                else ("int64", "; of a text label give the classes as text")
            )
            raise UserError(
                f"train: every row needs one {kind} value '{layout.label}'{others}"
                + (f" and one int64 '{ROW_ID}'" if layout.has_row_id else "")
                + (f" and '{ROW_COPY}'" if layout.has_row_copy else "")
                + f"; TensorFlow says: {first_line(error)}"
            ) from None
        return codes, [_told(value) for value in strangers.tolist()], ids, copies


@functools.lru_cache(maxsize=8)
def _parser(layout: Layout) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """Parses records into codes int64 [n], labels of those that are no class, identities and
    copies, int64 [n] each or [0] where the layout has none."""
    spec = {layout.label: tf.io.FixedLenFeature([], tf.string, "")}
    keys = tf.constant(layout.classes, tf.string)
    if layout.values is not None:
        spec[layout.label] = tf.io.FixedLenFeature([], tf.int64, _NO_LABEL)
        keys = tf.constant(layout.values, tf.int64)
    if layout.has_row_id:
        spec[ROW_ID] = tf.io.FixedLenFeature([], tf.int64)
    if layout.has_row_copy:
        spec[ROW_COPY] = tf.io.FixedLenFeature([], tf.int64)
    codes = np.arange(len(layout.classes))
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, codes), -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def parse(records: tf.Tensor) -> tuple[tf.Tensor, ...]:
        parsed = tf.io.parse_example(records, spec)
        label, none = parsed[layout.label], tf.zeros([0], tf.int64)
        codes = table.lookup(label)
        strangers = tf.boolean_mask(label, codes < 0)
        return codes, strangers, parsed.get(ROW_ID, none), parsed.get(ROW_COPY, none)

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
    """A step on blocks of examples, in memory or of files, which it reads itself.

    So only names cross to it. A runner may begin a stage at each step with a side input, as Flink
    does, and what has been read before that step crosses the network.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._parse = job, BlockParser(job.layout)

    def process(self, source: Source, *known: Any) -> Iterator[Any]:
        for block in self._blocks(source):
            yield from self.of(block, *known)

    def _blocks(self, source: Source) -> Iterator[Block]:
        if isinstance(source, Told):
            yield self._parse.told(source)
        elif isinstance(source, Frames):
            yield self._parse(source)
        elif isinstance(source, Numbered):
            start = 0
            for frames in read_frames(source.path):
                copies = np.zeros(len(frames), np.int64)
                part = slice(*np.searchsorted(source.rows, [start, start + len(frames)]))
                copies[source.rows[part] - start] = source.copies[part]
                yield self._parse(frames, copies)
                start += len(frames)
        else:
            yield from map(self._parse, read_frames(source))

    @abstractmethod
    def of(self, block: Block, *known: Any, **more: Any) -> Iterator[Any]:
        """What comes of a block; `known` are the side inputs."""

    def rows(self, block: Block, chosen: np.ndarray | None = None) -> Rows:
        """Its rows, or those of a mask, as `rows_of` decodes them."""
        mask = np.ones(len(block.ids), bool) if chosen is None else chosen
        rows = rows_of(block, mask, self._job.features, self._job.layout.classes)
        if self._job.params.provenance:
            rows.columns[ROW_ID] = block.content[mask]
        return rows


def _only(record: bytes, names: Sequence[str]) -> bytes:
    """Some features of a serialized example as a serialized tf.train.Features."""
    found = tf.train.Example.FromString(record).features.feature
    kept = tf.train.Features(feature={name: found[name] for name in names if name in found})
    return bytes(kept.SerializeToString(deterministic=True))


def _told(label: bytes | int) -> str:
    """A label that is no class, '' where it is missing."""
    if isinstance(label, bytes):
        return label.decode("utf-8", "replace")
    return "" if label == _NO_LABEL else str(label)


def layout_of(records: Sequence[bytes], label: str, classes: Sequence[str]) -> Layout:
    """The layout that the first record has.

    Raises:
      UserError: there is none, or its label holds no class.
    """
    if not records:
        raise UserError("the train split has no rows to rebalance")
    features = tf.train.Example.FromString(records[0]).features.feature
    kind = features[label].WhichOneof("kind") if label in features else None
    values = _values(label, classes) if kind == "int64_list" else None
    if kind not in ("bytes_list", "int64_list"):
        raise UserError(
            f"train: label '{label}' is {kind or 'missing'} in the first row; expected the class's "
            "name as text, or an integer, passed through Transform unchanged"
        )
    has_row_id = ROW_ID in features
    # Copies are told of identities: without those, of others than are hashed here.
    has_row_copy = has_row_id and ROW_COPY in features
    return Layout(label, tuple(classes), has_row_id, has_row_copy, values)


def _values(label: str, classes: Sequence[str]) -> tuple[int, ...]:
    """What stands for classes in an int64 label that are named as `class_names` does."""
    truth = {"false": 0, "true": 1}
    if truth.keys() >= set(classes):
        return tuple(truth[name] for name in classes)
    if odd := [name for name in classes if not re.fullmatch("0|-?[1-9][0-9]{0,18}", name)]:
        raise UserError(
            f"train: label '{label}' is int64_list in the first row, but class {odd[0]!r} of the "
            "ImbalanceReport is no integer"
        )
    return tuple(int(name) for name in classes)


def first_line(error: tf.errors.OpError) -> str:
    """Of what TensorFlow says."""
    return str(error.message).splitlines()[0]
