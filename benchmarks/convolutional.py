"""Claim: Gram matrices of convolutional NTKs, up to a hundred times faster than by neural-tangents.

Symmetric Gram matrices in host memory, float32, 3 x 3 SAME convolutions and ReLU on images of three channels, with
memory="500MB". neural-tangents runs jitted on square blocks of images, the size that is best for it in the same run,
and has no triangle: its matrix takes n^2 pairs, ours n (n + 1) / 2. One block of it is timed and scaled; the JSON says
how many pairs were. Compilation is not timed.

An element is a pair of positions in one layer: (H W)^2 a layer and a pair of images before global pools, H W without.
The bounds: the arithmetic of the traced function (conditionals by their cheaper branch) at one multiply-add for two
operations, and K and Theta copied once a layer, as if nothing stayed in cache; both on all cores.

    python benchmarks/convolutional.py
    python benchmarks/convolutional.py gap8 flatten32 --directory /tmp     # some cases, and where the JSON goes
    python benchmarks/convolutional.py --size 8 --n 8 --directory /tmp     # only to see that it runs
"""

import argparse
import os
from typing import NamedTuple

import jax
import numpy as np
from common import copy_ns, multiply_add_ns, paired, ratio, report, seconds
from jax.extend.core import jaxprs_in_params

from ntkkit import NTK, Convolutional, Engine, Myrtle
from ntkkit.engine.tiles import kernel_tile
from ntkkit.interop.neural_tangents import import_neural_tangents

WEIGHT_VAR, BIAS_VAR, CHANNELS, MEMORY = 2.0, 0.1, 3, "500MB"


class Case(NamedTuple):
    """A network as letters (convolution and ReLU, average pool of 2, global average, flatten), and what is claimed."""

    letters: str
    size: int
    n: int
    blocks: tuple[int, ...]  # of images, those that neural-tangents may choose of
    claim: float | None


CASES = {
    "gap32": Case("cccg", 32, 8, (1, 2), 100),
    "gap16": Case("cccg", 16, 24, (2, 4, 8, 24), 40),
    "gap8": Case("cccg", 8, 64, (8, 16, 32, 64), 40),
    "flatten32": Case("cccccf", 32, 200, (50, 100, 200), 8),
    "myrtle5": Case("ccpcpcg", 32, 4, (1, 2), None),
}


def ours(case):
    shape, variances = (case.size, case.size, CHANNELS), {"weight_var": WEIGHT_VAR, "bias_var": BIAS_VAR}
    if "p" in case.letters:
        return NTK(Myrtle(5, input_shape=shape, **variances))
    pooling = "gap" if "g" in case.letters else "flatten"
    return NTK(Convolutional(case.letters.count("c"), pooling=pooling, input_shape=shape, **variances))


def theirs(case):
    """A function (images, images) -> block of the Gram matrix in host memory, by neural-tangents."""
    stax = import_neural_tangents().stax
    deviations = {"W_std": np.sqrt(WEIGHT_VAR), "b_std": np.sqrt(BIAS_VAR)}
    made = {
        "c": lambda: (stax.Conv(1, (3, 3), padding="SAME", **deviations), stax.Relu()),
        "p": lambda: (stax.AvgPool((2, 2), strides=(2, 2)),),
        "g": lambda: (stax.GlobalAvgPool(),),
        "f": lambda: (stax.Flatten(),),
    }
    layers = [layer for letter in case.letters for layer in made[letter]()]
    kernel_fn = jax.jit(stax.serial(*layers, stax.Dense(1, **deviations))[2], static_argnames="get")
    return lambda X, Y: np.asarray(kernel_fn(X, Y, get="ntk"))


def elements(case):
    """Pairs of positions, summed over layers, of a pair of images."""
    total, side = 0, case.size
    for letter in case.letters:
        total += (side**4 if "g" in case.letters else side**2) * (letter == "c")
        side //= 2 if letter == "p" else 1
    return total


ARITHMETIC = {
    *("add", "sub", "mul", "div", "max", "min", "neg", "abs", "sqrt", "rsqrt", "integer_pow", "exp", "log"),
    *("atan2", "sin", "cos", "select_n", "le", "lt", "ge", "gt"),
}


def operations(jaxpr):
    """Arithmetic operations of a traced function, whose loops are counted as often as they run."""
    total = 0
    for equation in jaxpr.eqns:
        name, inside = equation.primitive.name, [operations(part) for part in jaxprs_in_params(equation.params)]
        if name == "cond":  # which branch is known only when it runs
            total += min(inside)
        elif inside:
            total += sum(inside) * (equation.params["length"] if name == "scan" else 1)
        elif name in ARITHMETIC:
            total += sum(output.aval.size for output in equation.outvars)
    return total


def operations_a_pair(kernel, X, height):
    rows = jax.ShapeDtypeStruct((height, X[0].size), X.dtype)
    with jax.enable_x64(True):
        traced = jax.make_jaxpr(lambda x, y: kernel_tile(kernel, x, y, same=False))(rows, rows)
    return operations(traced.jaxpr) / height**2


def differences(found, other):
    """Largest relative differences of two square blocks on the diagonal of a Gram matrix."""
    relative = np.abs(found.astype(float) - other) / np.abs(found)
    off = relative[~np.eye(len(relative), dtype=bool)]
    return {"all entries": float(relative.max()), "off the diagonal": float(off.max()) if off.size else None}


def compare(case, repeats):
    X = np.random.default_rng(0).random((case.n, case.size, case.size, CHANNELS), dtype=np.float32)
    kernel, peer, engine = ours(case), theirs(case), Engine(memory=MEMORY)
    trials = {}
    for block in sorted({min(block, case.n) for block in case.blocks}):
        few, copy = X[:block], X[:block].copy()
        peer(few, copy)  # compiles
        trials[block] = min(seconds(lambda few=few, copy=copy: peer(few, copy)) for _ in range(2)) / block**2
    best = min(trials, key=trials.get)
    few, copy = X[:best], X[:best].copy()
    slow, *fast = paired(
        lambda: peer(few, copy),
        lambda: engine.gram(kernel, X),
        lambda: engine.gram(kernel, X),
        repeats=repeats,
        warmup=1,
    )
    n_pairs, n_timed = case.n * (case.n + 1) // 2, best**2
    a_pair = {"neural-tangents": np.median(slow) / n_timed, "ntkkit": np.median(fast) / n_pairs}
    whole = [t / n_timed * case.n**2 for t in slow]
    each_round = np.mean(fast, axis=0)
    plan, cores = engine.plan(kernel, X), os.cpu_count()
    count = operations_a_pair(kernel, X, plan.tile[0])
    return {
        "network": case.letters,
        "images": [case.n, case.size, case.size, CHANNELS],
        "claim: Gram, neural-tangents / ntkkit at least": case.claim,
        "Gram, neural-tangents / ntkkit": ratio(whole, each_round),
        "a pair, neural-tangents / ntkkit": a_pair["neural-tangents"] / a_pair["ntkkit"],
        "ms a pair": {name: float(value * 1e3) for name, value in a_pair.items()},
        "seconds of the Gram, median": {"neural-tangents": float(np.median(whole)), "ntkkit": float(np.median(fast))},
        "neural-tangents: pairs timed, of": [n_timed, case.n**2],
        "neural-tangents: ms a pair by images a block": {block: t * 1e3 for block, t in trials.items()},
        "ns an element": {name: float(value / elements(case) * 1e9) for name, value in a_pair.items()},
        "operations an element, ours": count / elements(case),
        "share of the multiply-add rate": count / 2 * multiply_add_ns(np.float32) / cores / a_pair["ntkkit"] / 1e9,
        "time of copying K and Theta once a layer / ours": 8
        * elements(case)
        * copy_ns()
        / cores
        / a_pair["ntkkit"]
        / 1e9,
        "largest relative difference": differences(engine.gram(kernel, X)[:best, :best], peer(few, copy)),
        "tile": plan.tile,
    }


def claim_line(name, found):
    median, claim = (
        found["Gram, neural-tangents / ntkkit"]["median"],
        found["claim: Gram, neural-tangents / ntkkit at least"],
    )
    verdict = "" if claim is None else f" (claimed {claim}: {'met' if median >= claim else 'MISSED'})"
    return f"{name} {median:.1f} times faster{verdict}, {found['ns an element']['ntkkit']:.2f} ns an element"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="case", help=", ".join(CASES))
    parser.add_argument("--n", type=int, help="images, in place of those of the cases")
    parser.add_argument("--size", type=int, help="their height and width")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of one neural-tangents and two of ours")
    parser.add_argument("--directory", help="where the JSON goes, results/ by default")
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no such cases: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    found = {}
    for name in options.cases:
        case = CASES[name]
        found[name] = compare(case._replace(n=options.n or case.n, size=options.size or case.size), options.repeats)
        print(claim_line(name, found[name]), flush=True)
    limits = {"ns a multiply-add, one core": multiply_add_ns(np.float32), "GB/s of a copy, one core": 1 / copy_ns()}
    report("convolutional", {**limits, **found}, options.directory)
    print("Claim: Gram matrices of convolutional networks against neural-tangents:")
    print(*(claim_line(name, found[name]) for name in found), sep="\n")


if __name__ == "__main__":
    main()
