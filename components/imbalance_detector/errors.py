"""The failure that carries its report, so that a page can be written of it."""

from ..errors import DataCheckError
from .report import Imbalance


class ImbalanceCheckFailed(DataCheckError):
    """At least one check forbids training on this data.

    Attributes:
      report: all that was found; TFX drops what a failed node wrote, so it travels here.
    """

    def __init__(self, report: Imbalance) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return "; ".join(check.message for check in self.report.failed)
