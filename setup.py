"""Package list only: `find:` cannot map datasets/ into the package. All metadata is in setup.cfg."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["ntkkit*"]), "ntkkit._data"],
    package_dir={"ntkkit._data": "datasets"},
)
