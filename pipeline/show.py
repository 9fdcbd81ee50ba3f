"""Prints a finished run's figures."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..components.errors import UserError
from ..components.reporter.report import SplitMetrics, Summary
from .paths import RunFolder


def show_run(path: Path) -> None:
    """Prints the summary in a run's folder and names its page.

    Raises:
      UserError: the folder is not a run's.
    """
    folder = RunFolder(path)
    if not folder.summary.is_file():
        raise UserError(
            f"{path}: no {folder.summary.name} there; name a run's folder, such as runs/bank/latest"
        )
    summary = Summary.model_validate_json(folder.summary.read_text(encoding="utf-8"))
    out = Console(highlight=False)
    out.print(f"{summary.name}, run {summary.run_id}: {summary.outcome}: {summary.message}")
    if summary.metrics:
        table = Table("metric", *(f"on {split}" for split in summary.metrics), box=None)
        for metric in (name for name in SplitMetrics.model_fields if name != "per_class"):
            values = [getattr(metrics, metric) for metrics in summary.metrics.values()]
            table.add_row(metric, *("-" if v is None else f"{v:.4f}" for v in values))
        out.print(table)
    if summary.pushed_path:
        out.print(f"model:  {summary.pushed_path}")
    out.print(f"report: {folder.page}")
