"""Networks that learn features: where the NTK errs, and mean-field theory does not.

Four shipped pictures, two of each of two kinds, and two hidden layers in the mean-field parametrisation, whose gamma0
says how far features move. For several gamma0 trained networks are held against gradient descent of the NTK that they
start with and against mean-field theory. Prints a table and a sentence, and draws dmft.png.
"""

import matplotlib.pyplot as plt
import numpy as np

from ntkkit import FullyConnected
from ntkkit.datasets import load_fashion_mnist
from ntkkit.display import RegimeDisplay
from ntkkit.finite import regime_report

TROUSERS, DRESS = 1, 3


def two_classes(n):
    X, y = load_fashion_mnist(subset="train", return_X_y=True)
    kept = np.concatenate([np.flatnonzero(y == label)[: n // 2] for label in (TROUSERS, DRESS)])
    quarters = X[kept].reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(n, -1)
    return (quarters - quarters.mean()) / quarters.std(), np.where(y[kept] == DRESS, 1.0, -1.0)


def main(strengths=(0.1, 0.5, 1.0, 2.0), n_steps=20, widths=(64, 512), n_networks=16, n_units=512, picture="dmft.png"):
    X, y = two_classes(4)
    network = FullyConnected(depth=2, activation="erf")
    given = {"n_steps": n_steps, "widths": widths, "n_networks": n_networks, "n_units": n_units, "random_state": 0}
    reports = [regime_report(network, X, y, gamma0=gamma0, **given) for gamma0 in strengths]
    print(f"{'gamma0':>7} {'NTK errs by':>12} {'mean field by':>14} {'noise':>7}")
    errors = np.array([[part.lazy_distances[-1], part.mean_field_distances[-1], part.noise[-1]] for part in reports])
    for gamma0, row in zip(strengths, errors, strict=True):
        print("{:7.2g} {:12.1%} {:14.1%} {:7.1%}".format(gamma0, *row))
    print(reports[-1].summary())
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    RegimeDisplay.from_report(reports[-1], points=(0, 2, 3), ax=left)
    styles = {"NTK that stays": "--o", "mean-field theory": "-o", "noise of the networks": ":"}
    for values, (label, style) in zip(100 * errors.T, styles.items(), strict=True):
        right.semilogx(strengths, values, style, label=label)
    right.set_xticks(strengths, [f"{gamma0:g}" for gamma0 in strengths])
    right.minorticks_off()
    right.set_ylim(0)
    right.set_xlabel("gamma0, strength of feature learning")
    right.set_ylabel("% that theory is away from trained networks")
    right.legend(frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=120)
    plt.close("all")
    return errors


if __name__ == "__main__":
    main()
