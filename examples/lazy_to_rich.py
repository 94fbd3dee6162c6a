"""From lazy to rich: how far a network's kernel moves, and what it aligns with, as feature learning is turned up.

Networks in the mean-field parametrisation learn the product of two of thirty signs at one width, with several strengths
gamma0 of feature learning. For small gamma0 the kernel stays where it was, and they predict what the kernel machine of
infinite width does; for larger gamma0 it turns to the target, and the same 200 rows are enough. Prints kernel distance,
alignment and test error for each gamma0, and draws them into lazy_to_rich.png.
"""

import matplotlib.pyplot as plt
import numpy as np

from ntkkit import NTK, FullyConnected, NeuralKernelRegressor
from ntkkit.finite import FiniteNetwork, KernelTracker, NetworkTrainer

GAMMAS = (0.03, 0.1, 0.3, 1.0, 2.0)
NET = FullyConnected(depth=1, weight_var=1.0, bias_var=0.0)
N_TRAIN, N_TEST, N_PROBE, D = 200, 200, 60, 30


def draw_rows():
    X = np.random.default_rng(0).choice([-1.0, 1.0], size=(N_TRAIN + N_TEST, D)).astype(np.float32)
    return X, X[:, 0] * X[:, 1]


def train(gamma0, X, y, *, width, n_networks, n_epochs):
    tracker = KernelTracker(X[:N_PROBE], y[:N_PROBE], n_networks=n_networks, every=n_epochs, center=True)
    trainer = NetworkTrainer(
        FiniteNetwork(NET, width, "mup", gamma0),
        n_networks=n_networks,
        n_epochs=n_epochs,
        learning_rate=0.005,
        centered=True,
        callbacks=[tracker],
        report_every=n_epochs,
        random_state=0,
    )
    said = trainer.run(X[:N_TRAIN], y[:N_TRAIN]).outputs(X[N_TRAIN:])[:, :, 0]
    errors = (np.sign(said) != y[N_TRAIN:]).mean(axis=1)
    return np.stack([tracker.measure("distance")[-1], *tracker.measure("alignment"), errors])


def draw(gammas, found, limit, path):
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    distances, before, after, errors = np.moveaxis(found, 1, 0)
    for ax, values in zip(axes, (distances, after, errors), strict=True):
        ax.plot(gammas, values, color="C0", alpha=0.25)
        ax.plot(gammas, values.mean(axis=1), "o-", color="C0")
        ax.set(xscale="log", xlabel="gamma0")
    axes[0].set(yscale="log", title="Kernel distance from the start")
    axes[1].axhline(before.mean(), color="grey", ls="--", label="at the start")
    axes[1].set_title("Alignment with the target, at the end")
    axes[2].axhline(limit, color="grey", ls="--", label="kernel machine of infinite width")
    axes[2].set_title("Test error")
    for ax in axes[1:]:
        ax.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(gammas=GAMMAS, width=256, n_networks=4, n_epochs=1500, picture="lazy_to_rich.png"):
    X, y = draw_rows()
    machine = NeuralKernelRegressor(NTK(NET), alpha=0.0).fit(X[:N_TRAIN], y[:N_TRAIN])
    limit = np.mean(np.sign(machine.predict(X[N_TRAIN:])) != y[N_TRAIN:])
    print(f"kernel machine of infinite width: test error {limit:.1%}")
    found = [train(gamma0, X, y, width=width, n_networks=n_networks, n_epochs=n_epochs) for gamma0 in gammas]
    for gamma0, (distance, before, after, error) in zip(gammas, np.mean(found, axis=2), strict=True):
        print(
            f"gamma0 = {gamma0:4.2f}: kernel distance {distance:.1e}, alignment {before:.3f} -> {after:.3f}, "
            f"test error {error:.1%}"
        )
    if picture:
        draw(gammas, found, limit, picture)
    return limit, np.mean(found, axis=2)


if __name__ == "__main__":
    main()
