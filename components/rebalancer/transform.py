"""Rebalancing inside any Beam pipeline."""

from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam

from .. import examples_io
from ..errors import UserError
from ..tfrecord import Frames
from .copies import told
from .features import Features
from .labels import names_of
from .params import RebalanceParams
from .plan import allowed_targets, way
from .reading import Job, Layout
from .rebalance import rebalanced
from .samplers import SAMPLERS
from .samplers.combined import Combined


class RebalanceExamples(beam.PTransform):
    """Rebalances a PCollection of serialized tf.Examples (bytes); gives one of the same sort.

    The same rows come out as Rebalancer writes. The input is read two to eight times: a collection
    that is expensive to make is better written to files first.

    Example:
      ```
      examples | RebalanceExamples(
          label="fraud", classes=["no", "yes"],
          features=Features({"amount": "float", "age": "int"}),
          params=RebalanceParams(method="smote", seed=7),
      )
      ```
    """

    def __init__(
        self,
        label: str,
        classes: Sequence[str] | Sequence[int],
        features: Features,
        params: RebalanceParams,
        has_row_id: bool = False,
        counts: Mapping[Any, int] | None = None,
        has_row_copy: bool = False,
    ) -> None:
        """Constructs the transform.

        Args:
          label: feature with the class: text, or an int64.
          classes: all classes: text, or where the label is an int64 numbers or truth values (0 and
            1 there). A strategy may name them by these, or as the pipeline does: '3', 'true'.
          features: what synthetic rows are made of; methods that copy or drop take any examples.
          params: method, strategies, limits, seed.
          has_row_id: whether the examples have `_row_id`; else it is computed from their content.
          counts: class -> rows, where that is known, see `rebalance`.
          has_row_copy: whether they have `_row_copy`, too; else equal rows are counted first, with
            8 bytes of each row in one place.

        Raises:
          UserError: classes are of several sorts, or the counts do not allow what the parameters
            ask for.
        """
        super().__init__()
        names = names_of(list(classes))
        text = [isinstance(value, str) for value in classes]
        if any(text) and not all(text):
            raise UserError(f"classes: found {list(classes)!r}; expected all text, or all numbers")
        if len(set(names)) < len(names):
            raise UserError(f"classes: found {list(classes)!r}; a class stands twice")
        values = None if all(text) else tuple(int(value) for value in classes)
        if counts is not None:
            counts = dict(zip(names_of(list(counts)), counts.values(), strict=True))
            allowed_targets(counts, features, params)
        self._how = "place" if counts is None else way(counts, features, params)
        layout = Layout(
            label,
            tuple(names),
            has_row_id,
            has_row_id and has_row_copy,
            values,
            features.constants,
        )
        self._job = Job(layout, features, params)

    def expand(self, examples: beam.PCollection) -> beam.PCollection:
        """Builds the graph."""
        blocks = (
            examples
            | "Batch" >> beam.BatchElements(min_batch_size=1024, max_batch_size=8192)
            | "Frame" >> beam.Map(examples_io.framed)
        )
        if not self._job.layout.has_row_copy:
            blocks = told(blocks, self._job)
        combined = isinstance(SAMPLERS[self._job.params.method], Combined)

        def read(step: str) -> beam.PCollection:
            if not (combined and self._how == "cells"):
                return blocks
            # Beam's local runner waits for ever to flatten what comes of a collection that a stage
            # after it reads, too.
            return blocks | f"{step}Own" >> beam.Reshuffle()

        result = rebalanced(read, self._job, self._how)
        return (
            result.examples | "All" >> beam.Flatten() | "Unframe" >> beam.FlatMap(Frames.payloads)
        )
