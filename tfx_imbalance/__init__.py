"""Training, calibration and gating of classifiers on class-imbalanced data, on TFX.

Public names load on first use, so that `import tfx_imbalance` costs nothing:
`from tfx_imbalance import Rebalancer` imports TFX, `import tfx_imbalance` does not.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "StratifiedExampleGen": ".components.example_gen.component",
    "ImbalanceDetector": ".components.imbalance_detector.component",
    "Rebalancer": ".components.rebalancer.component",
    "Tuner": ".components.tuner.component",
    "Trainer": ".components.trainer.component",
    "Calibrator": ".components.calibrator.component",
    "ChampionLoader": ".components.champion.component",
    "Gate": ".components.gate.component",
    "DriftCheck": ".components.drift_check.component",
    "Reporter": ".components.reporter.component",
    "Features": ".components.rebalancer.features",
    "RebalanceParams": ".components.rebalancer.params",
    "RebalanceExamples": ".components.rebalancer.transform",
    "resample": ".components.rebalancer.in_memory",
    **dict.fromkeys(
        (
            "ADASYN",
            "ROSE",
            "SMOTE",
            "SMOTEENN",
            "SMOTEN",
            "SMOTENC",
            "BorderlineSMOTE",
            "EditedNearestNeighbours",
            "KMeansSMOTE",
            "NearMiss",
            "RandomOverSampler",
            "RandomUnderSampler",
            "SMOTETomek",
            "TomekLinks",
        ),
        ".components.rebalancer.estimators",
    ),
    "ImbalanceReport": ".artifacts",
    "RebalanceReport": ".artifacts",
    "TuningReport": ".artifacts",
    "TrainingReport": ".artifacts",
    "CalibrationReport": ".artifacts",
    "Champion": ".artifacts",
    "GateReport": ".artifacts",
    "DriftReport": ".artifacts",
    "RunReport": ".artifacts",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
