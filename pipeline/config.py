"""What a user may say, in one object: read from YAML, checked before anything runs.

Importing this module costs no TensorFlow: `tfx-imbalance --help` stays quick.
"""

import argparse
import difflib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from typing_extensions import Self

from ..components.calibrator.params import CalibrateOptions, CalibratorParams
from ..components.class_weights import ClassWeightParams
from ..components.drift_check.params import DriftParams
from ..components.errors import UserError
from ..components.example_gen.params import DataOptions, IngestParams, SplitParams
from ..components.gate.params import GateParams
from ..components.imbalance_detector.params import CheckOptions, DetectorParams
from ..components.masking import (
    MASK,
    has_password,
    is_secret,
    mask,
    mask_data,
    remember,
    secrets_in,
)
from ..components.params import Params
from ..components.rebalancer.params import RebalanceOptions, RebalanceParams
from ..components.trainer.params import TrainerParams, TrainOptions
from ..components.tuner.params import TuneOptions, TunerParams
from ..components.tuner.space import space_of
from .kubeflow_params import KubeflowSection
from .preprocessing_params import PreprocessingParams
from .yaml_reading import read_yaml

NODES = (
    "StratifiedExampleGen",
    "StatisticsGen",
    "Transform",
    "Rebalancer",
    "Evaluator",
)
"""Nodes that run on Beam and may have options of their own."""

_MOST_EXTENDED = 20
_MOST_MISTAKES = 200
_YAML_WORDS = {
    "Input should be": "expected",
    "a valid integer": "an integer",
    "a valid dictionary": "a map",
    "a valid tuple": "a list",
    "a valid list": "a list",
    "a valid ": "a ",
}
"""What pydantic calls things -> what they are called in a config."""


class DataSection(DataOptions):
    """Where the rows are and what each column is for."""

    path: str = Field(min_length=1, description="file, folder or pattern; relative to the config")
    positive: str | None = Field(
        None, description="positive class of a binary label; the smaller class when not given"
    )
    schema_file: str | None = Field(
        None,
        description="curated TFDV schema (.pbtxt), which holds as strictly as it says; when not "
        "given, inferred from train, and then any value may be missing",
    )


class EvaluateSection(Params):
    """What is measured on test beside the whole of it."""

    slices: tuple[str, ...] = Field((), description="columns whose values are slices")


class OutputSection(Params):
    """Where runs and pushed models go; relative to the working directory."""

    runs_dir: str = Field("runs", description="folder of all runs")
    serving_dir: str | None = Field(None, description="<runs_dir>/<name>/serving when not given")


class MetadataSection(Params):
    """Where ML Metadata keeps the lineage."""

    kind: Literal["sqlite", "mysql", "postgresql"] = Field("sqlite", description="which database")
    path: str | None = Field(None, description="sqlite file; <runs_dir>/<name>/metadata.sqlite")
    host: str | None = Field(None, description="of the database server")
    port: int | None = Field(None, ge=1, le=65535, description="3306 or 5432 when not given")
    database: str | None = Field(None, description="name of the database")
    user: str | None = Field(None, description="name of its user")
    password_env: str | None = Field(
        None, description="environment variable with the password; never the password itself"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [k for k in ("host", "database", "user") if getattr(self, k) is None]
        if self.kind != "sqlite" and missing:
            raise ValueError(f"kind {self.kind} needs {', '.join(missing)}")
        return self


class BeamSection(Params):
    """Beam pipeline options, passed through as they are."""

    default: tuple[str, ...] = Field((), description="for every Beam node; the local runner's own")
    nodes: dict[Literal[NODES], tuple[str, ...]] = Field(  # type: ignore[valid-type]
        {}, description="node -> its own options, after the default ones"
    )


def _extendable(schema: dict[str, Any]) -> None:
    """A file may leave to `extends` what a whole config must have: see `load_config`."""
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "another config, relative to this one; its sections hold, but for those "
        "that stand here, whole, and its name",
    }
    schema["required"].remove("data")
    schema["anyOf"] = [{"required": ["data"]}, {"required": ["extends"]}]


class Config(Params):
    """A pipeline: data to pushed model."""

    model_config = ConfigDict(json_schema_extra=_extendable)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="names the run folder")
    seed: int = Field(0, ge=0, lt=2**32, description="of splits, sampling and training")
    data: DataSection
    split: SplitParams = SplitParams()
    checks: CheckOptions = CheckOptions()
    preprocessing: PreprocessingParams = PreprocessingParams()
    rebalance: RebalanceOptions = RebalanceOptions()
    class_weights: ClassWeightParams = ClassWeightParams()
    tune: TuneOptions = TuneOptions()
    train: TrainOptions = TrainOptions()
    calibrate: CalibrateOptions = CalibrateOptions()
    evaluate: EvaluateSection = EvaluateSection()
    gates: GateParams = GateParams()
    drift: DriftParams = DriftParams()
    output: OutputSection = OutputSection()
    metadata: MetadataSection = MetadataSection()
    beam: BeamSection = BeamSection()
    kubeflow: KubeflowSection | None = Field(
        None, description="how the pipeline runs on Kubeflow; `compile` needs it"
    )

    @model_validator(mode="after")
    def _without_secrets(self) -> Self:
        said = self.model_dump(exclude={"beam"})
        for path, text in texts(said, ""):
            if has_password(text):
                raise ValueError(
                    f"{path}: the address holds a password, which ML Metadata would keep; leave it "
                    "out: stores and servers take theirs from the environment"
                )
        for path, text in texts({k: v for k, v in said.items() if k != "kubeflow"}, ""):
            if is_secret(path.rpartition(".")[2]) and text != path.rpartition(".")[2]:
                raise ValueError(
                    f"{path}: looks like a secret, which ML Metadata would keep; have it read from "
                    "the environment"
                )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        special = {
            "data.exclude": self.data.exclude,
            "data.weight": (self.data.weight,),
            "data.group_by": (self.data.group_by,),
        }
        for path, columns in special.items():
            if self.data.label in columns:
                raise ValueError(f"{path}: {self.data.label!r} is data.label")
        excluded = set(self.data.exclude)
        for path, columns in {
            "data.weight": (self.data.weight,),
            "evaluate.slices": self.evaluate.slices,
            "checks.slices": self.checks.slices,
            "gates.slices": tuple(gate.column for gate in self.gates.slices),
        }.items():
            if lost := [c for c in columns if c in excluded]:
                raise ValueError(f"{path}: {', '.join(map(repr, lost))} is in data.exclude")
        if "{SPAN}" in self.data.path and self.split.mode != "stable":
            raise ValueError(
                "split.mode: found 'exact', a path with {SPAN} needs 'stable', since with moving "
                "cuts the champion would have been trained on today's test rows"
            )
        if self.train.balances:
            for path, found in {
                "rebalance.method": self.rebalance.method,
                "class_weights.scheme": self.class_weights.scheme,
            }.items():
                if found != "none":
                    raise ValueError(
                        f"{path}: found {found!r}, expected none: {self.train.balances}; leave "
                        "one of the two out"
                    )
        if self.tune.enabled and self.train.run_fn is not None:
            raise ValueError(
                f"tune.enabled: found true, expected false where train.run_fn is "
                f"{self.train.run_fn!r}: only built-in learners are searched; leave one of the "
                "two out"
            )
        if self.tune.enabled:
            try:
                space_of(self.tune.space, self.train)
            except UserError as error:
                raise ValueError(str(error)) from None
        return self

    def check_columns(self, columns: Iterable[str]) -> None:
        """Checks the columns that the config names against those that the data has.

        Raises:
          UserError: every name that the data lacks, with the nearest ones it has.
        """
        has = set(columns)
        named = {
            "evaluate.slices": self.evaluate.slices,
            "checks.slices": self.checks.slices,
            "gates.slices": tuple(gate.column for gate in self.gates.slices),
            "preprocessing.categorical": self.preprocessing.categorical,
        }
        wrong = []
        for path, names in named.items():
            for name in names:
                if name not in has:
                    near = difflib.get_close_matches(name, has, n=3)
                    hint = (
                        f"did you mean {' or '.join(map(repr, near))}?"
                        if near
                        else "see its header"
                    )
                    wrong.append(f"{path}: the data has no column {name!r}; {hint}")
        if wrong:
            raise UserError(*wrong)

    def check_dataflow(self, *places: str) -> None:
        """Checks that Dataflow's workers find this package and the data.

        Args:
          places: what the Beam nodes read and write, local paths or URIs.

        Raises:
          UserError: a node runs there without its image or a bucket, or a place is out of reach.
        """
        parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
        for option in ("--runner", "--sdk_container_image", "--temp_location"):
            parser.add_argument(option, default="")
        wrong = []
        for node in NODES:
            options = [*self.beam.default, *self.beam.nodes.get(node, ())]
            try:
                given, _ = parser.parse_known_args(options)
            except argparse.ArgumentError as error:  # an option at the end, without its value
                wrong.append(f"beam: {node}: {error}")
                continue
            if given.runner != "DataflowRunner":
                continue
            where = f"beam: {node} runs on Dataflow"
            if not given.sdk_container_image:
                wrong.append(
                    f"{where} without --sdk_container_image; name an image with this package, "
                    "see docs/deploy.md"
                )
            for place in (given.temp_location, *places):
                if not place.startswith("gs://"):
                    named = f", whose workers do not see {place}" if place else ""
                    option = "" if place else " without --temp_location"
                    wrong.append(f"{where}{option}{named}; expected gs://bucket/path")
        if wrong:
            raise UserError(*dict.fromkeys(wrong))

    def check_outside(self) -> None:
        """Checks that the files, functions and samplers that the config names are there.

        The modules of the functions are found, not run.

        Raises:
          UserError: every one that is not.
        """
        wrong = []
        schema_file = self.data.schema_file
        if schema_file and "://" not in schema_file and not Path(schema_file).is_file():
            wrong.append(f"data.schema_file: no such file: {schema_file}")
        elif schema_file and "://" not in schema_file:
            wrong += _wrong_with_schema(schema_file)
        for path, name in {
            "preprocessing.fn": self.preprocessing.fn,
            "train.run_fn": self.train.run_fn,
        }.items():
            if name is None:
                continue
            module, _, function = name.rpartition(".")
            try:
                found = bool(module and function) and importlib.util.find_spec(module)
            except ModuleNotFoundError:
                found = None
            if not found:
                wrong.append(
                    f"{path}: found {name!r}; expected package.module.function of a module that "
                    "lies in the working directory, on PYTHONPATH or is installed"
                )
        if self.rebalance.method == "imblearn":
            wrong += _wrong_with_sampler(self.rebalancer)
        if wrong:
            raise UserError(*wrong)

    def told(self) -> str:
        """The config as YAML, its secrets masked: for the report and for ML Metadata."""
        said = mask_data(self.model_dump(mode="json"))
        return yaml.safe_dump(said, sort_keys=False, allow_unicode=True)

    @property
    def slices(self) -> tuple[str, ...]:
        """Columns that Evaluator slices by: those asked for, and those that a gate judges."""
        return tuple(dict.fromkeys([*self.evaluate.slices, *(g.column for g in self.gates.slices)]))

    @property
    def ingest(self) -> IngestParams:
        """StratifiedExampleGen's parameters."""
        options = self.data.model_dump(include=set(DataOptions.model_fields))
        return IngestParams(**options, split=self.split, seed=self.seed)

    @property
    def detector(self) -> DetectorParams:
        """ImbalanceDetector's parameters."""
        return DetectorParams(
            **self.checks.model_dump(),
            label=self.data.label,
            positive=self.data.positive,
            row_id=True,
            split_shares=(self.split.train, self.split.val, self.split.test),
            schema_file=self.data.schema_file,
            k_neighbors=self.rebalance.k_neighbors,
            class_weights=self.class_weights,
        )

    @property
    def rebalancer(self) -> RebalanceParams:
        """Rebalancer's parameters."""
        return RebalanceParams(**self.rebalance.model_dump(), seed=self.seed)

    @property
    def trainer(self) -> TrainerParams:
        """Trainer's parameters."""
        return TrainerParams(
            **self.train.model_dump(),
            class_weights=self.class_weights,
            label=self.data.label,
            weight=self.data.weight,
            seed=self.seed,
        )

    @property
    def tuner(self) -> TunerParams:
        """Tuner's parameters."""
        return TunerParams(
            **self.tune.model_dump(), trainer=self.trainer, rebalance=self.rebalancer
        )

    @property
    def calibrator(self) -> CalibratorParams:
        """Calibrator's parameters."""
        return CalibratorParams(
            **self.calibrate.model_dump(),
            label=self.data.label,
            weight=self.data.weight,
            seed=self.seed,
        )


def load_config(path: str | Path) -> Config:
    """Reads and checks a YAML config; relative data paths become relative to the config's folder.

    A config with a key `extends`, the path of another one relative to its own folder, has the
    sections of that one but those that it states itself, and a name of its own.

    Raises:
      UserError: every mistake in it at once, each with its path, the value and what is allowed.
    """
    return parse_config(_sections(Path(path), ()), str(path))


def _sections(path: Path, extended_by: tuple[Path, ...]) -> dict[str, Any]:
    """What a file and those that it extends say, with data paths beside their own file."""
    try:
        raw = _read(path)
    except UserError as error:
        if not extended_by:
            raise
        raise UserError(f"{extended_by[-1]}: extends: {error}") from None
    here = _resolved(path).parent
    data = raw.get("data")
    if isinstance(data, dict):
        for key in ("path", "schema_file"):
            if isinstance(data.get(key), str) and data[key]:
                data[key] = _beside(here, data[key], f"{path}: data.{key}")
    base = raw.pop("extends", None)
    if base is None:
        return raw
    if not isinstance(base, str):
        raise UserError(f"{path}: extends: found {_show(base)}; expected the path of a config")
    seen = (*extended_by, _resolved(path))
    if _resolved(here / base) in seen:
        raise UserError(f"{path}: extends: {base} extends this file itself; remove one of the two")
    if len(seen) > _MOST_EXTENDED:
        raise UserError(f"{path}: extends: more than {_MOST_EXTENDED} configs in a chain")
    inherited = _sections(here / base, seen)
    inherited.pop("name", None)  # two configs of one name would share runs and champion
    return inherited | raw


def _read(path: Path) -> dict[str, Any]:
    """A YAML file's sections."""
    raw = read_yaml(path)
    if raw is None:
        raise UserError(f"{path}: is empty; expected sections such as `name:` and `data:`")
    if not isinstance(raw, dict):
        raise UserError(
            f"{path}: expected sections such as `name:` and `data:`, found {_show(raw)}"
        )
    return raw


def parse_config(raw: dict[str, Any], source: str) -> Config:
    """Checks a config given as plain data.

    Raises:
      UserError: as `load_config`; `source` names where it came from.
    """
    remember(*secrets_in(raw))
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        said: dict[str, list[str]] = {}  # a union fails once for each of its branches
        mistakes = error.errors(include_url=False)[:_MOST_MISTAKES]
        paths = {_path(mistake) for mistake in mistakes}
        for mistake in mistakes:
            # Of a union the branch that got farthest tells most.
            if any(path.startswith(f"{_path(mistake)}.") for path in paths):
                continue
            what, expected = _in_words(mistake)
            if what in said:
                expected = expected.removeprefix("expected ")
            said.setdefault(what, []).append(expected)
        lines = (what + " or ".join(dict.fromkeys(e)) for what, e in said.items())
        raise UserError(*(f"{source}: {line}" for line in lines)) from None


def texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every text in plain data, keys too, with its dotted path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            below = f"{path}.{key}" if path else str(key)
            yield below, str(key)
            yield from texts(inner, below)


def _wrong_with_schema(path: str) -> list[str]:
    """Why a schema's file cannot be read, if it cannot."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    where = f"data.schema_file: {path}"
    try:
        text = Path(path).read_bytes().decode("utf-8")
        schema = text_format.Parse(text, schema_pb2.Schema())
    except OSError as error:
        return [f"{where}: cannot be read: {error.strerror}"]
    except UnicodeDecodeError:
        return [f"{where}: cannot be read: it is no text; expected a schema as .pbtxt"]
    except text_format.ParseError as error:
        line = f"line {error.GetLine()}: " if error.GetLine() else ""
        said = re.sub(r"^\d+:\d+ : ", "", str(error))
        return [f"{where}: {line}not a schema: {' '.join(said.split())[:200]}"]
    except RecursionError:
        return [f"{where}: not a schema: nested too deeply"]
    return [] if schema.feature else [f"{where}: names no feature"]


def _wrong_with_sampler(params: RebalanceParams) -> list[str]:
    """What can be told of a sampler of imbalanced-learn before there are features."""
    from ..components.rebalancer.features import Features
    from ..components.rebalancer.samplers import imblearn_sampler

    arguments = {k: v for k, v in params.sampler_params.items() if k != "categorical_features"}
    try:
        imblearn_sampler.built(
            params.model_copy(update={"sampler_params": arguments}), Features({})
        )
    except UserError as error:
        return str(error).split("\n")
    return []


def _beside(folder: Path, path: str, where: str) -> str:
    if re.match(r"^[a-z0-9]+://", path):
        return path
    try:
        return str(folder / Path(path).expanduser())
    except RuntimeError:
        user = Path(path).parts[0]
        raise UserError(f"{where}: found {_show(path)}; there is no home folder {user}") from None


def _resolved(path: Path) -> Path:
    """Without links; as it is where they lead in a circle or it is no path at all."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path.absolute()


def _in_words(error: ErrorDetails) -> tuple[str, str]:
    """One pydantic error as 'path: found VALUE; ' and what was expected."""
    location, path = _location(error), _path(error)
    if error["type"] == "extra_forbidden":
        known = sorted(_fields_at(location[:-1]))
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{path}: unknown key; ", hint
    if error["type"] == "missing":
        return f"{path}: missing; ", "it must be given"
    message = error["msg"].removeprefix("Value error, ").partition(", unable to parse")[0]
    for theirs, ours in _YAML_WORDS.items():
        message = message.replace(theirs, ours)
    if error["type"] == "value_error":
        key, _, rest = message.partition(": ")
        if path and rest and key in _fields_at(location):  # of a section, about one of its keys
            return f"{path}.{key}: ", rest
        return f"{path}: " if path else "", message
    if error["type"] == "string_pattern_mismatch":
        message = f"expected the form {error['ctx']['pattern']}"
        described = getattr(_model_at(location[:-1]), "model_fields", {}).get(location[-1])
        if described and described.description:
            message += f" ({described.description})"
    if error["type"] == "string_type" and isinstance(error["input"], bool | int | float):
        message += " (YAML takes a bare yes, no, true or number for another type: quote it)"
    return f"{path}: found {_show(error['input'], location[-1] if location else '')}; ", message


def _location(error: ErrorDetails) -> list[str | int]:
    return [part for part in error["loc"] if not _is_union_branch(part)]


def _path(error: ErrorDetails) -> str:
    return ".".join(str(part) for part in _location(error))


def _is_union_branch(part: str | int) -> bool:
    """Pydantic names the branch of a union it tried ('float', 'dict[str,int]', 'literal[...]')."""
    return isinstance(part, str) and bool(
        re.match(r"^(float|int|str|literal\[.*|dict\[.*|constrained-.*|tuple\[.*|\[key\])$", part)
    )


def _fields_at(location: list[str | int]) -> set[str]:
    return set(getattr(_model_at(location), "model_fields", ()))


def _model_at(location: list[str | int]) -> Any:
    """The type of a section, also where maps and lists lie on the way to it."""
    model: Any = Config
    for part in location:
        if part not in getattr(model, "model_fields", ()):
            continue
        annotation = model.model_fields[part].annotation
        arguments = [a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")]
        model = arguments[0] if arguments else annotation
    return model


def _show(value: Any, key: str | int = "") -> str:
    """A value for a message; not that of a key whose name says that it is secret."""
    text = MASK if is_secret(str(key)) else mask(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."
