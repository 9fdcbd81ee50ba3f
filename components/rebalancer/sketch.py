"""Class counts and the distribution of hashes, counted in blocks and merged in any order."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import apache_beam as beam
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


class SketchFn(beam.CombineFn):
    """Merges blocks of (class codes, hashes, strangers) into a Sketch."""

    def __init__(self, n_classes: int) -> None:
        self._n_classes = n_classes

    def create_accumulator(self) -> Sketch:
        """An empty sketch."""
        return empty(self._n_classes)

    def add_input(self, sketch: Sketch, block: tuple[np.ndarray, np.ndarray, list[str]]) -> Sketch:
        """Counts one block."""
        return add(sketch, *block)

    def merge_accumulators(self, sketches: Iterable[Sketch]) -> Sketch:
        """Adds sketches up, in any order."""
        total = self.create_accumulator()
        for sketch in sketches:
            np.add(total.histogram, sketch.histogram, out=total.histogram)
            total = _with(total, sketch.strangers)
        return total

    def extract_output(self, sketch: Sketch) -> Sketch:
        """The sketch itself."""
        return sketch


def _with(sketch: Sketch, more: Counter[str]) -> Sketch:
    if not more:
        return sketch
    strangers = Counter(dict((sketch.strangers + more).most_common(_MAX_STRANGERS)))
    return Sketch(sketch.histogram, strangers)
