"""Names that more than one room must agree on. Each stands here and nowhere else."""

import hashlib
import re
from typing import Literal

ROW_ID = "_row_id"
"""int64 feature: a row's identity, a 64-bit hash of its features (hashing.row_ids)."""

ROW_COPY = "_row_copy"
"""int64 feature: which of the rows of one identity a row is, from 0 (hashing.copy_ids)."""

BOOKKEEPING = (ROW_ID, ROW_COPY)
"""Features that tell rows apart: no model input, and in no statistics."""

GROUP_ID = "_group_id"
"""int64 feature of raw rows, where data.group_by is set: which rows stay together."""

SAMPLING_WEIGHT = "_sampling_weight"
"""float feature of rows that stand for others of their class: how many; 1 where it is absent."""

# Features of synthetic rows, where Rebalancer's `provenance` asks for them.
SYNTHETIC_BASE = "_synthetic_base"  # int64, identity of the row it was made of
SYNTHETIC_NEIGHBOR = "_synthetic_neighbor"  # int64, of the row it lies towards
SYNTHETIC_GAP = "_synthetic_gap"  # float32, how far on the way
SYNTHETIC_METHOD = "_synthetic_method"  # bytes, which sampler

RESERVED: dict[str, str] = {
    ROW_ID: "a row's identity",
    ROW_COPY: "which of the rows of one identity a row is",
    GROUP_ID: "a row's group",
    SAMPLING_WEIGHT: "how many rows a row stands for",
    "_synthetic_*": "what a synthetic row was made of",
    "examples": "the model's input of whole records",
}
"""Names that no column of the data may have -> what they are for; `*` stands for any ending."""


def reserved_for(column: str) -> str | None:
    """What the name of a column is reserved for; None where data may use it."""
    for name, purpose in RESERVED.items():
        if column == name or (name.endswith("*") and column.startswith(name[:-1])):
            return purpose
    return None


def in_file_name(column: str) -> str:
    """A column's name as part of a file's: at most 100 bytes, a long one with its digest."""
    name = re.sub(r"[^\w.-]", "_", column).encode()
    if len(name) > 100:
        digest = hashlib.sha256(column.encode()).hexdigest()[:16]
        return f"{name[:80].decode(errors='ignore')}_{digest}"
    return name.decode()


TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)

# Outputs of a trained model's `serving_default` (Trainer) and of the pushed one (Calibrator).
LOGITS = "logits"  # float32 [n, n_classes], Trainer's model
PROBABILITIES = "probabilities"  # float32 [n, n_classes], calibrated
PROBABILITY = "probability"  # float32 [n]: of the positive class (binary), of the decision (else)
DECISION = "decision"  # int64 [n]: class index after the operating point
LABEL = "label"  # string [n]: the decision's class name
LABEL_INDEX = "label_index"  # TFMA's label: the row's true class index, by the evaluation signature

EXTRA_DIR = "assets.extra/tfx_imbalance"
"""Folder in the pushed SavedModel with the champion's own reports and train statistics."""

NETWORK_FILE = "network.npz"
"""In EXTRA_DIR of a trained mlp and of what is pushed of it: what a later training starts from."""

Metric = Literal[
    "auc",
    "auc_pr",
    "recall",
    "precision",
    "f1",
    "balanced_accuracy",
    "g_mean",
    "mcc",
    "brier",
    "log_loss",
    "ece",
]
"""Figures of a model on one split, see components/metrics.py."""
