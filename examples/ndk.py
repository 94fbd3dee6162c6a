"""How an infinitely wide network learns to tell pictures apart, forgets where it started, and drifts.

T-shirts against dresses of Fashion-MNIST, by gradient descent with noise and weight decay (temperature .1), the mean
over networks. First gradients fit the training pictures: the error of test pictures has a minimum early on, and rises
again. Then weights diffuse, from variance init_var to prior_var = 1, and the error goes slowly to that of the Bayesian
network, not always from the same side. Last, representational drift: a readout of equilibrium that is kept while the
features under it go on diffusing; only its threshold is set anew, by the training pictures. In the end a relu network
knows nothing but the norm of a picture: enough for some pairs of classes, not for others. Prints the numbers, and draws
them into ndk.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ntkkit import FullyConnected
from ntkkit.datasets import load_fashion_mnist
from ntkkit.display import LearningCurveDisplay
from ntkkit.dynamics import NDK, drift, learning_curve
from ntkkit.dynamics.limits import early_limit, late_limit

T = 0.1
TIMES = np.geomspace(0.03, 8 / T, 50)
INIT_VARS = (0.25, 1.0, 4.0)
LAGS = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0])  # in units of prior_var / T
PAIRS = {"coats, sandals": (4, 5), "dresses, ankle boots": (3, 9)}


def network(activation):
    return FullyConnected(depth=1, activation=activation, weight_var=1.0, bias_var=0.0)


def two_classes(classes, n_train, *, same_norm):
    """Rows and targets -1, 1: so many training pictures of each class, and all test pictures."""
    found = []
    for subset, n in (("train", n_train), ("test", None)):
        X, y = load_fashion_mnist(subset=subset, return_X_y=True)
        rows = np.concatenate([np.flatnonzero(y == label)[:n] for label in classes])
        X = X[rows].reshape(len(rows), -1) / 255
        if same_norm:
            X *= np.sqrt(X.shape[1]) / np.linalg.norm(X, axis=1, keepdims=True)
        found += [X, np.where(y[rows] == classes[1], 1.0, -1.0)]
    return found


def learn(activation, n_train, ax):
    """Test errors (time, init_var) of the mean output, drawn with both limits."""
    X, y, X_test, y_test = two_classes((0, 3), n_train, same_norm=True)
    outputs, early = [], []
    for init_var in INIT_VARS:
        ndk = NDK(network(activation), T, init_var)
        outputs.append(learning_curve(ndk, X, y, X_test, times=TIMES, n_steps=120).test)
        early.append(early_limit(ndk, X_test, X, y[:, None], TIMES)[..., 0])
    late = late_limit(ndk, X_test, X, y[:, None])[:, 0]
    errors, of_flow = (((np.stack(part, axis=1) - y_test) ** 2).mean(axis=2) for part in (outputs, early))
    end = ((late - y_test) ** 2).mean()
    LearningCurveDisplay(
        times=TIMES,
        values=errors,
        gradient_flow=of_flow,
        posterior=np.full(len(INIT_VARS), end),
        diffusion_start=0.1 / T,
        names=[f"init_var = {init_var:g}" for init_var in INIT_VARS],
        value_name="mean squared error, test pictures",
    ).plot(ax)
    ax.set_title(f"{activation}, {len(X)} T-shirts and dresses", loc="left")
    ax.set_ylim(0.2, 0.45)
    for i, init_var in enumerate(INIT_VARS):
        first = errors[:, i].argmin()
        last = first + errors[first:, i].argmax()
        wrong = [np.mean(np.sign(outputs[i][j]) != y_test) for j in (first, last, -1)]
        print(
            f"{activation}, init_var {init_var:4}: least error {errors[first, i]:.3f} at t = {TIMES[first]:.2g}, "
            f"then up to {errors[last, i]:.3f} at {TIMES[last]:.3g}, {errors[-1, i]:.3f} in the end "
            f"(posterior: {end:.3f}); wrong: {wrong[0]:.0%}, {wrong[1]:.0%}, {wrong[2]:.0%}"
        )
    return errors, end


def best_threshold(scores, y):
    """Where to cut, and which side is 1, for the fewest errors."""
    order = np.argsort(scores)
    scores, y = scores[order], y[order]
    cuts = np.concatenate([[scores[0]], (scores[1:] + scores[:-1]) / 2, [scores[-1]]])
    below = np.append(0, np.cumsum(y))  # targets below each cut
    balance = y.sum() - 2 * below  # right minus wrong, if 1 is above
    best = np.abs(balance).argmax()
    return cuts[best], np.sign(balance[best])


def forget(ax):
    """Shares of test pictures that a kept readout tells right, by pair and lag."""
    accuracies = {}
    for name, classes in PAIRS.items():
        X, y, X_test, y_test = two_classes(classes, 100, same_norm=False)
        curve = drift(NDK(network("relu"), T), X, y, X_test, readout_time=8 / T, times=(8 + LAGS) / T, n_steps=150)
        cuts = [best_threshold(scores, y) for scores in curve.train]
        accuracies[name] = np.array(
            [np.mean(np.where(f > cut, side, -side) == y_test) for f, (cut, side) in zip(curve.test, cuts, strict=True)]
        )
        ax.plot(LAGS, accuracies[name], "o-", label=name)
        print(f"{name}: right {accuracies[name][0]:.0%} with a readout that follows, {accuracies[name][-1]:.0%} later")
    ax.axhline(0.5, color="grey", ls=":", lw=1)
    ax.set(xlabel="time since, in units of prior_var / T", ylabel="test accuracy", ylim=(0.45, 1.02))
    ax.set_title("relu, readout kept, features drifting", loc="left")
    ax.legend(frameon=False)
    return accuracies


def main(path=None):
    figure, axes = plt.subplots(1, 3, figsize=(16, 5), layout="constrained")
    found = {"relu": learn("relu", 100, axes[0]), "erf": learn("erf", 50, axes[1])}
    found["drift"] = forget(axes[2])
    path = path or Path(__file__).with_name("ndk.png")
    figure.savefig(path, dpi=80)
    plt.close(figure)
    print(f"wrote {path}")
    return found


if __name__ == "__main__":
    main()
