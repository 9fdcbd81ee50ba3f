"""Rebalancing on Beam, of the TFRecord files of one split or of any collection of examples.

The examples are read once to count classes and hashes, and once to write. The second read is fused
to its write, so rows that are only kept, copied or dropped never cross a stage: their framed bytes
travel from file to file, and nothing but label and row identity is parsed. What crosses stages are
counts, the few rows at the edge of a selection, and the features that a sampler has to see in one
place: of the classes that grow, or (one read more) of all rows. Where those are too large for that,
some methods go by cells (`spread`), with three reads more to make rows and three to clean.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.pvalue import AsDict, AsIter, AsSingleton, TaggedOutput
from pydantic import TypeAdapter

from .. import examples_io, hashing, progress
from ..errors import recognise
from ..names import ROW_COPY
from ..tfrecord import Frames, read_frames
from . import selection, sketch
from .copies import numbered
from .decisions import Decisions
from .features import Features
from .output import synthetic_frames, weighted_frames
from .params import RebalanceParams
from .plan import (
    Plan,
    Prepared,
    Tally,
    Way,
    allowed_targets,
    decide,
    decides,
    outcome_tally,
    plan,
    planned_tally,
    prepare,
    synthetic_sampler,
    usual_copies,
    way,
)
from .reading import Block, BlockDoFn, Job, layout_of
from .report import Rebalancing
from .rows import Rows
from .samplers import SAMPLERS
from .screening import screened
from .spread import spread
from .stream import Seen, streamed
from .synthesis import synthesise

_TASK_ROWS = 1 << 16
_MAIN, _EDGE, _BASES = "main", "edge", "bases"
_DECISIONS, _SYNTHETIC, _TALLY = "decisions", "synthetic", "tally"


class Result(NamedTuple):
    """Collections of a graph that `rebalanced` has built.

    Attributes:
      examples: Frames, in several collections: flatten them only after what must stay fused.
      tally: one Tally, what the report says.
    """

    examples: tuple[beam.PCollection, ...]
    tally: beam.PCollection


def rebalance(
    make_pipeline: Callable[[], beam.Pipeline],
    files: Sequence[str],
    directory: str,
    *,
    label: str,
    classes: Sequence[str],
    features: Features,
    params: RebalanceParams,
    counts: Mapping[str, int] | None = None,
) -> Rebalancing:
    """Rebalances one split.

    The output, as a set of rows, depends on the set of input rows, `params` and nothing else: not
    on their order, the number of files, or the runner.

    Args:
      make_pipeline: makes a Beam pipeline.
      files: TFRecord files of tf.Examples, gzipped where the name ends in .gz.
      directory: where the output files appear; its parent takes temporary files.
      label: feature with the class: its name as bytes, or an int64 (0 and 1 for the classes false
        and true).
      classes: all class names.
      features: what synthetic rows are made of; samplers that copy take rows as they are.
      params: method, strategies, limits, seed.
      counts: class name -> rows, where that is known: what they do not allow is told before the
        files are read, and a method that can (`SPREADS`) goes by cells where what it reads does
        not fit memory_limit_mb, which is an error otherwise.

    Raises:
      UserError: strategy, labels or features do not allow it; the message says which.
    """
    first = next((frames for path in files for frames in read_frames(path)), None)
    records = [] if first is None else first.select(np.array([0])).payloads()
    layout = replace(layout_of(records, label, classes), constants=features.constants)
    job = Job(layout, features, params)
    if counts is not None:
        allowed_targets(counts, features, params)
    progress.say(f"{params.method}: reading {len(files)} files")
    if not layout.has_row_copy:
        progress.say(
            f"{params.method}: the examples have no '{ROW_COPY}': equal rows are counted first, "
            "which reads all rows once or twice more, with 8 bytes of each in one place"
        )
    path = f"{directory.rstrip('/')}.tally-{uuid.uuid4().hex}"
    how = "place" if counts is None else way(counts, features, params)
    with _user_errors(), make_pipeline() as pipeline:

        def read(step: str) -> beam.PCollection:
            return pipeline | f"{step}Files" >> beam.Create(list(files))

        source = read if layout.has_row_copy else numbered(read, job)
        result = rebalanced(source, job, how)
        rows = result.examples | "Write" >> examples_io.WriteExamples(directory)
        _ = (
            rows
            | "CheckRows" >> beam.Map(_must_be_all, AsSingleton(result.tally))
            | "SaveTally" >> beam.Map(_save, path)
        )
    tally = _load(path)
    told = (f"{name} {tally.before[name]} -> {tally.after[name]}" for name in classes)
    progress.say(f"{params.method}: {', '.join(told)}")
    return tally.report(
        job.params,
        "feature" if layout.has_row_id else "computed",
        "feature" if layout.has_row_copy else "counted",
    )


def rebalanced(read: Callable[[str], beam.PCollection], job: Job, how: Way = "place") -> Result:
    """Builds the graph.

    Args:
      read: gives the examples, as `reading.Source`, for the step of that name; called once for each
        time that they are read.
      job: what is to be done.
      how: the method sees rows, as `way` tells.
    """
    sampler = SAMPLERS[job.params.method]
    findings = None
    if job.params.outliers.method != "none":
        read, findings = screened(read, job)
    planned = (
        read("Count")
        | "Observe" >> beam.ParDo(_Observe(job))
        | "Sketch" >> beam.CombineGlobally(SketchFn(len(job.layout.classes)))
        | "Plan" >> beam.Map(_plan, job, how)
    )
    tally = planned | "Tally" >> beam.Map(planned_tally, job.layout.classes)
    decisions = None
    made: list[beam.PCollection] = []
    if how == "cells":
        spread_rows = spread(read, planned, tally, job)
        tally = spread_rows.tally
        if spread_rows.decisions is not None:
            decisions = AsSingleton(spread_rows.decisions)
        if spread_rows.synthetic is not None:
            made.append(spread_rows.synthetic)
    elif sampler.reads == "split":
        if how == "stream":
            looked = streamed(read, planned, job)
        else:
            looked = (
                read("Look")
                | "Look" >> beam.ParDo(_Look(job), AsSingleton(planned))
                | "GatherSplit" >> beam.GroupByKey()
                | "Seen" >> beam.Map(_all)
            )
        if decides(sampler):
            decided = looked | "Decide" >> beam.ParDo(
                _Decide(job), AsSingleton(planned)
            ).with_outputs(_DECISIONS, _SYNTHETIC, _TALLY)
            tally, decisions = decided[_TALLY], AsSingleton(decided[_DECISIONS])
            made.append(decided[_SYNTHETIC])
        else:
            frames, tally = _synthetic(looked, planned, tally, job)
            made.append(frames)
    gathers = sampler.reads == "classes" and how == "place"
    copied = read("Copy") | "Copy" >> beam.ParDo(
        _Copy(job, gathers), AsSingleton(planned), decisions
    ).with_outputs(_EDGE, _BASES, main=_MAIN)
    settled = copied[_EDGE] | "GroupEdges" >> beam.GroupByKey() | "Settle" >> beam.Map(_settle)
    if gathers:
        gathered = copied[_BASES] | "GatherClasses" >> beam.GroupByKey() | "Seen" >> beam.Map(_all)
        frames, tally = _synthetic(gathered, planned, tally, job)
        made.append(frames)
    if findings is not None:
        tally = tally | "WithOutliers" >> beam.Map(Tally.screened, AsSingleton(findings))
    return Result((copied[_MAIN], settled, *made), tally)


def _synthetic(
    gathered: beam.PCollection, planned: beam.PCollection, tally: beam.PCollection, job: Job
) -> tuple[beam.PCollection, beam.PCollection]:
    """Frames of synthetic rows, made in many places, and the tally with what the search found."""
    prepared = gathered | "Prepare" >> beam.Map(_prepare, job, AsSingleton(planned))
    recall = prepared | "Recall" >> beam.FlatMap(_recall)
    tally = tally | "WithRecall" >> beam.Map(_with_recall, AsDict(recall), job.layout.classes)
    frames = (
        prepared
        | "Tasks" >> beam.FlatMap(_tasks)
        | "Spread" >> beam.Reshuffle()
        | "Synthesise" >> beam.FlatMap(_synthesise, job, AsIter(prepared))
    )
    return frames, tally


def _plan(found: sketch.Sketch, job: Job, how: Way) -> Plan:
    return plan(found, job.layout.classes, job.features, job.params, how)


class _Observe(BlockDoFn):
    """Class codes, hashes, labels that are no class."""

    def of(self, block: Block) -> Iterator[tuple[np.ndarray, np.ndarray, list[str]]]:
        known = block.codes >= 0
        words = selection.hashes(block.ids[known], self._job.params.seed)
        yield block.codes[known], words, block.strangers


class SketchFn(beam.CombineFn):
    """Merges blocks of (class codes, hashes, labels that are no class) into a Sketch."""

    def __init__(self, n_classes: int) -> None:
        self._n_classes = n_classes

    def create_accumulator(self) -> sketch.Sketch:
        """An empty sketch."""
        return sketch.empty(self._n_classes)

    def add_input(
        self, found: sketch.Sketch, block: tuple[np.ndarray, np.ndarray, list[str]]
    ) -> sketch.Sketch:
        """Counts one block."""
        return sketch.add(found, *block)

    def merge_accumulators(self, parts: Iterable[sketch.Sketch]) -> sketch.Sketch:
        """Adds sketches up, in any order."""
        return sketch.merged(parts, self._n_classes)

    def extract_output(self, found: sketch.Sketch) -> sketch.Sketch:
        """The sketch itself."""
        return found


class _Look(BlockDoFn):
    """All rows, for one place."""

    def of(self, block: Block, made: Plan) -> Iterator[tuple[str, Rows]]:
        yield "split", self.rows(block)


class _Copy(BlockDoFn):
    """Frames to write; rows to settle; rows to synthesise from."""

    def __init__(self, job: Job, gathers: bool) -> None:
        super().__init__(job)
        self._gathers = gathers

    def of(self, block: Block, made: Plan, decisions: Decisions | None) -> Iterator[Any]:
        frames = block.frames
        if decisions is None:
            words = selection.hashes(block.ids, self._job.params.seed)
            copies, edge = made.copies.of(block.codes, words)
            keys, within = block.codes, made.copies.within[block.codes]
        else:
            words = np.zeros(len(frames), np.uint64)
            copies, keys, edge, within = decisions.of(block.ids, block.codes)
        weights = made.weights[block.codes]
        if (weighted := (weights != 1) & (copies > 0)).any():
            yield weighted_frames(frames.select(weighted), weights[weighted])
            copies = np.where(weighted, 0, copies)
        yield frames.repeated(copies)
        for key in np.unique(keys[edge]).tolist():
            rows = np.flatnonzero(edge & (keys == key))
            group = _Edge(
                int(within[rows[0]]), weights[rows[0]], words[rows], frames.select(rows).payloads()
            )
            yield TaggedOutput(_EDGE, (str(key), group))
        if self._gathers:
            growing = np.isin(block.codes, list(made.new))
            if growing.any():
                yield TaggedOutput(_BASES, ("classes", self.rows(block, growing)))


class _Edge(NamedTuple):
    """Rows of one group, of which `within` with the smallest words (uint64 [n]) are written."""

    within: int
    weight: float
    words: np.ndarray
    records: list[bytes]


def _settle(group: tuple[str, Iterable[_Edge]]) -> Frames:
    """The rows of one edge that are written once more: smallest hash, then content."""
    parts = list(group[1])
    words = np.concatenate([part.words for part in parts])
    records = [record for part in parts for record in part.records]
    content = hashing.row_ids(examples_io.decoder().DecodeBatch(records))
    chosen = np.lexsort((content, words))[: parts[0].within]
    frames = examples_io.framed([records[i] for i in chosen])
    if parts[0].weight == 1:
        return frames
    return weighted_frames(frames, np.full(len(frames), parts[0].weight))


def _all(group: tuple[str, Iterable[Rows]]) -> Seen:
    return Seen(Rows.concatenated(list(group[1])), None)


def _prepare(seen: Seen, job: Job, made: Plan) -> Prepared:
    return prepare(seen.rows, made, job.layout.classes, job.features, job.params, seen.whole)


def _tasks(prepared: Prepared) -> Iterator[tuple[int, int, int]]:
    """(index of a source, first and last of its synthetic rows) for pieces of the work."""
    for i, source in enumerate(prepared.sources):
        total = int(source.uses.sum())
        for start in range(0, total, _TASK_ROWS):
            yield i, start, min(start + _TASK_ROWS, total)


def _synthesise(
    task: tuple[int, int, int], job: Job, prepared: Iterable[Prepared]
) -> Iterator[Frames]:
    (found,) = prepared
    i, start, stop = task
    sampler = synthetic_sampler(job.params)
    rows, origin = synthesise(sampler, found.split, found.sources[i], start, stop)
    return synthetic_frames(rows, origin, job.layout, job.params.provenance)


class _Decide(beam.DoFn):
    """Seen -> Decisions; synthetic rows as Frames; the Tally."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def process(self, seen: Seen, made: Plan) -> Iterator[Any]:
        classes, features, params = self._job.layout.classes, self._job.features, self._job.params
        rows, outcome = decide(seen.rows, made, classes, features, params, seen.whole)
        yield TaggedOutput(_TALLY, outcome_tally(rows, outcome, made, classes))
        usual = None if seen.whole is None else usual_copies(made, classes)
        decisions = Decisions.listed(rows.ids, rows.codes, outcome.copies, len(classes), usual)
        yield TaggedOutput(_DECISIONS, decisions)
        made_up = outcome.synthetic
        if made_up is None:
            return
        for start in range(0, len(made_up.ids), _TASK_ROWS):
            part = slice(start, start + _TASK_ROWS)
            origin = outcome.origin and outcome.origin.take(part)
            for frames in synthetic_frames(
                made_up.take(part), origin, self._job.layout, self._job.params.provenance
            ):
                yield TaggedOutput(_SYNTHETIC, frames)


def _recall(prepared: Prepared) -> Iterable[tuple[int, float]]:
    return prepared.recall.items()


def _with_recall(tally: Tally, recall: dict[int, float], classes: tuple[str, ...]) -> Tally:
    return replace(tally, recall={classes[code]: found for code, found in recall.items()})


def _must_be_all(rows: int, tally: Tally) -> Tally:
    expected = sum(tally.after.values())
    if rows != expected:
        raise RuntimeError(f"wrote {rows} rows instead of {expected}: did the input change?")
    return tally


def _save(tally: Tally, path: str) -> None:
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(TypeAdapter(Tally).dump_json(tally))


def _load(path: str) -> Tally:
    with tf.io.gfile.GFile(path, "rb") as file:
        tally = TypeAdapter(Tally).validate_json(file.read())
    tf.io.gfile.remove(path)
    return tally


@contextmanager
def _user_errors() -> Iterator[None]:
    """Raises a worker's UserError as itself, however the runner has wrapped it."""
    try:
        yield
    except Exception as error:
        if (ours := recognise(error)) and ours is not error:
            raise ours from error
        raise
