"""Claim: recurrent NTK Gram matrices, ten times faster and more than by a recursion in numpy over all pairs at once.

n sequences of T steps of one feature. numpy runs the recursion of the kernel step by step, twice: as the formulas say
it, on whole (n, n) arrays; and tuned, on blocks of pairs of the size that is best for it in the same run, in place and
with as few passes as we found. No package evaluates these kernels otherwise. In float64, numpy's default, its arccos
costs half of the digits, in float32 nearly all of them; ntkkit runs in float32. Then how the time grows with T and n,
and a step's cost beside that of a fully connected layer.

    python benchmarks/recurrent.py
"""

import statistics
from pathlib import Path

import numpy as np
from common import multiply_add_ns, paired, ratio, report, seconds

from ntkkit import NTK, Engine, FullyConnected, Recurrent

N, T = 500, 100
W, U, B, V_READOUT = 2.0, 1.0, 0.1, 1.0
CLAIMED = 10
IN_A_ROW = 4  # matrices of ntkkit's a measurement: one takes but 25 ms


def network(**settings):
    return Recurrent(recurrent_weight_var=W, input_weight_var=U, bias_var=B, readout_weight_var=V_READOUT, **settings)


def dual(covariance, roots):
    """E[phi phi] and E[phi' phi'] of relu, from covariances (n, m) and the roots of variances outside."""
    scale = np.multiply.outer(*roots)
    cosine = np.clip(covariance / np.maximum(scale, 1e-30), -1, 1)
    rest = np.arccos(-cosine)
    scale *= np.sqrt(1 - cosine * cosine) + rest * cosine
    scale *= 1 / (2 * np.pi)
    rest *= 1 / (2 * np.pi)
    return scale, rest


def own_variances(X, depth):
    """Variances of units at all steps, (layers, T, n)."""
    found = np.zeros((depth, X.shape[1], len(X)), X.dtype)
    for layer in range(depth):
        for t in range(X.shape[1]):
            below = U * X[:, t] ** 2 if layer == 0 else U * found[layer - 1, t] / 2
            found[layer, t] = below + B + (W * found[layer, t - 1] / 2 if t else 0)
    return found


def plain_last(X, depth):
    """The NTK of the last states, as the formulas say it."""
    variances = own_variances(X, depth)

    def V(covariance, q):
        scale = np.sqrt(q[:, None] * q[None])
        cosine = np.clip(covariance / scale, -1, 1)
        angle = np.arccos(cosine)
        return scale * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)

    sigma, theta = np.zeros((2, depth, len(X), len(X)))
    for t in range(X.shape[1]):
        for layer in range(depth):
            if layer == 0:
                here, tangent = U * X[:, None, t] * X[None, :, t] + B, 0
            else:
                F, D = V(sigma[layer - 1], variances[layer - 1, t])
                here, tangent = U * F + B, U * D * theta[layer - 1]
            if t:
                F, D = V(sigma[layer], variances[layer, t - 1])
                here, tangent = here + W * F, tangent + W * D * theta[layer]
            sigma[layer], theta[layer] = here, here + tangent
    F, D = V(sigma[-1], variances[-1, -1])
    return V_READOUT * (F + D * theta[-1])


def tuned_last(X, depth, block):
    """The same, block by block, in as few passes as we found."""
    roots = np.sqrt(own_variances(X, depth))
    result = np.empty((len(X), len(X)), X.dtype)
    for i in range(0, len(X), block):
        for j in range(0, len(X), block):
            rows, columns = slice(i, i + block), slice(j, j + block)
            memory, below = [None] * depth, None
            for t in range(X.shape[1]):
                for layer in range(depth):
                    if layer == 0:
                        sigma, theta = U * np.multiply.outer(X[rows, t], X[columns, t]) + B, 0
                    else:
                        F, D = below
                        sigma, theta = U * F + B, U * D
                    if t:
                        F, D = memory[layer]
                        sigma += W * F
                        theta = theta + W * D
                    theta = theta + sigma
                    F, D = dual(sigma, (roots[layer, t, rows], roots[layer, t, columns]))
                    D *= theta
                    memory[layer] = below = F, D
            result[rows, columns] = V_READOUT * (below[0] + below[1])
    return result


def ns_a_step(depth, readout, n, n_steps, *, repeats=5):
    """Nanoseconds a pair, pair of steps and layer of a Gram matrix; and its seconds."""
    X = np.random.default_rng(0).standard_normal((n, n_steps, 1)).astype(np.float32)
    engine, kernel = Engine(), NTK(network(depth=depth, readout=readout))
    times = paired(lambda: engine.gram(kernel, X), repeats=repeats, warmup=1)[0]
    n_pairs = n * (n + 1) / 2 * (n_steps if readout == "last" else n_steps**2) * depth
    return {"seconds": min(times), "ns": min(times) / n_pairs * 1e9}


def ns_a_layer(n=2000):
    """The same of a fully connected ReLU layer, from the difference of two depths."""
    X = np.random.default_rng(0).standard_normal((n, 10)).astype(np.float32)
    engine, kernels = Engine(), [NTK(FullyConnected(depth=depth)) for depth in (1, 9)]
    shallow, deep = paired(*(lambda k=k: engine.gram(k, X) for k in kernels), repeats=9)
    return (min(deep) - min(shallow)) / 8 / (n * (n + 1) / 2) * 1e9


def plot(scaling, path):
    import matplotlib.pyplot as plt

    from ntkkit.display.style import BLUE, GREY, RED, clean

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for ax, (name, curves) in zip(axes, scaling.items(), strict=True):
        for (readout, points), colour in zip(curves.items(), (BLUE, RED), strict=True):
            sizes, times = np.array(list(points)), [point["seconds"] for point in points.values()]
            power = 2 if name == "n" or readout == "mean" else 1
            n_sequences = f", n = {N if readout == 'last' else 50}" if name == "T" else ""
            ax.loglog(sizes, times[-1] * (sizes / sizes[-1]) ** power, ":", color=GREY)
            ax.loglog(sizes, times, "o-", color=colour, label=f'readout="{readout}"{n_sequences}')
        ax.set(xlabel={"T": "steps T", "n": f"sequences n, of {T} steps"}[name], ylabel="seconds")
        ax.legend(frameon=False)
        clean(ax, grid="y")
    figure.suptitle("Gram matrices of recurrent NTKs; dotted: T and T squared, n squared")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def against_numpy(X, depth):
    """Ratios of times, and errors, in one run."""
    engine, kernel = Engine(), NTK(network(depth=depth))
    exact = kernel(X.astype(float))
    scale = np.sqrt(np.outer(exact.diagonal(), exact.diagonal()))
    rows = {dtype: X[..., 0].astype(dtype) for dtype in ("float64", "float32")}
    trials = {b: seconds(lambda b=b: tuned_last(rows["float64"], depth, b)) for b in (50, 100, 250, 500)}
    best = min(trials, key=trials.get)
    Y = X.copy()  # another array: the whole square, no triangle
    errors = {f"numpy, tuned, {dtype}": tuned_last(part, depth, best) for dtype, part in rows.items()}
    errors["numpy, plain, float64"] = plain_last(rows["float64"], depth)
    errors["ntkkit, float32"] = engine.gram(kernel, X)
    engine.gram(kernel, X, Y)
    plain, slow64, slow32, fast, square = paired(
        lambda: plain_last(rows["float64"], depth),
        lambda: tuned_last(rows["float64"], depth, best),
        lambda: tuned_last(rows["float32"], depth, best),
        lambda: [engine.gram(kernel, X) for _ in range(IN_A_ROW)],
        lambda: [engine.gram(kernel, X, Y) for _ in range(IN_A_ROW)],
        repeats=5,
        warmup=1,
    )
    fast, square = ([seconds / IN_A_ROW for seconds in times] for times in (fast, square))
    n_steps = N**2 * T * depth
    found = {
        "numpy / ntkkit": ratio(plain, fast),
        "numpy / ntkkit without the triangle": ratio(plain, square),
        "numpy, tuned / ntkkit": ratio(slow64, fast),
        "numpy, tuned / ntkkit without the triangle": ratio(slow64, square),
        "numpy, tuned, float32 / ntkkit": ratio(slow32, fast),
        "numpy's best block": best,
        "ns a pair, step and layer": {
            "numpy": statistics.median(plain) / n_steps * 1e9,
            "numpy, tuned": statistics.median(slow64) / n_steps * 1e9,
            "numpy, tuned, float32": statistics.median(slow32) / n_steps * 1e9,
            "ntkkit": statistics.median(fast) / (n_steps * (1 + 1 / N) / 2) * 1e9,
        },
        "error, relative to sqrt(K_ii K_jj)": {
            name: float(np.max(np.abs(K - exact) / scale)) for name, K in errors.items()
        },
    }
    median = found["numpy / ntkkit"]["median"]
    print(f"depth {depth}: {median:.1f} times faster (claimed {CLAIMED}: {'met' if median >= CLAIMED else 'MISSED'})")
    return found


def main():
    X = np.random.default_rng(0).standard_normal((N, T, 1)).astype(np.float32)
    results = {"n": N, "T": T, "features": 1} | {f"depth {depth}": against_numpy(X, depth) for depth in (1, 2)}
    results["ns a pair and layer, fully connected"] = ns_a_layer()
    results["ns a multiply-add, this machine"] = multiply_add_ns(np.float32)
    results["scaling"] = scaling = {
        "T": {
            "last": {t: ns_a_step(1, "last", N, t) for t in (25, 100, 400, 1600)},
            "mean": {t: ns_a_step(1, "mean", 50, t, repeats=3) for t in (25, 50, 100, 200, 400)},
        },
        "n": {
            "last": {n: ns_a_step(1, "last", n, T) for n in (125, 250, 500, 1000, 2000)},
            "mean": {n: ns_a_step(1, "mean", n, T, repeats=3) for n in (50, 100, 200, 400)},
        },
    }
    report("recurrent", results)
    plot(scaling, Path(__file__).parent / "results" / "recurrent.png")


if __name__ == "__main__":
    main()
