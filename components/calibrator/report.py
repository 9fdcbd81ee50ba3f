"""What Calibrator did."""

from typing import ClassVar

from pydantic import Field

from ..report import Kind, Report
from .params import Method

SCORES_FILE = "val_scores.npz"


class Calibration(Report):
    """Content of a CalibrationReport artifact. Beside it lies val_scores.npz with the arrays
    `labels`, `weights`, `raw` (probabilities as trained), `corrected` (after the prior
    correction), `probabilities` (as pushed) and `decisions`, one row of val each."""

    schema_name: ClassVar[str] = "calibration_report"

    classes: list[str]
    positive: str | None
    factors: dict[str, float]
    """class -> product of the sampling, weight and loss factors; undone if `prior_corrected`."""
    kind: Kind
    prior_corrected: bool
    method: Method
    method_reason: str
    objective: str
    """In words, such as 'f_beta (beta = 1)'."""
    objective_value: float | None = None
    """The objective on val at the operating point; NaN where val does not define it."""
    threshold: float | None
    """Binary: the decision is positive where the probability is at least this."""
    decision_matrix: list[list[float]]
    """[n_classes, n_classes] M; the decision is the arg max of probabilities @ M. Binary: the
    same rule as `threshold` up to ties."""
    val_rows: int
    """Rows of val with a known label; the others are left out."""
    val_metrics_raw: dict[str, float]
    """As trained; decisions by the arg max. NaN where val lacks a class, as in all three."""
    val_metrics_corrected: dict[str, float]
    """After the prior correction; decisions by the arg max."""
    val_metrics: dict[str, float]
    """On val, which served early stopping, calibration and threshold: optimistic."""
    mean_score: dict[str, float]
    """class -> mean calibrated probability on val."""
    prevalence: dict[str, float]
    """class -> share on val."""
    warnings: list[str] = Field([])
    """What did not go as asked, such as a precision that no threshold reaches."""
    model_fingerprint: str
    """SHA-256 over what the pushed model computes: two equal ones score every row alike."""
