import jax
import numpy as np
import pytest
from hypothesis import settings

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
