"""The family of recurrent networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ntkkit.networks.activations import Activation, resolve_activation
from ntkkit.networks.families import check_depth
from ntkkit.networks.layer import Layer
from ntkkit.networks.network import Limits, Network, as_key
from ntkkit.networks.recurrence import Recurrence
from ntkkit.networks.sequences import Sequences, lengths
from ntkkit.networks.state import State
from ntkkit.networks.tracks import Track
from ntkkit.networks.value import check_count, check_real

READOUTS = ("last", "mean", "per_step")


class Recurrent(Network):
    """Recurrent network for sequences of any length: `depth` recurrent layers, then a readout.

    Layer l has at step t, all entries of W, U, b standard normal and the initial state h_0 ~ N(0, initial_state_var),

        z_t = sqrt(recurrent_weight_var / width) W h_(t-1) + sqrt(input_weight_var / fan_in) U x_t + sqrt(bias_var) b,
        h_t = activation(z_t),

    where x_t is the input or, for l > 1, the state of the layer below. With F[S] = E[h h] and D[S] = E[phi' phi'] for
    pre-activations of covariance S, its kernels between step t of one sequence and s of another are

        S_l(t, s) = recurrent_weight_var F[S_l(t-1, s-1)] + input_weight_var F[S_(l-1)(t, s)] + bias_var,
        T_l(t, s) = S_l(t, s) + recurrent_weight_var D T_l(t-1, s-1) + input_weight_var D T_(l-1)(t, s),

    and those of a readout are A(t, s) = readout_weight_var (F[S] + D[S] T) for the NTK, without the second term for the
    NNGP. Sequences are aligned at their start.

    Parameters
    ----------
    depth : int, default=1
        Recurrent layers, >= 1. Static.
    activation : str, function or Activation, default="relu"
        As of `FullyConnected`.
    recurrent_weight_var, input_weight_var, bias_var : float, default=2.0, 2.0 and 0.1
        Variances >= 0 of W, U and b, differentiable. With relu a recurrent_weight_var of 2 keeps the size of a state;
        far from it the past is forgotten, or grows exponentially.
    initial_state_var : float, default=0.0
        Variance >= 0 of the initial state: one random vector a layer, the same for all sequences, and not trained. It
        tells sequences of equal lengths from others. Differentiable.
    readout_weight_var : float, default=2.0
        Variance >= 0 of the readout's weights; it has no bias. Differentiable.
    readout : {"last", "mean", "per_step"}, default="last"
        "last": of the last state, A(T, S); O(min(T, S)) steps a pair. "mean": of the average of all states, the average
        of A over all (t, s); O(T S). "per_step": a readout of its own for each state, whose sum over sqrt(T) is the
        average of A(t, t); for sequences of equal length. Static.
    bidirectional : bool, default=False
        Whether a second such network reads the sequences from their end, and the outputs are added. Static.
    n_frozen_layers : int, default=0
        The first so many layers are not trained: they add nothing to the NTK. At most `depth`, where only the readout
        is trained and the NTK is the NNGP. Static.

    Raises
    ------
    ValueError, TypeError
        For negative variances, more frozen layers than there are, no layer, or unknown names.

    Notes
    -----
    Inputs are lists of arrays (T_i, m), arrays (n, T, m) with NaN behind the end of each sequence, or (n, T) where a
    step has one feature.

    With relu, float32 results of 100 steps are right to 1e-6 of sqrt(K_ii K_jj); errors grow with the number of steps,
    and with how fast variances do. Where kernels are averages of nearly opposite numbers they are less exact. Of steps
    of more than four features that are exactly zero, derivatives with respect to the inputs are 0.

    References
    ----------
    Alemohammad, Wang, Balestriero, Baraniuk (2021), The Recurrent Neural Tangent Kernel; Yang (2019), Tensor Programs
    I. There each sequence has an initial state of its own, which is no function of the data; for initial_state_var=0
    both agree.

    Examples
    --------
    >>> from ntkkit import NTK, FullyConnected, Recurrent
    >>> kernel = NTK(Recurrent(readout="mean"))
    >>> kernel([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0]]]).shape  # two sequences, of 2 steps and of 1
    (2, 2)

    At one step, a recurrent network is a fully connected one:

    >>> x = [[1.0]]
    >>> NTK(Recurrent())(x), NTK(FullyConnected(depth=1, readout_bias_var=0.0))(x)
    (array([[4.2]]), array([[4.2]]))
    """

    nested = True
    reads_same = False  # distances of steps are exact
    activation: str | Callable[..., Any] | Activation
    recurrent_weight_var: Any
    input_weight_var: Any
    bias_var: Any
    initial_state_var: Any
    readout_weight_var: Any
    readout: str
    bidirectional: bool
    n_frozen_layers: int
    _leaves = ("recurrent_weight_var", "input_weight_var", "bias_var", "initial_state_var", "readout_weight_var")

    def __init__(
        self,
        depth: int = 1,
        activation: str | Callable[..., Any] | Activation = "relu",
        recurrent_weight_var: float = 2.0,
        input_weight_var: float = 2.0,
        bias_var: float = 0.1,
        initial_state_var: float = 0.0,
        readout_weight_var: float = 2.0,
        readout: str = "last",
        bidirectional: bool = False,
        n_frozen_layers: int = 0,
    ) -> None:
        check_count(depth, "depth", low=1)
        resolve_activation(activation)
        if readout not in READOUTS:
            raise ValueError(f"readout must be one of {sorted(READOUTS)}, found {readout!r}.")
        self.__dict__.update(
            check_depth(depth, n_frozen_layers),
            activation=activation,
            recurrent_weight_var=check_real(recurrent_weight_var, "recurrent_weight_var"),
            input_weight_var=check_real(input_weight_var, "input_weight_var"),
            bias_var=check_real(bias_var, "bias_var"),
            initial_state_var=check_real(initial_state_var, "initial_state_var"),
            readout_weight_var=check_real(readout_weight_var, "readout_weight_var"),
            readout=readout,
            bidirectional=bool(bidirectional),
        )

    @property
    def input_kind(self) -> str:
        return "sequences"

    @property
    def tile_side(self) -> int | None:
        return 64 if self.readout == "mean" else 128

    @property
    def parts(self) -> tuple[Layer, ...]:
        """What its layers share."""
        return (resolve_activation(self.activation),)

    def without_ntk(self, trained: bool = False) -> Layer | None:
        return resolve_activation(self.activation).without_ntk(trained or self.n_frozen_layers < self.depth)

    def check_together(self, arrays: Sequence[np.ndarray], names: Sequence[str] = ("X", "Y")) -> None:
        if self.readout != "per_step":
            return
        n_steps = [lengths(X) for X in arrays]
        first = n_steps[0][0]
        for name, found in zip(names, n_steps, strict=False):
            if (found != first).any():
                row = int(np.argmax(found != first))
                raise ValueError(
                    f'readout="per_step" reads sequences of equal lengths: sequence 0 of {names[0]} has {first} steps, '
                    f'sequence {row} of {name} has {found[row]}. Cut them, or use readout="last" or "mean".'
                )

    # ---- infinite width

    def limits(self, X: Any, Y: Any, *, same: bool = False, depths: Sequence[int] | None = None) -> Limits:
        wanted = [self.depth] if depths is None else [check_count(depth, "depths", low=1) for depth in depths]
        if not wanted or min(wanted) < self.n_frozen_layers:
            raise ValueError(
                f"depths must be one or more integers >= n_frozen_layers={self.n_frozen_layers}, found {depths!r}."
            )
        recurrence = self._recurrence(max(wanted))
        run = {
            "last": recurrence.of_last_steps,
            "mean": recurrence.of_all_steps,
            "per_step": recurrence.of_equal_steps,
        }[self.readout]
        pairs = zip(self._directions(X), self._directions(Y), strict=True)
        found = [run(*pair, [depth - 1 for depth in wanted]) for pair in pairs]
        summed = jax.tree.map(lambda *parts: self.readout_weight_var * sum(parts[1:], parts[0]), *found)
        nngps, ntks = (jnp.stack(parts) for parts in zip(*summed, strict=True))
        ntks = nngps + ntks
        return (nngps[0], ntks[0]) if depths is None else (nngps, ntks)

    def limits_diag(self, X: Any, *, depths: Sequence[int] | None = None) -> Limits:
        def alone(x: Array) -> Limits:
            nngp, ntk = self.limits(x[None], x[None], same=True, depths=depths)
            return nngp[..., 0, 0], ntk[..., 0, 0]

        nngp, ntk = jax.vmap(alone)(jnp.asarray(X))
        return jnp.moveaxis(nngp, 0, -1), jnp.moveaxis(ntk, 0, -1)

    def _directions(self, X: Any) -> list[Sequences]:
        """Sequences as they are read: from their start, and from their end."""
        sequences = Sequences.of(X)
        return [sequences, sequences.reversed] if self.bidirectional else [sequences]

    def _recurrence(self, depth: int) -> Recurrence:
        return Recurrence(
            self.recurrent_weight_var,
            self.input_weight_var,
            self.bias_var,
            self.initial_state_var,
            resolve_activation(self.activation),
            tuple(index >= self.n_frozen_layers for index in range(depth)),
        )

    def meet(self, X: Any) -> None:
        """Have the activation meet the largest and the smallest variances of inputs, as `limits_diag` would."""
        recurrence = self._recurrence(self.depth)
        for sequences in self._directions(X):
            track = Track.of(sequences, recurrence)
            inside = jnp.arange(sequences.n_steps)[:, None] < sequences.last
            for variances in track.units:
                recurrence.activation.propagate(_itself(jnp.max(jnp.where(inside, variances, 0))))
                recurrence.activation.propagate(_itself(jnp.min(jnp.where(inside, variances, jnp.inf))))

    # ---- finite width

    def init(self, random_state: Any, input_shape: int | Sequence[int], *, width: int = 512, n_outputs: int = 1) -> Any:
        """Parameters of the network at a finite width, every entry standard normal.

        Parameters
        ----------
        random_state : int, RandomState instance, None, or jax key
            As in scikit-learn; jax keys can be vmapped over.
        input_shape : tuple of int
            (T, m): features a step are m; the readout "per_step" is for sequences of length T.
        width : int, default=512
            Units of each layer.
        n_outputs : int, default=1
            Units of the readout.

        Returns
        -------
        params : list, one entry a direction
            Each has ``layers`` and a ``readout``.
        """
        check_count(width, "width", low=1)
        check_count(n_outputs, "n_outputs", low=1)
        n_steps, n_features = self._steps_and_features(input_shape)
        keys = jax.random.split(as_key(random_state), 2 if self.bidirectional else 1)
        n_read = n_steps if self.readout == "per_step" else 1
        sizes = {"n_features": n_features, "width": width, "n_read": n_read, "n_outputs": n_outputs}
        return [_draw(key, self.depth, **sizes) for key in keys]

    def _steps_and_features(self, input_shape: Any) -> tuple[int, int]:
        if isinstance(input_shape, int) or len(input_shape) != 2:
            raise ValueError(f"input_shape must be (T, m), steps and features a step, found {input_shape!r}.")
        n_steps, n_features = (check_count(size, "input_shape", low=1) for size in input_shape)
        return n_steps, n_features

    def apply(self, params: Any, inputs: Array) -> Array:
        outputs = [self._forward(part, side) for part, side in zip(params, self._directions(inputs), strict=True)]
        return sum(outputs[1:], outputs[0])

    def scales(self, params: Any) -> Any:
        return [self._scales(part) for part in params]

    def _scales(self, params: Any) -> Any:
        """Of one direction's parameters. The initial state, which is not trained, keeps its variance in front."""
        n_read, width = params["readout"].shape[-3:-1]
        layers = [
            {
                "recurrent": jnp.sqrt(self.recurrent_weight_var / width),
                "input": jnp.sqrt(self.input_weight_var / layer["input"].shape[-2]),
                "bias": jnp.sqrt(self.bias_var),
                "initial": 1.0,
            }
            for layer in params["layers"]
        ]
        return {"layers": layers, "readout": jnp.sqrt(self.readout_weight_var / (width * n_read))}

    def trained(self, params: Any) -> Any:
        def layer(index: int, entries: dict[str, Array]) -> dict[str, bool]:
            return {name: name != "initial" and index >= self.n_frozen_layers for name in entries}

        return [{"layers": [layer(*pair) for pair in enumerate(part["layers"])], "readout": True} for part in params]

    def _forward(self, params: Any, X: Sequences) -> Array:
        """One direction's outputs: (n, n_outputs)."""
        activation = resolve_activation(self.activation)
        layers = [
            jax.lax.stop_gradient(layer) if index < self.n_frozen_layers else layer
            for index, layer in enumerate(params["layers"])
        ]
        width, scales = layers[0]["recurrent"].shape[0], self._scales(params)
        root = jnp.sqrt(self.initial_state_var)
        start = [jnp.broadcast_to(root * lax.stop_gradient(part["initial"]), (len(X.last), width)) for part in layers]

        def advance(states: list[Array], below: Array) -> tuple[list[Array], Array]:
            after = []
            for layer, scale, state in zip(layers, scales["layers"], states, strict=True):
                z = scale["recurrent"] * (state @ layer["recurrent"])
                z += scale["input"] * (below @ layer["input"])
                below = activation(z + scale["bias"] * layer["bias"])
                after.append(below)
            return after, below

        _, top = lax.scan(advance, start, X.values)  # (T, n, width)
        scale, read = scales["readout"], params["readout"]
        if self.readout == "last":
            state = jnp.take_along_axis(top, (X.last - 1)[None, :, None], axis=0)[0]
            return scale * (state @ read[0])
        inside = (jnp.arange(len(top))[:, None] < X.last)[..., None]
        top = jnp.where(inside, top, 0)
        if self.readout == "mean":
            return scale * (top.sum(axis=0) / X.lengths[:, None] @ read[0])
        return scale * jnp.einsum("tnw,two->no", top[: len(read)], read)


def _itself(variance: Array) -> State:
    return State(variance, variance, jnp.zeros_like(variance))


def _draw(key: Array, depth: int, *, n_features: int, width: int, n_read: int, n_outputs: int) -> Any:
    """Parameters of one direction."""
    *layer_keys, read_key = jax.random.split(key, depth + 1)
    layers: list[dict[str, Array]] = []
    for layer_key in layer_keys:
        shapes = {
            "recurrent": (width, width),
            "input": (width if layers else n_features, width),
            "bias": (width,),
            "initial": (width,),
        }
        parts = zip(shapes.items(), jax.random.split(layer_key, 4), strict=True)
        layers.append({name: jax.random.normal(part_key, shape) for (name, shape), part_key in parts})
    return {"layers": layers, "readout": jax.random.normal(read_key, (n_read, width, n_outputs))}
