"""Claim: a fully connected NTK Gram in host memory, many times faster than by neural-tangents, and righter.

n rows of d features, 5 hidden layers. neural-tangents runs jitted, on blocks of the size that is best for it in the
same run (whole matrix, as it has no triangle), its blocks copied into one numpy array. Compile time is measured apart.

    python benchmarks/fully_connected.py            # the claim: n = 4000
    python benchmarks/fully_connected.py --activation erf     # or gelu
    python benchmarks/fully_connected.py --activation tanh --n 1000 --blocks 100 250   # by quadrature, on both sides
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from common import multiply_add_ns, paired, ratio, report, seconds

from ntkkit import NTK, Engine, FullyConnected
from ntkkit.engine.compile import Job
from ntkkit.engine.tiles import kernel_tile
from ntkkit.interop.neural_tangents import import_neural_tangents

DEPTH, WEIGHT_VAR, BIAS_VAR = 5, 2.0, 0.1
QUADRATURE_DEGREE = 20  # of neural-tangents, squared nodes a pair: its documented default is 25


def stax_gram(activation):
    """A function (X, block) -> Gram matrix in host memory, by neural-tangents."""
    stax = import_neural_tangents().stax
    phi = {
        "relu": stax.Relu,
        "erf": stax.Erf,
        "gelu": stax.Gelu,
        "tanh": lambda: stax.ElementwiseNumerical(jnp.tanh, deg=QUADRATURE_DEGREE),
    }[activation]
    dense = {"W_std": np.sqrt(WEIGHT_VAR), "b_std": np.sqrt(BIAS_VAR)}
    hidden = [layer for _ in range(DEPTH) for layer in (stax.Dense(1, **dense), phi())]
    kernel_fn = jax.jit(stax.serial(*hidden, stax.Dense(1, **dense))[2], static_argnames="get")

    def gram(X, block):
        result = np.empty((len(X), len(X)), X.dtype)
        with jax.enable_x64(X.dtype == np.float64):
            parts = [jnp.asarray(X[i : i + block]) for i in range(0, len(X), block)]
            for i, rows in enumerate(parts):
                for j, columns in enumerate(parts):
                    K = kernel_fn(rows, columns, get="ntk")
                    result[i * block : (i + 1) * block, j * block : (j + 1) * block] = np.asarray(K)
        return result

    return gram


def bare_tiles(kernel, X):
    """The same tiles in a bare loop on device-resident rows: what the engine's overhead is measured against."""
    plan, job, device = Engine().plan(kernel, X), Job(kernel_tile, kernel, X.dtype, {}), jax.devices()[0]
    height = plan.tile[0]
    rows = {i: job.on_device(X[i : i + height], height, device) for i in range(0, len(X), height)}
    places = plan.tiles(plan.whole)

    def run():
        for place in places:
            job(device, rows[place.top], rows[place.left], same=place.top == place.left)

    return run


def hostile_error(gram, kernel):
    """Worst error, relative to sqrt(K_ii K_jj), on rows with near duplicates, and the least eigenvalue of the Gram."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((400, 100))
    X = np.concatenate([rows, rows[:100] * (1 + 1e-4 * rng.standard_normal((100, 100)))]).astype(np.float32)
    exact = kernel(X.astype(float))  # tests/networks/test_accuracy.py: right to 1e-11, of 50 digits
    found = gram(X).astype(float)
    roots = np.sqrt(exact.diagonal())
    relative = np.abs(found - exact) / np.outer(roots, roots)
    return {
        "worst": float(relative.max()),
        "least eigenvalue / diagonal": float(np.linalg.eigvalsh(found)[0] / exact.max()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--d", type=int, default=100)
    parser.add_argument("--activation", default="relu", choices=["relu", "erf", "gelu", "tanh"])
    parser.add_argument("--blocks", type=int, nargs="+", default=[500, 1000, 2000, 4000])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    X64 = np.random.default_rng(0).standard_normal((options.n, options.d))
    kernel, theirs = NTK(FullyConnected(DEPTH, options.activation, WEIGHT_VAR, BIAS_VAR)), stax_gram(options.activation)
    engine = Engine()
    results = {"n": options.n, "d": options.d, "depth": DEPTH, "activation": options.activation}
    # neural-tangents' quadrature does not compile in float32
    for dtype in (np.float64,) if options.activation == "tanh" else (np.float32, np.float64):
        X = X64.astype(dtype)
        first = seconds(lambda X=X: engine.gram(kernel, X))
        trials = {}
        for block in (b for b in options.blocks if b <= options.n):
            theirs(X, block)
            trials[block] = min(seconds(lambda X=X, b=block: theirs(X, b)) for _ in range(2))
        best = min(trials, key=trials.get)
        Y = X.copy()  # another array: the whole square, no triangle
        engine.gram(kernel, X, Y)
        slow, fast, square, bare = paired(
            lambda X=X, b=best: theirs(X, b),
            lambda X=X: engine.gram(kernel, X),
            lambda X=X, Y=Y: engine.gram(kernel, X, Y),
            bare_tiles(kernel, X),
            repeats=options.repeats,
        )
        cells = options.n * (options.n + 1) / 2 * DEPTH
        results[np.dtype(dtype).name] = {
            "neural-tangents / ntkkit": ratio(slow, fast),
            "neural-tangents / ntkkit without the triangle": ratio(slow, square),
            "the engine / its tiles in a bare loop": ratio(fast, bare),
            "neural-tangents' best block": best,
            "seconds, median": {"neural-tangents": float(np.median(slow)), "ntkkit": float(np.median(fast))},
            "first call, with compilation, seconds": first,
            "ns an element a layer": float(np.median(fast)) / cells * 1e9,
            "ns a multiply-add, this machine": multiply_add_ns(dtype),
        }
    results["float32 on near duplicates"] = {"ntkkit": hostile_error(kernel, kernel)}
    if options.activation != "tanh":
        found = hostile_error(lambda X: theirs(X, options.blocks[0]), kernel)
        results["float32 on near duplicates"]["neural-tangents"] = found
    report(f"fully_connected_{options.activation}", results)


if __name__ == "__main__":
    main()
