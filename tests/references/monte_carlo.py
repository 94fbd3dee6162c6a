"""Kernels of finite networks."""

from functools import partial

import jax
import numpy as np


@partial(jax.jit, static_argnames=("network", "width"))
def empirical_kernels(network, X, width, key):
    """Empirical (nngp, ntk): averages over many outputs, and a contraction of the Jacobian of one output."""
    params = network.init(key, X.shape[1:], width=width, n_outputs=width)
    jacobian = jax.jacobian(lambda p: network.apply(p, X)[:, 0])(params)
    ntk = sum(leaf.reshape(len(X), -1) @ leaf.reshape(len(X), -1).T for leaf in jax.tree.leaves(jacobian))
    outputs = network.apply(params, X)
    return outputs @ outputs.T / outputs.shape[1], ntk


def slopes_and_deviations(network, X, limits, *, widths=(32, 256), n_draws=100):
    """For (nngp, ntk): the power of the width that errors fall with, and how far means are off, in standard errors.

    Errors of single networks fall like width^(-1/2); those of their means, like 1 / width, are seen at no width here.
    """
    errors = []
    for width in widths:
        keys = jax.random.split(jax.random.key(0), n_draws)
        draws = np.array([empirical_kernels(network, X, width, key) for key in keys])  # (draw, kernel, n, n)
        errors.append(np.sqrt(np.mean((draws - limits) ** 2, axis=(0, 2, 3))))
    deviations = np.abs(draws.mean(axis=0) - limits) / (draws.std(axis=0) / np.sqrt(n_draws))
    return np.polyfit(np.log(widths), np.log(errors), 1)[0], deviations.max(axis=(1, 2))
