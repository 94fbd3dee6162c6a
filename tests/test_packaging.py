"""What installing and importing ntkkit brings along, and what it leaves alone."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import ntkkit

ROOT = Path(__file__).resolve().parents[1]
IMPORT_EVERYTHING = """
import importlib, pkgutil, ntkkit
for module in pkgutil.walk_packages(ntkkit.__path__, "ntkkit."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
# Not pandas: scikit-learn imports it by itself where it is installed.
OPTIONAL = [  # and filelock, which jax imports where it is installed
    *["dask", "distributed", "matplotlib", "neural_tangents", "optax", "polars", "skops", "tensorflow"],
    *["torch", "tslearn", "zarr"],
]


def run_in_fresh_interpreter(code):
    """Run code where the ntkkit of this test run is importable; what it prints last is JSON."""
    environment = os.environ | {"PYTHONPATH": str(Path(ntkkit.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("imports", ["import ntkkit", IMPORT_EVERYTHING], ids=["the package", "every module of it"])
def test_import_leaves_optional_modules_out(imports):
    imported = run_in_fresh_interpreter(f"{imports}\nimport json, sys; print(json.dumps(sorted(sys.modules)))")
    assert "ntkkit" in imported
    assert [name for name in OPTIONAL if name in imported] == []


def test_import_changes_no_global_state():
    code = f"""
import json, os, warnings
import jax, numpy, sklearn
def state():
    flags = {{name: repr(value) for name, value in jax.config.values.items()}}
    settings = [dict(os.environ), numpy.geterr(), sklearn.get_config(), str(warnings.filters)]
    return [jax.config.jax_enable_x64, flags, settings]
before = state()
{IMPORT_EVERYTHING}
after = state()
after[1] = {{name: after[1][name] for name in before[1]}}  # modules of jax may add flags of their own
print(json.dumps([before, after]))
"""
    before, after = run_in_fresh_interpreter(code)
    assert before[0] is False
    assert after == before


def test_imports_go_one_way():
    """The contracts in pyproject.toml, on the tree these tests are in."""
    lint_imports = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_version_is_the_same_everywhere():
    version = re.search(r"^version = (.+)$", (ROOT / "setup.cfg").read_text(), flags=re.MULTILINE)[1]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
