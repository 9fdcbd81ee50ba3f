"""Base class of the JSON reports that travel between components as artifacts."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

REPORT_FILE = "report.json"

Kind = Literal["none", "prior_only", "approximate"]
"""What a step did to the class prior.

`prior_only`: only P(y) moved, by known factors, so the analytic correction is exact.
`approximate`: p(x|y) moved too, so calibration on val is needed on top of it.
"""


class Report(BaseModel):
    """One report. Its JSON Schema stands in schemas/<schema_name>.schema.json."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    schema_name: ClassVar[str]


def worst_kind(*kinds: Kind) -> Kind:
    """The kind of several steps together: the least exact one."""
    order: tuple[Kind, ...] = ("none", "prior_only", "approximate")
    return max(kinds, key=order.index, default="none")
