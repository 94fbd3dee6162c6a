"""Sequences of different lengths, and a kernel of them that is cheap to compile."""

import jax.numpy as jnp
import numpy as np

from ntkkit import Kernel


class Averages(Kernel):
    """scale <mean of x_t, mean of y_s> + length_scale T S: what a user would write. Of rank m + 1."""

    _leaves = ("scale", "length_scale")

    def __init__(self, scale=1.0, length_scale=0.5):
        self.scale, self.length_scale = scale, length_scale

    @property
    def input_kind(self):
        return "sequences"

    def tile(self, X, Y, *, same=False):
        (x, t), (y, s) = self.read(X), self.read(Y)
        return self.scale * x @ y.T + self.length_scale * jnp.outer(t, s)

    def tile_diag(self, X):
        x, t = self.read(X)
        return self.scale * jnp.sum(x * x, axis=1) + self.length_scale * t**2

    @staticmethod
    def read(X):
        return jnp.nanmean(X, axis=1), jnp.sum(~jnp.isnan(X[..., 0]), axis=1).astype(X.dtype)


def averages(X, Y):
    """The same in numpy, of lists or padded arrays."""
    x, y = (np.stack([np.nanmean(a, axis=0) for a in A]) for A in (X, Y))
    t, s = (np.array([np.sum(~np.isnan(a[:, 0])) for a in A]) for A in (X, Y))
    return x @ y.T + 0.5 * np.outer(t, s)


def draw(rng, lengths, n_features=2):
    return [rng.standard_normal((length, n_features)) for length in lengths]


def pad(sequences, n_steps=None):
    """One array, as tslearn makes it, to the longest or to so many steps."""
    shape = len(sequences), n_steps or max(map(len, sequences)), sequences[0].shape[1]
    padded = np.full(shape, np.nan, sequences[0].dtype)
    for place, sequence in zip(padded, sequences, strict=True):
        place[: len(sequence)] = sequence
    return padded
