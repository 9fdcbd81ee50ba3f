"""Rebalancing inside a Beam pipeline of one's own."""

from collections import Counter

import apache_beam as beam
import numpy as np
import pandas as pd
import pytest
from apache_beam.testing.util import assert_that, equal_to

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.transform import RebalanceExamples

SMOTE = RebalanceParams(method="smote", k_neighbors=3, seed=7)


def transform(kit, params, **given):
    return RebalanceExamples("y", kit.CLASSES, kit.FEATURE_SETS["numeric"], params, **given)


def must_give(kit, records, params, expected, **given):
    """Checks within the pipeline what comes out, in whatever order."""

    def same(rows):
        assert all(isinstance(record, bytes) for record in rows)
        assert Counter(kit.parsed(record) for record in rows) == expected

    with kit.in_memory() as pipeline:
        assert_that(pipeline | beam.Create(records) | transform(kit, params, **given), same)


@pytest.mark.parametrize("method", ["smote", "downsample_upweight", "tomek_links"])
def test_rows_do_not_depend_on_how_the_collection_is_cut(method, kit, run):
    data = kit.make_data()
    params = RebalanceParams(method=method, seed=7)
    expected = run(data, params, shards=3).rows
    must_give(kit, data.records()[::-1], params, expected, has_row_id=True)


def test_identity_is_computed_where_the_examples_have_none(kit, run):
    data = kit.make_data().without("_row_id")
    must_give(kit, data.records(), SMOTE, run(data, SMOTE).rows)


def test_two_of_them_in_one_pipeline_do_not_meet(kit):
    data = kit.make_data()
    with kit.in_memory() as pipeline:
        rows = pipeline | beam.Create(data.records())
        for method, n in [("under", 42), ("over", 180)]:
            made = rows | method >> transform(kit, RebalanceParams(method=method), has_row_id=True)
            count = made | f"Count {method}" >> beam.combiners.Count.Globally()
            assert_that(count, equal_to([n]), label=f"Check {method}")


def test_a_mistake_is_told_when_the_pipeline_runs(kit):
    records = kit.make_data().records()
    params = SMOTE.model_copy(update={"k_neighbors": 50})
    with pytest.raises(Exception, match=r"rebalance.k_neighbors: 50"), kit.in_memory() as pipeline:
        pipeline | beam.Create(records) | transform(kit, params, has_row_id=True)


KINDS = {
    "ints": ({"no": 0, "perhaps": 7, "yes": -3}, {"no": "0", "perhaps": "7", "yes": "-3"}),
    "truth": ({"no": False, "perhaps": True}, {"no": "false", "perhaps": "true"}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["smote", "under", "over", "tomek_links"])
def test_labels_may_be_integers_or_truth_values(kind, method, kit, run):
    """The same rows as with the classes as text, in the transform, in files and in memory."""
    value_of, name_of = KINDS[kind]
    source = kit.make_data().without("_row_id", "v", "w")
    source = source.take(np.isin(source.columns["y"], list(value_of)))
    y = source.columns["y"]
    text = kit.Data({**source.columns, "y": np.array([name_of[name] for name in y], object)})
    ints = kit.Data({**source.columns, "y": np.array([int(value_of[name]) for name in y])})
    classes = tuple(value_of.values())
    names = tuple(name_of.values())
    features = Features({"a": "float", "b": "float", "c": "int", "d": "int"})
    params = RebalanceParams(
        method=method, seed=7, **({"k_neighbors": 3} if "sm" in method else {})
    )
    expected = run(text, params, features, classes=names)
    found = run(ints, params, features, classes=names)
    label_of = {name: int(value_of[key]) for key, name in name_of.items()}

    def with_ints(rows):
        return Counter(
            {
                tuple(sorted((k, label_of[v.decode()] if k == "y" else v) for k, v in row)): n
                for row, n in rows.items()
            }
        )

    assert found.rows == with_ints(expected.rows)
    assert found.report == expected.report
    with kit.in_memory() as pipeline:
        made = (
            pipeline
            | beam.Create(ints.records())
            | RebalanceExamples("y", classes, features, params)
        )

        def same(rows):
            assert Counter(kit.parsed(record) for record in rows) == found.rows

        assert_that(made, same)
    table = pd.DataFrame({name: source.columns[name] for name in "abcd"})
    done = resample(table, np.array([value_of[name] for name in y]), params)
    assert done.report.after == {name: found.report.after[name] for name in done.report.after}
    assert set(done.report.after) == set(names)


def test_counts_and_strategies_name_classes_as_they_are(kit):
    features = kit.FEATURE_SETS["numeric"]
    params = RebalanceParams(method="over", sampling_strategy={1: 40})
    made = RebalanceExamples("y", [0, 1], features, params, counts={0: 50, 1: 30})
    assert made._job.layout.classes == ("0", "1")
    with pytest.raises(UserError, match="cannot take class 1 from 60 to 40 rows"):
        RebalanceExamples("y", [0, 1], features, params, counts={0: 50, 1: 60})
    with pytest.raises(UserError, match="all text, or all numbers"):
        RebalanceExamples("y", [0, "1"], features, params)
    with pytest.raises(UserError, match="a class stands twice"):
        RebalanceExamples("y", [1, 1.0], features, params)


def test_classes_of_another_sort_than_the_label_are_told(kit, run):
    data = kit.make_data()
    with pytest.raises(Exception, match="give the classes as text"), kit.in_memory() as pipeline:
        (
            pipeline
            | beam.Create(data.records())
            | RebalanceExamples(
                "y", [0, 1], kit.FEATURE_SETS["numeric"], RebalanceParams(method="over")
            )
        )
    ints = kit.Data({**data.columns, "y": np.zeros(len(data), np.int64)})
    with pytest.raises(Exception, match="give the classes as numbers"), kit.in_memory() as pipeline:
        pipeline | beam.Create(ints.records()) | transform(kit, RebalanceParams(method="over"))
    with pytest.raises(UserError, match="class 'no' of the ImbalanceReport is no integer"):
        run(ints, RebalanceParams(method="over"))
    with pytest.raises(UserError, match="the label is '0' in 99 rows"):
        run(ints, RebalanceParams(method="over"), classes=("1", "2"))


@pytest.mark.parametrize("method", ["under", "over", "both"])
def test_resample_draws_the_same_rows_of_text_and_missing_values(method, kit, run):
    rng = np.random.default_rng(4)
    n = 80
    table = pd.DataFrame(
        {
            "a": rng.normal(size=n).astype(np.float32),
            "n": pd.array([None if i % 9 == 0 else i for i in range(n)], "Int64"),
            "t": [None if i % 7 == 0 else f"word {i % 5}" for i in range(n)],
            "c": pd.Categorical([None if i % 5 == 0 else "uv"[i % 2] for i in range(n)]),
        }
    )
    y = np.where(np.arange(n) % 4 == 0, "yes", "no")
    rows = table.astype(object).where(table.notna(), None)
    records = [
        kit.example({**row, "y": label})
        for row, label in zip(rows.to_dict("records"), y.tolist(), strict=True)
    ]
    params = RebalanceParams(method=method, sampling_strategy=0.5, seed=7)
    expected = run(records, params, classes=("no", "yes")).rows
    index = resample(table, y, params).index
    assert Counter(kit.parsed(records[i]) for i in index) == expected
