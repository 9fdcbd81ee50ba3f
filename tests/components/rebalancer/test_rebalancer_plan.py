"""What class counts decide, what they forbid, and what is tallied."""

from collections import Counter

import numpy as np
import pytest

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer import plan as module
from tfx_imbalance.components.rebalancer import selection, sketch
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows
from tfx_imbalance.components.rebalancer.samplers.base import Outcome

CLASSES = ("no", "perhaps", "yes")
NUMBERS = Features({"a": "float", "b": "float"})
VECTORS = Features({"a": "float", "v": "float"}, ("c",), widths={"v": 6})


def found(counts, strangers=()):
    """A sketch of so many rows of each class."""
    codes = np.repeat(np.arange(len(counts)), counts)
    made = sketch.empty(len(counts))
    return sketch.add(made, codes, selection.hashes(np.arange(len(codes)), 0), strangers)


def planned(counts, features=NUMBERS, strangers=(), classes=CLASSES, **params):
    params = RebalanceParams(**params)
    return module.plan(found(counts, strangers), classes, features, params)


def must_say(start, *told, **given):
    with pytest.raises(UserError) as error:
        planned(**given)
    message = str(error.value)
    assert message.startswith(start)
    assert "\n" not in message
    for text in told:
        assert text in message


@pytest.mark.parametrize(
    ("method", "kept", "duplicated", "synthetic"),
    [
        ("none", [60, 25, 14], [0, 0, 0], [0, 0, 0]),
        ("over", [60, 25, 14], [0, 35, 46], [0, 0, 0]),
        ("under", [14, 14, 14], [0, 0, 0], [0, 0, 0]),
        ("both", [60, 25, 14], [0, 35, 46], [0, 0, 0]),
        ("downsample_upweight", [14, 14, 14], [0, 0, 0], [0, 0, 0]),
        ("smote", [60, 25, 14], [0, 0, 0], [0, 35, 46]),
        ("rose", [60, 25, 14], [0, 0, 0], [0, 35, 46]),
    ],
)
def test_tally_of_a_method_that_counts_alone_decide(method, kept, duplicated, synthetic):
    made = planned([60, 25, 14], method=method)
    tally = module.planned_tally(made, CLASSES)
    for name, expected in [("kept", kept), ("duplicated", duplicated), ("synthetic", synthetic)]:
        assert list(getattr(tally, name).values()) == expected, name
    assert tally.before == {"no": 60, "perhaps": 25, "yes": 14}
    assert list(tally.after.values()) == np.sum([kept, duplicated, synthetic], axis=0).tolist()
    assert made.new == {code: n for code, n in enumerate(synthetic) if n}


def test_weights_make_up_for_the_rows_that_are_dropped():
    strategy = {"no": 7, "perhaps": 25}
    made = planned(
        [60, 25, 14, 0],
        classes=(*CLASSES, "never"),
        method="downsample_upweight",
        sampling_strategy=strategy,
    )
    np.testing.assert_allclose(made.weights, [60 / 7, 1, 1, 1])
    tally = module.planned_tally(made, (*CLASSES, "never"))
    report = tally.report(RebalanceParams(method="downsample_upweight"), "feature")
    assert report.weights == {"no": 60 / 7, "perhaps": 1, "yes": 1, "never": 1}
    assert report.factors == pytest.approx(dict.fromkeys((*CLASSES, "never"), 1.0))
    assert report.kind == "none"


@pytest.mark.parametrize("method", ["none", "over", "under", "both", "smote", "tomek_links"])
def test_rows_of_other_methods_weigh_one(method):
    np.testing.assert_array_equal(planned([60, 25, 14], method=method).weights, np.ones(3))


def test_what_changes_nothing_is_reported_as_such():
    params = RebalanceParams(method="over")
    tally = module.planned_tally(planned([9, 9, 9], method="over"), CLASSES)
    assert tally.report(params, "feature").kind == "none"
    tally = module.planned_tally(planned([9, 9, 8], method="over"), CLASSES)
    report = tally.report(params, "computed")
    assert (report.kind, report.row_identity) == ("prior_only", "computed")
    assert report.factors == {"no": 1, "perhaps": 1, "yes": 9 / 8}


def test_labels_that_are_no_class_are_told_the_most_frequent_first():
    odd = ["odd"] * 3 + [""] * 5 + [f"s{i}" for i in range(9)]
    must_say(
        "train: the label is missing in 5 rows, 'odd' in 3 rows, 's",
        "no, perhaps, yes",
        counts=[5, 5, 5],
        strangers=odd,
        method="none",
    )


def test_a_sketch_remembers_so_many_strangers_only():
    made = sketch.empty(2)
    for i in range(30):
        names = [f"{i}-{j}" for j in range(10)] + ["often"] * 2
        made = sketch.add(made, np.empty(0, np.int64), np.empty(0, np.uint64), names)
    assert len(made.strangers) <= 100
    assert made.strangers.most_common(1) == [("often", 60)]
    assert isinstance(made.strangers, Counter)


def test_growth_past_the_limit_is_refused_and_at_it_allowed():
    given = {"counts": [90, 0, 10], "method": "over", "max_growth": 2}
    assert sum(planned(**given, sampling_strategy={"yes": 110}).after.values()) == 200
    must_say(
        "rebalance.max_growth: 2, but 100 rows would become 201 (2.0 times)",
        "rebalance.sampling_strategy",
        **given,
        sampling_strategy={"yes": 111},
    )


@pytest.mark.parametrize(
    ("method", "features", "rows", "told"),
    [
        # 4 bytes a value: 2**18 rows of 2 values are 2 MB, 2**15 of 1 + 6 + 1 values are 1.
        ("smote", NUMBERS, [2**18 + 1, 2**18, 2**18 - 1], "perhaps, yes"),
        ("smote_nc", VECTORS, [2**15 + 1, 2**15, 2**15], "perhaps, yes"),
        ("borderline_smote_1", NUMBERS, [2**17 + 2, 2**17, 2**16], "no, perhaps, yes"),
        ("tomek_links", NUMBERS, [2**17 + 2, 2**17, 2**17], "no, perhaps, yes"),
    ],
)
def test_what_does_not_fit_in_one_place_is_refused(method, features, rows, told):
    counts = np.array(rows)
    seen = counts.sum() if told.startswith("no") else counts[1:].sum()
    megabytes = seen * features.values * 4 / 2**20
    enough = int(np.ceil(megabytes))
    planned(counts, features, method=method, memory_limit_mb=enough)
    must_say(
        f"rebalance.memory_limit_mb: {enough - 1} MB do not hold the {megabytes:.0f} MB of {told} "
        f"that '{method}' searches",
        counts=counts,
        features=features,
        method=method,
        memory_limit_mb=enough - 1,
    )


def test_methods_that_look_at_counts_alone_need_no_memory():
    for method in ("none", "over", "under", "both", "downsample_upweight"):
        planned([2**19, 2**18, 2**18], VECTORS, method=method, memory_limit_mb=1)


def make_rows(n=40, seed=0):
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(size=n).astype(np.float32) for name in "ab"}
    return Rows(rng.integers(-(2**62), 2**62, n), np.sort(rng.integers(0, 3, n)), columns)


def test_only_rows_that_sources_name_are_prepared_and_named_the_same():
    params = RebalanceParams(method="borderline_smote_1", k_neighbors=2, m_neighbors=4, seed=2)
    rows = make_rows(60)
    rows = rows._replace(codes=np.repeat([0, 1, 2], [30, 20, 10]))
    made = planned([30, 20, 10], method=params.method, k_neighbors=2, m_neighbors=4, seed=2)
    found = module.prepare(rows, made, CLASSES, NUMBERS, params)
    named = {i for s in found.sources for i in (*s.bases.tolist(), *s.pool.tolist())}
    assert named == set(range(len(found.split)))
    assert len(found.split) < 60
    by_id = dict(zip(rows.ids.tolist(), rows.columns["a"].tolist(), strict=True))
    kept = found.split.rows
    assert [by_id[i] for i in kept.ids.tolist()] == kept.columns["a"].tolist()
    assert {s.code: int(s.uses.sum()) for s in found.sources} == made.new
    shuffled = module.prepare(
        rows.take(np.random.default_rng(1).permutation(60)), made, CLASSES, NUMBERS, params
    )
    for a, b in zip(found.sources, shuffled.sources, strict=True):
        np.testing.assert_array_equal(
            found.split.rows.ids[a.bases], shuffled.split.rows.ids[b.bases]
        )
        np.testing.assert_array_equal(a.uses, b.uses)


def test_a_method_is_asked_only_for_what_it_does():
    rows, over = make_rows(), RebalanceParams(method="over")
    made = planned([20, 10, 10], method="over")
    with pytest.raises(TypeError, match="over makes no synthetic rows"):
        module.prepare(rows, made, CLASSES, NUMBERS, over)
    with pytest.raises(TypeError, match="over does not decide"):
        module.decide(rows, made, CLASSES, NUMBERS, over)


def test_outcome_is_tallied_and_a_class_that_would_vanish_is_named():
    rows = Rows(np.arange(6), np.array([0, 0, 0, 1, 1, 2]), {})
    made = planned([3, 2, 1], method="none")
    added = Rows(np.arange(10, 12), np.array([2, 2]), {})
    tally = module.outcome_tally(rows, Outcome(np.array([0, 1, 3, 1, 1, 0]), added), made, CLASSES)
    assert list(tally.kept.values()) == [2, 2, 0]
    assert list(tally.duplicated.values()) == [2, 0, 0]
    assert list(tally.synthetic.values()) == [0, 0, 2]
    assert list(tally.after.values()) == [4, 2, 2]
    with pytest.raises(UserError, match=r"^rebalance.method: class perhaps, yes would lose all"):
        module.outcome_tally(rows, Outcome(np.array([1, 1, 1, 0, 0, 0])), made, CLASSES)


@pytest.mark.parametrize("method", ["smote_tomek", "smote_enn"])
def test_a_combined_method_makes_rows_first_and_then_cleans_all(method):
    rows = make_rows(80, seed=1)
    counts = np.bincount(rows.codes).tolist()
    given = {"method": method, "k_neighbors": 3, "seed": 4}
    if method == "smote_enn":
        given["kind_sel"] = "mode"
    made = planned(counts, **given)
    ordered, outcome = module.decide(rows, made, CLASSES, NUMBERS, RebalanceParams(**given))
    np.testing.assert_array_equal(np.sort(rows.ids), ordered.ids)
    assert set(outcome.copies.tolist()) == {0, 1}
    assert 0 < len(outcome.synthetic.ids) < sum(made.new.values())
    for column in outcome.origin[:3]:
        assert len(column) == len(outcome.synthetic.ids)
    assert made.after == planned(counts, method="smote", k_neighbors=3).after
    assert not np.isin(outcome.synthetic.ids, rows.ids).any()
