"""Moves Tuner's artifacts."""

import hashlib
import json
import os
from typing import Any

import numpy as np
import tensorflow_transform as tft
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from .. import progress, storage
from ..artifact_io import ArtifactDict, read_report, split_files, write_report
from ..errors import UserError
from ..imbalance_detector.report import Imbalance
from ..metrics import LOWER_IS_BETTER
from ..names import ROW_ID, TRAIN, VAL
from ..trainer.devices import visible_devices
from ..trainer.input import model_features, read_rows
from . import reading
from .folds import row_units
from .judge import Bench
from .params import TunerParams
from .report import Tuning
from .search import Ledger, Validator, as_proposed, hyperparameters, nested, search, spread
from .space import space_of

BEST_FILE = "best_hyperparameters.txt"
"""Name and form are those of TFX's Tuner."""
LEDGER_FOLDER = ".fits"


class Executor(base_executor.BaseExecutor):
    """Executor of Tuner."""

    def Do(
        self,
        input_dict: ArtifactDict,
        output_dict: ArtifactDict,
        exec_properties: dict[str, Any],
    ) -> None:
        """Searches hyperparameters.

        What each fit scored is kept beside the outputs of all executions of this node, under the
        content of data, parameters and code, so that a killed search goes on where it was.

        Args:
          input_dict:
            - examples: transformed Examples with the splits train and val.
            - transform_graph: TransformGraph.
            - imbalance_report: ImbalanceReport, for label and classes.
            - raw_examples: raw Examples with the split train, for the groups; or none.
          output_dict:
            - best_hyperparameters: HyperParameters.
            - report: TuningReport.
          exec_properties:
            - params: TunerParams as JSON.
            - code_fingerprint: of the modules whose results are kept.

        Raises:
          UserError: the folds, the space, the learner or the rebalancing do not fit the data.
        """
        params: TunerParams = TunerParams.from_property(exec_properties["params"])
        space = space_of(params.space, params.trainer)
        devices = visible_devices(params.trainer.mixed_precision, params.trainer.jit_compile)
        imbalance = read_report(input_dict, "imbalance_report", Imbalance)
        classes = imbalance.classes
        # Folds tear apart what the split tore apart.
        apart = imbalance.identity is not None and imbalance.identity.copies == "apart"
        transform = tft.TFTransformOutput(
            artifact_utils.get_single_uri(input_dict["transform_graph"])
        )
        label, weight = params.trainer.label, params.trainer.weight
        features = model_features(transform, label, weight)
        files = {split: split_files(input_dict, "examples", split) for split in (TRAIN, VAL)}
        train, val = (
            read_rows(found, transform, features, label=label, classes=classes, weight=weight)
            for found in files.values()
        )
        has_row_id = ROW_ID in transform.transformed_feature_spec()
        ids = reading.identities(files[TRAIN], train, label, classes, has_row_id, apart)
        grouped = None
        if input_dict.get("raw_examples"):
            if not has_row_id:
                raise UserError(
                    f"Tuner: preprocessing must pass {ROW_ID!r} through where rows are grouped"
                )
            grouped = reading.groups(split_files(input_dict, "raw_examples", TRAIN), apart)
        units = row_units(ids, grouped)
        key = _key(
            params,
            exec_properties["code_fingerprint"],
            reading.content(
                units,
                *(a for r in (train, val) for a in (r.numbers, r.categories, r.labels, r.weights)),
            ),
        )
        uri = artifact_utils.get_single_uri(output_dict["report"])
        node = storage.parent(storage.parent(uri))
        ledger = Ledger(os.path.join(node, LEDGER_FOLDER, key))

        bench = Bench(val, features, classes, devices)
        validator = Validator(bench, train, units, np.arange(len(train)), params, ledger, "train")
        searches = 1 + params.folds * params.nested
        share = None if params.seconds is None else params.seconds / searches
        found = search(validator, space, share)
        estimate = nested(validator, space, share) if params.nested else None
        best = found.best
        mean, std = spread(best.folds)
        if ledger.found:
            progress.say(f"{ledger.found} fits of an earlier run were taken as they were")
        made = hyperparameters(space, as_proposed(best))
        directory = artifact_utils.get_single_uri(output_dict["best_hyperparameters"])
        io_utils.write_string_file(
            os.path.join(directory, BEST_FILE), json.dumps(made.get_config())
        )
        report = Tuning(
            learner=params.trainer.learner,
            metric=params.metric,
            lower_is_better=params.metric in LOWER_IS_BETTER,
            oracle=params.oracle,
            seed=params.trainer.seed,
            space={path: dimension.described for path, dimension in space.items()},
            fold_counts=validator.counts(),
            grouped=grouped is not None,
            trials=found.trials,
            best=best.number,
            hyperparameters=best.hyperparameters,
            mean=mean,
            std=std,
            nested=estimate,
            stopped=found.stopped,
            resumed_folds=ledger.found,
            seconds=ledger.seconds,
        )
        write_report(output_dict, "report", report)


def _key(params: TunerParams, code: str, data: str) -> str:
    """What a fit's score depends on beside hyperparameters and fold."""
    # More trials, time or choices make no other fit.
    free = {"enabled", "oracle", "trials", "seconds", "metric", "prune", "nested", "space"}
    said = params.model_dump_json(exclude=free)
    return hashlib.sha256("\n".join((said, code, data)).encode()).hexdigest()[:32]
