"""What each technique earns on the bank demo: a Markdown table for the README.

`python -m benchmarks.techniques [SEED ...]`; the seeds default to those of demo_quality. All
techniques of a seed share rows, features, learner and calibration.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._bank import PLAIN, mean, run_bank
from benchmarks.demo_quality import SEEDS

TECHNIQUES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "class weights, balanced": {"class_weights": {"scheme": "balanced"}},
    "random undersampling, 1:1": {"rebalance": {"method": "under"}},
    "random oversampling, 1:1": {"rebalance": {"method": "over"}},
    "SMOTE-NC, 1:1": {"rebalance": {"method": "smote_nc"}},
    "undersampling to 0.3 and weights, inverse sqrt (the demo)": {
        "rebalance": {"method": "under", "sampling_strategy": 0.3},
        "class_weights": {"scheme": "inverse_sqrt"},
    },
}
COLUMNS = ("AUC-PR", "AUC", "F1", "Brier", "ECE", "ECE as trained (val)", "fit, s")


def main(seeds: list[int]) -> None:
    """Prints a row as soon as a technique is measured."""
    print("| technique | " + " | ".join(COLUMNS) + " |")
    print("|---|" + "---|" * len(COLUMNS), flush=True)
    with tempfile.TemporaryDirectory(prefix="techniques-") as folder:
        for name, changes in TECHNIQUES.items():
            rows = [_figures(Path(folder), seed, PLAIN | changes) for seed in seeds]
            means = [mean(list(column)) for column in zip(*rows, strict=True)]
            cells = [f"{v:.1f}" if i == len(means) - 1 else f"{v:.3f}" for i, v in enumerate(means)]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def _figures(folder: Path, seed: int, changes: dict[str, Any]) -> list[float]:
    finished = run_bank(folder, seed, changes)
    test = finished.summary["metrics"]["test"]
    as_trained = finished.report("Calibrator")["val_metrics_raw"]["ece"]
    seconds = finished.report("Trainer")["seconds"]
    return [*(test[m] for m in ("auc_pr", "auc", "f1", "brier", "ece")), as_trained, seconds]


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or list(SEEDS))
