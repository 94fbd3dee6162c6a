"""Do trained networks do what their kernel says? The wider, the more: the powers of the width.

Two kinds of shipped pictures. `compare` trains ensembles of three widths by gradient descent and holds their outputs
and tangent kernels against the infinitely wide network's closed forms, at the same training time. Prints a table and a
sentence, and draws width_comparison.png.
"""

import matplotlib.pyplot as plt
import numpy as np

from ntkkit import FullyConnected
from ntkkit.datasets import load_fashion_mnist
from ntkkit.display import ComparisonDisplay
from ntkkit.finite import compare

TROUSERS, DRESS = 1, 3


def two_classes(subset, n):
    X, y = load_fashion_mnist(subset=subset, return_X_y=True)
    kept = np.flatnonzero(np.isin(y, (TROUSERS, DRESS)))[:n]
    halves = X[kept].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) / 255
    return halves.reshape(n, -1), np.where(y[kept] == DRESS, 1.0, -1.0)


def main(widths=(64, 256, 1024), n_networks=16, picture="width_comparison.png"):
    train, test = two_classes("train", 40), two_classes("test", 40)
    comparison = compare(
        FullyConnected(depth=2), *train, *test, widths=widths, n_networks=n_networks, random_state=0, progress=True
    )
    print(comparison.to_frame().round(4).to_string())
    print(comparison.summary())
    ComparisonDisplay.from_comparison(comparison).figure_.savefig(picture, dpi=120)
    plt.close("all")
    return comparison


if __name__ == "__main__":
    main()
