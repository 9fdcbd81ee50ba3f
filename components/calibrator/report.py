"""What Calibrator did."""

from typing import ClassVar, Literal

from ..report import Kind, Report


class Calibration(Report):
    """Content of a CalibrationReport artifact. Beside it lies val_scores.npz with the arrays
    `labels`, `weights`, `raw` (probabilities as trained), `corrected` (after the prior
    correction), `probabilities` (as pushed) and `decisions`, one row of val each."""

    schema_name: ClassVar[str] = "calibration_report"

    classes: list[str]
    positive: str | None
    factors: dict[str, float]
    """class -> product of the sampling, weight and loss factors that were undone."""
    kind: Kind
    prior_corrected: bool
    method: Literal["none", "platt", "isotonic", "temperature"]
    method_reason: str
    objective: str
    threshold: float | None
    """Binary: the decision is positive where the probability is at least this."""
    decision_matrix: list[list[float]]
    """[n_classes, n_classes] M; the decision is the arg max of probabilities @ M. Binary: the
    same rule as `threshold` up to ties."""
    val_rows: int
    val_metrics_raw: dict[str, float]
    val_metrics_corrected: dict[str, float]
    val_metrics: dict[str, float]
    """On val, which served early stopping, calibration and threshold: optimistic."""
    mean_score: dict[str, float]
    """class -> mean calibrated probability on val."""
    prevalence: dict[str, float]
    """class -> share on val."""
    model_fingerprint: str
    """SHA-256 over what the pushed model computes: two equal ones score every row alike."""
