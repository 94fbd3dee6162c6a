"""Completion of a matrix as ridge regression between its entries, one by one: nothing is known of its structure."""

import numpy as np


def complete(Y, kernel, alpha=0.0):
    """All entries of the matrix, from those that are not NaN; `kernel` takes two entries, pairs (row, column)."""
    everywhere = list(np.ndindex(*Y.shape))
    observed = [entry for entry in everywhere if not np.isnan(Y[entry])]
    K = np.array([[kernel(p, q) for q in observed] for p in observed])
    dual_coef = np.linalg.solve(K + alpha * np.eye(len(K)), np.array([Y[entry] for entry in observed]))
    values = [sum(a * kernel(p, q) for a, q in zip(dual_coef, observed, strict=True)) for p in everywhere]
    return np.array(values).reshape(Y.shape)


def within_rows(k, columns):
    """[i = i'] k(z_j, z_j')."""
    K = table(k, columns)
    return lambda p, q: K[p[1], q[1]] if p[0] == q[0] else 0.0


def concatenated(k, rows, columns, row_weight=1.0):
    """k((z_i, z_j), (z_i', z_j'))."""
    return lambda p, q: k(*(joined(rows[i], columns[j], row_weight) for i, j in (p, q)))


def product(k_row, k, rows, columns):
    """k_row(z_i, z_i') k(z_j, z_j')."""
    K_rows, K_columns = table(k_row, rows), table(k, columns)
    return lambda p, q: K_rows[p[0], q[0]] * K_columns[p[1], q[1]]


def table(k, Z):
    return np.array([[k(x, y) for y in Z] for x in Z])


def coordinates(features, identity_weight=1.5, *, new=()):
    """(p, w e) of each coordinate, and of new ones, which share a unit vector; mean square one."""
    size = np.sqrt(sum(p @ p for p in features) / len(features))
    n = len(features)
    found = []
    for j, p in enumerate([*features, *new]):
        unit = [identity_weight * (i == min(j, n)) for i in range(n + 1)] if identity_weight else []
        found.append(with_mean_square_one([*(p / size if size else p), *unit]))
    return found


def joined(row, column, row_weight):
    u, v = row / np.linalg.norm(row), column / np.linalg.norm(column)
    return with_mean_square_one([*(row_weight * u), *v])


def with_mean_square_one(z):
    return np.array(z) / np.sqrt(np.mean(np.square(z)))


def relu_ntk(depth=1, weight_var=1.0, readout_weight_var=2.0, bias_var=0.0, readout_bias_var=0.0):
    """The NTK of a network of ReLUs, by arc-cosine kernels (Cho and Saul 2009)."""

    def kernel(x, y):
        k, q, r = (u @ v / len(u) for u, v in ((x, y), (x, x), (y, y)))
        ntk = 0.0
        for _ in range(depth):
            k, q, r = (weight_var * s + bias_var for s in (k, q, r))
            ntk = weight_var * ntk + k
            angle = 0.0 if np.array_equal(x, y) else np.arccos(np.clip(k / np.sqrt(q * r), -1, 1))
            k = np.sqrt(q * r) * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
            ntk, q, r = ntk * (np.pi - angle) / (2 * np.pi), q / 2, r / 2
        return readout_weight_var * (ntk + k) + readout_bias_var

    return kernel


def gaussian(length_scale=1.0):
    return lambda x, y: np.exp(-np.sum((x - y) ** 2) / (2 * length_scale**2))
