"""At the same loss, a network trained beyond its edge of stability has a kernel better aligned with the targets.

Linear networks of two layers learn 20 random targets by gradient descent, from the same start with several learning
rates eta, down to the same loss. While eta times the largest eigenvalue of the empirical NTK stays below 2, alignment
is the same for all of them; beyond, training leaves for flatter parameters, where it is higher. Prints the alignments,
and draws them, with where the eigenvalues end, into edge_of_stability.png.
"""

import matplotlib.pyplot as plt
import numpy as np

from ntkkit.finite import align_by_learning_rate

N, D, WIDTH = 20, 30, 50
RATIOS = np.array([0.4, 0.8, 1.2, 1.58, 1.8, 2.1, 2.4, 2.8])


def apply(params, X):
    return X @ params["first"] @ params["second"] / np.sqrt(D * WIDTH)


def train(seed):
    random = np.random.default_rng(seed)
    X, y = random.standard_normal((N, D)), random.standard_normal(N)
    params = {"first": random.standard_normal((D, WIDTH)), "second": random.standard_normal(WIDTH)}
    return align_by_learning_rate(apply, params, X, y, ratios=RATIOS, loss=1e-4)


def draw(rises, ends, path):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(RATIOS, rises.T, color="C0", alpha=0.25)
    left.plot(RATIOS, rises.mean(axis=0), "o-", color="C0")
    left.set(ylabel="alignment at the end, over that of the smallest rate", title="Kernels at equal loss")
    right.plot(RATIOS, ends.T, color="C1", alpha=0.25)
    right.plot(RATIOS, ends.mean(axis=0), "o-", color="C1")
    right.axhline(2, color="grey", ls="--", label="edge of stability")
    right.set(ylabel="eta lambda_1 at the end", title="What training does to the largest eigenvalue")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.axvline(2, color="grey", ls="--")
        axes.set_xlabel("eta lambda_1 at the start")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(n_seeds=10, picture="edge_of_stability.png"):
    edges = [train(seed) for seed in range(n_seeds)]
    alignments = np.array([edge.alignments for edge in edges])
    for ratio, column in zip(RATIOS, alignments.T, strict=True):
        error = column.std(ddof=1) / np.sqrt(n_seeds)
        print(f"eta lambda_1 = {ratio:4.2f}: alignment {column.mean():.4f}, standard error over seeds {error:.4f}")
    rises = alignments / alignments[:, :1]
    below, beyond = rises[:, RATIOS == 1.58], rises[:, RATIOS > 2]
    shown = ", ".join(f"{rise:.3f}" for rise in beyond.mean(axis=0))
    print(f"over that at 0.40: {below.mean():.3f} at 1.58, and {shown} beyond 2")
    if picture:
        draw(rises, np.array([edge.final_ratios for edge in edges]), picture)
    return below.mean(), beyond.mean(axis=0)


if __name__ == "__main__":
    main()
