"""A Keras MLP: embeddings for categories, piecewise-linear encoding for numbers.

References: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", NeurIPS 2021
(the MLP); Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep
Learning", NeurIPS 2022, section 3.2 (the encoding, with quantile bins); Lin et al., "Focal Loss
for Dense Object Detection", ICCV 2017, section 4.1 (output bias at the prior).
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from ..input import Feature, Rows, pack
from ..params import MlpParams
from .base import Fitted, Task
from .watch import Watch, raw_scores

HEAD = "logits"
MIN_STEPS, MIN_BATCH = 32, 16
MAX_MOMENTUM = 0.99


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Trains on `train`, stops early on `val`.

    The loss is the cross-entropy of each row, times its class weight and its sample weight,
    averaged over the batch. Repeats exactly on one CPU with one seed.
    """
    params, devices = task.params.mlp, task.devices
    weights = task.loss_weights(train)
    mass = np.bincount(train.labels, weights, minlength=len(task.classes))
    edges = quantile_edges(train.numbers, params.bins)
    keras.utils.set_random_seed(task.params.seed)

    def network(policy: str) -> keras.Model:
        return build(task.features, edges, log_prior(mass), params, policy)

    size = batch_size(len(train), params.batch_size)
    steps = len(train) // size
    watch = Watch(val, task, params.epochs, params.patience)
    with devices.strategy.scope():
        model = network(devices.policy)
        model.compile(
            optimizer=_optimizer(params, steps, devices.policy),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=False,
            # An epoch runs in one graph call; Keras's loop over steps fails under a mirror.
            steps_per_execution=1 if devices.strategy.num_replicas_in_sync > 1 else steps,
        )
    model.fit(
        batches(train, weights, size, params.epochs, task.params.seed),
        steps_per_epoch=steps,
        epochs=params.epochs,
        callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True), watch],
        verbose=0,
    )
    # What is exported computes in float32 and knows no strategy.
    final = network("float32")
    final.set_weights(watch.best_weights)
    shift = intercept_shift(raw_scores(final, train), weights, mass)
    final.get_layer(HEAD).bias.assign_add(shift)
    return Fitted(_Scorer(final, task.features), watch.history, watch.best_epoch)


def _optimizer(params: MlpParams, steps: int, policy: str) -> keras.optimizers.Optimizer:
    adam = keras.optimizers.AdamW(
        params.learning_rate,
        weight_decay=params.weight_decay,
        # Averaged weights score val more evenly from epoch to epoch, and their mean score lies
        # nearer to the prior. The average reaches back one epoch at most.
        use_ema=True,
        ema_momentum=min(MAX_MOMENTUM, 1 - 1 / steps),
    )
    return keras.optimizers.LossScaleOptimizer(adam) if policy == "mixed_float16" else adam


def build(
    features: Sequence[Feature],
    edges: np.ndarray,
    bias: np.ndarray,
    params: MlpParams,
    policy: str = "float32",
) -> keras.Model:
    """The untrained network.

    Args:
      features: the inputs, as `pack` lays them out.
      edges: float32 [n_numbers, bins + 1] of `quantile_edges`.
      bias: float32 [n_classes], the output's at first.
      params: sizes and dropout.
      policy: Keras dtype policy of all but the output.

    Returns:
      Model of (numbers float32 [n, n_numbers], categories int32 [n, n_categories]) -> float32
      [n, n_classes].
    """
    sizes = [f.categories for f in features if f.categories for _ in range(f.width)]
    n_numbers, n_edges = edges.shape
    numbers = keras.Input((n_numbers,), name="numbers")
    categories = keras.Input((len(sizes),), dtype="int32", name="categories")
    parts = [numbers, Embeddings(sizes, params.embedding_units, dtype=policy)(categories)]
    if n_numbers and n_edges > 1:
        parts.append(PiecewiseLinear(edges, params.bin_units, dtype=policy)(numbers))
    flow = keras.layers.Concatenate(dtype=policy)(parts)
    for units in params.hidden:
        flow = keras.layers.Dense(units, activation="relu", dtype=policy)(flow)
        flow = keras.layers.Dropout(params.dropout, dtype=policy)(flow)
    head = keras.layers.Dense(
        len(bias), bias_initializer=keras.initializers.Constant(bias), dtype="float32", name=HEAD
    )
    return keras.Model((numbers, categories), head(flow))


class _Scorer(tf.Module):
    def __init__(self, network: keras.Model, features: Sequence[Feature]) -> None:
        super().__init__()
        self.network = network
        self._features = tuple(features)

    def __call__(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        return self.network(pack(columns, self._features))


class PiecewiseLinear(keras.layers.Layer):
    """Each number as its place among quantile bins, then a linear map of its own and a ReLU.

    Bin t of [e_t, e_t+1) gives clip((x - e_t) / (e_t+1 - e_t), 0, 1): 1 below x, 0 above it.
    Input [n, n_numbers], output [n, n_numbers * units].
    """

    def __init__(self, edges: np.ndarray, units: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        width = np.diff(edges, axis=1)
        self._low = edges[:, :-1]
        # A bin without width, which only fills up the row, is always 0.
        self._scale = np.divide(1.0, width, out=np.zeros_like(width), where=width > 0)
        self._units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the linear maps."""
        n_numbers, bins = self._low.shape
        limit = bins**-0.5
        self.kernel = self.add_weight(
            shape=(n_numbers, bins, self._units),
            initializer=keras.initializers.RandomUniform(-limit, limit),
        )
        self.bias = self.add_weight(shape=(n_numbers, self._units), initializer="zeros")

    def call(self, numbers: tf.Tensor) -> tf.Tensor:
        """Encodes."""
        # In float32: a narrow bin's edges may be equal in 16 bits.
        place = (tf.cast(numbers, tf.float32)[:, :, None] - self._low) * self._scale
        place = tf.cast(tf.clip_by_value(place, 0.0, 1.0), self.compute_dtype)
        hidden = tf.einsum("nft,ftu->nfu", place, self.kernel) + self.bias
        return tf.reshape(tf.nn.relu(hidden), [-1, self._low.shape[0] * self._units])


class Embeddings(keras.layers.Layer):
    """One table for all categorical columns, each with its own rows of it.

    Input int32 [n, n_columns], output [n, n_columns * units]; there may be no column.
    """

    def __init__(self, sizes: Sequence[int], units: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._first = np.cumsum([0, *sizes], dtype=np.int32)
        self._units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the table."""
        self.table = self.add_weight(
            shape=(max(int(self._first[-1]), 1), self._units),  # no column: a row that no one reads
            initializer=keras.initializers.RandomUniform(),
        )

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Looks up."""
        found = tf.gather(self.table, ids + self._first[:-1])
        return tf.reshape(found, [tf.shape(ids)[0], (len(self._first) - 1) * self._units])


def log_prior(mass: np.ndarray) -> np.ndarray:
    """float32 [n_classes]: log of each class's share of the weight that the learner sees."""
    return np.log(np.maximum(mass / mass.sum(), 1e-7)).astype(np.float32)


def intercept_shift(logits: np.ndarray, weights: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """What to add to the logits so that their mean probabilities equal the classes' shares.

    Maximum likelihood has this property for a free intercept; dropout and early stopping leave
    the mean score of a rare class some per cent low.

    Args:
      logits: float [n, n_classes].
      weights: float [n].
      mass: float [n_classes], summed weights of each class.

    Returns:
      float32 [n_classes].
    """
    shift = np.zeros(logits.shape[1])
    target = np.maximum(mass / mass.sum(), 1e-7)
    for _ in range(100):
        mean = np.average(softmax(logits + shift, axis=1), axis=0, weights=weights)
        step = np.log(target) - np.log(np.maximum(mean, 1e-7))
        shift += step
        if np.abs(step).max() < 1e-5:
            break
    return (shift - shift.mean()).astype(np.float32)


def quantile_edges(numbers: np.ndarray, bins: int) -> np.ndarray:
    """Edges of up to `bins` bins for each column.

    A value that fills a bin by itself, such as a column's many zeros, is an edge; the other edges
    are quantiles of the remaining rows.

    Args:
      numbers: float32 [n, n_numbers], n > 0.
      bins: most bins; 0 for none.

    Returns:
      float32 [n_numbers, bins + 1], rising; a column with fewer edges repeats its last one.
    """
    edges = np.zeros((numbers.shape[1], bins + 1), np.float32)
    for column, row in zip(numbers.T, edges, strict=True):
        values, counts = np.unique(column, return_counts=True)
        frequent = counts * bins > len(column)
        rest = np.repeat(values[~frequent], counts[~frequent])
        free = bins + 1 - int(frequent.sum())
        if len(rest) and free > 0:
            spread = np.quantile(rest, np.linspace(0, 1, free), method="nearest")
        else:
            spread = values[:0]
        found = np.unique(np.concatenate([values[frequent], spread]))
        row[:] = np.pad(found, (0, bins + 1 - len(found)), mode="edge")
    return edges


def batch_size(rows: int, most: int) -> int:
    """Rows a step: `most`, or fewer where an epoch would have less than MIN_STEPS steps."""
    return min(rows, most, max(rows // MIN_STEPS, MIN_BATCH))


def batches(rows: Rows, weights: np.ndarray, size: int, epochs: int, seed: int) -> tf.data.Dataset:
    """Batches of `size` rows, shuffled anew each epoch: ((numbers, categories), labels, weights).

    Rows past an epoch's last whole batch are left out of it.
    """
    steps = len(rows) // size
    with tf.device("CPU:0"):
        arrays = [tf.constant(a) for a in (rows.numbers, rows.categories, rows.labels, weights)]

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        keys = tf.random.stateless_uniform([len(rows)], [seed, number])
        order = tf.argsort(keys, stable=True)[: steps * size]
        return tf.data.Dataset.from_tensor_slices(tf.reshape(order, [steps, size]))

    def gather(index: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor, tf.Tensor]:
        numbers, categories, labels, weight = (tf.gather(a, index) for a in arrays)
        return (numbers, categories), labels, weight

    return (
        tf.data.Dataset.range(epochs)
        .flat_map(epoch)
        .map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )
