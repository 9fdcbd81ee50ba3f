"""Writes a commented config after a look at the data."""

import os
import re
from pathlib import Path

import jinja2
import yaml

from ..components.errors import UserError
from ..components.example_gen.params import IngestParams
from ..components.example_gen.preflight import Column, DataInfo, guess_delimiter, inspect
from .config import parse_config
from .paths import is_uri

_TEMPLATE = """\
# Written by `tfx-imbalance init` after a look at {{ rows }}.
# Every key: docs/configuration.md; each is checked before anything runs.
name: {{ name }}
seed: 0

data:
  path: {{ path }}
{%- if delimiter != "," %}
  delimiter: {{ delimiter }}
{%- endif %}
  label: {{ label }}  # {{ counts }}
{%- if positive %}
  positive: {{ positive }}  # the class that probability and threshold are about
{%- endif %}
{%- if exclude %}
  # Identifiers and constants teach nothing. Look for leaks, too: what is known only once the
  # label is known does not belong here.
  exclude: [{{ exclude | join(", ") }}]
{%- else %}
  exclude: []  # look for leaks: what is known only once the label is known does not belong here
{%- endif %}
{%- if unlabelled %}
  unlabelled: drop  # {{ unlabelled }} rows have no label
{%- endif %}
{% for line in columns %}
# {{ line }}
{%- endfor %}

split: {mode: exact, train: 0.7, val: 0.15, test: 0.15}

# Measure before you rebalance: where a threshold can be tuned, resampling and weights often gain
# nothing. What they do to the probabilities is undone by Calibrator.
rebalance: {method: none}  # under, over, downsample_upweight, smote_nc, ...; docs/rebalancing.md
class_weights: {scheme: none}  # balanced, inverse_sqrt, effective_number, explicit, ...

calibrate:
{%- if positive %}
  threshold: {objective: f_beta, beta: 1}  # or recall_at_precision, expected_cost, ...
{%- else %}
  threshold: {objective: f_beta, beta: 1}  # or balanced_accuracy, expected_cost
{%- endif %}

evaluate:
  slices: [{{ slices | join(", ") }}]

gates:
  absolute: []  # such as {metric: auc_pr, min: 0.4}
  champion:
    - {metric: auc_pr, max_loss: 0.005}
"""
_FEW_VALUES = 12


def write_config(data: str, label: str, output: Path | None, *, force: bool) -> Path:
    """Looks at a data file and writes a config that runs on it.

    Args:
      data: path of the file, folder or pattern.
      label: the column to predict.
      output: the config's path; data's stem with .yaml in the working directory when None.
      force: overwrite an existing config.

    Returns:
      The config's path.

    Raises:
      UserError: the data cannot be used, or the config exists already.
    """
    name = _slug(Path(data).name.split(".")[0])
    path = output or Path(f"{name}.yaml")
    if path.exists() and not force:
        raise UserError(f"{path}: exists already; name another with --output, or use --force")
    delimiter = guess_delimiter(data) if Path(data).name.endswith((".csv", ".csv.gz")) else ","
    info = inspect(data, IngestParams(label=label, delimiter=delimiter, unlabelled="drop"))
    where = data if is_uri(data) else os.path.relpath(data, path.absolute().parent)
    text = _render(info, name, where, label, delimiter)
    parse_config(yaml.safe_load(text), str(path))
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def _render(info: DataInfo, name: str, data: str, label: str, delimiter: str) -> str:
    features = {name: c for name, c in info.columns.items() if c.role == "feature"}
    useless = [name for name, column in features.items() if _is_useless(column, info)]
    counts = info.class_counts
    smallest = min(counts, key=lambda c: (counts[c], c)) if len(counts) == 2 else None
    slices = [
        name
        for name, column in features.items()
        if column.feature == "bytes" and 1 < column.distinct <= _FEW_VALUES
    ]
    return jinja2.Template(_TEMPLATE, keep_trailing_newline=True, autoescape=False).render(
        rows=f"{info.rows:,} rows",
        name=name,
        path=_quoted(data),
        delimiter=delimiter if delimiter == "," else _quoted(delimiter),
        label=_quoted(label),
        counts=", ".join(f"{c}: {n:,}" for c, n in list(counts.items())[:8]).replace("\n", " "),
        positive=smallest and _quoted(smallest),
        exclude=[_quoted(name) for name in useless],
        unlabelled=info.unlabelled,
        columns=[_line(name, column).replace("\n", " ") for name, column in features.items()],
        slices=[_quoted(name) for name in slices[:2]],
    )


def _is_useless(column: Column, info: DataInfo) -> bool:
    """A constant, or a text or whole number that differs in every row."""
    identifier = column.feature != "float" and column.distinct == info.sampled
    return column.distinct <= 1 or (identifier and column.distinct > _FEW_VALUES)


def _line(name: str, column: Column) -> str:
    missing = f", {column.missing:.1%} missing" if column.missing else ""
    values = ", ".join(column.values[:4])
    return f"  {name}: {column.feature}, {column.distinct:,} values{missing}: {values}"


def _quoted(text: str) -> str:
    """One YAML scalar; JSON's quoting is YAML's too."""
    return yaml.safe_dump(text, default_style='"', width=10_000).strip()


def _slug(stem: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_") or "data"
