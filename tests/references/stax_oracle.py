"""neural-tangents' kernels of the networks that ntkkit describes, in float64."""

import jax
import numpy as np

from ntkkit.interop.neural_tangents import import_neural_tangents


def fully_connected_limits(
    X,
    Y=None,
    *,
    depth=3,
    activation="relu",
    weight_var=2.0,
    bias_var=0.1,
    readout_weight_var=None,
    readout_bias_var=None,
    n_frozen_layers=0,
    input_shape=None,
):
    """(nngp, ntk) of ntkkit's FullyConnected(...), (n, d), (m, d) -> (n, m), by neural-tangents.

    stax.Dense has no switch that freezes it, but a stax network may start from another's Kernel: the first layers make
    one, and the rest start from it with its NTK set to zero.
    """
    if input_shape is not None:
        assert np.prod(input_shape) == np.shape(X)[1]
    stax = import_neural_tangents().stax
    hidden = [layer for _ in range(depth) for layer in (dense(weight_var, bias_var), activation_layer(activation))]
    readout = dense(
        weight_var if readout_weight_var is None else readout_weight_var,
        bias_var if readout_bias_var is None else readout_bias_var,
    )
    frozen, trained = hidden[: 2 * n_frozen_layers], [*hidden[2 * n_frozen_layers :], readout]
    with jax.enable_x64(True):
        kernel = stax.serial(*(frozen or [stax.Identity()]))[2](np.asarray(X, float), as_float64(Y))
        kernel = kernel.replace(ntk=0 * kernel.ntk)
        kernel = stax.serial(*trained)[2](kernel)
        nngp, ntk = np.array(kernel.nngp), np.array(kernel.ntk)
    assert nngp.dtype == ntk.dtype == np.float64
    return nngp, ntk


def dense(weight_var, bias_var):
    """The stax layer z = sqrt(weight_var / fan_in) W h + sqrt(bias_var) b; its width is of no account here."""
    bias_std = np.sqrt(bias_var) if bias_var else None
    return import_neural_tangents().stax.Dense(1, W_std=np.sqrt(weight_var), b_std=bias_std, parameterization="ntk")


def activation_layer(name):
    """The stax layer of one of ntkkit's activations by name."""
    stax = import_neural_tangents().stax
    return {"relu": stax.Relu, "erf": stax.Erf, "identity": stax.Identity}[name]()


def as_float64(X):
    return None if X is None else np.asarray(X, float)


def limits_of(layers, X, Y):
    """(nngp, ntk) of the layers that a function makes from the module stax."""
    stax = import_neural_tangents().stax
    with jax.enable_x64(True):
        kernel = stax.serial(*layers(stax))[2](np.asarray(X, float), np.asarray(Y, float))
        return np.array(kernel.nngp), np.array(kernel.ntk)
