"""A learner's parameters by dotted path, as Tuner proposes them and a HyperParameters artifact
names them: `mlp.learning_rate` is `learning_rate` of TrainOptions' section `mlp`.

keras_tuner's values are numbers and text; any other value stands there as JSON text.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ..errors import UserError
from ..params import Params
from .params import ENSEMBLES, TrainOptions

P = TypeVar("P", bound=TrainOptions)


def tunable(options: TrainOptions) -> dict[str, FieldInfo]:
    """Path -> field of everything that the learner reads of its sections."""
    sections: list[str] = ["ensemble" if options.learner in ENSEMBLES else options.learner]
    member = options.ensemble_member
    if member is not None and member in TrainOptions.model_fields:
        sections.append(member)
    found: dict[str, FieldInfo] = {}
    for section in sections:
        _collect(getattr(options, section), section, found)
    return found


def _collect(params: Params, prefix: str, into: dict[str, FieldInfo]) -> None:
    for name, info in type(params).model_fields.items():
        value = getattr(params, name)
        if isinstance(value, Params):
            _collect(value, f"{prefix}.{name}", into)
        else:
            into[f"{prefix}.{name}"] = info


def value_at(options: TrainOptions, path: str) -> Any:
    """What the options say at a path that `tunable` gives."""
    return functools.reduce(getattr, path.split("."), options)


def overridden(options: P, values: Mapping[str, Any]) -> P:
    """The options with other values at some paths.

    Args:
      options: as the user gave them.
      values: path -> value, plain or encoded.

    Raises:
      UserError: a path that the learner does not read, or a value that is not allowed there.
    """
    known = tunable(options)
    changed = options.model_dump()
    for path, value in values.items():
        if path not in known:
            raise UserError(
                f"hyperparameter {path!r}: learner {options.learner} does not read it; expected "
                f"one of {', '.join(known)}"
            )
        *sections, name = path.split(".")
        functools.reduce(dict.__getitem__, sections, changed)[name] = decoded(value)
    try:
        return type(options).model_validate(changed)
    except ValidationError as error:
        mistake = error.errors()[0]
        path = ".".join(map(str, mistake["loc"])) or "hyperparameters"
        said = mistake["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        found = f"found {mistake['input']!r}; " if mistake["loc"] else ""
        raise UserError(f"hyperparameter {path}: {found}{said}") from None


def encoded(value: Any) -> Any:
    """A value as keras_tuner takes it: numbers and text as they are, others as JSON text."""
    plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    return value if plain else json.dumps(value)


def decoded(value: Any) -> Any:
    """What `encoded` was given."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
