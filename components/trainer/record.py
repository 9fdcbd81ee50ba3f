"""What a run_fn may leave beside the model for the TrainingReport."""

import os
from typing import ClassVar

from tfx.dsl.io import fileio
from tfx.utils import io_utils

from ..report import Report
from .report import Epoch

_FILE = "training.json"


class RunRecord(Report):
    """How a training went; our run_fn writes it into the ModelRun's folder."""

    schema_name: ClassVar[str] = "run_record"

    device: str
    mixed_precision: bool = False
    seconds: float
    best_epoch: int | None = None
    history: tuple[Epoch, ...] = ()

    def write(self, folder: str) -> None:
        """Writes it into the folder."""
        io_utils.write_string_file(os.path.join(folder, _FILE), self.model_dump_json())

    @classmethod
    def read(cls, folder: str) -> "RunRecord | None":
        """Reads it from the folder; None where a run_fn has left none."""
        path = os.path.join(folder, _FILE)
        if not fileio.exists(path):
            return None
        with fileio.open(path) as file:
            return cls.model_validate_json(file.read())
