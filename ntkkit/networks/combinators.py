"""Combinators: layers made of branches that share an input."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ntkkit.networks.activations import Identity
from ntkkit.networks.layer import Composite, Layer, Shape
from ntkkit.networks.offsets import Offsets, Sizes
from ntkkit.networks.propagation import Slabs, merged, step
from ntkkit.networks.state import State, safe_ratio, safe_sqrt


class _Branches(Composite):
    """Layers side by side: each sees the same input, with weights of its own."""

    @abstractmethod
    def merge_outputs(self, first: Array, second: Array) -> Array:
        """What the outputs of two branches become."""

    @abstractmethod
    def merge(self, first: State, second: State) -> State:
        """What the statistics of two branches become."""

    def without_ntk(self, trained: bool) -> Layer | None:
        found = (part.without_ntk(trained) for part in self.parts)
        return next((layer for layer in found if layer is not None), None)

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        params, shapes = [], []
        for part, part_key in zip(self.parts, jax.random.split(key, len(self.parts)), strict=True):
            param, shape = part.initialize(part_key, input_shape, width=width, n_outputs=n_outputs)
            params.append(param)
            shapes.append(shape)
        if len(set(shapes)) > 1:
            raise ValueError(
                f"The branches of {self!r} turn inputs of shape {input_shape} into different shapes, {shapes}: a "
                "branch that keeps its input's shape needs inputs as wide as the other branches' outputs."
            )
        return params, shapes[0]

    def apply(self, params: Any, inputs: Array) -> Array:
        outputs = [part.forward(param, inputs) for part, param in zip(self.parts, params, strict=True)]
        return functools.reduce(self.merge_outputs, outputs)

    def propagate(self, state: State) -> State:
        after = merged(lambda *states: functools.reduce(self.merge, states), [step(part, state) for part in self.parts])
        assert isinstance(after, State)
        return after

    def gather(self, slabs: Slabs) -> Slabs | State:
        slabs = slabs.stored()
        return merged(lambda *states: functools.reduce(self.merge, states), [step(part, slabs) for part in self.parts])

    def sizes_after(self, sizes: Sizes) -> Sizes:
        return self.parts[0].sizes_after(sizes)

    def offsets_before(self, offsets: Offsets, sizes: Sizes) -> Offsets:
        return functools.reduce(Offsets.union, (part.offsets_before(offsets, sizes) for part in self.parts))


class _Listed(_Branches):
    """Branches in a list."""

    branches: Sequence[Layer]

    def __init__(self, branches: Sequence[Layer]) -> None:
        if not isinstance(branches, (list, tuple)) or not branches or not all(isinstance(x, Layer) for x in branches):
            raise TypeError(f"branches must be a non-empty list of layers, found {branches!r}.")
        self.__dict__.update(branches=list(branches))

    @property
    def parts(self) -> tuple[Layer, ...]:
        return tuple(self.branches)


class _Sum(_Branches):
    """The sum of the branches' outputs: covariances add, NTKs add.

    With s_i = sqrt(q1_i q2_i) of the branches and s = sqrt((q1_a + q1_b)(q2_a + q2_b)), the distance is

        s delta = s_a delta_a + s_b delta_b + (sqrt(q1_a q2_b) - sqrt(q1_b q2_a))^2 / (s + s_a + s_b):

    no term is negative.
    """

    def merge_outputs(self, first: Array, second: Array) -> Array:
        return first + second

    def merge(self, first: State, second: State) -> State:
        var1, var2 = first.var1 + second.var1, first.var2 + second.var2
        scale = safe_sqrt(var1) * safe_sqrt(var2)
        scales = first.scale + second.scale
        crossed = safe_sqrt(first.var1) * safe_sqrt(second.var2) - safe_sqrt(second.var1) * safe_sqrt(first.var2)
        spread = safe_ratio(crossed**2, scale + scales)
        delta = safe_ratio(first.scale * first.delta + second.scale * second.delta + spread, scale)
        anti = None
        if first.anti is not None or second.anti is not None:
            anti1, anti2 = (2 - part.delta if part.anti is None else part.anti for part in (first, second))
            above = first.scale * anti1 + second.scale * anti2 + spread
            anti = jnp.where(scale > 0, safe_ratio(above, scale), 2)
        ntks = [part.ntk for part in (first, second) if part.ntk is not None]
        ntk = sum(ntks[1:], ntks[0]) if ntks else None
        return first._replace(var1=var1, var2=var2, delta=delta, anti=anti, ntk=ntk)


class SumOf(_Listed, _Sum):
    """The sum of branches that share an input, with independent weights: nngp and ntk are the sums of the branches'.

    Outputs of different branches must be uncorrelated: each branch but one ends with a Dense, whose outputs have mean
    0. Independence alone is not enough, since products of means would be missing.

    Parameters
    ----------
    branches : list of Layer
        Layers or networks; at finite width their outputs must have one shape. Static in number and kind.

    References
    ----------
    He, Zhang, Ren, Sun (2016), Deep residual learning; Huang et al. (2020), Why do deep residual networks generalize
    better than deep feedforward networks?

    Examples
    --------
    >>> from ntkkit import NNGP
    >>> from ntkkit.networks import Dense, Serial, SumOf
    >>> network = Serial([SumOf([Dense(1.0, 0.0), Dense(2.0, 0.0)]), Dense(1.0, 0.0)])
    >>> NNGP(network)([[1.0]])
    array([[3.]])
    """


class Residual(_Sum):
    """h + body(h): a skip connection around layers that end with a Dense.

    nngp <- nngp + nngp_body and ntk <- ntk + ntk_body, where ntk_body continues from the input's.

    Parameters
    ----------
    body : Layer
        A layer or network whose outputs, at finite width, have its inputs' shape.

    References
    ----------
    He, Zhang, Ren, Sun (2016), Deep residual learning for image recognition.

    Examples
    --------
    >>> from ntkkit import NTK
    >>> from ntkkit.networks import Dense, Relu, Residual, Serial
    >>> block = Residual(Serial([Relu(), Dense(2.0, 0.0)]))
    >>> network = Serial([Dense(1.0, 0.0), block, Dense(1.0, 0.0)])
    >>> NTK(network)([[1.0]])  # 1 + 1 of the skip; 1 + 1 + 1 of the block; 1 of the readout, of variance 2
    array([[5.]])
    """

    body: Layer

    def __init__(self, body: Layer) -> None:
        if not isinstance(body, Layer):
            raise TypeError(f"body must be a layer or network, found {body!r}.")
        self.__dict__.update(body=body)

    @property
    def parts(self) -> tuple[Layer, ...]:
        return Identity(), self.body


class ProductOf(_Listed):
    """The elementwise product of branches that share an input, with independent weights.

    For branches a and b,

        nngp = nngp_a nngp_b,    ntk = ntk_a nngp_b + nngp_a ntk_b,    1 - delta = (1 - delta_a)(1 - delta_b).

    A unit of one branch must be independent of the same unit of another: every branch but one has a Dense of its own,
    at its end or before an activation. Means may be anything, and one branch may be the input itself (a gate). Products
    of Gaussians are not Gaussian: let a Dense follow before the next activation.

    Parameters
    ----------
    branches : list of Layer
        Layers or networks; at finite width their outputs must have one shape. Static in number and kind.

    Examples
    --------
    >>> from ntkkit import NTK
    >>> from ntkkit.networks import Dense, ProductOf, Serial
    >>> network = Serial([ProductOf([Dense(2.0, 0.0), Dense(3.0, 0.0)]), Dense(1.0, 0.0)])
    >>> NTK(network)([[1.0]])  # 2 x 3 + 2 x 3, and 6 of the readout
    array([[18.]])
    """

    def merge_outputs(self, first: Array, second: Array) -> Array:
        return first * second

    def merge(self, first: State, second: State) -> State:
        delta = first.delta + second.delta * (1 - first.delta)
        anti = None
        if first.anti is not None or second.anti is not None:
            # 1 + c_a c_b, with 1 + c = anti of whichever is not turned back
            anti1, anti2 = (2 - part.delta if part.anti is None else part.anti for part in (first, second))
            turned = jnp.where(anti1 <= first.delta, anti1 + second.delta * (1 - anti1), 2 - delta)
            anti = jnp.where(anti2 <= second.delta, anti2 + first.delta * (1 - anti2), turned)
            delta = jnp.where((anti1 <= first.delta) & (anti2 <= second.delta), anti1 + anti2 * (1 - anti1), delta)
        scale = safe_sqrt(first.var1 * second.var1) * safe_sqrt(first.var2 * second.var2)
        proper = scale > 0
        ntks = [
            part.ntk * other.covariance for part, other in ((first, second), (second, first)) if part.ntk is not None
        ]
        return first._replace(
            var1=first.var1 * second.var1,
            var2=first.var2 * second.var2,
            delta=jnp.where(proper, delta, 0),
            anti=None if anti is None else jnp.where(proper, anti, 2),
            ntk=sum(ntks[1:], ntks[0]) if ntks else None,
        )
