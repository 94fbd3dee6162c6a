"""A Gaussian process learns a network's variances from data: concrete strength, with error bars that hold.

The NNGP of a network is the prior of the infinitely wide Bayesian network. scikit-learn's GaussianProcessRegressor
climbs the marginal likelihood by the gradients of the kernel. Prints what was learned and how many held-out values
the 90% intervals cover.
"""

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from ntkkit import NNGP, FullyConnected
from ntkkit.datasets import load_concrete


def main():
    X, y = load_concrete(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=400, random_state=0)
    scaler = StandardScaler().fit(X_train)
    # entries grow like weight_var^(depth + 1): within wider bounds a first long step meets a singular matrix
    network_kernel = NNGP(FullyConnected(depth=2), bounds={"network__weight_var": (0.1, 10.0)})
    kernel = network_kernel + WhiteKernel(0.1)
    model = GaussianProcessRegressor(kernel, normalize_y=True).fit(scaler.transform(X_train), y_train)
    mean, std = model.predict(scaler.transform(X_test), return_std=True)
    covered = np.mean(np.abs(y_test - mean) <= 1.645 * std)
    print(f"learned: {model.kernel_}")
    print(f"test RMSE {np.sqrt(np.mean((y_test - mean) ** 2)):.2f} MPa (standard deviation of y: {y_test.std():.2f})")
    print(f"the 90% intervals cover {covered:.0%} of {len(y_test)} held-out values")
    return covered


if __name__ == "__main__":
    main()
