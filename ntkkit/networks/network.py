"""The network: layers in a row, of no particular width, with both infinite-width kernels."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from sklearn.utils import check_random_state

from ntkkit.networks.images import aligned_slabs, image_slabs
from ntkkit.networks.layer import Chain, Layer, Shape
from ntkkit.networks.offsets import Offsets, two
from ntkkit.networks.propagation import Slabs, needed, through
from ntkkit.networks.state import State, diagonal_state, tile_state
from ntkkit.networks.value import FrozenValue, check_count

Limits = tuple[Array, Array]

# Numbers of an array that layers between images are evaluated for at once, and along their innermost loop at least.
# Measured on a CPU with 1 MB of cache a core; see benchmarks/README.md.
IN_CACHE = 2**16
SHORTEST_LOOP = 32


class Network(FrozenValue):
    """A network: finite at any width by `init` and `apply`, infinite by `limits`."""

    input_shape: Shape | None = None
    nested: bool = False  # whether its shallower versions are its own beginnings: `limits` takes `depths`
    depth: int  # of those that are
    reads_same: bool = True  # whether `limits` makes use of `same`

    @property
    @abstractmethod
    def input_kind(self) -> str:
        """What one input is: "rows" (features), "images" of `input_shape`, or "sequences" of rows."""

    @property
    def tile_side(self) -> int | None:
        """How many inputs make a tile that a CPU's cache holds; None leaves that to the engine."""
        return None

    @abstractmethod
    def limits(self, X: Any, Y: Any, *, same: bool = False, depths: Sequence[int] | None = None) -> Limits:
        """Both kernels of the infinitely wide network, in one pass.

        Parameters
        ----------
        X, Y : arrays of shape (n, ...) and (m, ...)
            Inputs of its kind, of a floating dtype. Pure jax: differentiable, and of the precision of the user's flag;
            `ntkkit.NTK` is the checked, tiled, numpy face of this.
        same : bool, default=False
            Say so if X is Y: the diagonal is then exact. Static.
        depths : sequence of int, optional
            For families that have a depth: the kernels at each of these depths, stacked in front.

        Returns
        -------
        nngp, ntk : arrays of shape (n, m), or (len(depths), n, m)
            The ntk is NaN where the network has none (`Sign` or `Step` after trained parameters).
        """

    @abstractmethod
    def limits_diag(self, X: Any, *, depths: Sequence[int] | None = None) -> Limits:
        """The diagonals of `limits(X, X)`, each of shape (n,), at the cost of n pairs."""

    def meet(self, X: Any) -> None:
        """Have activations meet the variances that these inputs make. Pure jax."""
        self.limits_diag(X)

    def check_together(self, arrays: Sequence[np.ndarray], names: Sequence[str] = ("X", "Y")) -> None:
        """Raise ValueError if these inputs, each of its kind, are none that the network reads together."""

    @abstractmethod
    def without_ntk(self, trained: bool = False) -> Layer | None:
        """The layer in here, if any, that leaves no NTK to trained parameters before it; `trained`: there are some."""

    @abstractmethod
    def init(self, random_state: Any, input_shape: int | Sequence[int], *, width: int = 512, n_outputs: int = 1) -> Any:
        """Parameters of the network at a finite width, every entry standard normal.

        Parameters
        ----------
        random_state : int, RandomState instance, None, or jax key
            As in scikit-learn; jax keys can be vmapped over.
        input_shape : int or tuple of int
            The shape of one input, without the batch.
        width : int, default=512
            Units (channels) of each hidden layer.
        n_outputs : int, default=1
            Units of the readout, the last layer.

        Returns
        -------
        params : pytree of jax arrays
        """

    @abstractmethod
    def apply(self, params: Any, inputs: Array) -> Array:
        """The finite network's outputs: (n, ...) -> (n, n_outputs). Pure jax."""

    @abstractmethod
    def scales(self, params: Any) -> Any:
        """What `apply` multiplies each parameter by: sqrt(weight_var / fan_in), or sqrt(bias_var)."""

    @abstractmethod
    def trained(self, params: Any) -> Any:
        """Whether each parameter is trained; in their structure."""


class Layered(Network, Chain):
    """A network of layers one after another, of rows or images. Itself a layer of larger networks."""

    input_scale: Any = None  # what inputs are multiplied by, feature by feature

    @property
    @abstractmethod
    def sequence(self) -> tuple[Layer, ...]:
        """The layers in order; the last is the readout."""

    @property
    def parts(self) -> tuple[Layer, ...]:
        return self.sequence

    def without_ntk(self, trained: bool = False) -> Layer | None:
        for layer in self.sequence:
            found = layer.without_ntk(trained)
            if found is not None:
                return found
            trained = trained or layer.trainable
        return None

    @property
    def input_kind(self) -> str:
        return "rows" if self.input_shape is None else "images"

    # ---- infinite width

    def limits(self, X: Any, Y: Any, *, same: bool = False, depths: Sequence[int] | None = None) -> Limits:
        X, Y = self._inputs(X), self._inputs(Y)
        if not self.spatial:
            return self._limits(tile_state(X, Y, same=same), depths)
        pairs, own = self._offsets(depths)
        n_axes = X.ndim - 2
        X, Y = (part if n_axes == 2 else part[:, None] for part in (X, Y))

        def limits(X: Array) -> Limits:
            slabs = image_slabs(X, Y, pairs, n_axes=n_axes, same=same)
            if own.rows:
                one, other = (aligned_slabs(part, own, n_axes=n_axes, own=True) for part in (X, Y))
                slabs.within = one, other
            return self._limits(slabs, depths)

        if same and own.rows:  # which pairs are images with themselves matters to variances behind pools
            return limits(X)
        count = max(2, IN_CACHE // (self._entries(pairs) * len(Y)))
        nngp, ntk = (jnp.moveaxis(part, 0, -3) for part in in_chunks(limits, X, count))
        shape = (*nngp.shape[:-3], len(X), len(Y))
        return nngp.reshape(shape), ntk.reshape(shape)

    def limits_diag(self, X: Any, *, depths: Sequence[int] | None = None) -> Limits:
        X = self._inputs(X)
        if not self.spatial:
            return self._limits(diagonal_state(X), depths)
        pairs, own = self._offsets(depths)
        n_axes = X.ndim - 2

        def limits(X: Array) -> Limits:
            slabs = aligned_slabs(X, pairs, n_axes=n_axes, own=False)
            if own.rows:
                slabs.within = (aligned_slabs(X, own, n_axes=n_axes, own=True),) * 2
            return self._limits(slabs, depths)

        parts = in_chunks(limits, X if n_axes == 2 else X[:, None], max(2, IN_CACHE // self._entries(pairs)))
        nngp, ntk = (jnp.moveaxis(part[..., 0], 0, -2) for part in parts)
        return nngp.reshape(*nngp.shape[:-2], -1), ntk.reshape(*ntk.shape[:-2], -1)

    @property
    def tile_side(self) -> int | None:
        if not self.spatial or self.input_shape is None:
            return None
        pairs, _ = self._offsets(None)
        columns = len(pairs.around(two(self.input_shape[:-1]))[1])
        side = max(math.sqrt(2 * IN_CACHE / self._entries(pairs)), SHORTEST_LOOP / columns, 1)
        return 2 ** round(math.log2(side))

    def _entries(self, offsets: Offsets) -> int:
        """Numbers of one pair of images at one offset of rows."""
        assert self.input_shape is not None
        height, width = two(self.input_shape[:-1])
        return height * width * len(offsets.around((height, width))[1])

    def _offsets(self, depths: Sequence[int] | None) -> tuple[Offsets, Offsets]:
        """The offsets of positions that matter between images, and within one."""
        assert self.input_shape is not None
        found = [needed(layers, two(self.input_shape[:-1])) for layers in self._sequences(depths)]
        pairs, own = (functools.reduce(Offsets.union, part) for part in zip(*found, strict=True))
        if not pairs.rows:
            raise ValueError(
                f"The outputs of {self!r} have positions: end it with Flatten() or a global pool, and Dense()."
            )
        return pairs, own

    def _sequences(self, depths: Sequence[int] | None) -> list[tuple[Layer, ...]]:
        """The layers, at each of some depths."""
        return [self.sequence]

    def _limits(self, state: State | Slabs, depths: Sequence[int] | None) -> Limits:
        if depths is not None:
            raise ValueError(
                f"depths= needs a family with a depth, such as FullyConnected; found {type(self).__name__}."
            )
        return kernels_of(through(self.sequence, state))

    def propagate(self, state: State) -> State:
        after = self.gather(state)
        assert isinstance(after, State)
        return after

    def gather(self, slabs: Slabs | State) -> Slabs | State:
        if self.input_scale is not None:
            raise ValueError(f"{self!r} scales its inputs, so it cannot be a layer of another network.")
        return through(self.sequence, slabs)

    def _inputs(self, X: Any) -> Array:
        """Inputs as the first layer reads them: floating, scaled, images if it is spatial."""
        rows = self._rows(X)
        if not self.spatial:
            return rows
        if self.input_shape is None or len(self.input_shape) not in (2, 3):
            raise ValueError(
                f"{self!r} reads images: give it the input_shape of one, (H, W, C) or (L, C), found {self.input_shape}."
            )
        return rows.reshape(len(rows), *self.input_shape)

    def _rows(self, X: Any) -> Array:
        """Inputs as floating rows, scaled; images are flattened, which is how a dense layer reads them."""
        X = jnp.asarray(X)
        if not jnp.issubdtype(X.dtype, jnp.floating):
            X = X.astype(jax.dtypes.canonicalize_dtype(np.float64))
        X = X.reshape(len(X), -1)
        if self.input_scale is None:
            return X
        scale = jnp.asarray(self.input_scale, X.dtype)
        if scale.shape not in ((), X.shape[1:]):
            raise ValueError(f"input_scale has {scale.size} entries, inputs have {X.shape[1]} features; give one each.")
        return X * scale

    # ---- finite width

    def init(self, random_state: Any, input_shape: int | Sequence[int], *, width: int = 512, n_outputs: int = 1) -> Any:
        shape = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
        check_count(width, "width", low=1)
        check_count(n_outputs, "n_outputs", low=1)
        if not self.spatial:
            shape = (math.prod(shape),)  # as `_rows` reads them
        return self.initialize(as_key(random_state), shape, width=width, n_outputs=n_outputs)[0]

    def apply(self, params: Any, inputs: Array) -> Array:
        return self.forward(params, self._inputs(inputs))

    def scales(self, params: Any) -> Any:
        return Chain.scales(self, params)

    def trained(self, params: Any) -> Any:
        return Chain.trained(self, params)

    def forward(self, params: Any, inputs: Array) -> Array:
        for layer, param in zip(self.sequence, params, strict=True):
            inputs = layer.forward(param, inputs)
        return inputs

    def initialize(self, key: Array, input_shape: Shape, *, width: int, n_outputs: int) -> tuple[Any, Shape]:
        *hidden, readout = zip(self.sequence, jax.random.split(key, len(self.sequence)), strict=True)
        params, shape = [], input_shape
        for layer, layer_key in hidden:
            param, shape = layer.initialize(layer_key, shape, width=width, n_outputs=width)
            params.append(param)
        param, shape = readout[0].initialize(readout[1], shape, width=width, n_outputs=n_outputs)
        return [*params, param], shape


class Serial(Layered):
    """Layers one after another; the last is the readout.

    Parameters
    ----------
    layers : list of Layer
        `Dense`, activations, other networks. Static in number and kind; their hyperparameters are differentiable and
        reached by position, ``layers__0__weight_var``.
    input_shape : tuple of int, optional
        The shape of one input if inputs are images (n, H, W, C) or such images flattened.

    Examples
    --------
    >>> from ntkkit.networks import Dense, Relu, Serial
    >>> network = Serial([Dense(), Relu(), Dense()])
    >>> network.replace(layers__0__weight_var=1.0).layers[0]
    Dense(weight_var=1.0)
    """

    def __init__(self, layers: Sequence[Layer], input_shape: Sequence[int] | None = None) -> None:
        if not isinstance(layers, (list, tuple)) or not layers or not all(isinstance(x, Layer) for x in layers):
            raise TypeError(f"layers must be a non-empty list of layers, found {layers!r}.")
        self.__dict__.update(layers=list(layers), input_shape=check_shape(input_shape))

    @property
    def sequence(self) -> tuple[Layer, ...]:
        return tuple(self.__dict__["layers"])


def in_chunks(function: Callable[[Array], Limits], X: Array, count: int) -> Limits:
    """A function of `count` rows at a time, or of fewer that divide them all; results stacked in front."""
    count = next(size for size in range(min(count, len(X)), 0, -1) if len(X) % size == 0)
    if count == len(X):
        nngp, ntk = function(X)
        return nngp[None], ntk[None]
    return jax.lax.map(jax.checkpoint(function, prevent_cse=False), X.reshape(-1, count, *X.shape[1:]))


def kernels_of(state: State | Slabs) -> Limits:
    """(nngp, ntk) of a final state."""
    assert isinstance(state, State)  # `_offsets` refuses networks whose outputs have positions
    nngp = state.covariance
    return nngp, jnp.zeros_like(nngp) if state.ntk is None else state.ntk


def check_shape(input_shape: Sequence[int] | None) -> Shape | None:
    """An input shape as a tuple of positive integers, or None."""
    if input_shape is None:
        return None
    if not isinstance(input_shape, (list, tuple)) or not input_shape:
        raise TypeError(f"input_shape must be a tuple of integers such as (28, 28, 1), found {input_shape!r}.")
    return tuple(check_count(size, "input_shape", low=1) for size in input_shape)


def as_key(random_state: Any) -> Array:
    """A jax key, from whatever scikit-learn takes as `random_state`."""
    if isinstance(random_state, jax.Array):
        return random_state
    return jax.random.key(check_random_state(random_state).randint(np.iinfo(np.int32).max))
