"""Which rows an epoch has: online resampling of the classes to a target distribution.

An epoch has as many draws as train has rows, up to whole batches. It is a function of the seed and
the epoch's number: a tensor of row indices, computed in the graph; no row is copied, skipped over
or thrown away. A class's rows come from a stream: all of them in a random order, repeated without
end. It goes on from epoch to epoch; in an epoch, the order of each repetition is shuffled.

- `none`: each row once, shuffled.
- `per_class`: the streams mixed evenly. Of class k an epoch takes N t_k draws, rounded.
- `balanced_batches`: a batch of B takes B t_k draws of class k, rounded.
- `rejection`: independent draws, class k with probability t_k, then any of its rows: the law of the
  rows that get through when rows drawn at random are kept with probability proportional to target
  by share (von Neumann, "Various Techniques Used in Connection with Random Digits", 1951; tf.data's
  `rejection_resample`). Drawn so directly, a target far from the shares costs nothing.

Rounding is systematic (Madow, "On the Theory of Systematic Sampling, II", Annals of Mathematical
Statistics 1949): with T_k the summed targets and one u in [0, 1) a batch or epoch, class k gets
floor(N T_k + u) - floor(N T_k-1 + u) draws: whole numbers that sum to N, each less than 1 from
N t_k, and N t_k in expectation. An epoch's batches have u = (i + v) / steps, i a permutation, so
that by Hermite's identity, sum_i floor(x + (i + v) / steps) = floor(steps x + v), the epoch is
rounded as by v alone. Targets are multiples of 2^-30 and all sums are integers: this is exact.

Save under `rejection`, a class's rows are used evenly: in each epoch, and in all epochs up to any,
two of them are drawn equally often or one of them once more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ..errors import UserError
from ..hashing import keyed, text_hash
from .input import Rows
from .params import SamplingParams

BITS = 30
UNIT = 1 << BITS
"""A target share of 1."""


@dataclass(frozen=True)
class Sampling:
    """The rows of each epoch.

    Attributes:
      draws: float64 [n_classes], how often a row of the class is drawn, by how often any row is.
      epoch: number (int64, from 0) -> int32 [steps, size], row indices. Works in a graph.
    """

    draws: np.ndarray
    epoch: Callable[[tf.Tensor], tf.Tensor]


def plan(
    params: SamplingParams,
    rows: Rows,
    classes: Sequence[str],
    *,
    size: int,
    epochs: int,
    seed: int,
) -> Sampling:
    """How an MLP goes through its rows.

    A row's weight does not change how often it is drawn, but rows of weight 0 are never.

    Args:
      params: the mode and the target.
      rows: of train.
      classes: class names in index order.
      size: rows a batch, at most len(rows).
      epochs: how many there are at most.
      seed: any non-negative integer.

    Raises:
      UserError: the target does not name just the classes, or one of them has no row.
    """
    steps = len(rows) // size
    if params.mode == "none":
        return Sampling(
            np.ones(len(classes)), lambda number: _each(len(rows), steps, size, seed, number)
        )
    target = _target(params, classes)
    pool = _Pool.of(rows, classes, seed)
    share = pool.counts / pool.counts.sum()
    edges = np.rint(np.concatenate([[0], np.cumsum(target)]) * UNIT).astype(np.int64)
    edges[-1] = UNIT
    v = (keyed(np.arange(epochs), seed, "sampling/rounding") >> np.uint64(64 - BITS)).view(np.int64)
    totals = np.diff((edges * (steps * size) + v[:, None]) >> BITS, axis=1)
    stream = _Streams(pool, totals, steps * size)

    def per_class(number: tf.Tensor) -> tf.Tensor:
        return tf.reshape(stream.mixed(number), [steps, size])

    def balanced_batches(number: tf.Tensor) -> tf.Tensor:
        order = _permutation(steps, seed, "sampling/batches", number)
        u = tf.cast(order, tf.int64) * UNIT + tf.gather(v, number)
        ends = (edges * (size * steps) + u[:, None]) // (steps * UNIT)
        return tf.reshape(stream.dealt(number, ends[:, 1:] - ends[:, :-1]), [steps, size])

    def rejection(number: tf.Tensor) -> tf.Tensor:
        return tf.reshape(pool.drawn(edges, steps * size, number), [steps, size])

    epoch = {"per_class": per_class, "balanced_batches": balanced_batches, "rejection": rejection}
    return Sampling(np.diff(edges) / UNIT / share, epoch[params.mode])


@dataclass(frozen=True)
class _Pool:
    """Rows grouped by class.

    Attributes:
      rows: int32 [n] on the CPU, indices; within a class in an order that the seed gives.
      counts: int64 [n_classes], all above 0.
      first: int64 [n_classes], where in `rows` each class begins.
      seed: the user's.
    """

    rows: tf.Tensor
    counts: np.ndarray
    first: np.ndarray
    seed: int

    @classmethod
    def of(cls, rows: Rows, classes: Sequence[str], seed: int) -> "_Pool":
        index = np.flatnonzero(rows.weights > 0)
        counts = np.bincount(rows.labels[index], minlength=len(classes))
        if not counts.all():
            raise UserError(
                f"train.mlp.sampling: class {classes[int(counts.argmin())]!r} has no row in train "
                "to draw; expected one of each class, of a weight above 0"
            )
        order = np.lexsort((keyed(np.arange(len(index)), seed, "sampling"), rows.labels[index]))
        with tf.device("CPU:0"):
            grouped = tf.constant(index[order], tf.int32)
        return cls(grouped, counts, np.cumsum(counts) - counts, seed)

    def drawn(self, edges: np.ndarray, n: int, number: tf.Tensor) -> tf.Tensor:
        """int32 [n]: independent draws, class k for a number between edges k and k + 1."""
        which, place = (
            tf.random.stateless_uniform([n], _seed(self.seed, purpose, number), 0, most, tf.int64)
            for purpose, most in (("sampling/class", UNIT), ("sampling/row", tf.int64.max))
        )
        label = tf.searchsorted(edges[1:], which, side="right")
        return tf.gather(
            self.rows, tf.gather(self.first, label) + place % tf.gather(self.counts, label)
        )


@dataclass(frozen=True)
class _Streams:
    """Each class's rows, repeated without end.

    Attributes:
      pool: the rows.
      totals: int64 [epochs, n_classes], an epoch's draws of each class.
      n: draws an epoch.
    """

    pool: _Pool
    totals: np.ndarray
    n: int

    def mixed(self, number: tf.Tensor) -> tf.Tensor:
        """int32 [n]: the streams next to each other: a stream's i-th of m draws comes after about
        i/m of the epoch."""
        rows, label, place = self._next(number)
        u = self._uniform("sampling/mix", number)
        total = tf.cast(tf.gather(tf.gather(self.totals, number), label), tf.float64)
        return tf.gather(rows, tf.argsort((tf.cast(place, tf.float64) + u) / total))

    def dealt(self, number: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """int32 [n]: batch by batch, draws of each class as `counts` (int64 [steps, n_classes])."""
        rows, _, _ = self._next(number)
        total = tf.gather(self.totals, number)
        starts = tf.cumsum(total, exclusive=True) + tf.cumsum(counts, exclusive=True)
        flat = tf.reshape(counts, [-1])
        shift = tf.reshape(starts, [-1]) - tf.cumsum(flat, exclusive=True)
        return tf.gather(rows, tf.range(self.n, dtype=tf.int64) + tf.repeat(shift, flat))

    def _next(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(row int32, class int32, place in the class's draws int64), each [n]: an epoch's draws,
        class by class."""
        pool, total = self.pool, tf.gather(self.totals, number)
        label = tf.repeat(tf.range(len(pool.counts)), total)
        start = tf.gather(tf.cumsum(total, exclusive=True), label)
        place = tf.range(self.n, dtype=tf.int64) - start
        size = tf.gather(pool.counts, label)
        done = tf.gather(np.cumsum(self.totals, axis=0) - self.totals, number)
        at = (place + tf.gather(done, label)) % size
        rows = tf.gather(pool.rows, at + tf.gather(pool.first, label))
        # Each repetition is shuffled; it ends before the next one begins.
        repetition = tf.cast(start + place // size * size, tf.float64)
        keys = repetition + self._uniform("sampling/shuffle", number)
        return tf.gather(rows, tf.argsort(keys)), label, place

    def _uniform(self, purpose: str, number: tf.Tensor) -> tf.Tensor:
        seed = _seed(self.pool.seed, purpose, number)
        return tf.random.stateless_uniform([self.n], seed, dtype=tf.float64)


def _target(params: SamplingParams, classes: Sequence[str]) -> np.ndarray:
    """float64 [n_classes], of sum 1."""
    if isinstance(params.target, str):
        return np.full(len(classes), 1 / len(classes))
    if set(params.target) != set(classes):
        raise UserError(
            f"train.mlp.sampling.target: found {params.target}; expected a share for each of "
            f"{', '.join(classes)}"
        )
    return np.array([params.target[name] for name in classes])


def _each(n: int, steps: int, size: int, seed: int, number: tf.Tensor) -> tf.Tensor:
    keys = tf.random.stateless_uniform([n], [seed, number])
    order = tf.argsort(keys, stable=True)[: steps * size]
    return tf.reshape(order, [steps, size])


def _permutation(n: int, seed: int, purpose: str, number: tf.Tensor) -> tf.Tensor:
    keys = tf.random.stateless_uniform([n], _seed(seed, purpose, number), dtype=tf.float64)
    return tf.argsort(keys, stable=True)


def _seed(seed: int, purpose: str, number: tf.Tensor) -> tf.Tensor:
    """int64 [2] of what a number is for and the epoch."""
    return tf.stack([tf.constant(text_hash(f"{seed}/{purpose}").view(np.int64)), number])
