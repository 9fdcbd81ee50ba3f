import sys

import pytest
from tfx.types import channel_utils, standard_artifacts

from tfx_imbalance import Trainer, artifacts
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.trainer.component import OUR_RUN_FN
from tfx_imbalance.components.trainer.params import TrainerParams


def channel(artifact):
    return channel_utils.as_channel([artifact])


def trainer(params: TrainerParams, **inputs) -> Trainer:
    return Trainer(examples=channel(standard_artifacts.Examples()), params=params, **inputs)


def test_reports_are_optional_inputs_and_the_report_is_an_output():
    node = trainer(TrainerParams(label="y"))
    assert node.outputs["report"].type is artifacts.TrainingReport
    assert node.outputs["model"].type is standard_artifacts.Model
    assert "rebalance_report" not in node.inputs
    both = trainer(
        TrainerParams(label="y"),
        imbalance_report=channel(artifacts.ImbalanceReport()),
        rebalance_report=channel(artifacts.RebalanceReport()),
    )
    assert both.inputs["rebalance_report"].type is artifacts.RebalanceReport


def test_it_trains_on_train_and_stops_on_val():
    properties = trainer(TrainerParams(label="y")).exec_properties
    assert '"train"' in properties["train_args"] and '"val"' in properties["eval_args"]
    assert properties["run_fn"] == OUR_RUN_FN
    assert TrainerParams.from_property(properties["params"]) == TrainerParams(label="y")


def test_an_edit_of_the_users_module_changes_the_fingerprint(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "trainer_edited.py"
    params = TrainerParams(label="y", run_fn="trainer_edited.run_fn")
    prints = []
    for source in ("def run_fn(a): ...", "def run_fn(a): pass"):
        module.write_text(source)
        prints.append(trainer(params).exec_properties["code_fingerprint"])
    assert (
        len({*prints, trainer(TrainerParams(label="y")).exec_properties["code_fingerprint"]}) == 3
    )
    assert "trainer_edited" not in sys.modules


@pytest.mark.parametrize("name", ["no_such_module.run_fn", "run_fn"])
def test_a_run_fn_that_cannot_be_found_is_refused(name):
    with pytest.raises(UserError, match=f"train.run_fn: found {name!r}"):
        trainer(TrainerParams(label="y", run_fn=name))
