"""Which features synthetic rows are made of."""

from dataclasses import dataclass, field, replace
from typing import Literal

from tensorflow_metadata.proto.v0 import schema_pb2

from ..names import BOOKKEEPING

FeatureType = Literal["int", "float"]


@dataclass(frozen=True)
class Features:
    """The features of transformed examples, without label and row identity.

    Attributes:
      numeric: name -> type of each feature that can be interpolated.
      categorical: names of the int features that the schema marks as categorical.
      unsupported: name -> why no synthetic value can be made for it.
      weight: name and type of the sample-weight column, if there is one.
      widths: name -> values of each numeric feature that is a fixed-length vector.
      copied: names of features that a synthetic row takes from its base as they are.
      constants: name and value of the int features of which the schema knows but one, such as an
        indicator of gaps where train has none.
    """

    numeric: dict[str, FeatureType]
    categorical: tuple[str, ...] = ()
    unsupported: dict[str, str] = field(default_factory=dict)
    weight: tuple[str, FeatureType] | None = None
    widths: dict[str, int] = field(default_factory=dict)
    copied: tuple[str, ...] = ()
    constants: tuple[tuple[str, int], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Numeric features, then categorical ones."""
        return (*self.numeric, *self.categorical)

    @property
    def values(self) -> int:
        """Numbers in a row: a vector counts once for each of its values."""
        return len(self.names) + sum(self.widths.values()) - len(self.widths)

    @property
    def value_bytes(self) -> int:
        """Bytes of a number in `Split.numeric`: integers need float64."""
        return 8 if "int" in self.numeric.values() else 4

    def copying(self) -> "Features":
        """The same with the unsupported features copied from the base row."""
        return replace(self, copied=(*self.copied, *self.unsupported), unsupported={})

    @property
    def types(self) -> dict[str, FeatureType]:
        """Name -> type of every column of a synthetic row but label and row identity."""
        categorical: dict[str, FeatureType] = dict.fromkeys(self.categorical, "int")
        return {**self.numeric, **categorical, **dict([self.weight] if self.weight else [])}


def features_of(
    schema: schema_pb2.Schema,
    label: str,
    weight: str | None = None,
    otherwise: Literal["error", "copy"] = "error",
) -> Features:
    """Reads the transformed metadata's schema.

    Args:
      schema: as Transform writes it; categorical are int features whose int_domain says so.
      label: name of the label, which is no feature.
      weight: name of the sample-weight column, which is none either.
      otherwise: what becomes of features that no synthetic value can be made for: they are
        `unsupported` or `copied`.
    """
    numeric: dict[str, FeatureType] = {}
    categorical: list[str] = []
    unsupported: dict[str, str] = {}
    widths: dict[str, int] = {}
    constants: list[tuple[str, int]] = []
    weight_column: tuple[str, FeatureType] | None = None
    for feature in sorted(schema.feature, key=lambda f: f.name):
        name = feature.name
        if name in (label, *BOOKKEEPING):
            continue
        kind: FeatureType = "int" if feature.type == schema_pb2.INT else "float"
        sizes = [dim.size for dim in feature.shape.dim]
        if feature.type not in (schema_pb2.INT, schema_pb2.FLOAT):
            unsupported[name] = "is text"
        elif not feature.HasField("shape"):
            unsupported[name] = "has no fixed shape"
        elif len(sizes) > 1 or sizes == [0]:
            unsupported[name] = f"has shape {sizes}"
        elif name == weight:
            weight_column = (name, kind)
        elif _is_constant(feature):
            constants.append((name, feature.int_domain.min))
        elif kind == "int" and feature.int_domain.is_categorical:
            if sizes in ([], [1]):
                categorical.append(name)
            else:
                unsupported[name] = f"is categorical and has shape {sizes}"
        else:
            numeric[name] = kind
            if sizes and sizes[0] > 1:
                widths[name] = sizes[0]
    found = Features(
        numeric, tuple(categorical), unsupported, weight_column, widths, constants=tuple(constants)
    )
    return found if otherwise == "error" else found.copying()


def _is_constant(feature: schema_pb2.Feature) -> bool:
    domain, sizes = feature.int_domain, [dim.size for dim in feature.shape.dim]
    one = domain.is_categorical and domain.HasField("max") and domain.min == domain.max
    return one and sizes in ([], [1])
