"""Which features synthetic rows are made of."""

from dataclasses import dataclass, field
from typing import Literal

from tensorflow_metadata.proto.v0 import schema_pb2

from ..names import ROW_ID

FeatureType = Literal["int", "float"]


@dataclass(frozen=True)
class Features:
    """The features of transformed examples, without label and row identity.

    Attributes:
      numeric: name -> type of each feature that can be interpolated.
      categorical: names of the int features that the schema marks as categorical.
      unsupported: name -> why no synthetic value can be made for it.
      weight: name and type of the sample-weight column, if there is one.
    """

    numeric: dict[str, FeatureType]
    categorical: tuple[str, ...] = ()
    unsupported: dict[str, str] = field(default_factory=dict)
    weight: tuple[str, FeatureType] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Numeric features, then categorical ones."""
        return (*self.numeric, *self.categorical)

    @property
    def types(self) -> dict[str, FeatureType]:
        """Name -> type of every column of a synthetic row but label and row identity."""
        categorical: dict[str, FeatureType] = dict.fromkeys(self.categorical, "int")
        return {**self.numeric, **categorical, **dict([self.weight] if self.weight else [])}


def features_of(schema: schema_pb2.Schema, label: str, weight: str | None = None) -> Features:
    """Reads the transformed metadata's schema.

    Args:
      schema: as Transform writes it; categorical are int features whose int_domain says so.
      label: name of the label, which is no feature.
      weight: name of the sample-weight column, which is none either.
    """
    numeric: dict[str, FeatureType] = {}
    categorical: list[str] = []
    unsupported: dict[str, str] = {}
    weight_column: tuple[str, FeatureType] | None = None
    for feature in sorted(schema.feature, key=lambda f: f.name):
        name = feature.name
        if name in (label, ROW_ID):
            continue
        kind: FeatureType = "int" if feature.type == schema_pb2.INT else "float"
        if feature.type not in (schema_pb2.INT, schema_pb2.FLOAT):
            unsupported[name] = "is text"
        elif not feature.HasField("shape"):
            unsupported[name] = "has no fixed shape"
        elif (sizes := [dim.size for dim in feature.shape.dim]) not in ([], [1]):
            unsupported[name] = f"has shape {sizes}"
        elif name == weight:
            weight_column = (name, kind)
        elif kind == "int" and feature.int_domain.is_categorical:
            categorical.append(name)
        else:
            numeric[name] = kind
    return Features(numeric, tuple(categorical), unsupported, weight_column)
