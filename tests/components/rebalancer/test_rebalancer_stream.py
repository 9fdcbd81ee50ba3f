"""Deciding by the few rows that matter gives the rows that deciding on all of them gives."""

from collections import Counter

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer import rebalance, stream
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.plan import megabytes, way
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS, SyntheticSampler
from tfx_imbalance.components.rebalancer.samplers.kmeans_smote import KMeansSmote
from tfx_imbalance.components.rebalancer.transform import RebalanceExamples

CLASSES = ("no", "perhaps", "yes")
NUMBERS = Features({"a": "float", "b": "int", "v": "float"}, (), {}, ("w", "float"), {"v": 2})
CATEGORIES = Features({}, ("c", "d"), {}, ("w", "float"))
STREAMING = sorted(name for name, sampler in SAMPLERS.items() if sampler.streams is not None)
OPTIONS = {
    "kmeans_smote": {"n_clusters": 5, "cluster_balance_threshold": 0.05},
    "near_miss_1": {"sampling_strategy": {"no": 20, "yes": 50}},
    "near_miss_3": {"sampling_strategy": {"no": 30, "yes": 600}},
}


def make_records(kit):
    """Overlapping classes with equal rows of one class, of several, and of one identity.

    Features of every other row are small integers, so that many rows are equally far, or equal.
    """
    rng, rows = np.random.default_rng(5), (300, 60, 900)
    n = sum(rows)
    centres = rng.normal(size=(8, 4))[rng.integers(0, 8, n)]
    x = (centres + rng.normal(size=(n, 4))).astype(np.float32)
    x[rows[0] : rows[0] + rows[1]] += 1
    x[::2] = np.rint(x[::2])
    data = kit.Data(
        {
            "a": x[:, 0],
            "b": np.rint(3 * x[:, 1]).astype(np.int64),
            "v": x[:, 2:],
            "c": np.rint(2 * x[:, 0]).astype(np.int64),
            "d": np.rint(x[:, 2]).astype(np.int64),
            "w": rng.uniform(0.5, 2, n).astype(np.float32),
            "y": np.repeat(np.array(CLASSES, object), rows),
            "_row_id": rng.integers(-(2**63), 2**63 - 1, n),
        }
    )
    index = np.arange(n)
    index[-40:-10] = n - 1
    index[-10:-4] = [n - 2] * 4 + [n - 3] * 2
    index[300:304] = 310
    data = data.take(index)
    data.columns["y"][[-40, -39, -10, -9, -5]] = ["no", "no", "no", "perhaps", "no"]
    data.columns["w"][-30:-20] = 3
    return data.records()


@pytest.fixture(scope="module")
def records(kit):
    return make_records(kit)


def params_of(name, **changed):
    params = RebalanceParams(method=name, seed=2**40 + 3, provenance=True, **OPTIONS.get(name, {}))
    return params.model_copy(update=changed)


def features_of(name):
    return CATEGORIES if name == "smote_n" else NUMBERS


def counts_of(records, kit):
    return dict(Counter(dict(kit.parsed(record))["y"].decode() for record in records))


def between(name, records, kit):
    """A memory limit that holds what the method holds, and not all rows."""
    counts, sampler = counts_of(records, kit), SAMPLERS[name]
    after = sampler.targets(counts, params_of(name))
    held = sum(counts[c] for c in sampler.held(counts, after))
    assert held < len(records)
    return megabytes(len(records) - 1, features_of(name))


@pytest.fixture(scope="module")
def rebalanced(tmp_path_factory, kit):
    def call(source, params, shards=1):
        folder = tmp_path_factory.mktemp("streamed")
        report = rebalance.rebalance(
            lambda: beam.Pipeline(runner=FnApiRunner()),
            kit.write_files(folder / "in", source, shards),
            str(folder / "out"),
            label="y",
            classes=CLASSES,
            features=features_of(params.method),
            params=params,
            counts=counts_of(source, kit),
        )
        written = kit.read([str(path) for path in (folder / "out").iterdir()])
        return kit.multiset_of(written), report

    return call


@pytest.mark.parametrize("name", STREAMING)
def test_the_rows_are_those_of_one_place(records, rebalanced, kit, name):
    limit = between(name, records, kit)
    assert way(counts_of(records, kit), features_of(name), params_of(name)) == "place"
    streams = params_of(name, memory_limit_mb=limit)
    assert way(counts_of(records, kit), features_of(name), streams) == "stream"
    rows, report = rebalanced(records, params_of(name))
    assert report.after != report.before
    shuffled = [records[i] for i in np.random.default_rng(1).permutation(len(records))]
    found, told = rebalanced(shuffled, streams, shards=3)
    assert found == rows
    assert told == report


@pytest.mark.parametrize("name", ["near_miss_3", "borderline_smote_2"])
def test_inside_a_pipeline_as_from_files(records, kit, rebalanced, name):
    params = params_of(name, memory_limit_mb=between(name, records, kit))
    rows, _ = rebalanced(records, params)
    counts = counts_of(records, kit)

    def same(found):
        assert kit.multiset_of(list(found)) == rows

    with kit.in_memory() as pipeline:
        made = (
            pipeline
            | beam.Create(records)
            | RebalanceExamples("y", CLASSES, NUMBERS, params, True, counts)
        )
        assert_that(made, same)


def test_clusters_of_more_rows_than_the_sample_are_the_same(records, kit, rebalanced, monkeypatch):
    whole, _ = rebalanced(records, params_of("kmeans_smote"))
    monkeypatch.setattr(KMeansSmote, "sample_rows", 200)
    rows, _ = rebalanced(records, params_of("kmeans_smote"))
    assert rows != whole
    limit = between("kmeans_smote", records, kit)
    assert rebalanced(records, params_of("kmeans_smote", memory_limit_mb=limit))[0] == rows


def test_rows_are_looked_at_in_parts(records, kit, rebalanced, monkeypatch):
    monkeypatch.setattr(stream, "_HELD_VALUES", 100)
    for name in ("adasyn", "near_miss_2"):
        limit = between(name, records, kit)
        rows, _ = rebalanced(records, params_of(name))
        assert rebalanced(records, params_of(name, memory_limit_mb=limit), 7)[0] == rows


def test_rows_that_decide_have_to_fit(records, kit, rebalanced):
    counts = counts_of(records, kit)
    held = counts["no"] + counts["perhaps"]
    params = params_of("adasyn", memory_limit_mb=megabytes(held, NUMBERS))
    assert way(counts, NUMBERS, params) == "stream"
    with pytest.raises(UserError, match=r"MB of the rows that decide that 'adasyn'"):
        rebalanced(records, params)
    less = params_of("adasyn", memory_limit_mb=megabytes(held - 1, NUMBERS))
    with pytest.raises(UserError, match=r"MB of no, perhaps that 'adasyn' .* memory, or use"):
        rebalanced(records, less)


def test_tomek_links_go_by_cells_where_the_rows_that_decide_may_not_fit():
    counts, params = {"no": 300, "perhaps": 60, "yes": 900}, params_of("tomek_links")
    for limit, told in ((3 * 360, "stream"), (3 * 360 - 1, "cells")):
        params = params.model_copy(update={"memory_limit_mb": megabytes(limit, NUMBERS)})
        assert way(counts, NUMBERS, params) == told


@pytest.mark.parametrize(
    "name", [name for name in STREAMING if isinstance(SAMPLERS[name], SyntheticSampler)]
)
def test_nothing_has_to_fit_where_no_class_grows(records, kit, rebalanced, name):
    by_class = {label: [] for label in CLASSES}
    for record in records:
        by_class[dict(kit.parsed(record))["y"].decode()].append(record)
    equal = [record for rows in by_class.values() for record in rows[:30]]
    params = RebalanceParams(method=name).model_copy(update={"memory_limit_mb": 1e-9})
    rows, report = rebalanced(equal, params)
    assert rows == kit.multiset_of(equal)
    assert report.kind == "none"
