"""A multilayer perceptron that reads numbers and categories through embeddings.

Numbers enter as z-scores and as piecewise-linear encodings over quantile bins, followed by a
linear map and a ReLU for each: Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical
Features in Tabular Deep Learning", NeurIPS 2022, section 3.2 (PLE-LR).
"""

import time
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import average_precision_score

from ... import progress
from ..devices import strategy
from ..input import Examples, FeatureSpace
from ..params import MlpParams, TrainerParams
from ..report import Epoch
from . import Fitted

_EDGE_ROWS = 200_000  # rows from which the bins' edges are taken
_SCORE_ROWS = 8192


def fit(
    train: Examples,
    val: Examples,
    class_weights: Mapping[int, float],
    params: TrainerParams,
    mixed_precision: bool,
) -> Fitted:
    """Trains on `train` until AUC-PR on `val` no longer grows.

    The loss is softmax cross-entropy, each row weighted by its class's weight times its sample
    weight. The output bias starts at the log prior of the weighted rows.

    Args:
      train: rows to learn from.
      val: rows for early stopping, weighted by sample weight alone.
      class_weights: class index -> weight.
      params: `params.mlp` and `params.seed` are used.
      mixed_precision: compute in float16, with float32 variables and logits.
    """
    mlp = params.mlp
    keras.utils.set_random_seed(params.seed)
    by_class = np.array([class_weights[k] for k in range(len(train.classes))], np.float32)
    numbers, prior = _look(train, by_class)
    keras.config.set_dtype_policy("mixed_float16" if mixed_precision else "float32")
    try:
        with strategy().scope():
            model = _network(train.space, numbers, prior, mlp)
            model.compile(
                optimizer=keras.optimizers.AdamW(mlp.learning_rate, weight_decay=mlp.weight_decay),
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                jit_compile=False,
                steps_per_execution=16,
            )
    finally:
        keras.config.set_dtype_policy("float32")
    scale = tf.constant(by_class)
    batches = train.batches(mlp.batch_size, seed=params.seed).map(
        lambda x, y, w: (x, y, w * tf.gather(scale, y))
    )
    watch = _EarlyStopping(val, scale, mlp)
    model.fit(batches, epochs=mlp.epochs, callbacks=[watch], verbose=0)
    return Fitted(_Scores(model), watch.history, watch.best_epoch)


class _Scores(tf.Module):
    """The network as a tf.Module; variables are tracked for SavedModel."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model

    def __call__(self, numeric: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        return self.model([numeric, ids], training=False)


class PiecewiseLinear(keras.layers.Layer):
    """Encodes each number as how far it has come through each of its quantile bins.

    Input [n, D]; output [n, D, bins] in [0, 1]; a bin of no width counts as passed or not.
    """

    def __init__(self, edges: np.ndarray) -> None:
        super().__init__()
        self._low = edges[:, :-1]
        self._width = np.maximum(np.diff(edges, axis=1), 1e-6)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        low, width = (keras.ops.cast(a, inputs.dtype) for a in (self._low, self._width))
        return keras.ops.clip((inputs[:, :, None] - low) / width, 0.0, 1.0)


class PerFeatureDense(keras.layers.Layer):
    """A dense layer of its own for each feature: [n, D, bins] -> [n, D * dim], with ReLU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self._dim = dim

    def build(self, shape: tuple[int | None, ...]) -> None:
        _, features, bins = shape
        self._kernel = self.add_weight(
            shape=(features, bins, self._dim),
            initializer=keras.initializers.RandomUniform(-(bins**-0.5), bins**-0.5),
            name="kernel",
        )
        self._bias = self.add_weight(shape=(features, self._dim), name="bias", initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        out = keras.ops.einsum("ndb,dbe->nde", inputs, self._kernel) + self._bias
        return keras.ops.relu(keras.ops.reshape(out, (-1, out.shape[1] * out.shape[2])))


def _network(
    space: FeatureSpace, numbers: np.ndarray, prior: np.ndarray, mlp: MlpParams
) -> keras.Model:
    numeric = keras.Input((len(space.numeric),), dtype="float32")
    ids = keras.Input((len(space.categories),), dtype="int32")
    parts = []
    if space.numeric:
        parts.append(numeric)
        if mlp.numeric_bins:
            grid = np.linspace(0, 1, mlp.numeric_bins + 1)
            edges = np.quantile(numbers, grid, axis=0).T.astype(np.float32)
            parts.append(PerFeatureDense(mlp.numeric_dim)(PiecewiseLinear(edges)(numeric)))
    for column, size in enumerate(space.categories.values()):
        dim = min(32, round(1.6 * size**0.56))
        parts.append(keras.layers.Embedding(size, dim)(ids[:, column]))
    hidden = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    for units in mlp.hidden:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
        hidden = keras.layers.Dropout(mlp.dropout)(hidden)
    logits = keras.layers.Dense(
        len(prior),
        bias_initializer=keras.initializers.Constant(np.log(np.maximum(prior, 1e-9))),
        dtype="float32",
    )(hidden)
    return keras.Model([numeric, ids], logits)


def _look(train: Examples, by_class: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of some rows [m, D], and each class's share of the weighted rows [n_classes]."""
    numbers, rows = [], 0
    mass = np.zeros(len(by_class))
    for (numeric, _), y, w in train.batches(_SCORE_ROWS).as_numpy_iterator():
        mass += np.bincount(y, weights=w * by_class[y], minlength=len(mass))
        if rows < _EDGE_ROWS:
            numbers.append(numeric)
            rows += len(numeric)
    return np.concatenate(numbers), mass / mass.sum()


class _EarlyStopping(keras.callbacks.Callback):
    """Scores val after each epoch, keeps the best weights, stops when they get no better."""

    def __init__(self, val: Examples, by_class: tf.Tensor, mlp: MlpParams) -> None:
        super().__init__()
        self._inputs: list[tuple[tf.Tensor, tf.Tensor]] = []
        labels, weights = [], []
        for x, y, w in val.batches(_SCORE_ROWS):
            self._inputs.append(x)
            labels.append(y.numpy())
            weights.append(w.numpy())
        self._labels, self._weights = np.concatenate(labels), np.concatenate(weights)
        self._class_weights = by_class.numpy()[self._labels]
        self._classes = list(val.classes)
        self._mlp = mlp
        self._best, self._best_weights = -np.inf, None
        self.history: list[Epoch] = []
        self.best_epoch: int | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._score = tf.function(
            lambda numeric, ids: self.model([numeric, ids], training=False), reduce_retracing=True
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logits = np.concatenate([self._score(*x).numpy() for x in self._inputs]).astype(np.float64)
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        auc_pr = _auc_pr(np.exp(log_p), self._labels, self._weights)
        self.history.append(
            Epoch(
                epoch=epoch + 1,
                seconds=round(time.monotonic() - self._started, 3),
                train_loss=float((logs or {})["loss"]),
                val_loss=float(self._loss(log_p)),
                val_auc_pr=auc_pr,
                val_recall=self._recall(log_p.argmax(axis=1)),
            )
        )
        if auc_pr > self._best:
            self._best, self.best_epoch = auc_pr, epoch + 1
            self._best_weights = self.model.get_weights()
        elif epoch + 1 - (self.best_epoch or 0) >= self._mlp.patience:
            self.model.stop_training = True
        recall = ", ".join(f"{c} {r:.2f}" for c, r in list(self.history[-1].val_recall.items())[:4])
        progress.say(
            f"epoch {epoch + 1}/{self._mlp.epochs}  val AUC-PR {auc_pr:.4f}  val recall {recall}"
        )

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)

    def _loss(self, log_p: np.ndarray) -> float:
        weights = self._weights * self._class_weights
        return np.average(-log_p[np.arange(len(log_p)), self._labels], weights=weights)

    def _recall(self, decided: np.ndarray) -> dict[str, float]:
        hit = self._weights * (decided == self._labels)
        found = np.bincount(self._labels, hit, len(self._classes))
        there = np.bincount(self._labels, self._weights, len(self._classes))
        share = np.divide(found, there, out=np.zeros_like(found), where=there > 0)
        return dict(zip(self._classes, share.tolist(), strict=True))


def _auc_pr(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Average precision of the positive class, or the mean over the classes that val has."""
    k = probabilities.shape[1]
    classes = [1] if k == 2 else [c for c in range(k) if (labels == c).any()]
    return float(
        np.mean(
            [
                average_precision_score(labels == c, probabilities[:, c], sample_weight=weights)
                for c in classes
            ]
        )
    )
