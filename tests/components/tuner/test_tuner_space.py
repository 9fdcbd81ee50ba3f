"""Spaces: what a user may say, and how values travel."""

import subprocess
import sys

import pytest

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.trainer.hyperparameters import decoded, encoded, overridden, tunable
from tfx_imbalance.components.trainer.params import Learner, TrainerParams, TrainOptions
from tfx_imbalance.components.tuner.params import TuneOptions
from tfx_imbalance.components.tuner.search import hyperparameters
from tfx_imbalance.components.tuner.space import DEFAULTS, Choices, Range, baseline, space_of

LEARNERS = Learner.__args__


def options(learner="mlp", **sections) -> TrainOptions:
    return TrainOptions(learner=learner, **sections)


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_has_parameters_and_its_default_space_is_allowed(learner):
    train = options(learner)
    assert tunable(train)
    space = space_of({}, train)
    assert set(space) <= set(tunable(train))
    for path, dimension in space.items():
        values = dimension.values if isinstance(dimension, Choices) else vars(dimension).values()
        for value in list(values)[:2]:
            overridden(train, {path: value})
    assert overridden(train, baseline(space, train)) == train or learner == "mlp"


def test_members_of_an_ensemble_bring_their_own_parameters():
    train = options("balanced_bagging", ensemble={"member": "mlp"})
    assert {"ensemble.members", "mlp.hidden"} <= set(tunable(train))
    assert "mlp.hidden" not in tunable(options("balanced_bagging"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mlp.droput": [0]}, "tune.space: found 'mlp.droput'; did you mean 'mlp.dropout'"),
        ({"boosted_trees.l2": [1]}, "learner mlp has mlp.hidden, "),
        ({"mlp.dropout": []}, "tune.space.mlp.dropout: found an empty list"),
        ({"mlp.dropout": [0.1, 1.5]}, "tune.space.mlp.dropout: .*found 1.5; .*less than 1"),
        ({"mlp.dropout": {"min": 0.1, "max": 2}}, "tune.space.mlp.dropout: .*found 2"),
        ({"mlp.dropout": {"min": 0.5, "max": 0.1}}, "expected min below max"),
        ({"mlp.dropout": {"min": 0, "max": 0.5, "log": True}}, "min: found 0; expected more than"),
        ({"mlp.dropout": {"low": 0}}, "expected a list of choices, or a map of min, max"),
        ({"mlp.dropout": {"min": "a", "max": 1}}, "min: found 'a'; expected a number"),
        ({"mlp.bins": {"min": 1.5, "max": 9}}, "min: found 1.5; expected a whole number"),
        ({"mlp.bins": {"min": 1, "max": 9, "step": 0}}, "step: found 0"),
        ({"mlp.bins": {"min": 1, "max": 9, "log": 3}}, "log: found 3"),
        ({"mlp.hidden": {"min": 1, "max": 9}}, "mlp.hidden"),
        ({"mlp.loss.gamma": [1.0]}, "tune.space.mlp.loss.gamma: .*focal does"),
        (
            {"mlp.sampling.mode": ["none", "per_class"]},
            "found 'per_class', by which training .* choose it under train.mlp.sampling.mode",
        ),
        ({"mlp.bins": [8, 8]}, "a choice stands there twice"),
    ],
)
def test_a_mistake_in_the_space_is_one_line(given, said):
    with pytest.raises(UserError, match=said) as caught:
        space_of(given, options())
    assert "\n" not in str(caught.value)


def test_what_the_user_gives_goes_before_the_defaults():
    space = space_of({"mlp.dropout": [0.1, 0.2], "mlp.embedding_units": [8]}, options())
    assert space["mlp.dropout"] == Choices((0.1, 0.2))
    assert space["mlp.learning_rate"] == DEFAULTS["mlp"]["mlp.learning_rate"]
    assert space["mlp.embedding_units"] == Choices((8,))
    whole = space_of({"mlp.bins": {"min": 4, "max": 64, "log": True}}, options())["mlp.bins"]
    assert whole == Range(4, 64, log=True, whole=True)


def test_any_value_survives_keras_tuner():
    given = {"ensemble.members": [None, 10], "ensemble.max_depth": [3, None]}
    train = options("balanced_bagging")
    space = space_of(given, train)
    made = hyperparameters(space, baseline(space, train))
    assert made.values == {"ensemble.members": "null", "ensemble.max_depth": "null"}
    back = type(made).from_config(made.get_config())
    assert overridden(train, back.values) == train
    for value in ([64, 32], None, True, 3, 0.5, "average"):
        assert decoded(encoded(value)) == value


def test_the_first_values_are_the_config_s_where_the_space_has_them():
    train = options(mlp={"dropout": 0.25, "hidden": [64], "batch_size": 100})
    first = baseline(space_of({}, train), train)
    assert first["mlp.dropout"] == 0.25
    assert first["mlp.hidden"] == "[64]"
    assert first["mlp.batch_size"] == 128


def test_trainer_refuses_what_the_learner_does_not_read():
    params = TrainerParams(label="y")
    with pytest.raises(UserError, match="hyperparameter 'units': learner mlp does not read it"):
        overridden(params, {"units": 3})
    with pytest.raises(UserError, match=r"hyperparameter mlp.epochs: found 0; expected greater"):
        overridden(params, {"mlp.epochs": 0})
    assert overridden(params, {"mlp.hidden": "[8, 4]"}).mlp.hidden == (8, 4)
    assert overridden(params, {"mlp.loss.name": "focal"}).mlp.loss.name == "focal"


def test_what_the_config_needs_imports_no_tensorflow():
    code = (
        "import sys, tfx_imbalance.components.tuner.space, tfx_imbalance.components.tuner.params; "
        "assert not {'tensorflow', 'keras', 'keras_tuner', 'tfx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert TuneOptions().enabled is False
