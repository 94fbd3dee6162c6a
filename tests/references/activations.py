"""Every activation: what it computes in numpy, its layer in neural-tangents, and how right it is."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from ntkkit import networks


@dataclass
class Case:
    """`float32`: the worst error of (NNGP, NTK) in float32 on hostile rows, of sqrt(K_ii K_jj), at `depth`."""

    activation: Any
    function: Any
    stax: Any
    float32: tuple = (1e-6, 1e-6)
    derivative: bool = True
    largest: float = np.inf  # rows are scaled down to this norm: variances grow fast, or quadrature is poor beyond
    depth: int = 2
    stax_error: float = 1e-11
    eigenvalue: float = 1e-6  # below 0, in float32, of the largest diagonal entry


SQRT6 = np.sqrt(6)
CASES = {
    "Relu": Case(networks.Relu(), lambda z: np.maximum(z, 0), lambda s: s.Relu()),
    "Identity": Case(networks.Identity(), lambda z: z, lambda s: s.Identity()),
    "Erf": Case(networks.Erf(), special.erf, lambda s: s.Erf(), eigenvalue=4e-6),
    "ABRelu": Case(networks.ABRelu(-0.3, 1.2), lambda z: np.where(z < 0, -0.3, 1.2) * z, lambda s: s.ABRelu(-0.3, 1.2)),
    "LeakyRelu": Case(networks.LeakyRelu(0.2), lambda z: np.where(z < 0, 0.2, 1) * z, lambda s: s.LeakyRelu(0.2)),
    "Abs": Case(networks.Abs(), np.abs, lambda s: s.Abs()),
    "Sign": Case(networks.Sign(), np.sign, lambda s: s.Sign(), derivative=False),
    "Step": Case(networks.Step(), lambda z: 1.0 * (z > 0), lambda s: s.RectifiedMonomial(0), derivative=False),
    "Exp": Case(networks.Exp(), np.exp, lambda s: s.Exp(), largest=5.0, depth=1),
    "Rbf": Case(networks.Rbf(0.3), lambda z: np.sqrt(2) * np.sin(np.sqrt(0.6) * z + np.pi / 4), lambda s: s.Rbf(0.3)),
    "Gaussian": Case(networks.Gaussian(), lambda z: np.exp(-z * z), lambda s: s.Gaussian()),
    "Sin": Case(networks.Sin(), np.sin, lambda s: s.Sin(), eigenvalue=4e-6),
    "Cos": Case(networks.Cos(), np.cos, lambda s: s.Cos()),
    "SigmoidLike": Case(
        networks.SigmoidLike(), lambda z: (1 + special.erf(z / 2.4020563531719796)) / 2, lambda s: s.Sigmoid_like()
    ),
    "Polynomial": Case(
        networks.Polynomial([0.3, -1.0, 0.5, 0.2]),
        lambda z: 0.3 - z + 0.5 * z**2 + 0.2 * z**3,
        lambda s: s.Polynomial([0.3, -1.0, 0.5, 0.2]),
        largest=30.0,
    ),
    "RectifiedMonomial": Case(
        networks.RectifiedMonomial(3),
        lambda z: np.maximum(z, 0) ** 3,
        lambda s: s.RectifiedMonomial(3),
        largest=30.0,
        depth=1,
    ),
    "Monomial": Case(networks.Monomial(4), lambda z: z**4, lambda s: s.Monomial(4), largest=30.0, depth=1),
    # stax.Hermite is right for variances 1 only: tested apart
    "Hermite": Case(networks.Hermite(3), lambda z: (z**3 - 3 * z) / SQRT6, None, largest=30.0, depth=1),
    "Gelu": Case(networks.Gelu(), lambda z: z * special.ndtr(z), lambda s: s.Gelu()),
    "OnePlus(Relu)": Case(networks.OnePlus("relu"), lambda z: 1 + np.maximum(z, 0), None),
    "OnePlus(Identity)": Case(networks.OnePlus("identity"), lambda z: 1 + z, lambda s: s.Polynomial([1.0, 1.0])),
    "tanh": Case(
        networks.Quadrature(jnp.tanh), np.tanh, lambda s: s.ElementwiseNumerical(jnp.tanh, 200),
        largest=7.5, depth=1, stax_error=1e-8, eigenvalue=4e-6,
    ),
    "silu": Case(
        networks.Quadrature(jax.nn.silu), lambda z: z * special.expit(z),
        lambda s: s.ElementwiseNumerical(jax.nn.silu, 200), (1e-6, 5e-5), depth=1, stax_error=1e-8,
    ),
    "elu": Case(
        networks.Quadrature(jax.nn.elu), lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda s: s.ElementwiseNumerical(jax.nn.elu, 200), (1e-6, 2e-5), largest=7.5, depth=1, stax_error=1e-3,
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("name", CASES)


def hostile_rows_for(case, rows):
    """Rows no longer than `case.largest`."""
    return (rows * np.minimum(1, case.largest / np.maximum(np.linalg.norm(rows, axis=1), 1e-30))[:, None]).astype(
        np.float32
    )
