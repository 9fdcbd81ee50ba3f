"""Rebalancing inside any Beam pipeline."""

from collections.abc import Mapping, Sequence

import apache_beam as beam

from .. import examples_io
from ..tfrecord import Frames
from .features import Features
from .params import RebalanceParams
from .plan import allowed_targets, must_spread
from .reading import Job, Layout
from .rebalance import rebalanced


class RebalanceExamples(beam.PTransform):
    """Rebalances a PCollection of serialized tf.Examples (bytes); gives one of the same sort.

    The same rows come out as Rebalancer writes. The input is read two or three times: a collection
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
        self._spread = counts is not None and must_spread(counts, features, params)
        self._job = Job(Layout(label, tuple(classes), has_row_id), features, params)

    def expand(self, examples: beam.PCollection) -> beam.PCollection:
        """Builds the graph."""
        blocks = (
            examples
            | "Batch" >> beam.BatchElements(min_batch_size=1024, max_batch_size=8192)
            | "Frame" >> beam.Map(examples_io.framed)
        )
        result = rebalanced(lambda step: blocks, self._job, self._spread)
        return (
            result.examples | "All" >> beam.Flatten() | "Unframe" >> beam.FlatMap(Frames.payloads)
        )
