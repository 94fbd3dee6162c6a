"""What leads the infinitely wide network astray leads trained networks astray, too.

Two kinds of clothes on shipped pictures. `adversarial_examples` moves every pixel of held-out pictures by up to eps, by
the gradient of the kernel machine alone, without any trained network. Networks of finite width, trained on the same
pictures for the same time, are then nearly as wrong as on examples made from their own gradients, while changes of
random signs do little. Also prints how well single features of the machine, its eigenvectors, tell classes apart,
before and after. Writes adversarial.png.
"""

import jax
import matplotlib.pyplot as plt
import numpy as np

from ntkkit import NTK, FullyConnected, NeuralKernelClassifier, adversarial_examples, eigenvector_part
from ntkkit.datasets import load_fashion_mnist
from ntkkit.finite import FiniteNetwork, NetworkTrainer

PULLOVER, SHIRT = 2, 6
NETWORK = FullyConnected(depth=2)


def two_classes(subset):
    X, y = load_fashion_mnist(subset=subset, return_X_y=True)
    kept = np.isin(y, (PULLOVER, SHIRT))
    halves = X[kept].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) / 255
    return halves.reshape(len(halves), -1).astype(np.float32), np.where(y[kept] == SHIRT, 1.0, -1.0)


def accuracy(networks, X, y):
    """Of each network."""
    return (np.sign(networks.outputs(X)[..., 0]) == y).mean(axis=1)


def own_gradients(networks, X):
    """How each network's output changes with each input."""

    def total(X, params, initial):
        return (networks.network.apply(params, X) - networks.network.apply(initial, X)).sum()

    slopes = jax.jit(jax.vmap(jax.grad(total), (None, 0, 0)))
    return np.asarray(slopes(X, networks.params, networks.initial_params))


def mean_cosine(gradients, others):
    norms = np.linalg.norm(gradients, axis=-1) * np.linalg.norm(others, axis=-1)
    return float(((gradients * others).sum(axis=-1) / norms).mean())


def try_sizes(model, networks, X, y, sizes, rng):
    """Accuracies of the networks on what the kernel, themselves, and chance make of X, for each eps."""
    signs, gradients = rng.choice([-1.0, 1.0], X.shape).astype(X.dtype), own_gradients(networks, X)
    kernel = adversarial_examples(model, X, np.full(len(X), -1.0), eps=1.0, norm="l2") - X
    print(f"Gradients of the kernel machine and of networks have a cosine of {mean_cosine(gradients, kernel):.3f}.")
    rows = []
    for eps in sizes:
        by_kernel = adversarial_examples(model, X, y, eps=eps).astype(X.dtype)
        own = X - eps * y[:, None] * np.sign(gradients)
        by_themselves = [accuracy(networks, moved, y)[index] for index, moved in enumerate(own)]
        by_chance = accuracy(networks, X + eps * signs, y)
        rows.append([np.mean(part) for part in (accuracy(networks, by_kernel, y), by_themselves, by_chance)])
    return np.array(rows)


def feature_accuracies(model, X, y, eps, n_features):
    """How often each of the first features has the label's sign, on X and on examples made against it."""
    found = []
    for index in range(n_features):
        part = eigenvector_part(model, index)
        found.append([part.score(X, y), part.score(adversarial_examples(part, X, y, eps=eps), y)])
    return np.array(found)


def draw(sizes, rates, X, moved, path):
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.8), layout="constrained", width_ratios=(1.8, 1, 1))
    for rate, name in zip(
        rates.T, ("the kernel's gradient", "the network's own gradient", "random signs"), strict=True
    ):
        axes[0].plot(sizes, rate, "o-", label=name)
    axes[0].set(xlabel="largest change of a pixel", ylabel="accuracy of trained networks", ylim=(0, 1))
    axes[0].legend(frameon=False)
    for panel, picture, name in zip(axes[1:], (X, moved), ("a shirt", "a pullover, say all networks"), strict=True):
        panel.imshow(picture.reshape(14, 14), cmap="gray", vmin=0, vmax=1)
        panel.set(title=name, xticks=[], yticks=[])
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(sizes=(0.0, 0.02, 0.05, 0.1), width=1024, n_networks=3, picture="adversarial.png"):
    (X, y), (X_test, y_test) = two_classes("train"), two_classes("test")
    finite = FiniteNetwork(NETWORK, width)
    networks = NetworkTrainer(finite, n_networks=n_networks, n_epochs=300, centered=True, random_state=0).run(X, y)
    model = NeuralKernelClassifier(NTK(NETWORK), alpha=0.0, train_time=networks.time).fit(X, y)
    rates = try_sizes(model, networks, X_test, y_test, sizes, np.random.default_rng(0))
    for eps, (kernel, own, chance) in zip(sizes, rates, strict=True):
        print(f"eps {eps:.2f}: accuracy {kernel:.3f} by the kernel, {own:.3f} by the network, {chance:.3f} by chance")
    features = feature_accuracies(model, X_test, y_test, sizes[1], 8)
    for index, (before, after) in enumerate(features):
        print(f"feature {index}: right on {before:.3f}, after a change of {sizes[1]} against it on {after:.3f}")
    moved = adversarial_examples(model, X_test, y_test, eps=sizes[-1]).astype(X.dtype)
    fooled = (networks.outputs(X_test)[..., 0] > 0).all(axis=0) & (networks.outputs(moved)[..., 0] < 0).all(axis=0)
    shown = np.flatnonzero(fooled & (y_test > 0))[0]
    draw(sizes, rates, X_test[shown], moved[shown], picture)
    return rates


if __name__ == "__main__":
    main()
