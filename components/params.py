"""Base class of what a user may say to a component."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Typed parameters of one component: unknown keys refused, immutable, JSON both ways.

    A component takes one such object, stores `to_property()` as its execution property
    `params`, and its executor reads it back with `from_property`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def to_property(self) -> str:
        """The canonical JSON text that goes into ML Metadata and the cache key."""
        return self.model_dump_json()

    @classmethod
    def from_property(cls, value: str) -> Any:
        """Reads `to_property()` back."""
        return cls.model_validate_json(value)
