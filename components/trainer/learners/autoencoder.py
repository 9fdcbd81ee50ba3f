"""A Keras autoencoder of the largest class: what it cannot rebuild is unusual.

Reference: Japkowicz, Myers and Gluck, "A Novelty Detection Approach to Classification", IJCAI 1995.
"""

import time

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from ..input import Rows
from ..params import AutoencoderParams
from ..report import Epoch
from .anomaly import AnomalyScorer, Usual, in_blocks, no_odds
from .base import Fitted, Task
from .columns import Columns
from .journal import Journal
from .mlp import batch_size

SMALLEST = 1e-6
"""Added to errors before their logarithm is taken, in squared standard deviations."""


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Learns to rebuild rows of the largest class from few numbers.

    The error is the mean squared one over standardised columns (a category is a column an id),
    averaged over rows by sample weight. Training stops when the error on val's rows of that class
    no longer falls; labels serve only to find these rows. Repeats exactly on one CPU.
    """
    params = task.params.autoencoder
    keras.utils.set_random_seed(task.params.seed % 2**32)
    usual = Usual.of(train, task)
    of_val = Usual.of(val, task, usual.code)
    rebuilt, columns = Rebuilt(usual, params), Columns(task.features)
    weights = usual.weights / usual.weights.mean()
    journal = Journal(val, task, params.epochs)
    best: Epoch | None = None
    kept: list[np.ndarray] = []
    for number in range(1, params.epochs + 1):
        start = time.monotonic()
        loss = rebuilt.train(usual.x, weights, params.batch_size)
        error = np.average(in_blocks(rebuilt.error, of_val.x), weights=of_val.weights)
        scorer = AnomalyScorer(rebuilt, usual, task.features)
        probabilities = softmax(in_blocks(scorer.logits, columns.matrix(val)), axis=1)
        done = journal.measured(number, time.monotonic() - start, loss, probabilities)
        done = done.model_copy(update={"val_loss": float(error)})
        journal.write(done)
        if best is None or done.val_loss < best.val_loss:
            best, kept = done, rebuilt.network.get_weights()
        elif number - best.epoch >= params.patience:
            break
    assert best is not None
    journal.close(best)
    rebuilt.network.set_weights(kept)
    scorer = AnomalyScorer(rebuilt, usual, task.features)
    return Fitted(scorer, journal.history, best.epoch, no_odds(task))


class Rebuilt(tf.Module):
    """Rows, rebuilt by a network, and the logarithm of the error; not yet trained."""

    def __init__(self, usual: Usual, params: AutoencoderParams) -> None:
        super().__init__()
        mean = np.average(usual.x, axis=0, weights=usual.weights)
        spread = np.sqrt(np.average((usual.x - mean) ** 2, axis=0, weights=usual.weights))
        self._mean = mean.astype(np.float32)
        # A column that never varies is as unusual as it differs from its one value.
        self._scale = (1 / np.where(spread > 0, spread, 1)).astype(np.float32)
        width = usual.x.shape[1]
        layers = [
            keras.layers.Dense(units, activation="relu")
            for units in (*params.hidden, params.code, *reversed(params.hidden))
        ]
        self.network = keras.Sequential([keras.Input((width,)), *layers, keras.layers.Dense(width)])
        self.network.compile(keras.optimizers.AdamW(params.learning_rate), loss="mse")

    def train(self, x: np.ndarray, weights: np.ndarray, most: int) -> float:
        """One epoch on x float32 [n, d] with sample weights [n]; returns the mean loss."""
        rows = (x - self._mean) * self._scale
        fitted = self.network.fit(
            rows, rows, batch_size(len(rows), most), sample_weight=weights, verbose=0
        )
        return float(fitted.history["loss"][0])

    def error(self, x: tf.Tensor) -> tf.Tensor:
        """float32 [n], mean squared error over the columns of x float32 [n, d]."""
        rows = (x - self._mean) * self._scale
        return tf.reduce_mean((self.network(rows) - rows) ** 2, axis=1)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """float32 [n]."""
        return tf.math.log(self.error(x) + SMALLEST)
