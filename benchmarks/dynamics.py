"""Claim: learning dynamics of thousands of training points, by modes of time in place of all pairs of times.

`learning_curve` carries the past by 29 modes where the neural dynamical kernel is separable (here: relu, no biases),
and evaluates the kernel at all pairs of times elsewhere (`Memory`); the whole space-time system of n n_t equations in
numpy is what both are compared with. Seconds of processors and of the clock of `learning_curve` against n and against
n_t, for a relu network of depth 1 (modes), and against n_t for erf (all times); peak memory of each n, in a process of
its own; and errors: of modes against all times, of both against numpy, and of equilibrium against the posterior.
Random rows on a sphere, d = 50, binary targets, 300 test points, T = .1, init_var = .5, prior_var = 1.

    python benchmarks/dynamics.py      # some five minutes
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from common import report

SIZES = (250, 500, 1000, 2000, 3000)
STEPS = (100, 200, 400, 800)
T, INIT_VAR, D, N_TEST = 0.1, 0.5, 50, 300


def data(n, n_test=N_TEST):
    X = np.random.default_rng(0).standard_normal((n + n_test, D))
    X *= np.sqrt(D) / np.linalg.norm(X, axis=1, keepdims=True)
    return X[:n], np.sign(X[:n, 0] + X[:n, 1] * X[:n, 2]), X[n:]


def kernel(activation="relu", init_var=INIT_VAR):
    from ntkkit import FullyConnected
    from ntkkit.dynamics import NDK

    return NDK(FullyConnected(depth=1, activation=activation, weight_var=1.0, bias_var=0.0), T, init_var)


def timed(function):
    """What it returns; seconds of the clock, and of all processors."""
    start, cpu = time.perf_counter(), time.process_time()
    found = function()
    return found, {"seconds": time.perf_counter() - start, "processor": time.process_time() - cpu}


def whole(ndk, X, y, X_test, n_steps):
    """The curve, timed, after one step that compiles."""
    from ntkkit.dynamics import learning_curve
    from ntkkit.dynamics.learning_curve import make_grid, make_memory

    grid, _ = make_grid(ndk, X, None, n_steps)
    make_memory(ndk, np.concatenate([X, X_test]), X, y[:, None], grid).step(1)
    return timed(lambda: learning_curve(ndk, X, y, X_test, n_steps=n_steps))


def one_size(n):
    """In a process of its own: seconds, peak memory, and how far equilibrium is from the posterior."""
    from ntkkit.dynamics.limits import late_limit

    X, y, X_test = data(n)
    ndk = kernel()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    curve, found = whole(ndk, X, y, X_test, 400)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    late = late_limit(ndk, X_test, X, y[:, None])[:, 0]
    found |= {"peak GB": peak / 1e6, "before GB": before / 1e6}
    return found | {"equilibrium - posterior": float(np.abs(curve.test[-1] - late).max())}


def against_all_times(n, n_steps):
    """Modes and all times, on the same grid: processor seconds, and the largest difference of outputs."""
    from threadpoolctl import threadpool_limits

    from ntkkit.dynamics.learning_curve import make_grid
    from ntkkit.dynamics.memory import Memory
    from ntkkit.dynamics.modes import Modes, separate

    X, y, X_test = data(n)
    ndk, points = kernel(), np.concatenate([X, X_test])
    grid, _ = make_grid(ndk, X, None, n_steps)

    def run(make):
        with threadpool_limits(1, "blas"):
            memory = make(ndk, points, X, y[:, None], grid)
            return np.stack([memory.step(i) for i in range(1, len(grid))])

    def modes(*arguments):
        return Modes(*arguments, separate(ndk, grid))

    for make in (modes, Memory):
        make(ndk, points, X, y[:, None], grid).step(1)  # compiles
    (fast, of_modes), (slow, of_times) = timed(lambda: run(modes)), timed(lambda: run(Memory))
    return {
        "modes": of_modes,
        "all times": of_times,
        "all times / modes": of_times["processor"] / of_modes["processor"],
        "difference": float(np.abs(fast - slow).max()),
    }


def against_numpy(activation, n, n_steps):
    """`learning_curve` and the system in space and time, solved at once."""
    from ntkkit.dynamics.learning_curve import make_grid, trapezoid

    X, y, X_test = data(n, 20)
    ndk, points = kernel(activation), np.concatenate([X, X_test])
    grid, _ = make_grid(ndk, X, None, n_steps)

    def dense():
        full = numpy_kernel(activation, points, grid) * trapezoid(grid)[:, :, None, None]
        operator = full[:, :, :, :n].transpose(0, 2, 1, 3).reshape(len(grid), len(points), -1)
        system = np.eye(len(grid) * n) + operator[:, :n].reshape(len(grid) * n, -1)
        errors = np.linalg.solve(system, np.tile(y, len(grid)))
        return operator @ errors

    curve, ours = whole(ndk, X, y, X_test, n_steps)
    exact, numpys = timed(dense)
    found = np.hstack([curve.train, curve.test])
    return {
        "ntkkit": ours,
        "numpy": numpys,
        "numpy / ntkkit": numpys["processor"] / ours["processor"],
        "difference": float(np.abs(found - exact).max()),
    }


def numpy_kernel(activation, X, t):
    """The NDK of depth 1 by its formulas, (t, s, row, row)."""
    lag, total = np.abs(t[:, None] - t)[..., None, None], (t[:, None] + t)[..., None, None]
    e = np.exp(-T * lag)
    m = e + (INIT_VAR - 1) * np.exp(-T * total)
    K = X @ X.T / X.shape[1]
    own = (1 + (INIT_VAR - 1) * np.exp(-2 * T * t))[:, None] * K.diagonal()
    C, a, b = m * K, own[:, None, :, None], own[None, :, None, :]
    if activation == "erf":
        q = (1 + 2 * a) * (1 + 2 * b)
        return m * 4 / np.pi / np.sqrt(q - 4 * C * C) * e * K + e * 2 / np.pi * np.arcsin(2 * C / np.sqrt(q))
    scale = np.sqrt(a * b)
    angle = np.arccos(np.clip(C / scale, -1, 1))
    dual = scale / (2 * np.pi) * (np.sin(angle) + (np.pi - angle) * np.cos(angle))
    return m * (np.pi - angle) / (2 * np.pi) * e * K + e * dual


def plot(results, path):
    import matplotlib.pyplot as plt

    from ntkkit.display.style import BLUE, GREY, RED, clean

    def draw(ax, points, power, colour, label):
        sizes = np.array([int(size) for size in points])
        times = np.array([point["processor"] for point in points.values()])
        ax.loglog(sizes, times[-1] * (sizes / sizes[-1]) ** power, ":", color=GREY)
        ax.loglog(sizes, times, "o-", color=colour, label=label)

    figure, (of_size, of_steps) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    draw(of_size, results["n"], 2, BLUE, "modes (relu), 400 steps")
    draw(of_steps, results["steps, modes"], 1, BLUE, "modes (relu), n = 1000")
    draw(of_steps, results["steps, all times"], 2, RED, "all times (erf), n = 100")
    of_size.set(xlabel="training points n", ylabel="seconds of processors")
    of_steps.set(xlabel="steps in time")
    for ax, places in ((of_size, SIZES), (of_steps, STEPS)):
        ax.set_xticks(places, places)
        ax.minorticks_off()
        ax.legend(frameon=False)
        clean(ax, grid="y")
    figure.suptitle("Learning curves; dotted: n squared, steps and steps squared")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def in_process(n):
    command = [sys.executable, __file__, "--n", str(n)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main():
    if "--n" in sys.argv:
        print(json.dumps(one_size(int(sys.argv[-1]))))
        return
    results = {"T": T, "init_var": INIT_VAR, "features": D, "test points": N_TEST, "n": {}}
    for n in SIZES:
        results["n"][n] = in_process(n)
        print(n, results["n"][n], flush=True)
    X, y, X_test = data(1000)
    results["steps, modes"] = {steps: whole(kernel(), X, y, X_test, steps)[1] for steps in STEPS}
    X, y, X_test = data(100, 20)
    results["steps, all times"] = {steps: whole(kernel("erf"), X, y, X_test, steps)[1] for steps in STEPS[:3]}
    results["modes against all times, n = 100, 200 steps"] = against_all_times(100, 200)
    results["against numpy, n = 30, 60 steps"] = {name: against_numpy(name, 30, 60) for name in ("relu", "erf")}
    report("dynamics", results)
    plot(results, Path(__file__).parent / "results" / "dynamics.png")


if __name__ == "__main__":
    main()
