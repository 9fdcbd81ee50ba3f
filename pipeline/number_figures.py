"""Figures of train's numeric columns, all by one pass over the data, at the columns' own precision.

An int64 is never made a float before its column's least value is taken from it: float32 tells
neighbouring whole numbers apart up to 2^24, float64 up to 2^53, and times in seconds, dates as
yyyymmdd and nanoseconds lie beyond. Figures do not depend on the order in which Beam hands over
batches: counts, bounds and ranks exactly, moments to float64's last digits.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

STEPS = 100
"""The rank is kept of values at so many equal steps of it, and linear in between."""
KNOTS = 3 * STEPS
"""At most so many: a value of many rows has its two neighbours beside it, for ranks jump there."""
MOST_VALUES = 1 << 17
"""Different values of a column that are told apart while ranks are counted; beyond that
neighbouring ones are counted together."""
EXACT_FLOAT32 = 1 << 24
"""Whole numbers up to here are exact in float32."""

_LOW = (1 << 32) - 1
_Batch = Sequence[np.ndarray]


class Figures(NamedTuple):
    """Of k columns, whole numbers first; figures of a column without any value are 0.

    Attributes:
      least: of the columns of each given matrix, in its dtype; [k_i] each.
      mean: float64 [k], above `least`.
      std: float64 [k], of the population.
      width: float64 [k], from the least to the greatest.
      plain_mean: float64 [k].
      is_long: bool [k], a column of whole numbers that float32 cannot hold.
      has_gaps: bool [k], has both rows with a value and rows without.
      knots: float64 [k, KNOTS + 1], above `least`, rising, then infinite; only with `by_rank`.
      knot_ranks: float64 [k, KNOTS + 1], rank in [0, 1], equal values at the mean of theirs.
      median_rank: float64 [k], where the median lies.
    """

    least: list[tf.Tensor]
    mean: tf.Tensor
    std: tf.Tensor
    width: tf.Tensor
    plain_mean: tf.Tensor
    is_long: tf.Tensor
    has_gaps: tf.Tensor
    knots: tf.Tensor | None = None
    knot_ranks: tf.Tensor | None = None
    median_rank: tf.Tensor | None = None


def number_figures(values: Sequence[tf.Tensor], present: tf.Tensor, *, by_rank: bool) -> Figures:
    """A TFT analyzer.

    Args:
      values: int64 [n, k_1], float64 [n, k_2], or one of them.
      present: bool [n, k_1 + k_2], where there is a value.
      by_rank: also counts ranks.
    """
    widths = [int(part.shape[1]) for part in values]
    k = sum(widths)
    shapes = [[width] for width in widths] + [[_ROWS, k]]
    dtypes = [part.dtype for part in values] + [tf.float64]
    if by_rank:
        shapes.append([2, k, KNOTS + 1])
        dtypes.append(tf.float64)
    outputs = tft.experimental.ptransform_analyzer(
        inputs=[*values, present],
        ptransform=_Analyzer(len(values), by_rank),
        output_dtypes=dtypes,
        output_shapes=shapes,
        name="number_figures",
    )
    table = outputs[len(values)]
    mean, std, width, plain_mean = tf.unstack(table[:4])
    least = list(outputs[: len(values)])
    figures = Figures(least, mean, std, width, plain_mean, table[4] > 0, table[5] > 0)
    if not by_rank:
        return figures
    knots, ranks = tf.unstack(outputs[-1])
    return figures._replace(knots=knots, knot_ranks=ranks, median_rank=table[6])


def difference(values: tf.Tensor, least: tf.Tensor) -> tf.Tensor:
    """float64: values - least, of int64 without overflow and rounded but once, or of float64."""
    if values.dtype.is_floating:
        return values - least
    shift, low = tf.constant(32, tf.int64), tf.constant(_LOW, tf.int64)
    upper = tf.bitwise.right_shift(values, shift) - tf.bitwise.right_shift(least, shift)
    lower = tf.bitwise.bitwise_and(values, low) - tf.bitwise.bitwise_and(least, low)
    return tf.cast(upper, tf.float64) * 2.0**32 + tf.cast(lower, tf.float64)


def ranks(above: tf.Tensor, present: tf.Tensor, figures: Figures) -> tf.Tensor:
    """float64 [n, k] in [0, 1]: the share of train's values that lie below; missing: the median's.

    Args:
      above: float64 [n, k], above `figures.least`.
      present: bool [n, k].
      figures: with ranks.
    """
    assert figures.knots is not None and figures.knot_ranks is not None
    columns = tf.transpose(above)
    following = tf.searchsorted(figures.knots, columns, side="right")
    following = tf.minimum(following, KNOTS)
    before = tf.maximum(following - 1, 0)
    low, high, low_rank, high_rank = (
        tf.gather(of, index, axis=1, batch_dims=1)
        for of in (figures.knots, figures.knot_ranks)
        for index in (before, following)
    )
    beyond = tf.cast(columns > low, tf.float64)
    way = tf.where(tf.math.is_inf(high), beyond, tf.math.divide_no_nan(columns - low, high - low))
    found = tf.where(following > 0, low_rank + way * (high_rank - low_rank), 0.0)
    return tf.where(present, tf.transpose(found), figures.median_rank)


class _Analyzer(tft_beam.experimental.PTransformAnalyzer):
    """Batches [*values, present] to the outputs of `number_figures`."""

    def __init__(self, parts: int, by_rank: bool) -> None:
        super().__init__()
        self._parts, self._by_rank = parts, by_rank

    def expand(self, batches: beam.PCollection) -> tuple[beam.PCollection, ...]:
        tags = list(map(str, range(self._parts + 1 + self._by_rank)))
        outputs = (
            batches
            | "Summarise" >> beam.CombineGlobally(_Summarise(self._by_rank))
            | "Tell" >> beam.FlatMap(_outputs).with_outputs(*tags)
        )
        return tuple(outputs[tag] for tag in tags)


class _Summarise(beam.CombineFn):
    """Of batches to one summary of each matrix."""

    def __init__(self, by_rank: bool) -> None:
        self._by_rank = by_rank

    def create_accumulator(self) -> list["_Summary"]:
        return []

    def add_input(self, accumulator: list["_Summary"], batch: _Batch) -> list["_Summary"]:
        *values, present = batch
        ends = np.cumsum([part.shape[1] for part in values])[:-1]
        of_batch = [
            summary(part, has, self._by_rank)
            for part, has in zip(values, np.split(present, ends, axis=1), strict=True)
        ]
        return self.merge_accumulators([accumulator, of_batch])

    def merge_accumulators(self, accumulators: Iterable[list["_Summary"]]) -> list["_Summary"]:
        merged: list[_Summary] = []
        for other in accumulators:
            if merged and other:
                merged = [merge(a, b) for a, b in zip(merged, other, strict=True)]
            else:
                merged = merged or other
        return merged

    def extract_output(self, accumulator: list["_Summary"]) -> list["_Summary"]:
        return accumulator


class _Tally(NamedTuple):
    """How often the values of a column occur.

    The level is the lowest at which MOST_VALUES are enough, so that it depends on which values
    there are alone.

    Attributes:
      level: how coarsely values are told apart, see `_cells`; 0 is exactly.
      keys: int64 [m], rising, in the order of the values.
      counts: int64 [m].
    """

    level: int
    keys: np.ndarray
    counts: np.ndarray


class _Summary(NamedTuple):
    """Of the columns of one matrix.

    Attributes:
      rows: how many.
      counts: int64 [k], values.
      least: int64 or float64 [k]; 0 without a value, as is all that follows.
      most: likewise.
      mean: float64 [k], above `least`.
      squares: float64 [k], sum of the squared distances to the mean.
      tallies: of each column; none unless ranks are asked for.
    """

    rows: int
    counts: np.ndarray
    least: np.ndarray
    most: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    tallies: tuple[_Tally, ...]


def summary(values: np.ndarray, present: np.ndarray, by_rank: bool) -> _Summary:
    """Of int64 or float64 [n, k], bool [n, k]."""
    bounds = np.iinfo(np.int64) if values.dtype == np.int64 else np.finfo(np.float64)
    count = present.sum(axis=0, dtype=np.int64)
    some = count > 0
    least = np.where(present, values, bounds.max).min(axis=0, initial=bounds.max)
    most = np.where(present, values, bounds.min).max(axis=0, initial=bounds.min)
    least, most = np.where(some, least, 0), np.where(some, most, 0)
    above = np.where(present, _minus(values, least), 0.0)
    mean = above.sum(axis=0) / np.maximum(count, 1)
    squares = (np.where(present, above - mean, 0.0) ** 2).sum(axis=0)
    columns = range(values.shape[1]) if by_rank else ()
    tallies = tuple(
        _tally(_keys(values[present[:, j], j]), np.ones(int(count[j]), np.int64), 0, values.dtype)
        for j in columns
    )
    return _Summary(len(values), count, least, most, mean, squares, tallies)


def merge(a: _Summary, b: _Summary) -> _Summary:
    """Of the rows of both: moments by Chan, Golub and LeVeque (1979)."""
    in_a, in_b = a.counts > 0, b.counts > 0
    least = np.where(in_a & in_b, np.minimum(a.least, b.least), np.where(in_a, a.least, b.least))
    most = np.where(in_a & in_b, np.maximum(a.most, b.most), np.where(in_a, a.most, b.most))
    means = [np.where(s.counts > 0, s.mean + _minus(s.least, least), 0.0) for s in (a, b)]
    count = a.counts + b.counts
    share = b.counts / np.maximum(count, 1)
    apart = np.where(in_a & in_b, means[1] - means[0], 0.0)
    mean = np.where(in_a, means[0] + apart * share, means[1])
    squares = a.squares + b.squares + apart**2 * a.counts * share
    tallies = tuple(
        _tally(
            np.concatenate([x.keys, y.keys]),
            np.concatenate([x.counts, y.counts]),
            max(x.level, y.level),
            least.dtype,
        )
        for x, y in zip(a.tallies, b.tallies, strict=True)
    )
    return _Summary(a.rows + b.rows, count, least, most, mean, squares, tallies)


def _minus(values: np.ndarray, least: np.ndarray) -> np.ndarray:
    """`difference` in NumPy."""
    if values.dtype != np.int64:
        return values - least
    upper, lower = (values >> 32) - (least >> 32), (values & _LOW) - (least & _LOW)
    return upper.astype(np.float64) * 2.0**32 + lower.astype(np.float64)


def _keys(values: np.ndarray) -> np.ndarray:
    """int64 in the order of the values: of float64 the bits, of which negative ones are turned."""
    return values if values.dtype == np.int64 else _turned((values + 0.0).view(np.int64))


def _turned(bits: np.ndarray) -> np.ndarray:
    return bits ^ ((bits >> 63) & np.iinfo(np.int64).max)


def _tally(keys: np.ndarray, counts: np.ndarray, level: int, dtype: np.dtype) -> _Tally:
    def distinct(level: int) -> int:
        return len(np.unique(_cells(keys, level, dtype)))

    if len(keys) > MOST_VALUES and distinct(level) > MOST_VALUES:
        low, high = level, 63  # at 63 two cells are left
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if distinct(middle) > MOST_VALUES else (low, middle)
        level = high
    cells, index = np.unique(_cells(keys, level, dtype), return_inverse=True)
    sums = np.zeros(len(cells), np.int64)
    np.add.at(sums, index, counts)
    return _Tally(level, cells, sums)


def _cells(keys: np.ndarray, level: int, dtype: np.dtype) -> np.ndarray:
    """Keys with all but the first 63 - level significant bits cleared: cells widen with the value.

    A float64's bits begin with its exponent, so there the last ones are cleared.
    """
    if level == 0:
        return keys
    if dtype != np.int64:
        return (keys >> level) << level
    sign = keys >> 63
    magnitude = keys ^ sign
    upper = np.frexp((magnitude >> 32).astype(np.float64))[1]
    lower = np.frexp((magnitude & _LOW).astype(np.float64))[1]
    cleared = np.maximum(np.where(upper > 0, upper + 32, lower) - (63 - level), 0)
    return ((magnitude >> cleared) << cleared) ^ sign


_ROWS = 7  # of the table of figures: see Figures


def _outputs(summaries: list[_Summary]) -> Iterator[beam.pvalue.TaggedOutput]:
    for tag, part in enumerate(summaries):
        yield beam.pvalue.TaggedOutput(str(tag), part.least)
    curves = [_curve(part, j) for part in summaries for j in range(len(part.tallies))]
    tables = [_table(part) for part in summaries]
    table = np.concatenate(tables, axis=1)
    if curves:
        table[6] = [median for _, median in curves]
    yield beam.pvalue.TaggedOutput(str(len(summaries)), table)
    if curves:
        stacked = np.stack([curve for curve, _ in curves], axis=1)
        yield beam.pvalue.TaggedOutput(str(len(summaries) + 1), stacked)


def _table(part: _Summary) -> np.ndarray:
    whole = part.least.dtype == np.int64
    least, most = part.least.astype(np.float64), part.most.astype(np.float64)
    return np.stack(
        [
            part.mean,
            np.sqrt(part.squares / np.maximum(part.counts, 1)),
            _minus(part.most, part.least),
            part.mean + least,
            whole & (np.maximum(np.abs(least), np.abs(most)) > EXACT_FLOAT32),
            (part.counts > 0) & (part.counts < part.rows),
            np.zeros_like(part.mean),
        ]
    )


def _curve(part: _Summary, column: int) -> tuple[np.ndarray, float]:
    """([2, KNOTS + 1]: knots above the least value and their ranks, the median's rank)."""
    tally = part.tallies[column]
    if not len(tally.keys):
        return np.stack([np.full(KNOTS + 1, np.inf), np.full(KNOTS + 1, 0.5)]), 0.5
    keys = tally.keys if part.least.dtype == np.int64 else _turned(tally.keys).view(np.float64)
    least = part.least[column]
    values = _minus(np.maximum(keys, least), least)
    ends = np.cumsum(tally.counts)
    n = int(ends[-1])
    middle = ends - (tally.counts + 1) / 2  # mean of the ranks from 0 of equal values
    rank = middle / (n - 1) if n > 1 else np.array([0.5])
    chosen = np.arange(len(values))
    if len(values) > KNOTS:
        at = np.linspace(0, n - 1, STEPS).round()
        chosen = np.unique(np.searchsorted(ends, at, side="right"))
        frequent = chosen[tally.counts[chosen] > n / STEPS]
        chosen = np.unique(np.concatenate([chosen, frequent - 1, frequent + 1]))
        chosen = chosen[(chosen >= 0) & (chosen < len(values))]
    curve = np.stack([np.full(KNOTS + 1, np.inf), np.ones(KNOTS + 1)])
    curve[:, : len(chosen)] = values[chosen], rank[chosen]
    around = np.searchsorted(ends, [(n - 1) // 2, n // 2], side="right")
    return curve, float(rank[around].mean())
