"""The dense layer."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ntkkit.networks.layer import Layer, Shape
from ntkkit.networks.state import State, safe_ratio, safe_sqrt
from ntkkit.networks.value import check_real


class Dense(Layer):
    """z = sqrt(weight_var / fan_in) W h + sqrt(bias_var) b, all entries of W and b standard normal.

    With s = sqrt(q1 q2) and covariance k = s (1 - delta) of h, the covariance of z is k' = weight_var k + bias_var, and

        delta' = [w b (sqrt q1 - sqrt q2)^2 / (s' + w s + b) + w s delta] / s',    w = weight_var, b = bias_var,

    a sum of non-negative terms in which nothing cancels. The NTK becomes weight_var ntk + k' (without the k' when the
    parameters are frozen).

    Parameters
    ----------
    weight_var, bias_var : float, default=2.0 and 0.1
        Variances >= 0, differentiable.
    trainable : bool, default=True
        Whether the layer's parameters are trained; frozen ones add nothing to the NTK. Static.

    References
    ----------
    Jacot, Gabriel, Hongler (2018), Neural Tangent Kernel, theorem 1.

    Examples
    --------
    >>> from ntkkit.networks import Dense, Serial
    >>> linear = Serial([Dense(weight_var=1.0, bias_var=0.0)])
    >>> nngp, ntk = linear.limits([[1.0, 1.0]], [[1.0, 3.0]])
    >>> float(nngp[0, 0])
    2.0
    """

    weight_var: Any
    bias_var: Any
    trainable: bool
    _leaves = ("weight_var", "bias_var")

    def __init__(self, weight_var: float = 2.0, bias_var: float = 0.1, trainable: bool = True) -> None:
        self.__dict__.update(
            weight_var=check_real(weight_var, "weight_var"),
            bias_var=check_real(bias_var, "bias_var"),
            trainable=bool(trainable),
        )

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        weight_key, bias_key = jax.random.split(key)
        params = {
            "weight": jax.random.normal(weight_key, (input_shape[-1], n_outputs)),
            "bias": jax.random.normal(bias_key, (n_outputs,)),
        }
        return params, (*input_shape[:-1], n_outputs)

    def apply(self, params: dict[str, Array], inputs: Array) -> Array:
        if not self.trainable:
            params = jax.lax.stop_gradient(params)
        scales = self.scales(params)
        # scaling after the product keeps the hyperparameters differentiable and the parameters untouched
        return scales["weight"] * (inputs @ params["weight"]) + scales["bias"] * params["bias"]

    def scales(self, params: dict[str, Array]) -> dict[str, Array]:
        fan_in = params["weight"].shape[-2]
        return {"weight": jnp.sqrt(self.weight_var / fan_in), "bias": jnp.sqrt(self.bias_var)}

    def propagate(self, state: State) -> State:
        w, b = self.weight_var, self.bias_var
        var1, var2 = w * state.var1 + b, w * state.var2 + b
        root1, root2 = safe_sqrt(state.var1), safe_sqrt(state.var2)
        ws = w * root1 * root2
        scale1, scale2 = safe_sqrt(var1), safe_sqrt(var2)
        scale = scale1 * scale2
        total = scale + ws + b
        spread = safe_ratio(w * b * (root1 - root2) ** 2, total)
        # a reciprocal a row instead of a division a pair; 0 for a zero row without bias
        inverse = safe_ratio(1, scale1) * safe_ratio(1, scale2)
        delta = (spread + ws * state.delta) * inverse
        anti = None
        if state.anti is not None:  # the same with +, and scale - ws + b in the form that does not cancel
            obtuse = ws > b
            gap = safe_ratio(w * b * (root1 + root2) ** 2, jnp.where(obtuse, scale + ws - b, 1))
            anti = (jnp.where(obtuse, gap, scale + b - ws) + ws * state.anti) * inverse
        covariance = ws * (1 - state.delta) + b
        ntk = None if state.ntk is None else w * state.ntk
        if self.trainable:
            ntk = covariance if ntk is None else ntk + covariance
        return state._replace(var1=var1, var2=var2, delta=delta, anti=anti, ntk=ntk)
