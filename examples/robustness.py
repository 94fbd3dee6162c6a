"""What can be certified about finite networks shrinks as they widen, and does not about their limit.

Finite two-layer ReLU networks learn to tell shirts from ankle boots by the hinge loss, held to their initial parameters
by a quadratic penalty; their limit is a support vector machine with the network's tangent kernel. Prints, and draws
into robustness.png, how far all pixels of a held-out picture may move, on average over pictures, with the prediction
certain to stay: by interval bounds for the networks, which widen with the root of the width, so that narrow networks
come out best; and by `certified_radius` for the machine.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from ntkkit import NTK, FullyConnected, NeuralKernelSVC, certified_radius
from ntkkit.datasets import load_fashion_mnist
from ntkkit.finite.interval_bounds import interval_certified_radius

DECAY = 0.064
RATE = 0.05


def two_classes(subset):
    X, y = load_fashion_mnist(subset=subset, return_X_y=True)
    kept = np.isin(y, (6, 9))
    halves = X[kept].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) / 255
    return halves.reshape(len(halves), -1).astype(np.float32), np.where(y[kept] == 9, 1, -1)


def train(net, X, y, *, width, n_steps, seed=0):
    initial = net.init(seed, X.shape[1], width=width)

    def loss(params):
        hinges = jnp.maximum(1 - y * net.apply(params, X)[:, 0], 0).sum()
        moved = jax.tree.map(lambda new, old: ((new - old) ** 2).sum(), params, initial)
        return hinges + DECAY / 2 * sum(jax.tree.leaves(moved))

    @jax.jit
    def step(params):
        return jax.tree.map(lambda param, slope: param - RATE * slope, params, jax.grad(loss)(params))

    params = initial
    for _ in range(n_steps):
        params = step(params)
    return params


def draw(widths, radii, limit, path):
    figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
    axes.loglog(widths, radii, "o-", label="finite networks, interval bounds")
    axes.axhline(limit, color="C1", label="support vector machine of infinite width")
    axes.set(xlabel="width", ylabel="mean certified radius", title="Shirts against ankle boots")
    figure.legend(loc="outside lower center")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(widths=(100, 1000, 10_000), n_steps=200, picture="robustness.png"):
    net = FullyConnected(depth=1, weight_var=1.0, bias_var=0.0)
    (X, y), (X_test, y_test) = two_classes("train"), two_classes("test")
    machine = NeuralKernelSVC(NTK(net), C=1 / DECAY, fit_intercept=False).fit(X, y)
    limit = certified_radius(machine, X_test).mean()
    print(f"support vector machine: {machine.score(X_test, y_test):.0%} right, certified radius {limit:.2e}")
    radii = []
    for width in widths:
        params = train(net, X, y, width=width, n_steps=n_steps)
        right = np.mean(np.sign(net.apply(params, X_test)[:, 0]) == y_test)
        radii.append(interval_certified_radius(net, params, X_test).mean())
        print(f"network of width {width:5d}: {right:.0%} right, certified radius {radii[-1]:.2e}")
    if picture:
        draw(widths, radii, limit, picture)
    return limit, radii


if __name__ == "__main__":
    main()
