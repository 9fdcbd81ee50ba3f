"""Class counts against imbalanced-learn's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import Pipeline
from imblearn.under_sampling import RandomUnderSampler
from imblearn.utils import check_sampling_strategy

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS
from tfx_imbalance.components.rebalancer.strategy import (
    cleaned_classes,
    over_targets,
    under_targets,
)

NAMES = ("b", "a", "d", "c")
WORDS = st.sampled_from(["auto", "minority", "majority", "not majority", "not minority", "all"])


def theirs(strategy, counts, kind):
    """imbalanced-learn's class counts afterwards."""
    y = np.repeat(list(counts), list(counts.values()))
    wanted = check_sampling_strategy(strategy, y, kind)
    added = counts if kind == "over-sampling" else dict.fromkeys(counts, 0)
    return {**counts, **{str(name): n + added[name] for name, n in wanted.items()}}


@st.composite
def problems(draw):
    sizes = draw(st.lists(st.integers(1, 12), min_size=2, max_size=4))
    counts = dict(zip(NAMES, sizes, strict=False))
    wanted = st.dictionaries(st.sampled_from([*counts, "z"]), st.integers(-1, 15), min_size=1)
    ratio = st.floats(-0.5, 1.5) | st.sampled_from([1.0, 0.5, 0.1])
    return counts, draw(WORDS | ratio | wanted)


@pytest.mark.parametrize(
    ("kind", "ours"), [("over-sampling", over_targets), ("under-sampling", under_targets)]
)
@settings(deadline=None, max_examples=200)
@given(problem=problems())
def test_counts_and_refusals_are_those_of_imbalanced_learn(kind, ours, problem):
    counts, strategy = problem
    try:
        expected = theirs(strategy, counts, kind)
    except (ValueError, OverflowError):
        expected = None
    if expected is not None and 0 in expected.values():
        expected = None
    if expected is None:
        with pytest.raises(UserError) as error:
            ours(strategy, counts)
        assert str(error.value).startswith(f"rebalance.sampling_strategy: {strategy!r}: ")
        assert "; allowed: " in str(error.value)
    else:
        assert ours(strategy, counts) == expected


@pytest.mark.parametrize(
    ("kind", "ours"), [("over-sampling", over_targets), ("under-sampling", under_targets)]
)
@pytest.mark.parametrize("strategy", [("a",), ("a", "c"), ("zebra",), ()])
def test_a_list_of_classes_is_refused_as_imbalanced_learn_does(kind, ours, strategy):
    counts = {"a": 50, "b": 5, "c": 20}
    with pytest.raises(ValueError, match="cannot be a list"):
        theirs(list(strategy), counts, kind)
    with pytest.raises(UserError) as error:
        ours(strategy, counts, "rebalance.some_strategy")
    message = str(error.value)
    assert message.startswith(f"rebalance.some_strategy: {list(strategy)!r}: ")
    assert "list" in message and "; allowed: " in message
    assert "\n" not in message


@pytest.mark.parametrize("strategy", ["auto", "all", "minority", 0.5, {"a": 9}])
def test_one_class_only_is_refused(strategy):
    for ours in (over_targets, under_targets):
        with pytest.raises(UserError, match="rows of 1 class"):
            ours(strategy, {"a": 9, "b": 0})


def test_a_class_without_rows_is_left_alone():
    assert over_targets("auto", {"a": 9, "b": 0, "c": 3}) == {"a": 9, "b": 0, "c": 9}
    assert under_targets("auto", {"a": 9, "b": 0, "c": 3}) == {"a": 3, "b": 0, "c": 3}


@pytest.mark.parametrize(
    ("ours", "strategy", "told"),
    [
        (over_targets, {"zebra": 4}, ["zebra", "a, b, c"]),
        (over_targets, {"a": 3}, ["class a", "50", "3"]),
        (under_targets, {"a": 51}, ["class a", "50", "51"]),
        (under_targets, {"a": 0}, ["class a", "1 to 50"]),
        (under_targets, "minority", ["minority", "not minority"]),
        (over_targets, 0.5, ["two classes", "3"]),
        (under_targets, 1.5, ["at most 1"]),
    ],
)
def test_message_says_value_reason_and_what_is_allowed(ours, strategy, told):
    with pytest.raises(UserError) as error:
        ours(strategy, {"a": 50, "b": 5, "c": 20}, "rebalance.some_strategy")
    message = str(error.value)
    assert message.startswith(f"rebalance.some_strategy: {strategy!r}: ")
    assert "\n" not in message
    for text in [*told, "; allowed: "]:
        assert text in message


@pytest.mark.parametrize(
    ("over", "under"),
    [
        (0.3, 0.5),
        ("auto", "auto"),
        (0.1, 1.0),
        ({"yes": 30}, {"no": 60}),
        ({"yes": 200}, "all"),
        ("minority", {"no": 20, "yes": 5}),
    ],
)
def test_both_counts_like_an_over_under_pipeline(over, under):
    counts = {"no": 200, "yes": 13}
    y = np.repeat(list(counts), list(counts.values()))
    pipeline = Pipeline(
        [
            ("over", RandomOverSampler(sampling_strategy=over)),
            ("under", RandomUnderSampler(sampling_strategy=under)),
        ]
    )
    _, resampled = pipeline.fit_resample(np.zeros((len(y), 1)), y)
    names, rows = np.unique(resampled, return_counts=True)
    params = RebalanceParams(method="both", sampling_strategy=over, under_sampling_strategy=under)
    assert SAMPLERS["both"].targets(counts, params) == dict(zip(names, rows, strict=True))


def test_both_names_the_strategy_that_does_not_fit():
    counts = {"no": 200, "yes": 13}
    for given_params, path in [
        ({"sampling_strategy": 0.01}, "rebalance.sampling_strategy"),
        ({"under_sampling_strategy": "minority"}, "rebalance.under_sampling_strategy"),
    ]:
        with pytest.raises(UserError, match=f"^{path}: "):
            SAMPLERS["both"].targets(counts, RebalanceParams(method="both", **given_params))


@st.composite
def cleanings(draw):
    sizes = draw(st.lists(st.integers(1, 12), min_size=2, max_size=4))
    counts = dict(zip(NAMES, sizes, strict=False))
    names = st.lists(st.sampled_from([*counts, "z"]), min_size=1)
    rows = st.dictionaries(st.sampled_from(list(counts)), st.integers(0, 15), min_size=1)
    return counts, draw(WORDS | names | rows | st.floats(0.1, 1.0))


@settings(deadline=None, max_examples=200)
@given(problem=cleanings())
def test_cleaned_classes_and_refusals_are_those_of_imbalanced_learn(problem):
    counts, strategy = problem
    y = np.repeat(list(counts), list(counts.values()))
    given_strategy = tuple(strategy) if isinstance(strategy, list) else strategy
    try:
        expected = tuple(str(n) for n in check_sampling_strategy(strategy, y, "clean-sampling"))
    except ValueError:
        with pytest.raises(UserError) as error:
            cleaned_classes(given_strategy, counts)
        message = str(error.value)
        assert message.startswith(f"rebalance.sampling_strategy: {given_strategy!r}: ")
        assert "; allowed: " in message
    else:
        assert cleaned_classes(given_strategy, counts) == expected


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        ((), ["names no class"]),
        (("zebra",), ["zebra", "a, b, c"]),
        (("none",), ["none", "a, b, c"]),
        ("minority", ["minority alone", "not minority"]),
        (0.5, ["ratio", "list of classes"]),
        ({"a": 3}, ["rows by class", "list of classes"]),
    ],
)
def test_message_of_a_refused_cleaning_says_what_is_allowed(strategy, told):
    with pytest.raises(UserError) as error:
        cleaned_classes(strategy, {"a": 50, "b": 5, "c": 20, "none": 0}, "rebalance.some_strategy")
    message = str(error.value)
    assert message.startswith(f"rebalance.some_strategy: {strategy!r}: ")
    assert "\n" not in message
    for text in [*told, "; allowed: "]:
        assert text in message


def test_class_without_rows_is_not_cleaned_and_not_the_minority():
    counts = {"a": 9, "b": 0, "c": 3}
    assert cleaned_classes("auto", counts) == ("a",)
    assert cleaned_classes("all", counts) == ("a", "c")
    with pytest.raises(UserError, match="rows of 1 class"):
        cleaned_classes("all", {"a": 9, "b": 0})
