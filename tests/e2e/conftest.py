"""A config that trains on the small data set in seconds."""

from collections.abc import Callable

import pytest

from tests.e2e.workbench import Workbench, rows, write_csv


@pytest.fixture(scope="module")
def make_workbench(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Workbench]:
    def make(**sections: object) -> Workbench:
        folder = tmp_path_factory.mktemp("bench")
        write_csv(folder / "data.csv", rows())
        config = {
            "name": "small",
            "seed": 3,
            "data": {"path": "data.csv", "label": "y", "positive": "yes"},
            "train": {"mlp": {"epochs": 4, "hidden": [16], "batch_size": 64}},
            "output": {"runs_dir": str(folder / "runs")},
            "gates": {"absolute": [{"metric": "auc", "min": 0.55}]},
        }
        return Workbench(folder, config | sections)

    return make
