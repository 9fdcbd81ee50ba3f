"""A TFMA metric: every figure of components.metrics on each slice, and its confusion matrix.

TFMA's own AUC and AUCPrecisionRecall bin scores on 10,000 equal steps of probability. That is too
coarse where the calibrated probabilities of a rare class all lie near 0: the AUC of 0.1 %
positives is off by 0.004. Each of TFMA's metrics also unpacks every row anew. This one unpacks a
row once and leaves the formulas to components.metrics, so TFMA's figures on test and ours on
other splits are the same functions, exact and over sample weights.
"""

import math
from array import array
from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import multi_class_confusion_matrix_metrics as confusion

from .. import metrics
from ..names import DECISION, PROBABILITIES, TEST

CONFUSION_MATRIX = "confusion_matrix"
SUPPORT = "support"
"""Rows of a class, unweighted; the class index is the metric's sub key."""
_HEAD = 4  # number of classes, label, decision and weight stand before a row's probabilities


class ClassifierScores(tfma.metrics.Metric):
    """Metrics of the outputs `probabilities` and `decision` against the label index.

    A MetricConfig names it by class and module. It gives, by TFMA metric name: each of
    metrics.BINARY_METRICS; `confusion_matrix`, summed weights by true class and decision;
    `support` for each class; and for more than two classes each of metrics.per_class for each
    class.
    """

    def __init__(self, code_fingerprint: str = "", name: str = "classifier_scores") -> None:
        """Builds the metric; the number of classes is that of the probabilities.

        Args:
          code_fingerprint: unused here; as part of the EvalConfig it makes TFX's cache rerun
            Evaluator when the metrics' code changes.
          name: of the metric as a whole.
        """
        super().__init__(tfma.metrics.merge_per_key_computations(_computations), name=name)


def _computations(
    name: str, model_name: str = "", example_weighted: bool = False
) -> list[tfma.metrics.MetricComputation]:
    key = tfma.metrics.MetricKey(name, model_name=model_name, example_weighted=example_weighted)
    return [
        tfma.metrics.MetricComputation(
            keys=[key], preprocessors=None, combiner=_ScoresCombiner(key)
        )
    ]


class _ScoresCombiner(beam.CombineFn):
    """Gathers the rows of one slice as one flat float32 array: 4 * (4 + n_classes) bytes each."""

    def __init__(self, key: tfma.metrics.MetricKey) -> None:
        self._key = key

    def create_accumulator(self) -> array:
        return array("f")

    def add_input(self, accumulator: array, element: tfma.metrics.StandardMetricInputs) -> array:
        model = self._key.model_name
        outputs = element.get_predictions(model)
        weight = element.get_example_weights(model) if self._key.example_weighted else 1.0
        probabilities = outputs[PROBABILITIES]
        head = (len(probabilities), element.get_labels(model), outputs[DECISION], weight)
        accumulator.extend(np.asarray(value).item() for value in head)
        accumulator.extend(probabilities)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[array]) -> array:
        merged = array("f")
        for rows in accumulators:
            merged.extend(rows)
        return merged

    def extract_output(self, accumulator: array) -> dict[tfma.metrics.MetricKey, object]:
        if not accumulator:  # without a row the number of classes is unknown
            return {}
        n_classes = int(accumulator[0])
        rows = np.asarray(accumulator, np.float32).reshape(-1, _HEAD + n_classes)[:, 1:]
        rows = rows[rows[:, 0] >= 0]  # the label index of a row without a known label is -1
        scores = metrics.Scores(
            split=TEST,
            labels=rows[:, 0].astype(np.int64),
            probabilities=rows[:, _HEAD - 1 :].astype(np.float64),
            decisions=rows[:, 1].astype(np.int64),
            weights=rows[:, 2].astype(np.float64),
            classes=tuple(str(k) for k in range(n_classes)),
        )
        return {
            self._key._replace(
                name=name, sub_key=None if k is None else tfma.metrics.SubKey(class_id=k)
            ): value
            for (name, k), value in _figures(scores).items()
        }


def _figures(scores: metrics.Scores) -> dict[tuple[str, int | None], object]:
    """(metric, class index or None) -> value; NaN where the slice has no weight."""
    n_classes = len(scores.classes)
    support = np.bincount(scores.labels, minlength=n_classes)
    figures: dict[tuple[str, int | None], object] = {
        (SUPPORT, k): float(support[k]) for k in range(n_classes)
    }
    if not scores.weights.sum() > 0:
        return figures | {(name, None): math.nan for name in metrics.BINARY_METRICS}
    figures |= {(name, None): value for name, value in metrics.summary(scores).items()}
    if n_classes > 2:
        by_class = metrics.per_class(scores).values()
        figures |= {(name, k): v for k, found in enumerate(by_class) for name, v in found.items()}
    entries = {
        confusion.MatrixEntryKey(truth, decision): weight
        for truth, row in enumerate(metrics.confusion(scores))
        for decision, weight in enumerate(row)
    }
    return figures | {(CONFUSION_MATRIX, None): confusion.Matrices({0.0: entries})}
