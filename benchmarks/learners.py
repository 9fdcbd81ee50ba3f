"""What each learner earns on bank and fars: the tables of docs/learners.md.

`python -m benchmarks.learners [CONFIG ...]`; all of configs/learners when none is named. Each
config runs as it is, through to a pushed model; those of one data set share rows and features. All
figures but the times are of test; with several classes AUC-PR, AUC and recall are macro averages.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks._bank import ROOT, run_config
from tfx_imbalance.pipeline.config import load_config

CONFIGS = ROOT / "configs" / "learners"
COLUMNS = ("AUC-PR", "AUC", "recall", "Brier", "ECE", "fit, s", "model, MB", "outcome")


def main(paths: list[Path]) -> None:
    """Prints a row as soon as a learner is measured."""
    print("| data | learner | " + " | ".join(COLUMNS) + " |")
    print("|---|---|" + "---|" * len(COLUMNS), flush=True)
    with tempfile.TemporaryDirectory(prefix="learners-") as folder:
        for path in paths:
            print(_row(Path(folder), path), flush=True)


def _row(folder: Path, path: Path) -> str:
    config = load_config(path)
    data, _, learner = config.name.partition("-")
    # One name, so that the data nodes are run once; without a champion each model stands alone.
    gates = config.gates.model_dump(mode="json") | {"champion": []}
    finished = run_config(path, folder, {"name": data, "gates": gates})
    summary, seconds = finished.summary, finished.report("Trainer")["seconds"]
    test = summary["metrics"]["test"]
    cells = [f"{test[metric]:.3f}" for metric in ("auc_pr", "auc", "recall", "brier", "ece")]
    cells += [f"{seconds:.1f}", f"{finished.model_bytes() / 1e6:.1f}", summary["outcome"]]
    return f"| {data} | {learner} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    named = [Path(name) for name in sys.argv[1:]]
    main(named or sorted(CONFIGS.glob("*.yaml")))
