"""The image, once for all tests."""

import pytest

from tests.kubeflow.image import build_image
from tests.kubeflow.spec_runner import Image


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_image(tmp_path_factory.mktemp("image"))
