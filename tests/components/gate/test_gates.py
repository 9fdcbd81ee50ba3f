"""Gates as plain functions, on figures given by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.gate.handmade import champion_info
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.gate.gates import Measured, decide, judge
from tfx_imbalance.components.gate.params import (
    AbsoluteGate,
    ChampionGate,
    GateParams,
    SliceGate,
)

NONE = champion_info(version=None)


def overall(champion=None, support=(900, 100), **figures):
    return Measured((), support, figures, champion)


def a_slice(value, champion=None, support=(300, 50), column="job", **figures):
    return Measured(((column, value),), support, figures, champion)


def judged(measured, info=NONE, **gates):
    return judge(measured, GateParams(**{"champion": (), **gates}), info, positive=1)


def verdicts(*measured_and_champion, **gates):
    return [r.verdict for r in judged(*measured_and_champion, **gates)]


def message(*measured_and_champion, **gates):
    (result,) = judged(*measured_and_champion, **gates)
    return result.message


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"min": 0.4}, ["pass"]),
        ({"min": 0.41}, ["fail"]),
        ({"max": 0.4}, ["pass"]),
        ({"max": 0.39}, ["fail"]),
        ({"min": 0.3, "max": 0.39}, ["pass", "fail"]),
    ],
)
def test_absolute_gate_holds_the_metric_between_its_bounds(bounds, expected):
    gates = (AbsoluteGate(metric="auc_pr", **bounds),)
    assert verdicts([overall(auc_pr=0.4)], absolute=gates) == expected


def test_an_undefined_metric_fails_an_overall_gate():
    measured = [overall(auc=math.nan, support=(100, 0))]
    gates = (AbsoluteGate(metric="auc", min=0.7),)
    assert verdicts(measured, absolute=gates) == ["fail"]
    assert message(measured, absolute=gates) == (
        "Absolute gate: auc on overall is undefined, as a class has no rows, so it cannot meet "
        "the bound 0.7."
    )


@pytest.mark.parametrize(
    ("metric", "value", "max_loss", "expected"),
    [
        ("auc", 0.80, 0.0, "pass"),
        ("auc", 0.79, 0.0, "fail"),
        ("auc", 0.79, 0.01, "pass"),
        ("auc", 0.80, -0.01, "fail"),
        ("auc", 0.81, -0.01, "pass"),
        ("brier", 0.81, 0.0, "fail"),
        ("brier", 0.79, 0.0, "pass"),
        ("ece", 0.81, 0.01, "pass"),
        ("ece", 0.80, -0.01, "fail"),
    ],
)
def test_champion_gate_knows_which_way_is_worse(metric, value, max_loss, expected):
    measured = [overall({metric: 0.8}, **{metric: value})]
    gates = (ChampionGate(metric=metric, max_loss=max_loss),)
    assert verdicts(measured, champion_info(), champion=gates) == [expected]


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1), st.floats(0, 0.5))
def test_a_loss_of_just_max_loss_passes_whatever_the_rounding(champion, max_loss):
    gates = (ChampionGate(metric="f1", max_loss=max_loss),)
    measured = [overall({"f1": champion}, f1=champion - max_loss)]
    assert verdicts(measured, champion_info(), champion=gates) == ["pass"]


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_better_metric_never_turns_a_pass_into_a_failure(low, high, bound):
    low, high = sorted((low, high))
    gates = (AbsoluteGate(metric="recall", min=bound),)
    first, second = (verdicts([overall(recall=value)], absolute=gates)[0] for value in (low, high))
    assert (first, second) != ("pass", "fail")


def test_champion_gates_are_skipped_in_words_on_a_cold_start():
    gates = (ChampionGate(metric="auc_pr"),)
    assert message([overall(auc_pr=0.4)], champion=gates) == (
        "Champion gate: auc_pr on overall was not judged: no model was pushed yet."
    )


def test_slice_gate_judges_every_value_of_its_column_and_no_other():
    measured = [
        overall(recall=0.9),
        a_slice("cook", recall=0.5),
        a_slice("maid", recall=0.7),
        a_slice("York", column="town", recall=0.1),
        Measured((("job", "cook"), ("town", "York")), (300, 50), {"recall": 0.0}),
    ]
    results = judged(measured, slices=(SliceGate(column="job", metric="recall", min=0.6),))
    assert [(r.slice, r.verdict) for r in results] == [("job=cook", "fail"), ("job=maid", "pass")]


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (a_slice("cook", support=(80, 19), auc=0.1), "it has 99 rows, min_examples is 100"),
        (a_slice("cook", support=(991, 9), auc=0.1), "it has 9 positive rows, min_positives is 10"),
        (a_slice("maid", auc=0.1), "test has no such row"),
        (
            a_slice("cook", auc=math.nan),
            "auc is undefined there, as a class has no rows",
        ),
    ],
)
def test_slices_that_cannot_be_judged_are_skipped_and_say_why(there, why):
    gate = SliceGate(column="job", values=("cook",), metric="auc", min=0.6)
    measured = [overall(auc=0.9), there]
    assert verdicts(measured, slices=(gate,)) == ["skipped"]
    assert message(measured, slices=(gate,)) == (
        f"Slice gate: auc on job=cook was not judged: {why}."
    )


def test_a_column_that_test_lacks_is_said():
    gate = SliceGate(column="jbo", metric="auc", min=0.6)
    assert message([overall(auc=0.9)], slices=(gate,)) == (
        "Slice gate: auc on jbo was not judged: no row of test has a value in column 'jbo'."
    )


def test_slice_gate_against_the_champion_compares_on_the_same_slice():
    gate = SliceGate(column="job", metric="auc", max_loss=0.02)
    measured = [
        overall({"auc": 0.9}, auc=0.9),
        a_slice("cook", {"auc": 0.8}, auc=0.77),
        a_slice("maid", {"auc": 0.7}, auc=0.69),
    ]
    assert verdicts(measured, champion_info(), slices=(gate,)) == ["fail", "pass"]
    assert message(measured[:2], champion_info(), slices=(gate,)) == (
        "Slice gate against the champion: auc on job=cook is 0.77, below the bound 0.78 "
        "(the champion's 0.8 with max_loss 0.02)."
    )


def decided(measured, info=NONE, fingerprint="candidate", **gates):
    return decide(measured, GateParams(**{"champion": (), **gates}), info, 1, fingerprint)


def test_blocked_names_the_gate_the_slice_the_value_and_the_bound():
    gates = (AbsoluteGate(metric="auc", min=0.6), AbsoluteGate(metric="ece", max=0.02))
    gating = decided([overall(auc=0.9, ece=0.05)], absolute=gates)
    assert gating.verdict == "blocked"
    assert gating.message == (
        "1 of 2 gates failed: Absolute gate: ece on overall is 0.05, above the bound 0.02."
    )


def test_no_gates_bless_and_say_so():
    gating = decided([overall(auc=0.1)])
    assert (gating.verdict, gating.message) == (
        "blessed",
        "No gate is configured, so the model is blessed.",
    )


def test_blessed_counts_what_could_not_be_judged():
    gates = {
        "absolute": (AbsoluteGate(metric="auc", min=0.6),),
        "champion": (ChampionGate(metric="auc"),),
    }
    gating = decided([overall(auc=0.9)], **gates)
    assert gating.message == "1 of 2 gates passed, 1 could not be judged."


def test_unchanged_candidate_is_neither_blessed_nor_blocked():
    measured = [overall({"auc": 0.5}, auc=0.5)]
    gates = (AbsoluteGate(metric="auc", min=0.6),)
    gating = decided(measured, champion_info(), fingerprint="champion", absolute=gates)
    assert gating.verdict == "unchanged"
    assert gating.message == "The candidate computes the same as the champion, serving/12."
    assert gating.champion_version == "12"


def test_slices_are_listed_with_their_rows_and_both_models_figures():
    measured = [overall({"auc": 0.8}, auc=0.9), a_slice("cook", {"auc": 0.6}, auc=0.7)]
    listed = decided(measured, champion_info()).slices
    assert [(s.slice, s.examples, s.positives) for s in listed] == [
        ("overall", 1000, 100),
        ("job=cook", 350, 50),
    ]
    assert listed[1].metrics == {"auc": 0.7}
    assert listed[1].champion_metrics == {"auc": 0.6}


def test_positives_of_many_classes_are_the_smallest_class():
    gate = SliceGate(column="job", metric="f1", min=0.1, min_positives=10)
    measured = [overall(support=(1, 2, 3), f1=0.5), a_slice("cook", support=(90, 9, 90), f1=0.5)]
    params = GateParams(champion=(), slices=(gate,))
    assert [judge(measured, params, NONE, k)[0].verdict for k in (0, 1, 2)] == [
        "pass",
        "skipped",
        "pass",
    ]


def test_a_champion_that_was_not_evaluated_is_a_mistake_in_the_wiring():
    with pytest.raises(UserError, match="baseline_model"):
        decided([overall(auc=0.9)], champion_info())


@pytest.mark.parametrize(
    ("gates", "verdict"),
    [
        ({"champion": (ChampionGate(metric="auc_pr"),)}, "blocked"),
        (
            {"champion": (), "slices": (SliceGate(metric="auc", column="job", max_loss=0),)},
            "blocked",
        ),
        ({"champion": (ChampionGate(metric="auc_pr"),), "on_incomparable": "bless"}, "blessed"),
        ({"champion": (), "absolute": (AbsoluteGate(metric="auc_pr", min=0.1),)}, "blessed"),
    ],
)
def test_a_live_model_that_cannot_be_compared_stays_live_unless_the_config_says_otherwise(
    gates, verdict
):
    info = champion_info(comparable=False, message="serving/12, has classes a and b")
    measured = [overall(auc_pr=0.9), a_slice("clerk", auc=0.9)]
    gating = decide(measured, GateParams(**gates), info, 1, "candidate")
    assert gating.verdict == verdict
    if gates["champion"]:
        assert "serving/12, has classes a and b" in gating.message
        assert "gates.on_incomparable: bless" in gating.message


def test_a_first_model_needs_no_comparison():
    gating = decide([overall(auc_pr=0.9)], GateParams(), NONE, 1, "candidate")
    assert gating.verdict == "blessed"
