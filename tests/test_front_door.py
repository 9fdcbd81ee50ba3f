"""What `tfx_imbalance` offers; a new component or artifact type is checked as it is named."""

import importlib
import inspect
import subprocess
import sys

import pytest
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.types.artifact import Artifact

import tfx_imbalance
from tfx_imbalance.components.rebalancer import estimators

PUBLIC = {name: getattr(tfx_imbalance, name) for name in tfx_imbalance.__all__}
CLASSES = {name: c for name, c in PUBLIC.items() if isinstance(c, type)}
COMPONENTS = {name: c for name, c in CLASSES.items() if issubclass(c, BaseComponent)}
ARTIFACTS = {name: a for name, a in CLASSES.items() if issubclass(a, Artifact)}
LIBRARY = {"Features", "RebalanceExamples", "RebalanceParams", "resample", *estimators.__all__}


def test_every_name_is_a_component_an_artifact_type_or_of_the_library() -> None:
    assert set(COMPONENTS) | set(ARTIFACTS) | LIBRARY == set(PUBLIC)


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_what_the_library_offers_is_documented(name: str) -> None:
    assert inspect.getdoc(PUBLIC[name])


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_s_type_name_is_its_import_path(name: str) -> None:
    module, _, attribute = ARTIFACTS[name].TYPE_NAME.rpartition(".")
    assert getattr(importlib.import_module(module), attribute) is ARTIFACTS[name]


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_is_documented_and_says_what_it_gives(name: str) -> None:
    text = inspect.getdoc(COMPONENTS[name]) or ""
    assert "outputs` contains" in text
    assert f"{name}(" in text, "an example of its use"
    for output in COMPONENTS[name].SPEC_CLASS.OUTPUTS:
        assert f"`{output}`" in text


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_s_cache_sees_an_edit_of_its_code(name: str) -> None:
    assert "code_fingerprint" in COMPONENTS[name].SPEC_CLASS.PARAMETERS


def test_importing_the_package_imports_no_tfx() -> None:
    code = "import sys, tfx_imbalance; assert not {'tfx', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Rebalanser"):
        _ = tfx_imbalance.Rebalanser
