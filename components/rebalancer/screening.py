"""Outliers found in a sample of each class, and dropped or clipped as the examples are read."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.pvalue import AsList, AsSingleton, TaggedOutput

from .. import examples_io
from ..tfrecord import Frames
from .features import Features
from .outliers import OutlierModel, findings, fit_rows, moved_rows, samples_of
from .reading import Block, BlockDoFn, Job, Told
from .rows import Rows

_MAIN, _TOUCHED = "main", "touched"
Read = Callable[[str], beam.PCollection]


def screened(read: Read, job: Job) -> tuple[Read, beam.PCollection]:
    """The same examples after the options' action, and one OutlierFindings of it.

    Args:
      read: gives the examples, as Frames or as names of their files, for the step of that name.
      job: its `params.outliers` says what is done.
    """
    model = (
        read("Sample")
        | "SampleRows" >> beam.ParDo(_Sample(job))
        | "Thin" >> beam.CombineGlobally(_ThinFn(job))
        | "FitOutliers" >> beam.Map(_fit, job)
    )
    if job.params.outliers.action == "report":
        return read, model | "Findings" >> beam.Map(findings, [], job.layout.classes)

    def screen(step: str) -> Any:
        screening = beam.ParDo(_Screen(job), AsSingleton(model))
        return read(step) | f"{step}Screen" >> screening.with_outputs(_TOUCHED, main=_MAIN)

    counted = screen("Count")
    told = model | "Findings" >> beam.Map(findings, AsList(counted[_TOUCHED]), job.layout.classes)
    return lambda step: (counted if step == "Count" else screen(step))[_MAIN], told


def _fit(samples: Mapping[int, Rows], job: Job) -> OutlierModel:
    return fit_rows(samples, job.layout.classes, job.features, job.params)


class _Sample(BlockDoFn):
    """Class code -> its rows with the smallest hashes."""

    def of(self, block: Block) -> Iterator[dict[int, Rows]]:
        yield samples_of([self.rows(block, block.codes >= 0)], self._job.params)


class _ThinFn(beam.CombineFn):
    """Merges samples by class."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def create_accumulator(self) -> dict[int, Rows]:
        return {}

    def add_input(self, found: dict[int, Rows], more: dict[int, Rows]) -> dict[int, Rows]:
        return self.merge_accumulators([found, more])

    def merge_accumulators(self, parts: Iterable[dict[int, Rows]]) -> dict[int, Rows]:
        return samples_of([rows for part in parts for rows in part.values()], self._job.params)

    def extract_output(self, found: dict[int, Rows]) -> dict[int, Rows]:
        return found


class _Screen(BlockDoFn):
    """Told without outliers, or with their values clipped; how many of each class."""

    def of(self, block: Block, model: OutlierModel) -> Iterator[Any]:
        frames, features = block.frames, self._job.features
        known = np.flatnonzero(block.codes >= 0)
        rows = self.rows(block, block.codes >= 0)
        if model.options.action == "drop":
            touched = known[model.flag_rows(rows, features)]
            changed: list[bytes] = []
        else:
            clipped = model.clip_rows(rows, features)
            moved = moved_rows(rows, clipped)
            touched = known[moved]
            changed = _rewritten(frames.select(touched), clipped.take(moved), features)
        rest = np.ones(len(frames), bool)
        rest[touched] = False
        # A clipped row keeps its identity, also where that is a hash of its content.
        if rest.any():
            yield Told(frames.select(rest), block.ids[rest], block.content[rest])
        if changed:
            yield Told(examples_io.framed(changed), block.ids[touched], block.content[touched])
        counts = np.bincount(block.codes[touched], minlength=len(self._job.layout.classes))
        yield TaggedOutput(_TOUCHED, counts)


def _rewritten(frames: Frames, rows: Rows, features: Features) -> list[bytes]:
    """The records with the rows' numeric values."""
    written = []
    for i, record in enumerate(frames.payloads()):
        example = tf.train.Example.FromString(record)
        for name, kind in features.numeric.items():
            feature = example.features.feature[name]
            values = (feature.int64_list if kind == "int" else feature.float_list).value
            values[:] = np.atleast_1d(rows.columns[name][i]).tolist()
        written.append(example.SerializeToString())
    return written
