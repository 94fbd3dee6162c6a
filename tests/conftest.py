import atexit
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# Most of the time goes into compiling. What one process has compiled, others load: pytest's workers, and the scripts
# and commands that tests start. jax reads these when it is imported; workers inherit them.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    compiled = tempfile.mkdtemp(prefix="ntkkit-compiled-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": compiled, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

import jax

from ntkkit.engine import compile as engine_compile

settings.register_profile("ntkkit", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("ntkkit")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _jax_flags_stay():
    """Nothing in ntkkit may change jax's global state."""
    before = jax.config.jax_enable_x64
    yield
    assert jax.config.jax_enable_x64 == before


@pytest.fixture(scope="module", autouse=True)
def _few_memory_maps():
    """Compiled code is mapped into memory, 100 to 350 maps a kernel: beyond 65530, Linux's limit, processes crash."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()
        engine_compile.clear()
