"""Rebalancing inside any Beam pipeline."""

from collections.abc import Mapping, Sequence

import apache_beam as beam

from .. import examples_io
from ..tfrecord import Frames
from .features import Features
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
        classes: Sequence[str],
        features: Features,
        params: RebalanceParams,
        has_row_id: bool = False,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Constructs the transform.

        Args:
          label: bytes feature with the class's name.
          classes: all class names.
          features: what synthetic rows are made of; methods that copy or drop take any examples.
          params: method, strategies, limits, seed.
          has_row_id: whether the examples have `_row_id`; else it is computed from their content.
          counts: class name -> rows, where that is known, see `rebalance`.

        Raises:
          UserError: the counts do not allow what the parameters ask for.
        """
        super().__init__()
        if counts is not None:
            allowed_targets(counts, features, params)
        self._how = "place" if counts is None else way(counts, features, params)
        layout = Layout(label, tuple(classes), has_row_id, constants=features.constants)
        self._job = Job(layout, features, params)

    def expand(self, examples: beam.PCollection) -> beam.PCollection:
        """Builds the graph."""
        blocks = (
            examples
            | "Batch" >> beam.BatchElements(min_batch_size=1024, max_batch_size=8192)
            | "Frame" >> beam.Map(examples_io.framed)
        )
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
