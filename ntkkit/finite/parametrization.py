"""Networks of a finite width, in the parametrisations that training tells apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.network import Network
from ntkkit.networks.value import FrozenValue, check_count, check_real

PARAMETRIZATIONS = ("ntk", "standard", "mup")


class FiniteNetwork(FrozenValue):
    """A network of a finite width, as a function of the parameters that are trained.

    With theta the standard normal entries of `network.init`, s the factors sqrt(weight_var / fan_in) or sqrt(bias_var)
    that multiply them in `network.apply`, and N the width,

        "ntk":       f(theta),                        learning rate eta,
        "standard":  f(w / s), w = s theta at first,  learning rate eta,
        "mup":       f(theta) / (gamma0 sqrt(N)),     learning rate eta gamma0^2 N.

    At initialisation "ntk" and "standard" are the same function. Under gradient descent, outputs of "ntk" and of "mup"
    move at the pace of the same kernel, eta NTK, whatever the width; gamma0 says how far features move meanwhile, and
    gamma0 -> 0 is the NTK's limit. Of "standard" that pace grows with the width.

    Parameters
    ----------
    network : Network
        Any network of ntkkit: `FullyConnected`, `Convolutional`, `Recurrent`, `Serial`, ...
    width : int, default=512
        Units (channels) N of each hidden layer, >= 1. Static.
    parametrization : {"ntk", "standard", "mup"}, default="ntk"
        Static. In "standard", entries whose variance is 0 (biases with bias_var=0) are absent: they stay 0.
    gamma0 : float, default=1.0
        Strength of feature learning > 0 in "mup"; 1 elsewhere. Differentiable.

    Raises
    ------
    TypeError
        If network is none, or width no integer.
    ValueError
        For another parametrization, a width below 1, or a gamma0 that is not positive, or not 1 outside "mup".

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel; Lee et al. (2019), Wide neural networks of any depth evolve
    as linear models under gradient descent; Bordelon, Pehlevan (2022), Self-consistent dynamical field theory of kernel
    evolution in wide neural networks.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from ntkkit import FullyConnected
    >>> from ntkkit.finite import FiniteNetwork
    >>> X, key = np.ones((2, 3), np.float32), jax.random.key(0)
    >>> ntk, standard, mup = (
    ...     FiniteNetwork(FullyConnected(depth=1), 16, name) for name in ("ntk", "standard", "mup")
    ... )
    >>> outputs = ntk.apply(ntk.init(key, (3,)), X)
    >>> bool(np.allclose(outputs, standard.apply(standard.init(key, (3,)), X), rtol=1e-5))
    True
    >>> (
    ...     bool(np.allclose(outputs, 4 * mup.apply(mup.init(key, (3,)), X), rtol=1e-5)),
    ...     float(mup.learning_rate_scale),
    ... )
    (True, 16.0)
    """

    network: Network
    width: int
    parametrization: str
    gamma0: Any
    _leaves = ("gamma0",)

    def __init__(self, network: Network, width: int = 512, parametrization: str = "ntk", gamma0: float = 1.0) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network must be a network such as FullyConnected(), found {network!r}.")
        if parametrization not in PARAMETRIZATIONS:
            raise ValueError(f"parametrization must be one of {PARAMETRIZATIONS}, found {parametrization!r}.")
        gamma0 = check_real(gamma0, "gamma0")
        if not isinstance(gamma0, jax.core.Tracer):
            if gamma0 == 0:
                raise ValueError("gamma0 must be positive; where it goes to 0, networks are those of 'ntk'.")
            if gamma0 != 1 and parametrization != "mup":
                raise ValueError(f"gamma0={gamma0!r} needs parametrization='mup', found {parametrization!r}.")
        self.__dict__.update(
            network=network,
            width=check_count(width, "width", low=1),
            parametrization=parametrization,
            gamma0=gamma0,
        )

    @property
    def learning_rate_scale(self) -> Any:
        """What a learning rate of gradient descent is multiplied by: gamma0^2 width in "mup", else 1."""
        return self.gamma0**2 * self.width if self.parametrization == "mup" else 1.0

    @property
    def output_scale(self) -> Any:
        """What the outputs of `network.apply` are multiplied by: 1 / (gamma0 sqrt(width)) in "mup", else 1."""
        return 1 / (self.gamma0 * math.sqrt(self.width)) if self.parametrization == "mup" else 1.0

    def init(self, random_state: Any, input_shape: int | Sequence[int], *, n_outputs: int = 1) -> Any:
        """The parameters at the start of training.

        Parameters
        ----------
        random_state : int, RandomState instance, None, jax key, or numpy.random.Generator
            As in scikit-learn; jax keys can be vmapped over. A Generator of numpy draws without compiling anything.
        input_shape : int or tuple of int
            The shape of one row, image or sequence (T, m), without the batch. Where the network has an `input_shape`,
            that is taken, so that images as rows do, too.
        n_outputs : int, default=1
            Units of the readout.

        Returns
        -------
        params : pytree of jax arrays, or of ndarray from a Generator
            Standard normal entries; in "standard" times sqrt(weight_var / fan_in), or sqrt(bias_var).
        """
        shape = input_shape if self.network.input_shape is None else self.network.input_shape
        shape = shape if isinstance(shape, int) else tuple(shape)
        sizes = {"width": self.width, "n_outputs": n_outputs}
        if isinstance(random_state, np.random.Generator):
            entries = _entries(self.network, shape, **sizes, dtype=jax.dtypes.canonicalize_dtype(np.float64))
            params = jax.tree.map(lambda leaf: random_state.standard_normal(leaf.shape, leaf.dtype), entries)
        else:
            params = self.network.init(random_state, shape, **sizes)
        if self.parametrization != "standard":
            return params
        return jax.tree.map(lambda entry, scale: scale * entry, params, self.network.scales(params))

    def apply(self, params: Any, X: Array) -> Array:
        """The outputs, (n, ...) -> (n, n_outputs). Pure jax.

        Parameters
        ----------
        params : pytree
            What `init` returned, trained or not.
        X : array of shape (n, ...)
            Rows, images (as rows, too), or sequences.

        Returns
        -------
        Array of shape (n, n_outputs)
        """
        if self.parametrization == "standard":
            params = jax.tree.map(_divided, params, self.network.scales(params))
        return self.output_scale * self.network.apply(params, X)

    def trained(self, params: Any) -> Any:
        """Whether each parameter is trained, frozen layers are not; booleans in the structure of params."""
        return self.network.trained(params)


@lru_cache(maxsize=64)
def _entries(network: Network, shape: int | tuple[int, ...], *, width: int, n_outputs: int, dtype: np.dtype) -> Any:
    """The shapes of parameters; they are of the dtype, which is that of jax now."""
    return jax.eval_shape(lambda: network.init(jax.random.key(0), shape, width=width, n_outputs=n_outputs))


def _divided(entry: Array, scale: Any) -> Array:
    """Entry / scale, and 0 where the scale is."""
    return entry * jnp.where(scale > 0, 1 / jnp.where(scale > 0, scale, 1), 0)
