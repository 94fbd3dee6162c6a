"""Recurrent kernels: golden values, a slow reference, identities, gradients and precision."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from references import recurrent as reference
from references.activations import CASES as ACTIVATIONS
from references.hostile import hostile_sequences

from ntkkit import NTK, Engine, FullyConnected, Recurrent
from ntkkit.kernels.sequences import as_sequences

pytestmark = pytest.mark.slow  # all together: numbers that no version of a library changes

VARIANCES = {
    "recurrent_weight_var": 1.7,
    "input_weight_var": 1.3,
    "bias_var": 0.2,
    "initial_state_var": 0.6,
    "readout_weight_var": 1.5,
}


@partial(jax.jit, static_argnames="depths")
def limits(network, X, Y, depths=None):
    return jnp.stack(network.limits(X, Y, depths=depths))


@partial(jax.jit, static_argnames="depths")
def limits_diag(network, X, depths=None):
    return jnp.stack(network.limits_diag(X, depths=depths))


def in_float64(function, network, *args, **kwargs):
    """Evaluate it; networks that differ in variances share an executable."""
    with jax.enable_x64(True):
        return np.array(function(jax.tree.map(float, network), *args, **kwargs))


# ---- values

ROWS, STDS = [[1, -0.5, 0.3, 0.8], [0.2, 0.7, -1], [-0.4, 0.9, 0.1, 0.5]], (1.3, 0.8, 0.4)
SHORT_ROWS, SHORT_STDS = [[0.9, -0.4, 0.3], [0.2, 0.8, -0.5], [-0.6, 0.1, 0.7]], (1.4142, 0.5, 0.1)
GOLDEN = [  # rows; standard deviations of recurrent and input weights and biases; NTK entries 11, 12, 13, 22, 23, 33
    (ROWS, STDS, {}, [2.50908625, 0.34667264, 0.87923079, 1.66533407, 0.45360389, 1.89549946]),
    (ROWS, STDS, {"readout": "mean"}, [0.70319401, 0.38681282, 0.50279617, 0.39009864, 0.34673316, 0.51430897]),
    (
        ROWS,
        STDS,
        {"initial_state_var": 0.8},
        [4.54841305, 0.80971241, 1.96437077, 3.59605768, 0.90948553, 3.93482626],
    ),
    (ROWS, STDS, {"initial_state_var": 0.8, "readout": "mean"}, [1.34819299, 0.89502851]),
    (ROWS, STDS, {"initial_state_var": 0.8, "depth": 2}, [8.91499124, 2.08897003]),
    (ROWS, STDS, {"initial_state_var": 0.8, "depth": 2, "readout": "mean"}, [2.29212991, 1.59745045]),
    (SHORT_ROWS, SHORT_STDS, {"depth": 2}, [0.27530332, 0.07366145]),
    (SHORT_ROWS, SHORT_STDS, {"depth": 2, "readout": "per_step"}, [0.15525658]),
    (SHORT_ROWS, SHORT_STDS, {"depth": 2, "n_frozen_layers": 2}, [0.06312306]),
]


@pytest.mark.parametrize(("rows", "stds", "params", "expected"), GOLDEN)
def test_golden_values(rows, stds, params, expected):
    """Of an independent program, which agrees with wide networks; rounded to 1e-8. The reference has them, too."""
    recurrent, inputs, bias = np.square(stds)
    params = {
        "recurrent_weight_var": recurrent,
        "input_weight_var": inputs,
        "bias_var": bias,
        "readout_weight_var": 1.0,
        **params,
    }
    network = Recurrent(**params)
    depths = sorted({max(network.n_frozen_layers, 1), 2})  # those of one depth cost no compilation of their own
    K = Engine().gram_at_depths(NTK(network), rows, depths=depths)[depths.index(network.depth)]
    columns = [np.array(row)[:, None] for row in rows]
    for found in (K, reference.limits(columns, columns, **params)[1]):
        np.testing.assert_allclose(found[np.triu_indices(3)][: len(expected)], expected, rtol=0, atol=2e-8)


def related(n_features, *, equal):
    """Two lists of sequences, with beginnings in common, opposites, zero steps and sequences of one step."""
    rng = np.random.default_rng(0)
    X, Y = (
        [rng.standard_normal((n_steps, n_features)) for n_steps in lengths]
        for lengths in (([5] * 3, [5] * 2) if equal else ([3, 6, 1, 9, 12], [5, 1, 11]))
    )
    X[-1][0] = 0
    Y[0][:] = X[-1][:5]
    Y[1][:] = -X[0][: len(Y[1])]
    return X, Y


CASES = {  # features of a step, and the network
    "last": (1, {}),
    "last, deep": (3, {"depth": 3, "n_frozen_layers": 1}),
    "last, both ways": (6, {"bidirectional": True, "activation": "gelu"}),
    "last, tanh": (1, {"activation": "tanh"}),
    "mean": (1, {"readout": "mean", "depth": 2}),
    "mean, frozen": (6, {"readout": "mean", "depth": 2, "n_frozen_layers": 2, "activation": "erf"}),
    "per_step": (3, {"readout": "per_step", "depth": 2, "bidirectional": True}),
}
TANH = reference.quadrature_dual(np.tanh, lambda z: 1 / np.cosh(z) ** 2)
NO_PAST, NO_INPUTS, NO_BIAS, NO_START = (
    {name: 0.0} for name in ("recurrent_weight_var", "input_weight_var", "bias_var", "initial_state_var")
)
COMPARED = [
    *((name, {}) for name in CASES),
    *(("mean", zero) for zero in (NO_PAST, NO_INPUTS, NO_BIAS, NO_START)),
    ("last, deep", {**NO_BIAS, **NO_START}),
    ("per_step", {**NO_PAST, **NO_BIAS}),
]


@pytest.mark.parametrize(("name", "changed"), COMPARED, ids=str)
def test_reference(name, changed):
    """Both kernels at all depths, relative to sqrt(K_ii K_jj), and their diagonals."""
    n_features, params = CASES[name]
    params = {**VARIANCES, **params, **changed}
    network = Recurrent(**params)
    X, Y = related(n_features, equal=network.readout == "per_step")
    depths = tuple(range(network.depth, max(network.n_frozen_layers, 1) - 1, -1))
    found = in_float64(limits, network, as_sequences(X), as_sequences(Y), depths=depths)
    params["activation"] = {"gelu": "Gelu", "tanh": TANH}.get(network.activation, network.activation)
    error = 1e-12 if network.activation == "tanh" else 1e-14
    for i, depth in enumerate(depths):
        params["depth"] = depth
        diagonals = [np.array([reference.pair_limits(x, x, **params) for x in side], float).T for side in (X, Y)]
        scale = np.sqrt(diagonals[0][:, :, None] * diagonals[1][:, None])
        expected = reference.limits(X, Y, **params)
        np.testing.assert_allclose(found[:, i] / scale, expected / scale, rtol=0, atol=error)
        if name in ("last", "mean"):
            found_diagonal = in_float64(limits_diag, network, as_sequences(X), depths=depths)
            np.testing.assert_allclose(found_diagonal[:, i], diagonals[0], rtol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_passes_along_steps(name):
    """Of the same types and shapes: float32 inputs, where float64 is enabled."""
    network = Recurrent(depth=2, activation=ACTIVATIONS[name].activation, readout="mean", n_frozen_layers=1)
    X = jax.ShapeDtypeStruct((2, 5, 1), np.float32)
    with jax.enable_x64(True):
        for part in jax.eval_shape(network.limits, X, X):
            assert (part.shape, part.dtype) == ((2, 2), np.float32)


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_one_step_is_a_fully_connected_network(readout, rng):
    X, Y = rng.standard_normal((3, 2)), rng.standard_normal((2, 2))
    network = Recurrent(input_weight_var=1.3, bias_var=0.2, readout_weight_var=1.5, readout=readout)
    dense = FullyConnected(depth=1, weight_var=1.3, bias_var=0.2, readout_weight_var=1.5, readout_bias_var=0.0)
    found = in_float64(limits, network, X[:, None], Y[:, None])
    np.testing.assert_allclose(found, in_float64(limits, dense, X, Y), rtol=1e-14)


@pytest.mark.parametrize("name", ["last", "mean"])
def test_padding_and_order(name, rng):
    """What is behind the end of a sequence does not matter, nor where in a tile it is."""
    n_features, params = CASES[name]
    network, depths = Recurrent(**VARIANCES, **params), tuple(range(params.get("depth", 1), 0, -1))
    X, Y = map(as_sequences, related(n_features, equal=False))
    K, order = in_float64(limits, network, X, Y, depths=depths), rng.permutation(len(X))
    np.testing.assert_array_equal(in_float64(limits, network, X[order], Y, depths=depths), K[:, :, order])
    longer = np.pad(X, [(0, 0), (0, 24), (0, 0)], constant_values=np.nan)
    np.testing.assert_allclose(in_float64(limits, network, longer, Y, depths=depths), K, rtol=1e-14)


def test_per_step_has_no_number_for_unequal_lengths():
    """Kernels refuse them; what is differentiated and vmapped cannot."""
    n_features, params = CASES["per_step"]
    X, Y = map(as_sequences, related(n_features, equal=True))
    X[0, 3:] = np.nan
    K = in_float64(limits, Recurrent(**VARIANCES, **params), X, Y, depths=(2, 1))
    assert np.isnan(K[:, :, 0]).all()
    assert np.isfinite(K[:, :, 1:]).all()


@st.composite
def ragged(draw):
    """Six sequences of up to 8 steps."""
    X = draw(hnp.arrays(np.float32, (6, 8), elements=st.floats(-1e3, 1e3, width=32)))
    ends = draw(hnp.arrays(int, 6, elements=st.integers(1, 8)))
    return np.where(np.arange(8) < ends[:, None], X, np.nan)


@pytest.mark.parametrize(
    ("readout", "dtype", "tolerance"),
    [("last", np.float64, 1e-12), ("last", np.float32, 1e-6), ("mean", np.float32, 1e-6)],
)
@given(
    X=ragged(),
    recurrent_weight_var=st.floats(0, 4),
    bias_var=st.sampled_from([0.0, 0.2]),
    initial_state_var=st.sampled_from([0.0, 0.6]),
)
def test_any_sequences_give_a_positive_semidefinite_matrix(readout, dtype, tolerance, X, **variances):
    network = Recurrent(**{**VARIANCES, **variances}, readout=readout)
    K = NTK(network)(X.astype(dtype))
    assert K.shape == (6, 6)
    assert K.dtype == dtype
    assert np.isfinite(K).all()
    assert np.linalg.eigvalsh(K.astype(float)).min() >= -tolerance * max(K.diagonal().max(), 1e-30)


# ---- gradients


def test_gradients_with_respect_to_hyperparameters(rng):
    kernel, step = NTK(Recurrent(**VARIANCES)), 3e-6
    X = [rng.standard_normal(n_steps) for n_steps in (3, 6, 1, 8, 5, 5)]
    X[5] = -X[4]
    K, gradient = kernel(X, eval_gradient=True)
    assert [h.name.removeprefix("network__") for h in kernel.hyperparameters] == [*VARIANCES]
    for i, shift in enumerate(step * np.eye(5)):
        up, down = (kernel.clone_with_theta(kernel.theta + s)(X) for s in (shift, -shift))
        np.testing.assert_allclose(gradient[..., i], (up - down) / (2 * step), rtol=0, atol=1e-9 * K.max())
    W = rng.standard_normal((6, 6))
    np.testing.assert_allclose(Engine().pullback(kernel, X, W), np.einsum("ij,ijp->p", W, gradient), rtol=1e-12)


@pytest.mark.parametrize("n_features", [1, 6])
def test_gradients_with_respect_to_inputs(n_features, rng):
    """Finite at duplicates, opposites and zero steps; right where there is no kink."""
    X, Y = (as_sequences(side) for side in related(n_features, equal=False))
    W, direction = rng.standard_normal((5, 3)), 1e-6 * rng.standard_normal(X.shape)
    Y += rng.standard_normal(Y.shape)
    network = Recurrent(**VARIANCES)
    if n_features > 4:
        direction[X == 0] = 0  # the derivative there is 0 by definition

    @jax.jit
    @jax.value_and_grad
    def weighted(X, Y):
        return jnp.sum(W * network.limits(X, Y)[1])

    with jax.enable_x64(True):
        assert np.isfinite(weighted(X, X[:3])[1]).all()
        up, down = (float(weighted(X + d, Y)[0]) for d in (direction, -direction))
        gradient = np.array(weighted(X, Y)[1])
    np.testing.assert_allclose(np.nansum(gradient * direction), (up - down) / 2, rtol=1e-6)


# ---- precision

FLOAT32 = [  # the network, features of a step, and the worst errors of (NNGP, NTK), relative to sqrt(K_ii K_jj)
    ({}, 1, 4e-7, 1e-6),
    ({"bias_var": 0.0}, 1, 4e-7, 1e-6),
    ({"readout": "mean", "initial_state_var": 0.5}, 6, 4e-7, 6e-7),
]


@pytest.mark.parametrize(("params", "n_features", "nngp", "ntk"), FLOAT32, ids=str)
def test_float32_after_100_steps(params, n_features, nngp, ntk):
    X, network = as_sequences(hostile_sequences(100, n_features)), Recurrent(**params)
    found, exact = (in_float64(limits, network, X.astype(dtype), X.astype(dtype)) for dtype in (np.float32, np.float64))
    assert found.dtype == np.float32
    roots = np.sqrt(np.maximum(np.diagonal(exact, axis1=1, axis2=2), np.finfo(float).tiny))
    scale = roots[:, :, None] * roots[:, None]
    error = np.abs(found - exact) / scale
    assert (error.max(axis=(1, 2)) <= [nngp, ntk]).all()
    assert np.linalg.eigvalsh(exact / scale).min() >= -1e-13
    assert np.linalg.eigvalsh(found / scale).min() >= -1e-6
