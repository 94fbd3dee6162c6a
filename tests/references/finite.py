"""Finite networks without compilation."""

import jax
import numpy as np


def normal_params(network, shape, *, width, n_outputs, seed=0):
    """As `network.init` has them, every entry standard normal; drawn by numpy, which compiles nothing."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: network.init(0, shape, width=width, n_outputs=n_outputs))
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape), shapes)
