"""What a user may say to DriftCheck."""

from pydantic import Field

from ..params import Params


class DriftParams(Params):
    """DriftCheck's bounds; distances are Jensen-Shannon divergence (numeric) and L-infinity
    (categorical), as in TFDV, less what chance alone makes."""

    prior_warn: float = Field(0.05, gt=0, description="relative change of the minority's share")
    prior_search: float = Field(0.25, gt=0, description="relative change that asks for a search")
    feature_warn: float = Field(0.05, gt=0, le=1, description="distance of a feature that warns")
    feature_search: float = Field(0.2, gt=0, le=1, description="distance that asks for a search")
