"""Where parameters meet inputs: products and convolutions of a function, found in its equations.

A weight W that is read once, in z = h W at positions p, has the gradient sum_p h_p delta_p' of each output, with delta
the derivative of the output by z. Both factors are small where W is large.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# Steps of a weight on its way to the product which leave inner products of its gradients as they are.
_ISOMETRIES = ("transpose", "reshape", "squeeze", "convert_element_type")
_INLINED = ("jit", "pjit", "closed_call", "core_call")


class Tap(NamedTuple):
    """An equation z = h W, and which of the parameters W is.

    Attributes
    ----------
    leaf, equation : int
        Places of W among the parameters, and of the equation.
    operand : int
        The place of W among the equation's operands.
    arrange_inputs : callable
        Operands h as (positions, fan in).
    arrange_outputs : callable
        Arrays like z as (positions, units).
    """

    leaf: int
    equation: int
    operand: int
    arrange_inputs: Callable[[Array], Array]
    arrange_outputs: Callable[[Array], Array]


class Equations:
    """A function of (parameters, one input) as equations, with the taps of its parameters.

    Parameters
    ----------
    function : callable
        ``function(leaves, x) -> outputs``.
    leaves : list of arrays
        Of the parameters; only shapes and dtypes matter.
    x : array
        The same.
    """

    def __init__(self, function: Callable[..., Any], leaves: Sequence[Any], x: Any) -> None:
        shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (*leaves, x)]
        traced = jax.make_jaxpr(lambda *args: function(list(args[:-1]), args[-1]))(*shapes)
        flat = jax.make_jaxpr(lambda *args: _evaluate(traced.jaxpr, traced.consts, args))(*shapes)
        self._jaxpr, self._consts = flat.jaxpr, flat.consts
        uses: dict[Any, list[tuple[int, int]]] = {}
        for i, equation in enumerate(self._jaxpr.eqns):
            for position, var in enumerate(equation.invars):
                if not isinstance(var, Literal):
                    uses.setdefault(var, []).append((i, position))
        for var in self._jaxpr.outvars:
            if not isinstance(var, Literal):
                uses.setdefault(var, []).append((-1, 0))
        ends = [self._end(var, uses) for var in self._jaxpr.invars[:-1]]
        #: Parameters that nothing, or only a stopped gradient, reads.
        self.idle = {leaf for leaf, end in enumerate(ends) if end == _IDLE}
        if len(self.idle) == len(leaves):
            self.idle = set()  # zeros then have to come from somewhere
        taps = (_tap(leaf, end, self._jaxpr.eqns[end[0]]) for leaf, end in enumerate(ends) if end[0] >= 0)
        #: The taps, in the order of parameters.
        self.taps = [tap for tap in taps if tap is not None]

    def _end(self, var: Any, uses: dict[Any, list[tuple[int, int]]]) -> tuple[int, int]:
        """Where a parameter is read, if that is at one place: (equation, operand), and -1 for none."""
        while len(uses.get(var, [])) == 1:
            i, position = uses[var][0]
            equation = self._jaxpr.eqns[i]
            if i >= 0 and equation.primitive.name == "stop_gradient":
                return _IDLE
            if i < 0 or equation.primitive.name not in _ISOMETRIES:
                return i, position
            var = equation.outvars[0]
        return _OPEN if uses.get(var) else _IDLE

    def __call__(self, leaves: Sequence[Array], x: Array, changes: Sequence[Array]) -> tuple[Array, list[Array]]:
        """The output when a change is added to each tap's z, and each tap's h."""
        at: dict[int, list[Array]] = {}
        for tap, change in zip(self.taps, changes, strict=True):
            at.setdefault(tap.equation, []).append(change)
        seen: dict[int, list[Array]] = {}

        def add(i: int, inputs: list[Array], outputs: list[Array]) -> list[Array]:
            if i not in at:
                return outputs
            seen[i] = inputs
            return [sum(at[i], start=outputs[0])]

        (output,) = _evaluate(self._jaxpr, self._consts, [*leaves, x], add)
        return output, [seen[tap.equation][1 - tap.operand] for tap in self.taps]

    @property
    def bytes_between(self) -> int:
        """Bytes of all that the equations make on the way from one input to its outputs."""
        return _bytes_made(self._jaxpr)

    def changes(self) -> list[Array]:
        """A zero change for each tap."""
        avals = [self._jaxpr.eqns[tap.equation].outvars[0].aval for tap in self.taps]
        return [jnp.zeros(aval.shape, aval.dtype) for aval in avals]


_OPEN, _IDLE = (-1, 0), (-1, 1)


def _evaluate(
    jaxpr: Any,
    consts: Sequence[Any],
    args: Sequence[Any],
    seen: Callable[[int, list[Any], list[Any]], list[Any]] = lambda i, inputs, outputs: outputs,
) -> list[Any]:
    """Evaluate equations one by one, calls inlined; `seen` replaces outputs."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))
    for i, equation in enumerate(jaxpr.eqns):
        inputs = [_value(var, values) for var in equation.invars]
        outputs = seen(i, inputs, _apply(equation, inputs))
        values.update(zip(equation.outvars, outputs, strict=True))
    return [_value(var, values) for var in jaxpr.outvars]


def _value(var: Any, values: dict[Any, Any]) -> Any:
    return var.val if isinstance(var, Literal) else values[var]


def _apply(equation: Any, inputs: list[Any]) -> list[Any]:
    if equation.primitive.name in _INLINED and "jaxpr" in equation.params:
        inner = equation.params["jaxpr"]
        return _evaluate(inner.jaxpr, inner.consts, inputs)
    bound = equation.primitive.get_bind_params(equation.params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)  # a pair before jax 0.10
    outputs = equation.primitive.bind(*functions, *inputs, **params)
    return list(outputs) if equation.primitive.multiple_results else [outputs]


def _bytes_made(jaxpr: Any) -> int:
    """Bytes of all results of equations, of each round of a loop."""
    made = [var.aval for equation in jaxpr.eqns for var in equation.outvars]
    rounds = [
        equation.params.get("length", 1) * _bytes_made(inner)
        for equation in jaxpr.eqns
        for inner in _inner_equations(equation.params)
    ]
    return sum(aval.size * aval.dtype.itemsize for aval in made if hasattr(aval, "size")) + sum(rounds)


# ---- products and convolutions


def _tap(leaf: int, end: tuple[int, int], equation: Any) -> Tap | None:
    make = {"dot_general": _of_product, "conv_general_dilated": _of_convolution}.get(equation.primitive.name)
    arranged = None if make is None else make(equation, end[1])
    return None if arranged is None else Tap(leaf, end[0], end[1], *arranged)


Arranged = tuple[Callable[[Array], Array], Callable[[Array], Array]]


def _of_product(equation: Any, operand: int) -> Arranged | None:
    contracting, batch = equation.params["dimension_numbers"]
    if any(batch):
        return None
    summed = contracting[1 - operand]
    fan_in = math.prod(equation.invars[1 - operand].aval.shape[axis] for axis in summed)
    n_units = math.prod(equation.invars[operand].aval.shape) // fan_in

    def arrange_inputs(h: Array) -> Array:
        return jnp.moveaxis(h, summed, range(-len(summed), 0)).reshape(-1, fan_in)

    def arrange_outputs(z: Array) -> Array:
        return z.reshape(-1, n_units) if operand == 1 else z.reshape(n_units, -1).T

    return arrange_inputs, arrange_outputs


def _of_convolution(equation: Any, operand: int) -> Arranged | None:
    params = equation.params
    if operand != 1 or params["feature_group_count"] > 1 or params["batch_group_count"] > 1:
        return None
    numbers = params["dimension_numbers"]
    filter_sizes = [equation.invars[1].aval.shape[axis] for axis in numbers.rhs_spec[2:]]
    sizes = [equation.outvars[0].aval.shape[axis] for axis in numbers.out_spec[2:]]

    def arrange_inputs(h: Array) -> Array:
        h = jnp.transpose(h, (numbers.lhs_spec[0], *numbers.lhs_spec[2:], numbers.lhs_spec[1]))
        inside = [step - 1 for step in params["lhs_dilation"]]
        borders = [(0, 0, 0), *((*pad, i) for pad, i in zip(params["padding"], inside, strict=True)), (0, 0, 0)]
        h = jax.lax.pad(h, jnp.zeros((), h.dtype), borders)
        parts = []
        for offsets in itertools.product(*map(range, filter_sizes)):
            starts = [offset * step for offset, step in zip(offsets, params["rhs_dilation"], strict=True)]
            windows = zip(starts, sizes, params["window_strides"], strict=True)
            parts.append(h[:, *(slice(a, a + (n - 1) * step + 1, step) for a, n, step in windows)])
        return jnp.concatenate(parts, axis=-1).reshape(-1, len(parts) * h.shape[-1])

    def arrange_outputs(z: Array) -> Array:
        out = numbers.out_spec
        z = jnp.transpose(z, (out[0], *out[2:], out[1]))
        return z.reshape(-1, z.shape[-1])

    return arrange_inputs, arrange_outputs


def _inner_equations(params: dict[str, Any]) -> Iterator[Jaxpr]:
    """The functions among the parameters of an equation."""
    for value in params.values():
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(part, ClosedJaxpr | Jaxpr):
                yield part.jaxpr if isinstance(part, ClosedJaxpr) else part
