"""Whether what chooses rows chooses among equal ones as chance would: Pearson's sum by kind.

Train has a class of few kinds of rows, all of one kind equal, and some rows that are all different,
so that there are cells to search. Of the N rows of the kinds n are chosen: kept by `under`, `both`
and `downsample_upweight`, copied once more by `over`, bases once more of `smote`, `rose` and
`kmeans_smote`. If that is as good as random, the sum over kinds of (chosen - expected)**2 /
expected, times (N - 1) / (N - n) since rows are drawn without replacement, is distributed about
as chi-square with kinds - 1 degrees of freedom; summed over seeds, with as many times that. Its
probability must lie in (.0005, .9995): below, kinds are favoured; above, they are dealt out evenly.
That is judged in memory; the engines on Beam, slower by far, must choose as many rows of each kind
as is chosen in memory, seed by seed.

`python -m benchmarks.copies_chosen [SEEDS [SEEDS_ON_BEAM]]` prints a row for each method, engine
and data.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from scipy.stats import chi2

from benchmarks.claims import Claim
from tfx_imbalance.components import example_encoder, examples_io, hashing, tfrecord
from tfx_imbalance.components.names import ROW_COPY, ROW_ID, SYNTHETIC_BASE
from tfx_imbalance.components.rebalancer import rebalance
from tfx_imbalance.components.rebalancer.copies import copies_of
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.plan import Way

SEEDS, SEEDS_ON_BEAM = 200, 5
LEAST, MOST = 0.0005, 0.9995
SHARE = 0.37
"""Of the rows of the class those that are chosen."""
SCATTERED = 200
CLASSES = ("no", "yes")
SHRINKING = ("under", "both", "downsample_upweight")
GROWING = ("over", "smote", "rose", "kmeans_smote")
IN_MEMORY = "in memory"
ENGINES: dict[str, Way] = {"Beam": "place", "Beam, streaming": "stream", "Beam, by cells": "cells"}


class Kinds(NamedTuple):
    """A class of equal rows.

    Attributes:
      name: of the data.
      values: float64 [kinds, 2], features of each kind.
      of: int64 [n], the kind of each row.
    """

    name: str
    values: np.ndarray
    of: np.ndarray


class Fit(NamedTuple):
    """How well chance explains what was chosen: `p` of chi-square, and the sum by its mean."""

    p: float
    by_mean: float

    @property
    def ok(self) -> bool:
        """Whether it does."""
        return LEAST < self.p < MOST


def kinds(n_kinds: int, rows: int, step: float = 1.0, start: float = 0.0) -> Kinds:
    """Rows of kinds that differ in size, the largest about three times the smallest."""
    sizes = np.linspace(1, 3, n_kinds)
    of = np.repeat(
        np.arange(n_kinds), np.maximum(np.rint(sizes / sizes.sum() * rows), 1).astype(int)
    )
    values = np.stack([start + step * np.arange(n_kinds), np.arange(n_kinds) % 4.0], axis=1)
    return Kinds(f"{n_kinds} kinds" if step == 1 else f"{n_kinds} as float64", values, of)


ALL = (
    kinds(6, 3000),
    kinds(14, 3000),
    kinds(10_000, 30_000),
    kinds(9, 3000, 1e-3, 1e9),  # all of them one float32
)


def pearson(chosen: np.ndarray, of: np.ndarray) -> float:
    """Pearson's sum with the hypergeometric factor.

    Args:
      chosen: int64 [kinds], rows of each kind that were chosen.
      of: int64 [n], the kind of each row there was.
    """
    sizes, n = np.bincount(of, minlength=len(chosen)), chosen.sum()
    expected = n * sizes / len(of)
    factor = (len(of) - 1) / (len(of) - n)
    return float(((chosen - expected) ** 2 / expected).sum() * factor)


def fit(choose: Callable[[int], np.ndarray], of: np.ndarray, seeds: int) -> Fit:
    """Of `choose`, seed -> rows chosen of each kind, int64 [kinds]."""
    sums = [pearson(choose(seed), of) for seed in range(seeds)]
    degrees = seeds * int(of.max())
    return Fit(float(chi2.sf(sum(sums), degrees)), sum(sums) / degrees)


def params_of(method: str, data: Kinds, seed: int) -> RebalanceParams:
    """Such that of the class SHARE is chosen."""
    given: dict[str, object] = {"method": method, "seed": seed, "max_growth": 100}
    n = len(data.of) + SCATTERED
    if method in GROWING:
        given["sampling_strategy"] = {"yes": n + round(SHARE * n)}
    if method == "both":
        given["sampling_strategy"] = 0.5
        given["under_sampling_strategy"] = {"no": _others(data)}
    if method in ("smote", "kmeans_smote"):
        given["k_neighbors"] = 1
    if method == "kmeans_smote":
        given |= {"n_clusters": 1, "cluster_balance_threshold": 0.0}
    return RebalanceParams(**given)


def table(data: Kinds, method: str) -> tuple[np.ndarray, np.ndarray]:
    """(features float64 [n, 2], classes [n]): the rows of the kinds come first."""
    mine, other = ("yes", "no") if method in GROWING else ("no", "yes")
    rng = np.random.default_rng(0)
    far = data.values.mean(axis=0) + rng.normal(size=(_others(data, mine), 2)).round(3) * 64
    scattered = data.values.mean(axis=0) + rng.normal(size=(SCATTERED, 2)).round(3) * 64
    x = np.concatenate([data.values[data.of], scattered, far])
    return x, np.repeat([mine, other], [len(data.of) + SCATTERED, len(far)])


def _others(data: Kinds, mine: str = "no") -> int:
    n = len(data.of) + SCATTERED
    return 3 * n if mine == "yes" else round(SHARE * n)


def in_memory(method: str, data: Kinds) -> Callable[[int], np.ndarray]:
    """seed -> rows chosen of each kind, by `resample`."""
    x, y = table(data, method)
    n, n_kinds = len(data.of), len(data.values)
    frame = pd.DataFrame(x, columns=["a", "b"])

    def choose(seed: int) -> np.ndarray:
        done = resample(frame, y, params_of(method, data, seed))
        if len(done.origin):
            base = done.origin["base"].to_numpy(int)
            return np.bincount(data.of[base[base < n]], minlength=n_kinds)
        times = np.bincount(done.index[done.index < n], minlength=n)
        return np.bincount(data.of, times - (method == "over"), n_kinds).astype(np.int64)

    return choose


def on_beam(
    method: str, data: Kinds, folder: Path, engine: str = "Beam", *, counted: bool = False
) -> Callable[[int], np.ndarray]:
    """The same by Rebalancer, in process.

    Args:
      method: see above.
      data: see above.
      folder: takes files.
      engine: of ENGINES.
      counted: examples lack `_row_copy`.
    """
    x, y = table(data, method)
    ids = hashing.row_ids(pa.RecordBatch.from_arrays(list(map(pa.array, x.T)), ["a", "b"]))
    narrow = {name: column.astype(np.float32) for name, column in zip("ab", x.T, strict=True)}
    columns = {**narrow, "y": np.array([name.encode() for name in y], object), ROW_ID: ids}
    codes = (y == "yes").astype(np.int64)
    if not counted:
        columns[ROW_COPY] = copies_of(ids, codes)
    source = folder / "in"
    source.mkdir(parents=True)
    files = [str(source / f"part-{i}.gz") for i in range(2)]
    for i, path in enumerate(files):
        writer = tfrecord.Writer(path, tfrecord.GZIP_LEVEL)
        own = {name: column[i::2] for name, column in columns.items()}
        for frames in example_encoder.encode(own, len(own["a"])):
            writer.write(frames.buffer)
        writer.close()
    kind_of = dict(zip(ids[: len(data.of)].tolist(), data.of.tolist(), strict=True))
    known = np.array(sorted(kind_of))
    of_known = np.array([kind_of[i] for i in known.tolist()])
    counts = dict(zip(*(part.tolist() for part in np.unique(y, return_counts=True)), strict=True))

    def choose(seed: int) -> np.ndarray:
        params = params_of(method, data, seed).model_copy(update={"provenance": True})
        if engine == "Beam, by cells":
            params = params.model_copy(update={"exact_rows": 100})
        out = folder / "out"
        # The data are small: the engine that they would not need is chosen for them.
        with mock.patch.object(rebalance, "way", lambda *_: ENGINES[engine]):
            rebalance.rebalance(
                lambda: beam.Pipeline(runner=FnApiRunner()),
                files,
                str(out),
                label="y",
                classes=CLASSES,
                features=Features({"a": "float", "b": "float"}),
                params=params,
                counts=counts,
            )
        name = ROW_ID if method in (*SHRINKING, "over") else SYNTHETIC_BASE
        written = [str(path) for path in out.iterdir()]
        found = np.concatenate(
            [
                np.asarray(batch.column(name).flatten())
                for block in examples_io.read_blocks(written)
                if (batch := examples_io.decoder({name: "int"}).DecodeBatch(list(block)))
            ]
        )
        tf.io.gfile.rmtree(str(out))
        mine = found[np.isin(found, known)]
        chosen = np.bincount(of_known[np.searchsorted(known, mine)], minlength=len(data.values))
        return chosen - np.bincount(data.of) if method == "over" else chosen

    return choose


def engines(folder: Path) -> Iterator[tuple[str, str, Kinds, Callable[[int], np.ndarray]]]:
    """(method, engine, data, what chooses)."""
    number = 0
    for data in ALL:
        for method in (*SHRINKING, *GROWING):
            yield method, IN_MEMORY, data, in_memory(method, data)
        beam_ones = [(method, "Beam") for method in (*SHRINKING, "over", "smote")]
        beam_ones += [("kmeans_smote", "Beam, streaming"), ("smote", "Beam, by cells")]
        for method, engine in beam_ones:
            number += 1
            yield method, engine, data, on_beam(method, data, folder / f"{number}", engine)
        number += 1
        counted = on_beam("under", data, folder / f"{number}", counted=True)
        yield "under", "Beam, counted", data, counted


def run(seeds: int = SEEDS, seeds_on_beam: int = SEEDS_ON_BEAM) -> Iterator[Claim]:
    """Yields a claim for each method, engine and data."""
    with tempfile.TemporaryDirectory(prefix="copies_chosen-") as temporary:
        for method, engine, data, choose in engines(Path(temporary)):
            name = f"{method}, {engine}, {data.name}"
            if engine != IN_MEMORY:
                yield _same(name, choose, in_memory(method, data), seeds_on_beam)
                continue
            found = fit(choose, data.of, seeds)
            yield Claim(
                f"{name}: as chance would choose among equal rows",
                found.p,
                None,
                None,
                unit="p",
                bar=f"{LEAST} < p < {MOST}",
                ok=found.ok,
                detail=f"{seeds} seeds, sum of Pearson's by its mean {found.by_mean:.4f}",
            )


def _same(
    name: str,
    choose: Callable[[int], np.ndarray],
    other: Callable[[int], np.ndarray],
    seeds: int,
) -> Claim:
    same = sum(np.array_equal(choose(seed), other(seed)) for seed in range(seeds))
    return Claim(
        f"{name}: as many rows of each kind as in memory",
        same,
        seeds,
        None,
        unit="seeds",
        bar=f"{seeds} of {seeds}",
        ok=same == seeds,
    )


if __name__ == "__main__":
    print("| method, engine, data | | ok |\n|---|---|---|")
    for claim in run(*map(int, sys.argv[1:])):
        figure = (
            f"p {claim.ours:.4f}" if claim.unit == "p" else f"{claim.ours} of {claim.peer} same"
        )
        print(f"| {claim.name} | {figure} | {'yes' if claim.ok else 'NO'} |", flush=True)
