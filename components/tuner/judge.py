"""One fit of a learner and what it scores on rows that it did not see."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from .. import metrics, progress
from ..class_weights import class_weights
from ..names import TRAIN
from ..trainer.devices import Devices
from ..trainer.input import Feature, Rows
from ..trainer.learners import Task, learner
from ..trainer.params import TrainerParams
from .parts import Part
from .report import FoldScore

SCORE_ROWS = 4096


class NotFinite(Exception):
    """The learner came to no finite scores."""


@dataclass(frozen=True)
class Bench:
    """What stays the same from fit to fit.

    Attributes:
      val: the split val, by which learners stop early, as in Trainer; never judged on.
      features: the model's inputs.
      classes: class names in index order.
      devices: what to compute on.
    """

    val: Rows
    features: Sequence[Feature]
    classes: Sequence[str]
    devices: Devices

    def judged(self, part: Part, held_out: Rows, params: TrainerParams) -> FoldScore:
        """Fits on the part and scores the rows held out.

        Raises:
          NotFinite: some score is not finite.
          UserError: the learner cannot take the part.
        """
        start = time.monotonic()
        weights = class_weights(part.counts, params.class_weights)
        with (
            tempfile.TemporaryDirectory() as logs,
            progress.shown_by(lambda text: None),
        ):
            task = Task(
                self.features,
                self.classes,
                np.array(list(weights.values())),
                params,
                self.devices,
                logs,
            )
            fitted = learner(params.learner)(part.rows, self.val, task)
        scores = raw_scores(fitted.scorer, held_out, self.features)
        best_epoch = fitted.best_epoch
        del fitted
        keras.utils.clear_session(free_memory=False)  # else each fit's graph would stay
        if not np.isfinite(scores).all():
            raise NotFinite("some scores are not finite")
        return FoldScore(
            metrics=measured(scores, held_out, self.classes),
            rows=len(part.rows),
            best_epoch=best_epoch,
            seconds=time.monotonic() - start,
        )


def measured(scores: np.ndarray, rows: Rows, classes: Sequence[str]) -> dict[str, float]:
    """Every metric of the softmax of raw scores [n, n_classes], decisions by arg max."""
    probabilities = softmax(scores.astype(np.float64), axis=1)
    return metrics.summary(
        metrics.Scores(
            TRAIN,
            rows.labels.astype(np.int64),
            probabilities,
            probabilities.argmax(axis=1),
            rows.weights.astype(np.float64),
            classes,
        )
    )


def raw_scores(scorer: tf.Module, rows: Rows, features: Sequence[Feature]) -> np.ndarray:
    """float32 [n, n_classes] of a scorer of transformed features, thousands of rows at a time."""
    starts = range(0, len(rows), SCORE_ROWS)
    # Tracing pays where there are several blocks.
    score = tf.function(scorer.__call__, reduce_retracing=True) if len(starts) > 1 else scorer
    return np.concatenate(
        [score(columns_of(rows, features, slice(i, i + SCORE_ROWS))).numpy() for i in starts]
    )


def columns_of(rows: Rows, features: Sequence[Feature], part: slice) -> dict[str, tf.Tensor]:
    """Transformed features by name, [n, width] each: what `input.pack` packs."""
    columns = {}
    number = category = 0
    for feature in features:
        if feature.categories:
            ids = rows.categories[part, category : category + feature.width]
            columns[feature.name] = tf.constant(ids.astype(np.int64) + feature.lowest)
            category += feature.width
        else:
            columns[feature.name] = tf.constant(rows.numbers[part, number : number + feature.width])
            number += feature.width
    return columns
