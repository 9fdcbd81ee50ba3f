"""Methods whose rows do not fit in one place, by cells of near rows.

SMOTE makes its rows cell by cell of each growing class (`spread_smote`), cleaning removes rows cell
by cell of all classes (`spread_cleaning`), and what does both cleans what SMOTE has made.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import apache_beam as beam
from apache_beam.pvalue import AsDict

from ..tfrecord import Frames
from .output import synthetic_frames
from .plan import Tally, decides
from .reading import Job
from .rows import Origin, Rows
from .samplers import SAMPLERS, SyntheticSampler
from .spread_cleaning import spread_cleaning
from .spread_smote import spread_synthetic


class Spread(NamedTuple):
    """What `spread` gives.

    Attributes:
      synthetic: Frames; None for a method that makes no rows.
      decisions: one Decisions; None for a method that removes no rows.
      tally: one Tally.
    """

    synthetic: beam.PCollection | None
    decisions: beam.PCollection | None
    tally: beam.PCollection


def spread(
    read: Callable[[str], beam.PCollection],
    planned: beam.PCollection,
    tally: beam.PCollection,
    job: Job,
) -> Spread:
    """Makes and removes rows.

    Args:
      read: gives the examples, as Frames or as names of their files, for the step of that name;
        called three times to make rows and three times to remove some.
      planned: one Plan.
      tally: one Tally, as planned.
      job: its method is one of `plan.SPREADS`.
    """
    sampler = SAMPLERS[job.params.method]
    rows = decisions = None
    recalls = []
    if isinstance(sampler, SyntheticSampler):
        rows, recall = spread_synthetic(read, planned, job)
        recalls.append(recall)
    if decides(sampler):
        decisions, rows, tally, recall = spread_cleaning(read, rows, planned, job)
        recalls.append(recall)
    recall = recalls | "SpreadRecalls" >> beam.Flatten() | "WorstRecall" >> beam.CombinePerKey(min)
    tally = tally | "WithRecall" >> beam.Map(_with_recall, AsDict(recall), job.layout.classes)
    frames = None
    if rows is not None:
        frames = rows | "EncodeSpread" >> beam.FlatMap(_encoded, job)
    return Spread(frames, decisions, tally)


def _encoded(made: tuple[Rows, Origin], job: Job) -> Iterator[Frames]:
    return synthetic_frames(*made, job.layout, job.params.provenance)


def _with_recall(tally: Tally, recall: dict[int, float], classes: tuple[str, ...]) -> Tally:
    return replace(tally, recall={classes[code]: found for code, found in sorted(recall.items())})
