"""Artifact types. Each holds one `report.json`, described by schemas/<name>.schema.json.

A TYPE_NAME has one dot: Kubeflow's compiler imports it as a class path, and names that start
with `tfx_imbalance.` cannot collide with another package's in one metadata store.
"""

from tfx.types.artifact import Artifact


class ImbalanceReport(Artifact):
    """Class counts, severity, class order and weights, from ImbalanceDetector."""

    TYPE_NAME = "tfx_imbalance.ImbalanceReport"


class RebalanceReport(Artifact):
    """Class counts before and after and per-class sampling factors, from Rebalancer."""

    TYPE_NAME = "tfx_imbalance.RebalanceReport"


class TuningReport(Artifact):
    """Trials, folds, best hyperparameters and their spread, from Tuner."""

    TYPE_NAME = "tfx_imbalance.TuningReport"


class TrainingReport(Artifact):
    """Learner, device, class weights and history, from Trainer."""

    TYPE_NAME = "tfx_imbalance.TrainingReport"


class CalibrationReport(Artifact):
    """Prior correction, calibration, operating point and val metrics, from Calibrator."""

    TYPE_NAME = "tfx_imbalance.CalibrationReport"


class Champion(Artifact):
    """Which model was pushed last, or that there is none, from ChampionLoader."""

    TYPE_NAME = "tfx_imbalance.Champion"


class GateReport(Artifact):
    """Every gate with its value, bound and verdict, from Gate."""

    TYPE_NAME = "tfx_imbalance.GateReport"


class DriftReport(Artifact):
    """This data against the champion's, from DriftCheck."""

    TYPE_NAME = "tfx_imbalance.DriftReport"


class RunReport(Artifact):
    """report.html and summary.json, from Reporter."""

    TYPE_NAME = "tfx_imbalance.RunReport"
