"""Prints a finished run's figures."""

from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..components.errors import UserError
from ..components.reporter.report import SplitMetrics, Summary
from ..components.text import shown
from .console import say
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
    try:
        summary = Summary.model_validate_json(folder.summary.read_bytes())
    except (OSError, ValidationError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no summary of this version"
        raise UserError(f"{folder.summary}: cannot be read: {said}") from None
    out = Console(highlight=False)
    say(out, f"{summary.name}, run {summary.run_id}: {summary.outcome}: {summary.message}")
    if summary.metrics:
        table = Table("metric", box=None)
        for split in summary.metrics:
            table.add_column(Text(shown(f"on {split}")))
        for metric in (name for name in SplitMetrics.model_fields if name != "per_class"):
            values = [getattr(metrics, metric) for metrics in summary.metrics.values()]
            table.add_row(metric, *("-" if v is None else f"{v:.4f}" for v in values))
        out.print(table)
    if summary.pushed_path:
        say(out, f"model:  {summary.pushed_path}")
    say(out, f"report: {folder.page}")
