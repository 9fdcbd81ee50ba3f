"""A Keras MLP: embeddings for categories, piecewise-linear encoding for numbers.

References: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", NeurIPS 2021
(the MLP); Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep
Learning", NeurIPS 2022, section 3.2 (the encoding, with quantile bins); Lin et al., "Focal Loss
for Dense Object Detection", ICCV 2017, section 4.1 (output bias at the prior); Cao et al.,
"Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019, section 3.2
(cosines as logits, for margins). Losses and sampling have modules of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from ...report import Kind, worst_kind
from .. import sampling
from ..input import Feature, Rows, pack
from ..losses import LEAST, Loss, log_prior
from ..params import MlpParams
from . import workers
from .base import Effect, Fitted, Task
from .checkpoints import Checkpoint, path_of
from .retry import in_smaller_batches
from .warm_start import Network, sizes_of
from .watch import Watch, raw_scores

HEAD = "logits"
MIN_STEPS, MIN_BATCH = 32, 16
MAX_MOMENTUM = 0.99


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Trains on `train`, stops early on `val`.

    The loss of each row, times its class weight and its sample weight, is averaged over the batch.
    Repeats exactly on one CPU with one seed, also where it goes on from the state of a process that
    was killed. Where memory is short, batches are halved.

    Raises:
      UserError: the rows cannot be sampled as `mlp.sampling` says, or the memory is short for even
        the smallest batch.
    """
    rows = task.devices.shared(batch_size(len(train), task.params.mlp.batch_size))
    fitted, rows = in_smaller_batches(
        lambda size: _fit(train, val, task, size), rows, MIN_BATCH, task.devices
    )
    return replace(fitted, batch_size=rows)


def _fit(train: Rows, val: Rows, task: Task, size: int) -> Fitted:
    params, devices, start = task.params.mlp, task.devices, task.start
    steps = len(train) // size
    way = sampling.plan(
        params.sampling, train, task.classes, size=size, epochs=params.epochs, seed=task.params.seed
    )
    weights = task.loss_weights(train)
    seen = weights * way.draws[train.labels].astype(np.float32)
    if params.sampling.mode != "none":  # the drawn rows' mean weight is 1
        weights, seen = weights / seen.mean(), seen / seen.mean()
    n = len(task.classes)
    mass = np.bincount(train.labels, seen, minlength=n)
    loss = Loss(params.loss, mass, np.bincount(train.labels, train.weights, minlength=n))
    edges = start.edges if start else quantile_edges(train.numbers, params.bins)
    keras.utils.set_random_seed(task.params.seed)

    def network(policy: str) -> keras.Model:
        return build(task.features, edges, log_prior(mass) - loss.adjustment, params, policy)

    watch = Watch(val, task, params.epochs, params.patience)
    with devices.strategy.scope():
        model = network(devices.policy)
        model.compile(
            optimizer=_optimizer(params, steps, devices.policy),
            loss=loss,
            jit_compile=devices.jit,
            # An epoch runs in one graph call; Keras's loop over steps fails under a mirror.
            steps_per_execution=1 if devices.strategy.num_replicas_in_sync > 1 else steps,
        )
        model.optimizer.build(model.trainable_variables)
        if start:
            model.set_weights(start.weights)
        averages = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        path = path_of(task, train, val, size, *(start.weights if start else ()), edges)
        checkpoint = Checkpoint(path, averages, watch, devices.cluster.chief)
        done = checkpoint.take_up(model)
    if done == params.epochs or watch.over:
        watch.on_train_end()
    else:
        workers.fit(
            model,
            batches(train, weights, way.epoch, params.epochs, done),
            steps_per_epoch=steps,
            epochs=range(done, params.epochs),
            callbacks=[averages, watch, checkpoint],
            devices=devices,
        )
    # What is exported computes in float32 and knows no strategy.
    final = network("float32")
    final.set_weights(watch.best_weights)
    if loss.fits_intercept:
        logits = raw_scores(final, train) + loss.offsets[train.labels]
        shift = intercept_shift(logits, seen, loss.targets(mass))
        final.get_layer(HEAD).bias.assign_add(shift)
    return Fitted(
        _Scorer(final, task.features),
        watch.history,
        watch.best_epoch,
        _effect(task.class_weights * way.draws * loss.factors, loss.kind),
        f"{devices.description}, XLA" if devices.jit else None,
        resumed_epochs=done,
        network=Network(sizes_of(params), edges, final.get_weights(), _table_of(final)),
    )


def _table_of(model: keras.Model) -> int:
    """Which of the weights is the embeddings' table."""
    [table] = [layer.table for layer in model.layers if isinstance(layer, Embeddings)]
    return [weight is table for weight in model.weights].index(True)


def _effect(factors: np.ndarray, kind: Kind) -> Effect:
    moved: Kind = "prior_only" if np.ptp(factors) else "none"
    return Effect(factors, worst_kind(moved, kind))


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
      params: sizes, dropout, and the loss, on which the last layer depends.
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
    start = keras.initializers.Constant(bias)
    head = (
        Cosines(params.loss.scale, len(bias), bias_initializer=start, dtype="float32", name=HEAD)
        if params.loss.name == "ldam"
        else keras.layers.Dense(len(bias), bias_initializer=start, dtype="float32", name=HEAD)
    )
    return keras.Model((numbers, categories), head(flow))


class _Scorer(tf.Module):
    def __init__(self, network: keras.Model, features: Sequence[Feature]) -> None:
        super().__init__()
        self.network = network
        self._features = tuple(features)

    def __call__(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        return self.network(pack(columns, self._features))


class Cosines(keras.layers.Dense):
    """A dense layer of `scale` times the cosine of the input and each unit's vector, plus a bias.

    The bias is ours: a rare class starts, and can be kept, at its prior.
    """

    def __init__(self, scale: float, units: int, **kwargs: object) -> None:
        super().__init__(units, **kwargs)
        self._scale = scale

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Float [n, d] to [n, units]."""
        rows, units = (tf.math.l2_normalize(t, axis) for t, axis in ((inputs, 1), (self.kernel, 0)))
        return self._scale * (rows @ units) + self.bias


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


def intercept_shift(logits: np.ndarray, weights: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """What to add to the logits so that their mean probabilities equal the targets' shares.

    Maximum likelihood has this property for a free intercept; dropout and early stopping leave
    the mean score of a rare class some per cent low. It holds of the logits that enter the loss,
    so with a loss's adjustment or margins.

    Args:
      logits: float [n, n_classes].
      weights: float [n].
      mass: float [n_classes], summed targets of each class.

    Returns:
      float32 [n_classes].
    """
    shift = np.zeros(logits.shape[1])
    target = np.maximum(mass / mass.sum(), LEAST)
    for _ in range(100):
        mean = np.average(softmax(logits + shift, axis=1), axis=0, weights=weights)
        step = np.log(target) - np.log(np.maximum(mean, LEAST))
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


def batches(
    rows: Rows,
    weights: np.ndarray,
    epoch: Callable[[tf.Tensor], tf.Tensor],
    epochs: int,
    first: int = 0,
) -> tf.data.Dataset:
    """Batches of ((numbers, categories), labels, weights), epoch after epoch.

    Args:
      rows: n of them.
      weights: float32 [n], in the loss.
      epoch: number (int64, from 0) -> int32 [steps, size], the rows of its batches.
      epochs: how many there are.
      first: number of the one to begin with.
    """
    with tf.device("CPU:0"):
        arrays = [tf.constant(a) for a in (rows.numbers, rows.categories, rows.labels, weights)]

    def gather(index: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor, tf.Tensor]:
        numbers, categories, labels, weight = (tf.gather(a, index) for a in arrays)
        return (numbers, categories), labels, weight

    return (
        tf.data.Dataset.range(first, epochs)
        .flat_map(lambda number: tf.data.Dataset.from_tensor_slices(epoch(number)))
        .map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )
