"""The search: repeats, goes on after a kill, prunes, keeps within its time, judges honestly."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from tests.components.tuner.conftest import make_rows
from tfx_imbalance.components import progress
from tfx_imbalance.components.class_weights import ClassWeightParams, class_weights
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.trainer.params import LossParams, MlpParams, TrainerParams
from tfx_imbalance.components.tuner.search import nested, search
from tfx_imbalance.components.tuner.space import space_of

SPACE = {
    "mlp.learning_rate": {"min": 1e-4, "max": 10, "log": True},
    "mlp.hidden": [[128, 64]],
    "mlp.bins": [48],
    "mlp.dropout": [0.4],
    "mlp.weight_decay": [1e-4],
    "mlp.batch_size": [256],
}
"""Only `mlp.learning_rate` is free."""


def run(validator, given=SPACE, seconds=None):
    return search(validator, space_of(given, validator.params.trainer), seconds)


def figures(found):
    return [(t.hyperparameters, t.mean, t.status) for t in found.trials]


def test_a_trial_s_figures_are_scikit_learn_s(fake, make_validator):
    validator = make_validator(trials=1)
    train = make_rows(300, 1)
    x = np.column_stack([train.numbers, train.categories])
    expected = []
    for k in range(5):
        here, held = validator.fold != k, validator.fold == k
        weights = train.weights[here] / train.weights[here].mean()
        model = LogisticRegression(C=1e-3).fit(x[here], train.labels[here], weights)
        chance = model.predict_proba(x[held])[:, 1]
        weights = train.weights[held]
        expected.append(average_precision_score(train.labels[held], chance, sample_weight=weights))
    [trial] = run(validator).trials
    assert [f.metrics["auc_pr"] for f in trial.folds] == pytest.approx(expected, abs=1e-5)
    assert trial.mean == pytest.approx(np.mean(expected), abs=1e-5)
    assert trial.std == pytest.approx(np.std(expected, ddof=1), abs=1e-5)
    assert [f.rows for f in trial.folds] == [int((validator.fold != k).sum()) for k in range(5)]
    assert trial.folds[0].best_epoch == 3


def test_early_stopping_sees_val_and_never_the_fold(fake, make_validator):
    run(make_validator(trials=1))
    for call in fake.CALLS:
        np.testing.assert_array_equal(call["val"].numbers, make_rows(100, 2).numbers)


@pytest.mark.parametrize("method", ["none", "under", "smote_nc"])
def test_class_weights_are_of_the_counts_that_the_learner_sees(fake, make_validator, method):
    scheme = ClassWeightParams(scheme="inverse_sqrt")
    run(
        make_validator(
            trials=1,
            trainer=TrainerParams(label="y", class_weights=scheme),
            rebalance=RebalanceParams(method=method),
        )
    )
    for call in fake.CALLS:
        counts = dict(enumerate(np.bincount(call["train"].labels).tolist()))
        expected = class_weights({str(k): n for k, n in counts.items()}, scheme)
        np.testing.assert_allclose(call["weights"], list(expected.values()))


@pytest.mark.parametrize("oracle", ["random", "bayesian"])
def test_one_seed_repeats_exactly_and_the_first_trial_is_the_config(fake, make_validator, oracle):
    one = run(make_validator("a", trials=8, oracle=oracle))
    other = run(make_validator("b", trials=8, oracle=oracle))
    assert figures(one) == figures(other)
    assert one.trials[0].hyperparameters["mlp.learning_rate"] == 1e-3
    assert one.stopped == "trials"
    seeded = make_validator("c", trials=8, oracle=oracle, trainer=TrainerParams(label="y", seed=6))
    assert figures(run(seeded)) != figures(one)


def test_the_best_is_the_best_of_the_completed(fake, make_validator):
    found = run(make_validator(trials=10))
    done = [t for t in found.trials if t.status == "completed"]
    assert found.best.mean == max(t.mean for t in done)
    lower = run(make_validator("b", trials=6, metric="log_loss"))
    assert lower.best.mean == min(t.mean for t in lower.trials if t.status == "completed")


@pytest.mark.parametrize("at", [1, 7, 23])
def test_a_killed_search_goes_on_and_ends_as_if_it_had_not_been(fake, make_validator, at):
    whole = run(make_validator("whole", trials=7))
    fits = len(fake.CALLS)
    fake.CALLS.clear()
    fake.KILL_AT[:] = [at]
    with pytest.raises(fake.Killed):
        run(make_validator("killed", trials=7))
    fake.CALLS.clear()
    fake.KILL_AT.clear()
    again = make_validator("killed", trials=7)
    assert figures(run(again)) == figures(whole)
    assert len(fake.CALLS) == fits - (at - 1)
    assert again.ledger.found == at - 1


def test_more_trials_begin_with_those_that_were_run(fake, make_validator):
    few = run(make_validator(trials=4, oracle="random"))
    fake.CALLS.clear()
    more = run(make_validator(trials=6, oracle="random", prune=False))
    assert figures(more)[:4] == figures(few)
    assert len(fake.CALLS) == 2 * 5


def test_a_trial_below_the_median_of_the_finished_ones_stops(fake, make_validator):
    found = run(make_validator(trials=12, oracle="random"))
    done = []
    for trial in found.trials:
        values = [f.metrics["auc_pr"] for f in trial.folds]
        reached = 5
        for n in range(2, 5):
            if len(done) >= 4 and np.mean(values[:n]) < np.median([np.mean(d[:n]) for d in done]):
                reached = n
                break
        assert len(values) == reached
        assert trial.status == ("completed" if reached == 5 else "pruned")
        if reached == 5:
            done.append(values)
        else:
            assert f"after {reached} folds" in trial.message
    assert 0 < sum(t.status == "pruned" for t in found.trials) < 8
    all_of = run(make_validator(trials=12, oracle="random", prune=False))
    assert {t.status for t in all_of.trials} == {"completed"}
    assert all_of.best.mean == pytest.approx(found.best.mean, abs=0.02)


def test_no_trial_starts_when_time_is_up(fake, make_validator):
    found = run(make_validator(trials=9), seconds=1e-9)
    assert len(found.trials) == 1
    assert found.stopped == "seconds"


def test_a_small_space_is_tried_once_each(fake, make_validator):
    given = {**SPACE, "mlp.learning_rate": [1e-3, 1.0], "mlp.dropout": [0.1, 0.4]}
    found = run(make_validator(trials=20), given)
    assert found.stopped == "space exhausted"
    tried = [str(t.hyperparameters) for t in found.trials]
    assert len(tried) == len(set(tried)) <= 4


def test_without_anything_free_the_config_is_judged(fake, make_validator):
    found = run(make_validator(trials=3), {**SPACE, "mlp.learning_rate": [1e-3]})
    assert len(found.trials) == 1
    assert found.best.status == "completed"


def test_a_trial_without_finite_scores_fails_and_the_search_goes_on(fake, make_validator):
    given = {**SPACE, "mlp.batch_size": [256, fake.BROKEN]}
    found = run(make_validator(trials=8), given)
    failed = [t for t in found.trials if t.status == "failed"]
    assert failed and all(t.hyperparameters["mlp.batch_size"] == fake.BROKEN for t in failed)
    assert "fold 1: some scores are not finite" in failed[0].message
    assert found.best.status == "completed"
    broken = {**SPACE, "mlp.batch_size": [fake.BROKEN]}
    with pytest.raises(UserError, match="every trial failed; the last one: fold 1: some scores"):
        run(make_validator("b", trials=3), broken)


def test_values_that_do_not_go_together_fail_that_trial_alone(fake, make_validator):
    focal = TrainerParams(label="y", seed=5, mlp=MlpParams(loss=LossParams(name="focal")))
    given = {
        **SPACE,
        "mlp.loss.name": ["focal", "cross_entropy"],
        "mlp.loss.gamma": {"min": 0.5, "max": 3},
    }
    found = run(make_validator(trials=8, trainer=focal, oracle="random"), given)
    failed = [t for t in found.trials if t.status == "failed"]
    assert failed and all(t.hyperparameters["mlp.loss.name"] != "focal" for t in failed)
    assert "loss cross_entropy does not read it" in failed[0].message
    assert found.best.hyperparameters["mlp.loss.name"] == "focal"


def test_the_user_s_mistake_ends_the_search(fake, make_validator):
    with pytest.raises(UserError, match="bins 7 are not to my liking"):
        run(make_validator(trials=3), {**SPACE, "mlp.bins": [7]})


def test_each_trial_is_one_line(fake, make_validator):
    said = []
    with progress.shown_by(said.append):
        run(make_validator(trials=3))
    assert len(said) == 3
    assert said[0].startswith("trial 1/3  auc_pr 0.")
    assert "±" in said[0] and "best" in said[0] and "mlp.learning_rate 0.001" in said[0]


def test_nested_winners_are_judged_on_rows_that_their_search_never_saw(fake, make_validator):
    validator = make_validator(trials=3, folds=3, nested=True)
    estimate = nested(validator, space_of(SPACE, validator.params.trainer))
    train = make_rows(300, 1)
    rows_of = {row.tobytes(): k for row, k in zip(train.numbers, validator.fold, strict=True)}
    for k, outer in enumerate(estimate.folds):
        calls = fake.CALLS[:]
        seen = [
            call
            for call in calls
            if all(rows_of[row.tobytes()] != k for row in call["train"].numbers)
        ]
        # Three trials of three inner folds, and the winner on all that is not the fold.
        assert len(seen) == 3 * 3 + 1
        assert outer.score.rows == (validator.fold != k).sum()
        assert outer.inner_mean > 0
    values = [outer.score.metrics["auc_pr"] for outer in estimate.folds]
    assert estimate.mean["auc_pr"] == pytest.approx(np.mean(values))
    assert estimate.std["auc_pr"] == pytest.approx(np.std(values, ddof=1))
