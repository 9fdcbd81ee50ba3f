"""What every sampler in the registry must do; a new one is covered by registering itself."""

from collections import Counter

import apache_beam as beam
import numpy as np
import pandas as pd
import pytest
from apache_beam.testing.util import assert_that

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.params import METHODS_OF, Method, RebalanceParams
from tfx_imbalance.components.rebalancer.plan import decides as decides_on_rows
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS, SyntheticSampler
from tfx_imbalance.components.rebalancer.transform import RebalanceExamples

PROVENANCE = {"_synthetic_base", "_synthetic_neighbor", "_synthetic_gap", "_synthetic_method"}
GROW = {"no": 60, "perhaps": 40, "yes": 33}
SHRINK = {"no": 23, "perhaps": 9}
SAME_FOR_ANY_SEED = {
    "none",
    "tomek_links",
    "edited_nearest_neighbours",
    "near_miss_1",
    "near_miss_2",
    "near_miss_3",
}
EXTRA = {
    "imblearn": {"sampler": "imblearn.under_sampling.OneSidedSelection"},
    "kmeans_smote": {"cluster_balance_threshold": 0.05, "n_clusters": 2},
    "edited_nearest_neighbours": {"kind_sel": "mode"},
    "smote_enn": {"kind_sel": "mode"},
}


NUMBERS = Features({"a": "float"})


def decides(method):
    return decides_on_rows(SAMPLERS[method])


def synthesises(method):
    return isinstance(SAMPLERS[method], SyntheticSampler)


def params_for(method, counts, *strategies):
    """Parameters with the first strategy that fits the method."""
    given = {"k_neighbors": 3} if method in METHODS_OF["k_neighbors"] else {}
    for strategy in strategies or ("auto",):
        params = RebalanceParams(
            method=method,
            sampling_strategy=strategy,
            seed=5,
            provenance=True,
            **given,
            **EXTRA.get(method, {}),
        )
        try:
            SAMPLERS[method].targets(counts, params)
            SAMPLERS[method].check(counts, NUMBERS, params)
        except UserError as error:
            if "sampling_strategy" in str(error):
                continue
        return params
    raise AssertionError(f"{method} takes none of {strategies}")


def features_for(method, kit):
    """The richest set of features that the sampler takes."""
    counts = kit.make_data().counts
    for features in kit.FEATURE_SETS.values():
        try:
            SAMPLERS[method].check(counts, features, params_for(method, counts))
        except UserError:
            continue
        return features
    raise AssertionError(f"{method} takes none of the feature sets")


def source_for(method, kit):
    return kit.make_data().without(
        *{"a", "b", "c", "d", "v"} - set(features_for(method, kit).names)
    )


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


def plain(row):
    """A row without what Rebalancer may add to it."""
    return tuple(pair for pair in row if pair[0] not in PROVENANCE | {"_sampling_weight"})


def must_have_exact_rows(method, source, params, result, kit):
    report = result.report
    rows = Counter(plain(row) for row in result.rows.elements())
    labels = Counter(result.labels)
    assert labels == Counter({name.encode(): n for name, n in report.after.items()})
    assert report.before == source.counts
    assert report.row_identity == "feature"
    if not decides(method):
        assert report.after == SAMPLERS[method].targets(source.counts, params)
    if report.after == source.counts and report.kept == source.counts:
        assert report.kind == "none"
    else:
        assert report.kind == SAMPLERS[method].kind

    original = Counter(kit.parsed(record) for record in source.records())
    if not synthesises(method):
        assert set(rows) <= set(original)
    for name in kit.CLASSES:
        old, new = (
            sum(n for row, n in counter.items() if ("y", name.encode()) in row)
            for counter in (rows & original, rows - original)
        )
        assert old == report.kept[name] <= report.before[name]
        assert new == report.duplicated[name] + report.synthetic[name]
        assert old + new == report.after[name] > 0
        weight = report.weights[name]
        assert report.factors[name] == report.after[name] * weight / report.before[name]
        assert (report.duplicated if synthesises(method) else report.synthetic)[name] == 0


def test_registry_is_what_a_user_may_say():
    assert set(SAMPLERS) == set(Method.__args__)


def test_it_changes_something(method, baseline):
    assert (baseline.rows != baseline.read) == (method != "none")


def test_exact_counts_rows_and_report(method, source, baseline, kit):
    must_have_exact_rows(method, source, params_for(method, source.counts), baseline, kit)


def test_exact_counts_rows_and_report_for_asked_rows(method, source, run, kit):
    params = params_for(method, source.counts, GROW, SHRINK, ("no", "perhaps"))
    result = run(source, params, features_for(method, kit), shards=3)
    must_have_exact_rows(method, source, params, result, kit)


def test_serialized_bytes_of_kept_and_copied_rows_are_untouched(method, baseline, kit):
    before, after = Counter(baseline.source), Counter(kit.read(baseline.files))
    report, changed = baseline.report, SAMPLERS[method].weighs
    kept = sum(n for name, n in report.kept.items() if report.weights[name] == 1)
    assert sum((before & after).values()) == kept
    copied = sum(n for record, n in after.items() if record in before)
    assert copied == kept + sum(report.duplicated.values())
    assert changed == any(weight != 1 for weight in report.weights.values())


def test_same_set_of_rows_for_any_sharding_order_and_runner(method, source, baseline, run, kit):
    index = np.random.default_rng(1).permutation(len(source))
    params, features = params_for(method, source.counts), features_for(method, kit)
    again = run(source.take(index), params, features, shards=7, runner="three_threads")
    assert again.rows == baseline.rows
    assert again.report == baseline.report


def test_seed_changes_which_rows(method, source, baseline, run, kit):
    params = params_for(method, source.counts).model_copy(update={"seed": 6})
    second = run(source, params, features_for(method, kit))
    if method in SAME_FOR_ANY_SEED:
        assert second.rows == baseline.rows
    elif method != "imblearn":
        assert second.rows != baseline.rows
    if not decides(method):
        assert second.report.after == baseline.report.after


def test_kept_and_copied_rows_keep_their_identity_and_synthetic_ones_have_new(source, baseline):
    known = set(source.columns["_row_id"].tolist())
    fresh = [i for i in baseline.ids if i not in known]
    assert len(set(fresh)) == len(fresh) == sum(baseline.report.synthetic.values())


def test_synthetic_rows_say_where_they_come_from_and_others_do_not(method, source, baseline):
    labels = dict(zip(source.columns["_row_id"].tolist(), source.columns["y"], strict=True))
    synthetic = 0
    for row in map(dict, baseline.rows.elements()):
        if not PROVENANCE & set(row):
            assert row["_row_id"] in labels
            continue
        synthetic += 1
        assert set(row) >= PROVENANCE
        assert labels[row["_synthetic_base"]].encode() == row["y"]
        assert row["_synthetic_neighbor"] in labels
        assert 0 <= row["_synthetic_gap"] <= 1
        assert row["_synthetic_method"].decode().startswith(method)
    assert synthetic == sum(baseline.report.synthetic.values())


@pytest.mark.parametrize("method", list(filter(synthesises, sorted(SAMPLERS))), indirect=True)
def test_provenance_is_left_out_unless_asked_for(method, source, baseline, run, kit):
    params = params_for(method, source.counts).model_copy(update={"provenance": False})
    result = run(source, params, features_for(method, kit))
    kept = Counter(
        tuple(pair for pair in row if pair[0] not in PROVENANCE) for row in baseline.rows.elements()
    )
    assert result.rows == kept


def test_a_table_in_memory_gives_the_same_rows(method, source, run, kit):
    source = source.without("_row_id", "w", "v")
    features = features_for(method, kit)
    names = [name for name in features.names if name != "v"]
    params = params_for(method, source.counts)
    narrow = type(features)(
        {k: t for k, t in features.numeric.items() if k != "v"}, features.categorical
    )
    files = run(source, params, narrow)
    assert files.report.row_identity == "computed"
    assert all("_row_id" not in dict(row) for row in files.rows)
    table = pd.DataFrame({name: source.columns[name] for name in names})
    done = resample(table, source.columns["y"], params, categorical=narrow.categorical)
    assert done.report == files.report
    expected = Counter(tuple(p for p in plain(row)) for row in files.rows.elements())
    got = Counter(
        tuple(sorted({**{k: v.item() for k, v in row.items()}, "y": label.encode()}.items()))
        for row, label in zip(
            done.x.astype(dict.fromkeys(narrow.numeric, "float32")).to_dict(
                "records", into=_Scalars
            ),
            done.y,
            strict=True,
        )
    )
    assert got == expected
    kept = done.index >= 0
    pd.testing.assert_frame_equal(
        done.x[kept].reset_index(drop=True), table.iloc[done.index[kept]].reset_index(drop=True)
    )


class _Scalars(dict):
    """Keeps numpy's scalars, whose item() is exact."""

    def __init__(self, pairs):
        super().__init__((name, np.asarray(value)) for name, value in pairs)


def test_a_transform_in_any_pipeline_gives_the_same_rows(method, source, baseline, kit):
    features, params = features_for(method, kit), params_for(method, source.counts)

    def same(records):
        assert Counter(kit.parsed(record) for record in records) == baseline.rows

    with kit.in_memory() as pipeline:
        records = (
            pipeline
            | beam.Create(source.records())
            | RebalanceExamples("y", kit.CLASSES, features, params, has_row_id=True)
        )
        assert_that(records, same)


@pytest.mark.parametrize(
    "method", [name for name in sorted(SAMPLERS) if SAMPLERS[name].reads != "counts"], indirect=True
)
def test_a_feature_without_a_number_is_named(method, run, kit):
    source, features = source_for(method, kit), features_for(method, kit)
    records = source.records()
    row = dict(kit.parsed(records[-1]))
    lacking = "b" if "b" in features.numeric else "d"
    records[-1] = kit.example({**row, "y": row["y"].decode(), lacking: None})
    with pytest.raises(UserError, match=f"class [a-z, ]*yes: .*{lacking}"):
        run(records, params_for(method, source.counts), features)
