"""Lists the packages: pyproject.toml cannot discover them under other names than their folders'."""

from setuptools import find_packages, setup

PACKAGE_DIRS = {
    "tfx_imbalance": "tfx_imbalance",
    "tfx_imbalance.components": "components",
    "tfx_imbalance.pipeline": "pipeline",
}

setup(
    packages=[
        name
        for root, folder in PACKAGE_DIRS.items()
        for name in (root, *(f"{root}.{sub}" for sub in find_packages(folder)))
    ]
)
