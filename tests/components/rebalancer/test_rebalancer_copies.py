"""Equal rows are told apart: what chooses rows chooses among them as chance would."""

from collections import Counter, defaultdict

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import copies_chosen
from tfx_imbalance.components import hashing
from tfx_imbalance.components.rebalancer.copies import copies_of
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.transform import RebalanceExamples

FEATURES = Features({"a": "float", "n": "int"})
SMOTE = RebalanceParams(method="smote", k_neighbors=3, seed=3, provenance=True)
PARAMS = {
    "under": RebalanceParams(method="under", seed=3),
    "over": RebalanceParams(method="over", seed=3),
    "smote": SMOTE,
    "kmeans_smote": RebalanceParams(
        method="kmeans_smote", k_neighbors=3, n_clusters=1, cluster_balance_threshold=0, seed=3
    ),
}
FEW = copies_chosen.kinds(6, 900)
NARROW = copies_chosen.kinds(9, 900, 1e-3, 1e9)


def equal_rows(kit, n=240):
    """Six kinds of rows, of which one has two classes; 40 `yes` and `perhaps` are like them."""
    rng = np.random.default_rng(2)
    kind = np.concatenate([np.arange(n) % 6, rng.integers(0, 6, 80)])
    data = kit.Data(
        {
            "a": kind.astype(np.float32),
            "n": kind * 1000,
            "y": np.repeat(np.array(["no", "perhaps", "yes"], object), [n, 40, 40]),
        }
    )
    names = ["a", "n"]
    table = pa.RecordBatch.from_arrays([pa.array(data.columns[k]) for k in names], names)
    data.columns["_row_id"] = hashing.row_ids(table)
    return data


def with_copies(data):
    codes = np.unique(data.columns["y"].astype(str), return_inverse=True)[1]
    copies = copies_of(data.columns["_row_id"], codes)
    return type(data)({**data.columns, "_row_copy": copies})


def without(rows, name):
    kept = Counter()
    for row, n in rows.items():
        kept[tuple(pair for pair in row if pair[0] != name)] += n
    return kept


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 2), st.integers(0, 2))))
def test_rows_of_one_identity_are_numbered_by_class_then_content(rows):
    ids, codes, content = np.array(rows, np.int64).reshape(-1, 3).T
    found, groups = copies_of(ids, codes, content), defaultdict(list)
    for row, copy in zip(rows, found.tolist(), strict=True):
        groups[row[0]].append((copy, row[1:]))
    for group in groups.values():
        assert sorted(copy for copy, _ in group) == list(range(len(group)))
        assert [keys for _, keys in sorted(group)] == sorted(keys for _, keys in group)


@pytest.mark.parametrize("data", [FEW, NARROW], ids=["few", "float64"])
@pytest.mark.parametrize("method", [*copies_chosen.SHRINKING, *copies_chosen.GROWING])
def test_kinds_of_equal_rows_are_chosen_as_by_chance_in_memory(method, data):
    found = copies_chosen.fit(copies_chosen.in_memory(method, data), data.of, 5)
    assert found.ok, found


@pytest.mark.parametrize(
    ("method", "engine", "counted"),
    [
        ("under", "Beam", False),
        ("under", "Beam", True),
        ("over", "Beam", False),
        ("smote", "Beam, by cells", False),
        ("kmeans_smote", "Beam, streaming", False),
    ],
)
def test_kinds_of_equal_rows_are_chosen_as_by_chance_on_beam(method, engine, counted, tmp_path):
    choose = copies_chosen.on_beam(method, FEW, tmp_path, engine, counted=counted)
    found = copies_chosen.fit(choose, FEW.of, 3)
    assert found.ok, found


def test_a_choice_by_content_would_be_seen():
    ids = hashing.splitmix64(FEW.of.astype(np.uint64)).view(np.int64)

    def choose(seed):
        first = np.argsort(hashing.keyed(ids, seed, "resample"), kind="stable")
        return np.bincount(FEW.of[first[:333]], minlength=6)

    assert copies_chosen.fit(choose, FEW.of, 3).p < 1e-9


@pytest.mark.parametrize("method", sorted(PARAMS))
def test_examples_without_copies_give_the_rows_of_those_with(method, run, kit):
    data = equal_rows(kit)
    told = run(with_copies(data), PARAMS[method], FEATURES)
    counted = run(data, PARAMS[method], FEATURES)
    assert (told.report.row_copies, counted.report.row_copies) == ("feature", "counted")
    assert without(told.rows, "_row_copy") == counted.rows
    index = np.random.default_rng(5).permutation(len(data))
    again = run(data.take(index), PARAMS[method], FEATURES, shards=5, runner="three_threads")
    assert again.rows == counted.rows
    bare = run(data.without("_row_id"), PARAMS[method], FEATURES)
    assert bare.rows == without(counted.rows, "_row_id")
    table = pd.DataFrame({name: data.columns[name] for name in ("a", "n")})
    done = resample(
        table, data.columns["y"], PARAMS[method].model_copy(update={"provenance": False})
    )
    got = Counter(zip(done.x["a"].tolist(), done.x["n"].tolist(), done.y, strict=True))
    expected = Counter()
    for row, n in ((dict(row), n) for row, n in bare.rows.items()):
        expected[row["a"], row["n"], row["y"].decode()] += n
    assert got == expected


def test_a_transform_counts_equal_rows_too(run, kit):
    data = equal_rows(kit)
    expected = run(data, PARAMS["under"], FEATURES).rows

    def same(rows):
        assert Counter(kit.parsed(record) for record in rows) == expected

    transform = RebalanceExamples("y", kit.CLASSES, FEATURES, PARAMS["under"], has_row_id=True)
    with kit.in_memory() as pipeline:
        assert_that(pipeline | beam.Create(data.records()[::-1]) | transform, same)


def test_rows_of_one_identity_that_differ_are_numbered_by_what_they_hold(run, kit):
    """Not by where they lie: weights differ, as may do what Transform left out of the identity."""
    data = equal_rows(kit)
    data.columns["w"] = np.random.default_rng(1).integers(1, 9, len(data)).astype(np.float32)
    one = run(data, PARAMS["under"], FEATURES)
    other = run(data.take(np.arange(len(data))[::-1]), PARAMS["under"], FEATURES, shards=3)
    assert one.rows == other.rows


def test_copied_rows_are_untouched_bytes_and_synthetic_ones_name_identities_of_content(run, kit):
    data = with_copies(equal_rows(kit))
    result = run(data, SMOTE, FEATURES)
    before, written = Counter(result.source), kit.read(result.files)
    assert before <= Counter(written)
    ids = set(data.columns["_row_id"].tolist())
    made = [row for row in map(dict, map(kit.parsed, written)) if "_synthetic_base" in row]
    assert len(made) == 400
    assert {row["_synthetic_base"] for row in made} <= ids
    assert {row["_synthetic_neighbor"] for row in made} <= ids
    assert {row["_row_copy"] for row in made} == {0}
    assert len({row["_row_id"] for row in made}) == 400


def test_a_clipped_row_keeps_its_identity(run, kit):
    """So that two that become equal are still told apart, in memory as on Beam."""
    rng = np.random.default_rng(4)
    n = 300
    data = kit.Data(
        {
            "a": np.where(np.arange(n) % 3, rng.normal(size=n), 100 + np.arange(n)).astype(
                np.float32
            ),
            "n": np.arange(n) % 2,
            "y": np.repeat(np.array(kit.CLASSES, object), [200, 50, 50]),
        }
    )
    params = RebalanceParams(
        method="under", seed=1, outliers={"method": "robust", "action": "clip"}
    )
    rows = run(data, params, FEATURES).rows
    table = pd.DataFrame({name: data.columns[name] for name in ("a", "n")})
    done = resample(table, data.columns["y"], params)
    got = Counter(zip(done.x["a"].tolist(), done.x["n"].tolist(), done.y, strict=True))
    assert got == Counter(
        {
            (dict(row)["a"], dict(row)["n"], dict(row)["y"].decode()): times
            for row, times in rows.items()
        }
    )
