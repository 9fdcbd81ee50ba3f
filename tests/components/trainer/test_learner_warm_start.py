"""An MLP that starts from the champion's network."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import softmax
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from tests.components.trainer.test_learner_resume import TRAIN, VAL, fit, scores, task
from tests.components.trainer.test_trainer_executor import FAST, Run
from tfx_imbalance import artifacts
from tfx_imbalance.components.calibrator.executor import Executor as Calibrator
from tfx_imbalance.components.calibrator.params import CalibratorParams
from tfx_imbalance.components.champion.executor import Executor as ChampionLoader
from tfx_imbalance.components.names import EXTRA_DIR, NETWORK_FILE
from tfx_imbalance.components.reporter.params import RunContext
from tfx_imbalance.components.trainer.input import Feature
from tfx_imbalance.components.trainer.learners import learner
from tfx_imbalance.components.trainer.learners.warm_start import (
    DoesNotFit,
    Inputs,
    Network,
    save,
    sizes_of,
    start,
)
from tfx_imbalance.components.trainer.params import MlpParams, TrainerParams
from tfx_imbalance.pipeline.config import parse_config
from tfx_imbalance.pipeline.pipeline import Facts, create_pipeline

PARAMS = MlpParams(hidden=(4,), bins=3)
COLOR = Feature("color", 1, categories=4)  # three values and one id for the unseen
INPUTS = Inputs(
    (Feature("age", 1), COLOR, Feature("old", 1, categories=2)),
    ("no", "yes"),
    {"color": [b"<missing>", b"red", b"blue"]},
)
TABLE = np.arange(12, dtype=np.float32).reshape(6, 2)
NETWORK = Network(
    sizes_of(PARAMS), np.arange(4, dtype=np.float32)[None], [np.ones((3, 2)), TABLE, np.eye(2)], 1
)


@pytest.fixture
def champion(tmp_path) -> str:
    """A folder with NETWORK's file in it."""
    save(NETWORK, INPUTS, str(tmp_path / "champion"))
    return str(tmp_path / "champion")


def test_what_was_saved_is_what_training_starts_from(champion):
    found, said = start(champion, PARAMS, INPUTS)
    assert said == "the champion's network"
    assert (found.sizes, found.table) == (NETWORK.sizes, NETWORK.table)
    np.testing.assert_array_equal(found.edges, NETWORK.edges)
    for array, expected in zip(found.weights, NETWORK.weights, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_embeddings_follow_their_categories_to_new_ids(champion):
    color = dataclasses.replace(COLOR, categories=5)
    now = dataclasses.replace(
        INPUTS,
        features=(INPUTS.features[0], color, INPUTS.features[2]),
        vocabularies={"color": [b"<missing>", b"blue", b"green", b"red"]},
    )
    found, said = start(champion, PARAMS, now)
    assert said == "the champion's network (categories: 1 new)"
    # missing, blue, green (as unseen ones were), red, the unseen; then `old`.
    np.testing.assert_array_equal(found.weights[1], TABLE[[0, 2, 3, 1, 3, 4, 5]])
    now = dataclasses.replace(
        INPUTS,
        features=(INPUTS.features[0], dataclasses.replace(COLOR, categories=3), INPUTS.features[2]),
        vocabularies={"color": [b"<missing>", b"blue"]},
    )
    found, said = start(champion, PARAMS, now)
    assert said == "the champion's network (categories: 1 gone)"
    np.testing.assert_array_equal(found.weights[1], TABLE[[0, 2, 3, 4, 5]])


def test_several_columns_of_one_feature_keep_their_own_embeddings(tmp_path):
    wide = dataclasses.replace(
        INPUTS, features=(Feature("color", 2, categories=4),), vocabularies=INPUTS.vocabularies
    )
    table = np.arange(8, dtype=np.float32)[:, None]
    save(dataclasses.replace(NETWORK, weights=[table], table=0), wide, str(tmp_path))
    now = dataclasses.replace(wide, vocabularies={"color": [b"<missing>", b"blue", b"red"]})
    found, _ = start(str(tmp_path), PARAMS, now)
    np.testing.assert_array_equal(found.weights[0][:, 0], [0, 2, 1, 3, 4, 6, 5, 7])


def changed(*features: Feature, **changes) -> Inputs:
    return dataclasses.replace(INPUTS, **({"features": features} if features else {}), **changes)


AGE, OLD = INPUTS.features[0], INPUTS.features[2]


@pytest.mark.parametrize(
    ("params", "now", "why"),
    [
        (MlpParams(hidden=(8,), bins=3), INPUTS, r"its mlp.hidden is \[4\], now \[8\]"),
        (MlpParams(hidden=(4,)), INPUTS, "its mlp.bins is 3, now 48"),
        (MlpParams(hidden=(4,), bins=3, loss={"name": "ldam"}), INPUTS, "its mlp.loss.name is"),
        (PARAMS, changed(classes=("yes", "no")), r"its classes are \['no', 'yes'\], now"),
        (PARAMS, changed(AGE, COLOR), "its feature 'old' is gone"),
        (PARAMS, changed(AGE, COLOR, OLD, Feature("x", 1)), "the feature 'x' is new"),
        (PARAMS, changed(Feature("age", 2), COLOR, OLD), "the feature 'age' is of another width"),
        (PARAMS, changed(Feature("age", 1, 3), COLOR, OLD), "the feature 'age' is of another"),
        (PARAMS, changed(AGE, COLOR, Feature("old", 1, 3)), "the ids of feature 'old' have an"),
        (PARAMS, changed(vocabularies={}), "the feature 'color' has a vocabulary only once"),
        (PARAMS, changed(others=("f00d",)), "a vocabulary file differs"),
    ],
)
def test_a_network_that_does_not_fit_says_why(champion, params, now, why):
    with pytest.raises(DoesNotFit, match=why):
        start(champion, params, now)


def test_no_champion_and_one_of_another_learner_are_told_apart(tmp_path):
    with pytest.raises(DoesNotFit, match="there is no champion"):
        start(None, PARAMS, INPUTS)
    with pytest.raises(DoesNotFit, match="the champion carries no network of an mlp"):
        start(str(tmp_path), PARAMS, INPUTS)


def test_the_vocabularies_are_those_that_preprocessing_wrote(data):
    features = (
        Feature("age", 1),
        Feature("color", 1, categories=5),
        Feature("income_missing", 1, 2),
    )
    found = Inputs.of(data.transform, features, ["no", "yes"])
    assert set(found.vocabularies) == {"color"} and found.others == ()
    assert found.vocabularies["color"][0] == b"<missing>"
    assert set(found.vocabularies["color"][1:]) == {b"red", b"green", b"blue"}
    # One that belongs to no feature of these is told from another by its content.
    assert len(Inputs.of(data.transform, features[:1], ["no", "yes"]).others) == 1


def test_training_begins_at_the_network_that_it_is_given(tmp_path):
    first = fit(task(tmp_path / "first", None, epochs=3))
    still = task(tmp_path / "still", None, epochs=1, learning_rate=1e-12, weight_decay=0)
    again = fit(dataclasses.replace(still, start=first.network))
    np.testing.assert_allclose(softmax(scores(again), 1), softmax(scores(first), 1), atol=1e-4)
    np.testing.assert_array_equal(again.network.edges, first.network.edges)
    afresh = fit(still)
    assert again.history[0].val_loss < afresh.history[0].val_loss


def test_edges_of_a_started_network_are_its_own(tmp_path):
    first = fit(task(tmp_path / "first", None, epochs=1))
    this = dataclasses.replace(task(tmp_path / "again", None, epochs=1), start=first.network)
    moved = dataclasses.replace(TRAIN, numbers=TRAIN.numbers + 1)
    found = learner("mlp")(moved, VAL, this).network.edges
    np.testing.assert_array_equal(found, first.network.edges)


def test_only_the_mlp_can_start_warm():
    with pytest.raises(ValidationError, match="warm_start: found true, expected false"):
        TrainerParams(label="y", learner="boosted_trees", warm_start=True)
    assert TrainerParams(label="y", run_fn="mine.run_fn", warm_start=True).warm_start


def artifact(cls, uri: Path, split: str | None = None):
    made = cls()
    made.uri = str(uri)
    uri.mkdir(parents=True, exist_ok=True)
    if split:
        made.split_names = artifact_utils.encode_split_names([split])
    return made


def calibrated(data, run: Run, root: Path) -> Path:
    """What Pusher would copy of a run's model."""
    (root / "statistics" / "Split-train").mkdir(parents=True)
    (root / "statistics" / "Split-train" / "FeatureStats.pb").write_bytes(b"")
    outputs = {
        "model": [artifact(standard_artifacts.Model, root / "model")],
        "report": [artifact(artifacts.CalibrationReport, root / "report")],
    }
    Calibrator().Do(
        {
            "trained_model": run.outputs["model"],
            "examples": [artifact(standard_artifacts.Examples, data.raw, "val")],
            "imbalance_report": run.inputs["imbalance_report"],
            "training_report": run.outputs["report"],
            "statistics": [
                artifact(standard_artifacts.ExampleStatistics, root / "statistics", "train")
            ],
        },
        outputs,
        {"params": CalibratorParams(label="y").to_property(), "code_fingerprint": ""},
    )
    return Path(path_utils.serving_model_dir(outputs["model"][0].uri))


def test_the_network_travels_from_trainer_to_the_registry_and_back(data, tmp_path):
    cold = TrainerParams(label="y", weight="w", mlp=FAST)
    first = Run(data, tmp_path / "first", cold).give_imbalance(data)
    assert first.do().warm_start is None

    shutil.copytree(calibrated(data, first, tmp_path / "calibrator"), tmp_path / "serving" / "7")
    outputs = {
        "champion": [artifact(artifacts.Champion, tmp_path / "loaded" / "champion")],
        "model": [artifact(standard_artifacts.Model, tmp_path / "loaded" / "model")],
        "statistics": [
            artifact(standard_artifacts.ExampleStatistics, tmp_path / "loaded" / "statistics")
        ],
    }
    ChampionLoader().Do(
        {"imbalance_report": first.inputs["imbalance_report"]},
        outputs,
        {"registry_dir": str(tmp_path / "serving"), "version": "7", "code_fingerprint": ""},
    )

    warm = cold.model_copy(update={"warm_start": True})
    second = Run(data, tmp_path / "second", warm).give_imbalance(data)
    second.inputs["base_model"] = outputs["model"]
    report = second.do()
    assert report.warm_start == "from the champion's network"
    without = Run(data, tmp_path / "without", warm).give_imbalance(data).do()
    assert without.warm_start == "afresh: there is no champion to compare with"
    assert report.history[0].val_loss < without.history[0].val_loss
    with np.load(f"{second.model_dir}/{EXTRA_DIR}/{NETWORK_FILE}") as now:
        assert b"color" in str(now["about"]).encode()


def test_only_a_warm_start_makes_training_depend_on_the_champion():
    context = RunContext(
        name="t", run_id="r", seed=0, weight=None, versions={}, config="", timings_path=""
    )
    for asked in (False, True):
        config = parse_config(
            {"name": "t", "data": {"path": "d.csv", "label": "y"}, "train": {"warm_start": asked}},
            "test",
        )
        facts = Facts(columns=("x", "y"), context=context)
        made = create_pipeline(config, facts, pipeline_root="/nowhere", serving_dir="/nowhere/s")
        nodes = {node.id: node for node in made.components}
        above, todo = set(), [nodes["Trainer"]]
        while todo:
            node = todo.pop()
            above.add(node.id)
            todo += node.upstream_nodes
        assert ("ChampionLoader" in above) == asked
