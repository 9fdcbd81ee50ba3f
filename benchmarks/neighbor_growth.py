"""How the time of Rebalancer's neighbour search grows with the rows, and its recall."""

import math
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.claims import Claim
from tfx_imbalance.components.rebalancer.cells import search
from tfx_imbalance.components.rebalancer.neighbors import Space, nearest

SIZES = (50_000, 200_000, 800_000)
FEATURES, NEIGHBORS, QUERIES = 16, 5, 1000
CENTRES = 50
MOST_GROWTH, LEAST_RECALL = 1.25, 0.95


def run() -> Iterator[Claim]:
    """Yields the recall at each size and the growth exponent between sizes, for each data set."""
    search(Space(_blobs(5000)), NEIGHBORS, np.arange(5000), 0, exact_rows=0)  # loads what it needs
    for name, rows in DATA.items():
        before = None
        for n in SIZES:
            space = Space(rows(n))
            wall, started = time.perf_counter(), time.process_time()
            found, _ = search(space, NEIGHBORS, np.arange(n), seed=0, exact_rows=0)
            wall, seconds = time.perf_counter() - wall, time.process_time() - started
            recall = _recall(space, found)
            yield Claim(
                f"neighbour search, {name}, {n:,} rows: recall@{NEIGHBORS}",
                recall,
                None,
                None,
                unit="recall",
                bar=f">= {LEAST_RECALL}",
                ok=recall >= LEAST_RECALL,
                detail=f"{FEATURES} features, {QUERIES} rows against exact search; "
                f"{seconds:.1f} s of processor time, {wall:.1f} s by the clock",
            )
            if before is not None:
                growth = _exponent(before[0], n, before[1], seconds)
                yield Claim(
                    f"neighbour search, {name}, {before[0]:,} to {n:,} rows: growth exponent",
                    growth,
                    None,
                    None,
                    unit="exponent of the rows",
                    bar=f"<= {MOST_GROWTH}",
                    ok=growth <= MOST_GROWTH,
                    detail=f"processor time, {before[1]:.1f} to {seconds:.1f} s, no exact search; "
                    f"by the clock {_exponent(before[0], n, before[2], wall):.2f}",
                )
            before = n, seconds, wall


def _exponent(n: int, more: int, seconds: float, longer: float) -> float:
    return math.log(longer / seconds) / math.log(more / n)


def _recall(space: Space, found: np.ndarray) -> float:
    queries = np.random.default_rng(1).choice(len(space), QUERIES, replace=False)
    # Another Space, so that nothing computed for the search is used.
    true, _ = nearest(Space(space.numeric), NEIGHBORS, queries)
    return float((found[queries][:, :, None] == true[:, None]).any(axis=1).mean())


def _gaussian(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, FEATURES)).astype(np.float32)


def _blobs(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = 8 * rng.normal(size=(CENTRES, FEATURES))
    return (centres[rng.integers(0, CENTRES, n)] + rng.normal(size=(n, FEATURES))).astype("f4")


def _plane(n: int) -> np.ndarray:
    """Four dimensions and a little noise."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(n, 4)) @ rng.normal(size=(4, FEATURES))
    return (plane + 0.01 * rng.normal(size=(n, FEATURES))).astype("f4")


DATA = {"iid Gaussian": _gaussian, "Gaussian clusters": _blobs, "four dimensions": _plane}
