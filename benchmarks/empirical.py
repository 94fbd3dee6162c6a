"""Empirical NTKs of a convolutional network on 200 images, against neural-tangents' best implementation, in one run.

Three convolutions of 32 channels on 16 x 16 x 3, ReLU, a global average and a readout of 1 and of 10 outputs, float32:
the mean over outputs of J J'. Then kernels of dense networks, by factors against whole Jacobians; and what a network of
ten million parameters takes on 500 rows.
"""

import resource
import sys

import jax
import numpy as np
from common import paired, ratio, report, seconds

from ntkkit import FullyConnected
from ntkkit.finite import empirical_ntk
from ntkkit.interop.neural_tangents import import_neural_tangents
from ntkkit.networks import Conv, Dense, GlobalAvgPool, Relu, Serial

SHAPE = (16, 16, 3)


def convolutional(n_outputs, n_images, repeats):
    """Seconds of ntkkit and of the fastest implementation of neural-tangents, in turn, and how far results differ."""
    nt = import_neural_tangents()
    network = Serial([Conv(), Relu(), Conv(), Relu(), Conv(), Relu(), GlobalAvgPool(), Dense()], input_shape=SHAPE)
    params = network.init(0, SHAPE, width=32, n_outputs=n_outputs)
    X = np.random.default_rng(0).standard_normal((n_images, int(np.prod(SHAPE)))).astype(np.float32)

    def peer(implementation, batch_size=None, rows=X):
        function = nt.empirical_ntk_fn(network.apply, vmap_axes=0, implementation=implementation)
        function = nt.batch(function, batch_size=batch_size, device_count=0) if batch_size else jax.jit(function)
        return lambda: np.asarray(function(rows, None, params))

    peers = {
        "jacobian_contraction": peer(1),
        "jacobian_contraction, batches of 50": peer(1, 50),
        "structured_derivatives": peer(3),
    }
    once, failed, K = {}, {}, None
    for name, function in peers.items():
        try:
            K = function()
            once[name] = seconds(function)
        except Exception as error:  # which of them run depends on jax
            failed[name] = f"{type(error).__name__}: {error}"[:120]
        print(name, once.get(name, failed.get(name)), flush=True)
    best = min(once, key=once.get)
    # products with vectors take the square of the images' number: a fifth of the images says enough
    few = X[: len(X) // 5]
    products, ours_of_few = peer(2, len(few) // 4, few), lambda: empirical_ntk(network, params, few)
    products(), ours_of_few()
    ours = empirical_ntk(network, params, X)
    times = paired(lambda: empirical_ntk(network, params, X), peers[best], repeats=repeats, warmup=1)
    return {
        "n_parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "seconds": float(np.median(times[0])),
        "neural_tangents_seconds, once": once,
        "neural_tangents_failed": failed,
        "neural_tangents_best": best,
        "best / ntkkit": ratio(times[1], times[0]),
        "ntk_vector_products / ntkkit, a fifth of the images": seconds(products) / seconds(ours_of_few),
        "largest difference": float(np.abs(ours - K).max() / ours.max()),
    }


def dense(n_rows, width, repeats):
    """A dense network by factors, and by whole Jacobians."""
    network = FullyConnected(depth=3)
    params = network.init(0, 100, width=width)
    X = np.random.default_rng(0).standard_normal((n_rows, 100)).astype(np.float32)
    factors, whole = paired(
        lambda: empirical_ntk(network, params, X),
        lambda: empirical_ntk(network, params, X, implementation="jacobian_contraction"),
        repeats=repeats,
        warmup=1,
    )
    return {"seconds": float(np.median(factors)), "whole_jacobians_over_factors": ratio(whole, factors)}


def ten_million():
    """Seconds, and the peak memory of this process so far in GB."""
    network = FullyConnected(depth=3)
    params = network.init(0, 100, width=2200)
    X = np.random.default_rng(0).standard_normal((500, 100)).astype(np.float32)
    (times,) = paired(lambda: empirical_ntk(network, params, X), repeats=3, warmup=1)
    n_parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"n_parameters": n_parameters, "seconds": float(np.median(times)), "peak_gb": peak}


def main(quick=False):
    n_images, repeats = (20, 1) if quick else (200, 3)
    results = {"ten_million": ten_million()}  # first: peaks only grow
    results["dense"] = dense(n_images, 256 if quick else 512, repeats)
    results["one_output"] = convolutional(1, n_images, repeats)
    results["ten_outputs"] = convolutional(10, n_images, repeats)
    if not quick:
        report("empirical", results)
    return results


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
