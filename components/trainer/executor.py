"""Moves artifacts for Trainer; TFX's GenericExecutor does the rest."""

import copy
import os
import tempfile
import time
from collections import Counter
from typing import Any

from tfx import types
from tfx.components.trainer import executor as tfx_executor
from tfx.components.trainer import fn_args_utils
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from .. import progress, storage
from ..artifact_io import read_report_if_any, split_files, write_report
from ..class_weights import class_weights
from ..errors import UserError
from ..examples_io import decoder, read_blocks
from ..imbalance_detector.report import Imbalance
from ..names import SAMPLING_WEIGHT, TRAIN
from ..rebalancer.report import Rebalancing
from ..report import Kind
from .devices import Cluster, described
from .params import TrainerParams
from .report import RUN_FILE, LearnerRun, Training

STATE_FOLDER = ".training"
"""What an interrupted training goes on from; removed when one ends well."""

ArtifactDict = dict[str, list[types.Artifact]]


class Executor(tfx_executor.GenericExecutor):
    """Runs a run_fn with the class weights in its arguments, and reports."""

    def Do(
        self,
        input_dict: ArtifactDict,
        output_dict: ArtifactDict,
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains a model.

        Args:
          input_dict: as TFX's, and
            - imbalance_report: optional ImbalanceReport, for the class order and counts.
            - rebalance_report: optional RebalanceReport, for the counts that the learner sees.
          output_dict: `model`, `model_run` as TFX's, and
            - report: TrainingReport.
          exec_properties: as TFX's, and
            - params: TrainerParams as JSON.
            - code_fingerprint: for TFX's cache, and for what a killed run left.

        With several workers (see `devices.visible_devices`), all of which run this alike, the
        chief alone writes; the artifacts' folders must be the same ones for all of them.

        Raises:
          UserError: the examples, the class weights and the learner do not fit together.
        """
        params: TrainerParams = TrainerParams.from_property(exec_properties["params"])
        counts = _counts(input_dict, params.label)
        weights = class_weights(counts, params.class_weights)
        _warn(input_dict, params)
        start = time.monotonic()
        if params.run_fn is None and not Cluster.of_environment().chief:
            with tempfile.TemporaryDirectory() as folder:
                super().Do(input_dict, _elsewhere(output_dict, folder), exec_properties)
            return
        super().Do(input_dict, output_dict, exec_properties)
        run = _learner_run(artifact_utils.get_single_uri(output_dict["model_run"]))
        report = Training(
            **(run or _unknown_run(sum(counts.values()), weights)).model_dump(),
            learner=params.run_fn or params.learner,
            class_weights=weights,
            seconds=time.monotonic() - start,
        )
        write_report(output_dict, "report", report)
        states = _state_dir(output_dict)
        if fileio.isdir(states):
            fileio.rmtree(states)

    def _GetFnArgs(
        self,
        input_dict: ArtifactDict,
        output_dict: ArtifactDict,
        exec_properties: dict[str, Any],
    ) -> fn_args_utils.FnArgs:
        fn_args = super()._GetFnArgs(input_dict, output_dict, exec_properties)
        params: TrainerParams = TrainerParams.from_property(exec_properties["params"])
        counts = _counts(input_dict, params.label)
        weights = class_weights(counts, params.class_weights)
        fn_args.custom_config = {
            **(fn_args.custom_config or {}),
            "params": params.to_property(),
            "label": params.label,
            "weight": params.weight,
            "seed": params.seed,
            "classes": list(counts),
            "class_weights": dict(enumerate(weights.values())),
            # Another edition of the code would not go on as this one does.
            "state_dir": os.path.join(
                _state_dir(output_dict), exec_properties["code_fingerprint"][:16]
            ),
        }
        return fn_args


def _state_dir(output_dict: ArtifactDict) -> str:
    """Folder for the state of training, beside the outputs of all executions of this node."""
    uri = artifact_utils.get_single_uri(output_dict["report"])
    return os.path.join(storage.parent(storage.parent(uri)), STATE_FOLDER)


def _elsewhere(output_dict: ArtifactDict, folder: str) -> ArtifactDict:
    """The outputs, but for what a run_fn writes, which goes to the folder."""
    moved = copy.deepcopy({key: output_dict[key] for key in ("model", "model_run")})
    for key, (artifact,) in moved.items():
        artifact.uri = os.path.join(folder, key)
        fileio.makedirs(artifact.uri)
    return {**output_dict, **moved}


def _counts(input_dict: ArtifactDict, label: str) -> dict[str, int]:
    """class -> rows of train as the learner sees them, weights counted, in class order."""
    imbalance = read_report_if_any(input_dict, "imbalance_report", Imbalance)
    rebalancing = read_report_if_any(input_dict, "rebalance_report", Rebalancing)
    if rebalancing:
        classes = imbalance.classes if imbalance else list(rebalancing.after)
        after, weights = rebalancing.after, rebalancing.weights
        return {name: round(after[name] * weights[name]) for name in classes}
    if imbalance:
        return {name: imbalance.counts[TRAIN][name] for name in imbalance.classes}
    return _counted(split_files(input_dict, "examples", TRAIN), label)


def _counted(files: list[str], label: str) -> dict[str, int]:
    """class -> rows, the largest class first, so that the smaller of two is the positive one."""
    decode = decoder({label: "bytes"})
    total: Counter[str] = Counter()
    for block in read_blocks(files):
        column = decode.DecodeBatch(list(block)).column(0).flatten()
        for item in column.value_counts().to_pylist():
            total[item["values"].decode()] += item["counts"]
    if not total:
        raise UserError(f"Trainer: no row of the train split has the label {label!r} as text")
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _warn(input_dict: ArtifactDict, params: TrainerParams) -> None:
    """Of work that is done twice, or may not be done at all."""
    rebalancing = read_report_if_any(input_dict, "rebalance_report", Rebalancing)
    scheme = params.class_weights.scheme
    if params.run_fn and rebalancing and any(w != 1 for w in rebalancing.weights.values()):
        progress.say(
            f"warning: rebalance.method {rebalancing.method} counts on {params.run_fn} to weight "
            f"each example by its feature {SAMPLING_WEIGHT} (1 where it is absent)"
        )
    if rebalancing and rebalancing.method != "none" and scheme in ("explicit", "cost_matrix"):
        progress.say(
            f"warning: class_weights.scheme {scheme} comes on top of rebalance.method "
            f"{rebalancing.method}: both favour the smaller classes; one is mostly enough"
        )


def _learner_run(model_run_dir: str) -> LearnerRun | None:
    path = os.path.join(model_run_dir, RUN_FILE)
    if not fileio.exists(path):
        return None
    with fileio.open(path) as file:
        return LearnerRun.model_validate_json(file.read())


def _unknown_run(rows: int, weights: dict[str, float]) -> LearnerRun:
    """What can be said of a user's run_fn, which reports nothing."""
    # Whether it used the weights, and how, cannot be known.
    kind: Kind = "approximate" if len(set(weights.values())) > 1 else "none"
    return LearnerRun(
        device=described(),
        mixed_precision=False,
        rows=rows,
        best_epoch=None,
        history=[],
        factors=weights,
        kind=kind,
    )
