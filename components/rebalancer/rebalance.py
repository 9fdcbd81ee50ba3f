"""Rebalancing of the TFRecord files of one split, on Beam.

The files are read twice: once to count classes and hashes, once to write. The second read is fused
to its write, so rows that are only kept, copied or dropped never cross a stage: their serialized
bytes travel from file to file, and nothing but label and row identity is parsed. What crosses
stages are counts, the few rows at the edge of a selection, and rows of the classes that synthetic
rows are made from.
"""

import functools
import io
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf

from .. import examples_io, hashing, progress
from ..errors import UserError, recognise
from ..names import ROW_ID
from . import selection
from .features import Features
from .params import RebalanceParams
from .report import Rebalancing
from .samplers import SAMPLERS, Rows, SyntheticSampler

_MAX_STRANGERS = 100
_ROWS, _EDGE, _BASES = "rows", "edge", "bases"


@dataclass(frozen=True)
class Layout:
    """What is parsed of every example.

    Attributes:
      label: name of the bytes feature that holds the class's name.
      classes: class names; a class's code is its index.
      has_row_id: whether examples carry their identity; else it is hashed from their content.
      seed: of the hashes.
    """

    label: str
    classes: tuple[str, ...]
    has_row_id: bool
    seed: int


class Sketch(NamedTuple):
    """What the first read finds.

    Attributes:
      histogram: int64 [n_classes, n_buckets], rows by class and top bits of their hash.
      strangers: label that is no class -> rows; '' for rows without a label.
    """

    histogram: np.ndarray
    strangers: Counter[str]


def rebalance(
    make_pipeline: Callable[[], beam.Pipeline],
    files: Sequence[str],
    directory: str,
    *,
    label: str,
    classes: Sequence[str],
    features: Features,
    params: RebalanceParams,
) -> Rebalancing:
    """Rebalances one split.

    The output, as a set of rows, depends on the set of input rows, `params` and nothing else: not
    on their order, the number of files, or the runner.

    Args:
      make_pipeline: makes a Beam pipeline; called twice.
      files: TFRecord files of tf.Examples, gzipped where the name ends in .gz.
      directory: where the output files appear; its parent takes temporary files.
      label: bytes feature with the class's name.
      classes: all class names.
      features: what synthetic rows are made of; samplers that copy take rows as they are.
      params: method, strategies, limits, seed.

    Raises:
      UserError: strategy, labels or features do not allow it; the message says which.
    """
    layout = Layout(label, tuple(classes), _has_row_id(files, label), params.seed)
    progress.say(f"counting classes in {len(files)} files")
    sketch = _read_sketch(make_pipeline, files, layout, f"{directory.rstrip('/')}.sketch")
    _must_be_classes(sketch.strangers, layout)
    before = dict(zip(layout.classes, sketch.histogram.sum(axis=1).tolist(), strict=True))

    sampler = SAMPLERS[params.method]
    after = sampler.targets(before, params)
    _must_not_outgrow(before, after, params.max_growth)
    written, synthetic = after, dict.fromkeys(before, 0)
    if isinstance(sampler, SyntheticSampler):
        written, synthetic = before, {name: after[name] - before[name] for name in before}
        sampler.check(before, synthetic, features, params)

    told = ", ".join(f"{name} {before[name]} -> {after[name]}" for name in before)
    progress.say(f"{params.method}: {told}")
    copies = selection.Copies.exact(sketch.histogram, list(written.values()))
    with _user_errors(), make_pipeline() as pipeline:
        rows = (
            pipeline
            | "Files" >> beam.Create(files)
            | "Copy"
            >> beam.ParDo(_Copy(layout, copies, features, synthetic)).with_outputs(
                _EDGE, _BASES, main=_ROWS
            )
        )
        outputs = [rows[_ROWS]]
        if copies.within.any():
            outputs.append(
                rows[_EDGE]
                | "GroupEdges" >> beam.GroupByKey()
                | "Settle" >> beam.Map(_settle, copies.within)
            )
        if isinstance(sampler, SyntheticSampler) and any(synthetic.values()):
            outputs.append(
                rows[_BASES]
                | "GroupClasses" >> beam.GroupByKey()
                | "Synthesise"
                >> beam.ParDo(_Synthesise(sampler, layout, features, params, synthetic))
            )
        _ = (
            tuple(outputs)
            | "Write" >> _WriteFused(directory)
            | "CheckRows" >> beam.Map(_must_equal, sum(after.values()))
        )

    kept = {name: min(before[name], written[name]) for name in before}
    return Rebalancing(
        method=params.method,
        sampling_strategy=params.sampling_strategy,
        seed=params.seed,
        before=before,
        after=after,
        kept=kept,
        duplicated={name: written[name] - kept[name] for name in before},
        synthetic=synthetic,
        factors={name: after[name] / before[name] if before[name] else 1.0 for name in before},
        kind=sampler.kind if after != before else "none",
        row_identity="feature" if layout.has_row_id else "computed",
    )


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


class _Reader(beam.DoFn):
    """Reads files in blocks: records, class codes (-1: no class), identities, label tensor."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def setup(self) -> None:
        self._parse = _parser(self._layout)
        self._decoder = None if self._layout.has_row_id else examples_io.decoder()

    def blocks(self, path: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, tf.Tensor]]:
        for records in examples_io.read_blocks([path]):
            try:
                codes, label, ids = self._parse(tf.constant(records))
            except tf.errors.InvalidArgumentError as error:
                raise UserError(
                    f"{path}: every row needs one text value '{self._layout.label}' and one int64 "
                    f"'{ROW_ID}'; TensorFlow says: {_first_line(error)}"
                ) from None
            if self._decoder is None:
                ids = ids.numpy()
            else:
                ids = hashing.row_ids(self._decoder.DecodeBatch(records), {self._layout.label})
            yield records, codes.numpy(), ids, label


class _Observe(_Reader):
    """path -> (class codes, hashes, labels that are no class) of each block."""

    def process(self, path: str) -> Iterator[tuple[np.ndarray, np.ndarray, list[str]]]:
        for _, codes, ids, label in self.blocks(path):
            known = codes >= 0
            words = selection.hashes(ids[known], self._layout.seed)
            strangers = [] if known.all() else label.numpy()[~known].tolist()
            yield codes[known], words, [name.decode("utf-8", "replace") for name in strangers]


class SketchFn(beam.CombineFn):
    """Merges blocks of (class codes, hashes, strangers) into a Sketch."""

    def __init__(self, n_classes: int) -> None:
        self._n_classes = n_classes

    def create_accumulator(self) -> Sketch:
        """An empty sketch."""
        return Sketch(selection.empty_histogram(self._n_classes), Counter())

    def add_input(self, sketch: Sketch, block: tuple[np.ndarray, np.ndarray, list[str]]) -> Sketch:
        """Counts one block."""
        codes, words, strangers = block
        selection.add_to_histogram(sketch.histogram, codes, words)
        return _with_strangers(sketch, Counter(strangers))

    def merge_accumulators(self, sketches: Iterable[Sketch]) -> Sketch:
        """Adds sketches up, in any order."""
        total = self.create_accumulator()
        for sketch in sketches:
            np.add(total.histogram, sketch.histogram, out=total.histogram)
            total = _with_strangers(total, sketch.strangers)
        return total

    def extract_output(self, sketch: Sketch) -> Sketch:
        """The sketch itself."""
        return sketch


class _Copy(_Reader):
    """path -> blocks of records to write; rows to settle and rows to synthesise from, by class."""

    def __init__(
        self,
        layout: Layout,
        copies: selection.Copies,
        features: Features,
        synthetic: Mapping[str, int],
    ) -> None:
        super().__init__(layout)
        self._copies, self._features = copies, features
        self._bases = [code for code, name in enumerate(layout.classes) if synthetic[name]]

    def process(self, path: str) -> Iterator[Any]:
        for records, codes, ids, _ in self.blocks(path):
            words = selection.hashes(ids, self._layout.seed)
            copies, edge = self._copies.of(codes, words)
            yield records.repeat(copies)
            for code in np.unique(codes[edge]).tolist():
                rows = edge & (codes == code)
                yield beam.pvalue.TaggedOutput(_EDGE, (code, (words[rows], records[rows].tolist())))
            for code in self._bases:
                rows = codes == code
                if rows.any():
                    columns = self._columns(records[rows], self._layout.classes[code])
                    yield beam.pvalue.TaggedOutput(_BASES, (code, Rows(ids[rows], columns)))

    def _columns(self, records: np.ndarray, name: str) -> dict[str, np.ndarray]:
        # An int has no value that means missing: TensorFlow refuses a row without one.
        spec = {
            feature: tf.io.FixedLenFeature([], tf.int64)
            if kind == "int"
            else tf.io.FixedLenFeature([], tf.float32, np.nan)
            for feature, kind in self._features.types.items()
        }
        try:
            parsed = tf.io.parse_example(tf.constant(records), spec)
        except tf.errors.InvalidArgumentError as error:
            raise UserError(
                f"train, class {name}: synthetic rows need one number for each feature in every "
                f"row; fill it in Transform, or use rebalance.method over; TensorFlow says: "
                f"{_first_line(error)}"
            ) from None
        columns = {feature: parsed[feature].numpy() for feature in spec}
        for feature, column in columns.items():
            if not np.isfinite(column).all():
                raise UserError(
                    f"train, class {name}: feature '{feature}' is missing, NaN or infinite in "
                    "some rows, but synthetic rows need a number in every row; fill it in "
                    "Transform, or use rebalance.method over"
                )
        return columns


def _settle(
    edge: tuple[int, Iterable[tuple[np.ndarray, list[bytes]]]], within: np.ndarray
) -> list[bytes]:
    """The rows of one class's edge that are written once more: smallest hash, then content."""
    code, parts = edge[0], list(edge[1])
    words = np.concatenate([words for words, _ in parts])
    records = [record for _, part in parts for record in part]
    content = hashing.row_ids(examples_io.decoder().DecodeBatch(records))
    return [records[i] for i in np.lexsort((content, words))[: within[code]]]


class _Synthesise(beam.DoFn):
    """(class code, all its rows) -> blocks of serialized synthetic examples."""

    def __init__(
        self,
        sampler: SyntheticSampler,
        layout: Layout,
        features: Features,
        params: RebalanceParams,
        synthetic: Mapping[str, int],
    ) -> None:
        self._sampler, self._layout, self._features = sampler, layout, features
        self._params, self._synthetic = params, synthetic

    def process(self, group: tuple[int, Iterable[Rows]]) -> Iterator[list[bytes]]:
        name = self._layout.classes[group[0]]
        rows = Rows.concatenated(list(group[1])).ordered()
        made = self._sampler.synthesise(rows, self._synthetic[name], self._features, self._params)
        for start in range(0, len(made.ids), examples_io.BATCH_ROWS):
            part = made.take(slice(start, start + examples_io.BATCH_ROWS))
            yield examples_io.encode(self._batch(part, name))

    def _batch(self, rows: Rows, name: str) -> pa.RecordBatch:
        columns = dict(rows.columns)
        if self._layout.has_row_id:
            columns[ROW_ID] = rows.ids
        columns[self._layout.label] = np.full(len(rows.ids), name.encode(), object)
        offsets = np.arange(len(rows.ids) + 1, dtype=np.int32)
        lists = [pa.ListArray.from_arrays(offsets, pa.array(v)) for v in columns.values()]
        return pa.RecordBatch.from_arrays(lists, names=list(columns))


class _WriteFused(examples_io.WriteExamples):
    """WriteExamples of several inputs as one split, each fused to what feeds it."""

    def expand(self, inputs: Any) -> beam.PCollection:
        parts = tuple(
            blocks
            | f"WriteParts{i}"
            >> beam.ParDo(examples_io._WritePart(self._staging, self._gzip_level))
            for i, blocks in enumerate(inputs)
        )
        return (
            parts
            | "Parts" >> beam.Flatten()
            | "CollectNames" >> beam.combiners.ToList()
            | "Rename"
            >> beam.Map(examples_io._publish, self._staging, self._directory, self._gzip_level)
        )


def _read_sketch(
    make_pipeline: Callable[[], beam.Pipeline], files: Sequence[str], layout: Layout, prefix: str
) -> Sketch:
    path = f"{prefix}-{uuid.uuid4().hex}"
    with _user_errors(), make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Files" >> beam.Create(files)
            | "Observe" >> beam.ParDo(_Observe(layout))
            | "Sketch" >> beam.CombineGlobally(SketchFn(len(layout.classes)))
            | "SaveSketch" >> beam.Map(_save, path)
        )
    with tf.io.gfile.GFile(path, "rb") as file:
        saved = np.load(io.BytesIO(file.read()))
    tf.io.gfile.remove(path)
    strangers = dict(zip(saved["names"].tolist(), saved["rows"].tolist(), strict=True))
    return Sketch(saved["histogram"], Counter(strangers))


def _save(sketch: Sketch, path: str) -> None:
    buffer = io.BytesIO()
    names, rows = list(sketch.strangers), list(sketch.strangers.values())
    np.savez(
        buffer,
        histogram=sketch.histogram,
        names=np.array(names, np.str_),
        rows=np.array(rows, np.int64),
    )
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(buffer.getvalue())


def _with_strangers(sketch: Sketch, more: Counter[str]) -> Sketch:
    if not more:
        return sketch
    return Sketch(
        sketch.histogram, Counter(dict((sketch.strangers + more).most_common(_MAX_STRANGERS)))
    )


def _has_row_id(files: Sequence[str], label: str) -> bool:
    """Looks at the first row."""
    first = next(examples_io.read_blocks(files, batch_rows=1), None)
    if first is None:
        raise UserError("the train split has no rows to rebalance")
    features = tf.train.Example.FromString(first[0]).features.feature
    kind = features[label].WhichOneof("kind") if label in features else None
    if kind != "bytes_list":
        raise UserError(
            f"train: label '{label}' is {kind or 'missing'} in the first row; expected the class's "
            "name as text, passed through Transform unchanged"
        )
    return ROW_ID in features


def _must_be_classes(strangers: Counter[str], layout: Layout) -> None:
    if not strangers:
        return
    told = ", ".join(
        f"{name!r} in {rows} rows" if name else f"missing in {rows} rows"
        for name, rows in strangers.most_common(5)
    )
    raise UserError(
        f"train: label '{layout.label}' is {told}; the classes of the ImbalanceReport are "
        f"{', '.join(layout.classes)}"
    )


def _must_not_outgrow(
    before: Mapping[str, int], after: Mapping[str, int], max_growth: float
) -> None:
    rows, grown = sum(before.values()), sum(after.values())
    if grown > max_growth * rows:
        raise UserError(
            f"rebalance.max_growth: {max_growth:g}, but {rows} rows would become {grown} "
            f"({grown / rows:.1f} times); raise max_growth, or ask for fewer rows in "
            "rebalance.sampling_strategy"
        )


def _must_equal(rows: int, expected: int) -> None:
    if rows != expected:
        raise RuntimeError(f"wrote {rows} rows instead of {expected}: did the input change?")


def _first_line(error: tf.errors.OpError) -> str:
    return error.message.splitlines()[0]


@contextmanager
def _user_errors() -> Iterator[None]:
    """Raises a worker's UserError as itself, however the runner has wrapped it."""
    try:
        yield
    except Exception as error:
        if (ours := recognise(error)) and ours is not error:
            raise ours from error
        raise
