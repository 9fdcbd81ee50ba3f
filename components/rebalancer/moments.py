"""Exact sums of columns, the same whatever order their parts are added in."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

_SCALE = 400  # bits behind the point: enough for the square of the smallest float32
_BITS = 48  # of the square of a float32
_HALF = 24


class Moments(NamedTuple):
    """Exact sums of columns and of their squares, as integers times 2**-_SCALE.

    Floating-point sums depend on the order of their terms, which is the runner's. Integers do not.
    """

    rows: int
    sums: tuple[int, ...]
    squares: tuple[int, ...]

    @classmethod
    def of(cls, matrix: np.ndarray) -> "Moments":
        """Of float32 or float64 [n, d] within float32's range, n < 2**29.

        What of a float64 lies below float32's smallest number counts as nothing.
        """
        values = matrix.astype(np.float64)
        # A float64 is the sum of at most three float32, whose products are exact.
        parts = []
        for _ in range(1 if matrix.dtype == np.float32 else 3):
            parts.append(values.astype(np.float32).astype(np.float64))
            values = values - parts[-1]
        none = (0,) * matrix.shape[1]
        sums = _plus(none, *map(exact_sums, parts))
        squares = _plus(none, *(exact_sums(one * other) for one in parts for other in parts))
        return cls(len(matrix), sums, squares)

    def plus(self, other: "Moments") -> "Moments":
        """Of the rows of both."""
        sums, squares = _plus(self.sums, other.sums), _plus(self.squares, other.squares)
        return Moments(self.rows + other.rows, sums, squares)

    def median_deviation(self) -> float:
        """Median over the columns of their standard deviation."""
        n = self.rows
        variances = [
            Fraction(n * (square << _SCALE) - total * total, n * n << 2 * _SCALE)
            for total, square in zip(self.sums, self.squares, strict=True)
        ]
        return float(np.median([math.sqrt(variance) for variance in variances]))


def _plus(*sums: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*sums, strict=True)))


def exact_sums(values: np.ndarray) -> tuple[int, ...]:
    """Sums of the columns of float64 [n, d], n < 2**29, times 2**_SCALE.

    Each value is a float32 or the square of one: an integer of 48 bits and an exponent. Those of
    one exponent are added in two halves, in float64, which holds such sums exactly.
    """
    if not len(values):
        return (0,) * values.shape[1]
    mantissas, exponents = np.frexp(values)
    whole = np.ldexp(mantissas, _BITS).astype(np.int64)
    least = int(exponents.min())
    sums = []
    for number, place in zip(whole.T, (exponents - least).T, strict=True):
        high = np.bincount(place, number >> _HALF).tolist()
        low = np.bincount(place, number & ((1 << _HALF) - 1)).tolist()
        sums.append(
            sum(
                ((int(h) << _HALF) + int(r)) << (least + i - _BITS + _SCALE)
                for i, (h, r) in enumerate(zip(high, low, strict=True))
            )
        )
    return tuple(sums)
