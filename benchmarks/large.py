"""Claim: a kernel machine of an infinitely wide network on a million rows, in bounded memory.

n rows of d = 30 standard normal features; the target is a fixed random two-layer network of them plus noise of known
variance, so that the least possible test error is known. ntkkit: NeuralKernelRegressor(solver="nystrom") with the
NTK of a depth-3 network, `memory="4GB"`. The peer: scikit-learn's Nystroem
features of the RBF kernel, then Ridge, on as many centres. Both are tuned alike on 10 000 of the rows, by error on 5000
others: the ridge term, and the RBF's gamma or the network's bias variance (the scale at which a homogeneous network
sees the data). Each runs in a process of its own, whose peak memory is reported.

    python benchmarks/large.py                  # n = 100 000
    python benchmarks/large.py --n 1000000      # the claim; some 15 minutes
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
from common import report

NOISE = 0.5
N_CENTRES = 2000
N_TUNING, N_VALIDATION, N_TEST = 10_000, 5_000, 10_000
ALPHAS = np.logspace(-3, 1, 5)  # of the mean of the diagonal
GAMMAS = np.logspace(-1, 0, 3)  # of 1 / d
BIAS_VARS = [0.1, 1.0, 10.0]


def rows(n, d=30):
    """Inputs and noisy targets; the first rows are the same whatever n is."""
    rng = np.random.default_rng(0)
    teacher = np.random.default_rng(1)
    W, v = teacher.standard_normal((d, 50)) / np.sqrt(d), teacher.standard_normal(50)
    X = rng.standard_normal((n, d), dtype=np.float32)
    clean = np.concatenate([np.tanh(2 * X[i : i + 10**5] @ W) @ v for i in range(0, n, 10**5)])
    clean /= clean[:N_TUNING].std()
    return X, clean, clean + NOISE * np.random.default_rng(2).standard_normal(n)


def ntkkit_machine(alpha, bias_var, solver="nystrom"):
    from ntkkit import NTK, Engine, FullyConnected, NeuralKernelRegressor

    kernel = NTK(FullyConnected(depth=3, bias_var=bias_var))
    scale = float(kernel.diag(rows(100)[0]).mean())
    return NeuralKernelRegressor(
        kernel,
        alpha=alpha * scale,
        solver=solver,
        n_components=N_CENTRES,
        random_state=0,
        engine=Engine(memory="4GB"),
    )


def scikit_learn_machine(alpha, gamma, solver="nystrom"):
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    # without an intercept, which would need a centred copy of the features
    return make_pipeline(
        Nystroem(gamma=gamma / 30, n_components=N_CENTRES, random_state=0),
        Ridge(alpha=alpha, fit_intercept=False, solver="cholesky"),
    )


MACHINES = {"ntkkit": ntkkit_machine, "scikit-learn": scikit_learn_machine}
SCALES = {"ntkkit": BIAS_VARS, "scikit-learn": GAMMAS}


def tuned(make, X, y, scales):
    """The best of the grid on the rows for tuning."""
    fit, validate = slice(0, N_TUNING), slice(N_TUNING, N_TUNING + N_VALIDATION)
    errors = {}
    for alpha in ALPHAS:
        for scale in scales:
            model = make(alpha, scale).fit(X[fit], y[fit])
            errors[alpha, scale] = float(np.mean((model.predict(X[validate]) - y[validate]) ** 2))
    return min(errors, key=errors.get)


def run(name, n, solver):
    """Tune, fit and test in this process; results as JSON on standard output."""
    X, clean, y = rows(n + N_TEST)
    make = MACHINES[name]
    start = time.perf_counter()
    alpha, scale = tuned(make, X[:n], y[:n], SCALES[name])
    tuning = time.perf_counter() - start
    # the ridge term is a variance of noise, which more rows do not change
    model = make(alpha, scale, solver)
    start = time.perf_counter()
    model.fit(X[:n], y[:n])
    fitting = time.perf_counter() - start
    start = time.perf_counter()
    predictions = model.predict(X[n:])
    predicting = time.perf_counter() - start
    found = {
        "seconds to tune": tuning,
        "seconds to fit": fitting,
        f"seconds to predict {N_TEST} rows": predicting,
        "peak memory, GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "test error, beyond the noise": float(np.mean((predictions - clean[n:]) ** 2)),
        "alpha, relative": float(alpha),
        "gamma d, or bias_var": float(scale),
    }
    print(json.dumps(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--only", choices=list(MACHINES))
    parser.add_argument("--solver", default="nystrom")
    parser.add_argument("--child", choices=list(MACHINES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run(options.child, options.n, options.solver)
        return
    results = {"n": options.n, "d": 30, "centres": N_CENTRES, "noise variance": NOISE**2, "solver": options.solver}
    for name in [options.only] if options.only else MACHINES:
        command = [sys.executable, __file__, "--n", str(options.n), "--solver", options.solver, "--child", name]
        child = subprocess.run(command, capture_output=True, text=True)
        if child.returncode:  # out of memory is a result, too
            results[name] = {"failed": child.returncode, "last words": child.stderr.strip().splitlines()[-1:]}
        else:
            results[name] = json.loads(child.stdout.strip().splitlines()[-1])
    report(f"large_{options.n}_{options.solver}", results)


if __name__ == "__main__":
    main()
