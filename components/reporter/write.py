"""Makes and writes a run's report.html and summary.json."""

import os
import uuid
from pathlib import Path

from .page import render
from .report import Summary
from .summary import RunInputs, summarize

PAGE_FILE = "report.html"
SUMMARY_FILE = "summary.json"


def report_files(inputs: RunInputs) -> tuple[Summary, dict[str, str]]:
    """The summary, and both files' texts by name; equal inputs give equal texts."""
    summary = summarize(inputs)
    return summary, {
        PAGE_FILE: render(inputs, summary),
        SUMMARY_FILE: summary.model_dump_json(indent=2) + "\n",
    }


def write_run_report(inputs: RunInputs, directory: str) -> Summary:
    """Writes both files into a local folder, each whole or not at all.

    The folder is made where there is none. Raises OSError where it cannot be written.
    """
    summary, files = report_files(inputs)
    os.makedirs(directory, exist_ok=True)
    for name, text in files.items():
        _write_whole(Path(directory, name), text)
    return summary


def _write_whole(path: Path, text: str) -> None:
    staging = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        staging.write_bytes(text.encode())
        os.replace(staging, path)
    finally:
        staging.unlink(missing_ok=True)
