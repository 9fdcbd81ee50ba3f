"""Class counts and the distribution of hashes, counted in blocks and merged in any order."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from . import selection

_MAX_STRANGERS = 100


class Sketch(NamedTuple):
    """What the first read finds.

    Attributes:
      histogram: int64 [n_classes, n_buckets], rows by class and top bits of their hash.
      strangers: label that is no class -> rows; '' for rows without a label.
    """

    histogram: np.ndarray
    strangers: Counter[str]


def add(sketch: Sketch, codes: np.ndarray, words: np.ndarray, strangers: Iterable[str]) -> Sketch:
    """Counts a block: class indices int64 [n] and hashes uint64 [n] of rows; odd labels."""
    selection.add_to_histogram(sketch.histogram, codes, words)
    return _with(sketch, Counter(strangers))


def empty(n_classes: int) -> Sketch:
    """Of no rows."""
    return Sketch(selection.empty_histogram(n_classes), Counter())


def merged(sketches: Iterable[Sketch], n_classes: int) -> Sketch:
    """The sum of sketches, in any order; they stay as they are."""
    total = empty(n_classes)
    for found in sketches:
        np.add(total.histogram, found.histogram, out=total.histogram)
        total = _with(total, found.strangers)
    return total


def _with(sketch: Sketch, more: Counter[str]) -> Sketch:
    if not more:
        return sketch
    strangers = Counter(dict((sketch.strangers + more).most_common(_MAX_STRANGERS)))
    return Sketch(sketch.histogram, strangers)
