"""A kernel matrix that is larger than one wants in memory, by all workers of a Dask cluster, into a store.

Without arguments it starts a cluster of two processes on this machine; with the address of a scheduler it uses the
workers there, who must reach the store by the same path:

    python examples/cluster.py
    python examples/cluster.py --scheduler tcp://10.0.0.1:8786 --n 200000 --store /shared/gram.zarr

Stop it whenever you like, and start it again: blocks that are finished are found. Then it learns from the matrix by
conjugate gradients that read it block by block, and prints R^2 on new rows.
"""

import argparse
import tempfile
import time

import numpy as np
from dask.distributed import Client, LocalCluster

from ntkkit import NTK, Engine, FullyConnected, NeuralKernelRegressor


def data(n, d=20):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), dtype=np.float32)
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2] / 2 + 0.1 * rng.standard_normal(n)


def run(client, n, store):
    """Evaluate, learn, test; returns R^2."""
    X, y = data(n + 1000)
    kernel, engine = NTK(FullyConnected(depth=2)), Engine(store=store, cluster=client, progress=True)
    print(f"{len(client.scheduler_info()['workers'])} workers; {store}:\n{engine.plan(kernel, X[:n])}")
    start = time.perf_counter()
    K = engine.gram(kernel, X[:n])
    print(f"{K.shape[0]} x {K.shape[1]} in {time.perf_counter() - start:.1f} s, {K.nchunks} chunks")
    quiet = Engine(store=store)  # finds the matrix
    model = NeuralKernelRegressor(kernel, alpha=0.1, solver="pcg", n_components=300, random_state=0, engine=quiet)
    score = model.fit(X[:n], y[:n]).score(X[n:], y[n:])
    print(f"R^2 on new rows: {score:.3f}")
    return score


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scheduler", help="address of a Dask scheduler; a cluster on this machine without it")
    parser.add_argument("--n", type=int, default=6000, help="rows")
    parser.add_argument("--store", help="directory of the matrix; a temporary one without it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = options.store or f"{directory}/gram.zarr"
        if options.scheduler:
            with Client(options.scheduler) as client:
                run(client, options.n, store)
            return
        with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
            run(client, options.n, store)


if __name__ == "__main__":
    main()
