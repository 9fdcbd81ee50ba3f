"""What Reporter is told about the run."""

from pydantic import Field

from ..params import Params


class RunContext(Params):
    """The run that a report is about, as its runner knows it."""

    name: str = Field(min_length=1)
    run_id: str = Field(min_length=1, description="differs from run to run: no report is cached")
    seed: int | None = None
    weight: str | None = Field(None, description="column of sample weights")
    config: str | None = Field(None, description="the config's YAML text")
    versions: dict[str, str] = Field(
        {}, description="package -> version; those that Reporter runs on when empty"
    )
    timings_path: str | None = Field(
        None,
        description="JSON file that the runner keeps up to date: a list of objects with node, "
        "seconds, cached and made; it may not exist",
    )
