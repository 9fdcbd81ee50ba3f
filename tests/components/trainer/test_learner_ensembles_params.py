import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tfx_imbalance.components.trainer.learners.ensembles.subsets import balanced_subsets
from tfx_imbalance.components.trainer.params import (
    ENSEMBLE_READERS,
    ENSEMBLES,
    SELF_SAMPLING,
    EnsembleParams,
    TrainOptions,
)

OTHER = {
    "member": "ada_boost",
    "rounds": 3,
    "subsets": "disjoint",
    "combine": "vote",
    "learning_rate": 0.5,
    "k_neighbors": 2,
    "smote_rate": 1.0,
    "bins": 3,
}


def test_an_option_that_the_learner_does_not_read_is_an_error():
    assert set(OTHER) == set(ENSEMBLE_READERS) <= set(EnsembleParams.model_fields)
    for option, readers in ENSEMBLE_READERS.items():
        for name in ENSEMBLES:
            ensemble = {option: OTHER[option]}
            if name in readers and option in ("rounds", "learning_rate"):
                ensemble |= {"member": "ada_boost"} if name in ENSEMBLE_READERS["member"] else {}
            if name in readers:
                options = TrainOptions(learner=name, ensemble=ensemble)
                assert TrainOptions.model_validate(options.model_dump()) == options
            else:
                told = rf"ensemble\.{option}: learner {name} does not read it; .* do"
                with pytest.raises(ValidationError, match=told):
                    TrainOptions(learner=name, ensemble=ensemble)


@pytest.mark.parametrize(
    ("learner", "member", "option"),
    [
        ("balanced_bagging", None, {"rounds": 3}),
        ("balanced_bagging", "decision_tree", {"learning_rate": 0.1}),
        ("easy_ensemble", "mlp", {"rounds": 3}),
        ("self_paced_ensemble", "boosted_trees", {"max_depth": 3}),
    ],
)
def test_an_option_that_the_member_does_not_read_is_an_error(learner, member, option):
    with pytest.raises(ValidationError, match=r"not read it; ensemble\.member .*ada_boost does"):
        TrainOptions(learner=learner, ensemble={"member": member, **option})


def test_only_those_that_choose_rows_balance():
    assert set(ENSEMBLES) - SELF_SAMPLING == {"ada_boost"}
    assert "train.learner rus_boost" in str(TrainOptions(learner="rus_boost").balances)
    assert TrainOptions(learner="ada_boost").balances is None


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(1, 30), min_size=2, max_size=4),
    st.integers(1, 12),
    st.integers(0, 99),
    st.booleans(),
    st.booleans(),
)
def test_subsets_are_balanced_and_disjoint_where_asked_for(sizes, members, seed, disjoint, replace):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    n, smallest = len(sizes), min(sizes)
    subsets = balanced_subsets(labels, n, members, seed, disjoint=disjoint, replace=replace)
    again = balanced_subsets(labels, n, members, seed, disjoint=disjoint, replace=replace)
    assert len(subsets) == members
    for subset, same in zip(subsets, again, strict=True):
        np.testing.assert_array_equal(subset, same)
        np.testing.assert_array_equal(np.bincount(labels[subset], minlength=n), smallest)
    for k, size in enumerate(sizes):
        parts = [subset[labels[subset] == k] for subset in subsets]
        if size > smallest and disjoint:
            turns = size // smallest
            for start in range(0, members, turns):
                together = np.concatenate(parts[start : start + turns])
                assert len(set(together.tolist())) == len(together)
        elif not replace:
            assert all(len(set(part.tolist())) == smallest for part in parts)
            if size == smallest:
                assert all(np.array_equal(part, np.flatnonzero(labels == k)) for part in parts)


def test_rows_are_drawn_evenly_with_and_without_replacement():
    labels = np.repeat([0, 1], [20, 5])
    for replace in (True, False):
        subsets = balanced_subsets(labels, 2, 4000, 0, disjoint=False, replace=replace)
        drawn = np.bincount(np.concatenate(subsets), minlength=25)
        np.testing.assert_allclose(drawn[:20], 1000, rtol=0.15)
        np.testing.assert_allclose(drawn[20:], 4000, rtol=0.1 if replace else 0)
