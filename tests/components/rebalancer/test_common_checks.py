"""What every sampler in the registry must do; a new one is covered by registering itself."""

from collections import Counter

import numpy as np
import pytest

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.params import Method, RebalanceParams
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS, SyntheticSampler

SYNTHETIC = sorted(name for name, s in SAMPLERS.items() if isinstance(s, SyntheticSampler))
GROW = {"no": 60, "perhaps": 40, "yes": 33}
SHRINK = {"no": 23, "perhaps": 9}


def params_for(method, counts, *strategies):
    """Parameters with the first strategy that fits the method."""
    for strategy in strategies or ("auto",):
        params = RebalanceParams(method=method, sampling_strategy=strategy, k_neighbors=3, seed=5)
        try:
            SAMPLERS[method].targets(counts, params)
        except UserError:
            continue
        return params
    raise AssertionError(f"{method} takes none of {strategies}")


def features_for(method, kit):
    """The richest set of features that the sampler takes."""
    sampler = SAMPLERS[method]
    if not isinstance(sampler, SyntheticSampler):
        return kit.FEATURE_SETS["mixed"]
    for features in kit.FEATURE_SETS.values():
        try:
            sampler.check({}, {}, features, RebalanceParams(method=method))
        except UserError:
            continue
        return features
    raise AssertionError(f"{method} takes none of the feature sets")


def source_for(method, kit):
    return kit.make_data().without(*{"c", "d"} - set(features_for(method, kit).names))


@pytest.fixture(scope="module", params=sorted(SAMPLERS))
def method(request):
    return request.param


@pytest.fixture(scope="module")
def source(method, kit):
    return source_for(method, kit)


@pytest.fixture(scope="module")
def baseline(method, source, run, kit):
    """One run with sampling_strategy auto, from one file."""
    return run(source, params_for(method, source.counts), features_for(method, kit))


def must_have_exact_rows(method, source, params, result, kit):
    report, rows = result.report, result.rows
    wanted = SAMPLERS[method].targets(source.counts, params)
    labels = Counter(result.columns["y"].tolist())
    assert labels == Counter({name.encode(): n for name, n in wanted.items()})
    assert report.before == source.counts
    assert report.after == wanted
    assert report.kind == ("none" if wanted == source.counts else SAMPLERS[method].kind)
    assert report.row_identity == "feature"

    original = Counter(kit.parsed(record) for record in source.records())
    if method not in SYNTHETIC:
        assert set(rows) <= set(original)
    for name in kit.CLASSES:
        old, new = (
            sum(n for row, n in counter.items() if ("y", name.encode()) in row)
            for counter in (rows & original, rows - original)
        )
        assert old == report.kept[name] <= report.before[name]
        assert new == report.duplicated[name] + report.synthetic[name]
        assert old + new == report.after[name]
        assert report.factors[name] == report.after[name] / report.before[name]
        assert (report.duplicated if method in SYNTHETIC else report.synthetic)[name] == 0


def test_registry_is_what_a_user_may_say():
    assert set(SAMPLERS) == set(Method.__args__)


def test_exact_counts_rows_and_report(method, source, baseline, kit):
    must_have_exact_rows(method, source, params_for(method, source.counts), baseline, kit)


def test_exact_counts_rows_and_report_for_asked_rows(method, source, run, kit):
    params = params_for(method, source.counts, GROW, SHRINK)
    result = run(source, params, features_for(method, kit), shards=3)
    must_have_exact_rows(method, source, params, result, kit)


def test_serialized_bytes_of_kept_and_copied_rows_are_untouched(baseline, kit):
    before, after = Counter(baseline.source), Counter(kit.read(baseline.files))
    assert sum((before & after).values()) == sum(baseline.report.kept.values())
    copied = sum(n for record, n in after.items() if record in before)
    duplicated = sum(baseline.report.duplicated.values())
    assert copied == sum(baseline.report.kept.values()) + duplicated


@pytest.mark.parametrize(
    ("shards", "order", "runner"),
    [(7, "shuffled", "three_threads"), (2, "reversed", "bundle_based")],
)
def test_same_set_of_rows_for_any_sharding_order_and_runner(
    method, source, baseline, shards, order, runner, run, kit
):
    n = len(source)
    index = np.random.default_rng(1).permutation(n) if order == "shuffled" else np.arange(n)[::-1]
    params = params_for(method, source.counts)
    again = run(source.take(index), params, features_for(method, kit), shards=shards, runner=runner)
    assert again.rows == baseline.rows
    assert again.report == baseline.report


def test_seed_changes_which_rows(method, source, baseline, run, kit):
    params = params_for(method, source.counts).model_copy(update={"seed": 6})
    second = run(source, params, features_for(method, kit))
    assert (second.rows != baseline.rows) == (baseline.report.kind != "none")
    assert second.report.after == baseline.report.after


def test_row_identity_is_computed_where_the_examples_have_none(method, source, baseline, run, kit):
    params = params_for(method, source.counts)
    result = run(source.without("_row_id"), params, features_for(method, kit))
    assert result.report == baseline.report.model_copy(update={"row_identity": "computed"})
    assert "_row_id" not in result.columns


def test_kept_and_copied_rows_keep_their_identity_and_synthetic_ones_have_new(source, baseline):
    known = set(source.columns["_row_id"].tolist())
    fresh = [i for i in baseline.columns["_row_id"].tolist() if i not in known]
    assert len(set(fresh)) == len(fresh) == sum(baseline.report.synthetic.values())


@pytest.mark.parametrize("synthetic", SYNTHETIC)
def test_synthetic_samplers_name_a_feature_without_a_number(synthetic, run, kit):
    source = source_for(synthetic, kit)
    records = source.records()
    row = dict(kit.parsed(records[-1]))
    records[-1] = kit.example({**row, "y": row["y"].decode(), "b": None})
    with pytest.raises(UserError, match="class yes: feature 'b' is missing, NaN or infinite"):
        run(records, params_for(synthetic, source.counts), features_for(synthetic, kit))
