"""Pusher pushes what is blessed, to a folder that is a plain text of its own."""

from pathlib import Path

from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import Channel, standard_artifacts
from tfx.utils import path_utils

from tests.components.gate import handmade
from tfx_imbalance.components.pusher.component import Pusher
from tfx_imbalance.components.pusher.executor import Executor


def _push(tmp_path: Path, blessed: bool) -> standard_artifacts.PushedModel:
    model = handmade.artifact(standard_artifacts.Model, tmp_path / "model")
    saved = Path(path_utils.serving_model_path(model.uri))
    saved.mkdir(parents=True)
    (saved / "saved_model.pb").write_bytes(b"model")
    blessing = handmade.artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")
    blessing.set_int_custom_property("blessed", int(blessed))
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("BLESSED" if blessed else "NOT_BLESSED")).touch()
    pushed = handmade.artifact(standard_artifacts.PushedModel, tmp_path / "pushed")
    Executor().Do(
        {"model": [model], "model_blessing": [blessing]},
        {"pushed_model": [pushed]},
        {"serving_dir": str(tmp_path / "serving")},
    )
    return pushed


def test_a_blessed_model_is_pushed_to_a_version_of_the_folder(tmp_path: Path) -> None:
    pushed = _push(tmp_path, blessed=True)
    [version] = (tmp_path / "serving").iterdir()
    assert version.name.isdigit()
    assert (version / "saved_model.pb").read_bytes() == b"model"
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_destination") == str(version)


def test_another_model_is_not_pushed(tmp_path: Path) -> None:
    pushed = _push(tmp_path, blessed=False)
    assert not (tmp_path / "serving").exists()
    assert pushed.get_int_custom_property("pushed") == 0


def test_the_folder_may_be_given_when_the_pipeline_starts() -> None:
    folder = RuntimeParameter("serving_dir", ptype=str, default="/serving")
    node = Pusher(
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        serving_dir=folder,
    )
    assert node.id == "Pusher"
    assert node.exec_properties == {"serving_dir": folder}
