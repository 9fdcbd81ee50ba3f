"""Rebalancing inside a Beam pipeline of one's own."""

from collections import Counter

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

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
