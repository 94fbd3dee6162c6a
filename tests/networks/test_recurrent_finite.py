"""Finite recurrent networks, and how fast their kernels approach the limits."""

import jax
import numpy as np
import pytest
from references.monte_carlo import slopes_and_deviations

from ntkkit import Recurrent
from ntkkit.kernels.sequences import as_sequences

VARIANCES = {
    "recurrent_weight_var": 1.5,
    "input_weight_var": 1.2,
    "bias_var": 0.3,
    "initial_state_var": 0.8,
    "readout_weight_var": 0.9,
}


def sequences(rng, lengths):
    return [rng.standard_normal((n_steps, 2)).astype(np.float32) for n_steps in lengths]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("params", "lengths"),
    [
        ({"depth": 2}, [4, 2, 3]),
        ({"depth": 2, "readout": "mean", "bidirectional": True, "n_frozen_layers": 1}, [4, 2, 3]),
        ({"readout": "per_step", "activation": "erf"}, [3, 3, 3]),
    ],
    ids=str,
)
def test_empirical_kernels_approach_the_limits_like_one_over_root_width(params, lengths, rng):
    X = as_sequences(sequences(rng, lengths))[:, : max(lengths)]
    network = Recurrent(**VARIANCES, **params)
    limits = np.array(jax.jit(network.limits)(X, X))
    slopes, deviations = slopes_and_deviations(network, X, limits)
    assert ((slopes > -0.65) & (slopes < -0.35)).all()
    assert (deviations < 4.5).all()


def states(layers, x):
    """Those after the last layer, (T, width), step by step."""
    width = layers[0]["recurrent"].shape[0]
    w, u, b, h = (VARIANCES[name] for name in [*VARIANCES][:4])
    for layer in layers:
        state, above = np.sqrt(h) * layer["initial"], []
        for step in x:
            z = np.sqrt(w / width) * state @ layer["recurrent"] + np.sqrt(u / len(step)) * step @ layer["input"]
            state = np.maximum(z + np.sqrt(b) * layer["bias"], 0)
            above.append(state)
        x = above
    return np.array(x)


READ = {
    "last": lambda top, readout: top[-1] @ readout[0],
    "mean": lambda top, readout: top.mean(axis=0) @ readout[0],
    "per_step": lambda top, readout: sum(h @ part for h, part in zip(top, readout, strict=True)) / np.sqrt(len(top)),
}


@pytest.mark.parametrize("readout", READ)
def test_apply_is_the_formula(readout, rng):
    x = sequences(rng, [3, 3] if readout == "per_step" else [3, 1])
    network = Recurrent(depth=2, readout=readout, bidirectional=True, **VARIANCES)
    params = network.init(0, (3, 2), width=5, n_outputs=4)
    forward, backward = jax.tree.map(np.asarray, params)
    expected = [
        READ[readout](states(forward["layers"], row), forward["readout"])
        + READ[readout](states(backward["layers"], row[::-1]), backward["readout"])
        for row in x
    ]
    found = network.apply(params, as_sequences(x))
    np.testing.assert_allclose(found, np.sqrt(0.9 / 5) * np.array(expected), rtol=1e-5, atol=1e-6)


def test_parameters():
    network = Recurrent(depth=2, readout="per_step")

    def ensemble(keys):
        return jax.vmap(lambda key: network.init(key, (4, 3), width=5, n_outputs=2))(keys)

    (params,) = jax.tree.map(lambda part: part.shape, jax.eval_shape(ensemble, jax.random.split(jax.random.key(0), 7)))
    inner = {"recurrent": (7, 5, 5), "bias": (7, 5), "initial": (7, 5)}
    assert params["layers"] == [{**inner, "input": (7, 3, 5)}, {**inner, "input": (7, 5, 5)}]
    assert params["readout"] == (7, 4, 5, 2)
    one, other = (network.init(state, (4, 3), width=5)[0]["readout"] for state in (0, np.random.RandomState(0)))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_shape": 3}, r"input_shape must be \(T, m\), steps and features a step, found 3"),
        ({"input_shape": (3, 1, 1)}, r"input_shape must be \(T, m\)"),
        ({"input_shape": (0, 1)}, "input_shape must be >= 1, found 0"),
        ({"width": 0}, "width must be >= 1, found 0"),
        ({"n_outputs": 0}, "n_outputs must be >= 1, found 0"),
    ],
)
def test_bad_sizes(given, message):
    with pytest.raises(ValueError, match=message):
        Recurrent().init(0, **{"input_shape": (3, 1), **given})
