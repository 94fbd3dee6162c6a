"""How fast a finite network's tangent kernel approaches its limit: like one over the root of the width.

Prints the relative error of the empirical NTK at a few widths, averaged over seeds, and the fitted exponent.
"""

import functools

import jax
import numpy as np

from ntkkit import FullyConnected


@functools.partial(jax.jit, static_argnames=("net", "width"))
def empirical_ntk(net, X, width, key):
    params = net.init(key, X.shape[1], width=width)
    jacobian = jax.jacobian(lambda p: net.apply(p, X)[:, 0])(params)
    rows = [leaf.reshape(len(X), -1) for leaf in jax.tree.leaves(jacobian)]
    return sum(row @ row.T for row in rows)


def main(widths=(32, 128, 512), n_seeds=10):
    net = FullyConnected(depth=2)
    X = jax.numpy.asarray(np.random.default_rng(0).standard_normal((4, 8)), "float32")
    limit = net.limits(X, X, same=True)[1]
    errors = []
    for width in widths:
        kernels = [empirical_ntk(net, X, width, key) for key in jax.random.split(jax.random.key(0), n_seeds)]
        errors.append(np.mean([np.linalg.norm(K - limit) for K in kernels]) / np.linalg.norm(limit))
        print(f"width {width:4d}: the empirical NTK is {errors[-1]:.1%} from its limit")
    exponent = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    print(f"error ~ width^{exponent:.2f}")
    return exponent


if __name__ == "__main__":
    main()
