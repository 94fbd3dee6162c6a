"""Effects of rows and columns as a preconditioner, against the same by dense matrices."""

import numpy as np
import pytest
from references.matrices import spectrum

from ntkkit.linalg import KroneckerPart
from ntkkit.linalg.crossed import crossed_effects, split
from ntkkit.linalg.pcg import iterate

ROWS, COLUMNS = 9, 7


def part(values_A, values_B, seed=0):
    A, B = (spectrum(np.asarray(values, float), seed=i) for i, values in enumerate((values_A, values_B)))
    there = np.random.default_rng(seed).random((len(A), len(B))) < 0.6
    return KroneckerPart(A, B, *np.nonzero(there))


def dense_factors(part, side):
    """F of both, of rows and of columns, each (N, m), and a b."""
    factors = []
    for K in (part.A, part.B):
        values, vectors = np.linalg.eigh(K)
        least = values[0]
        factors.append((vectors[:, -side:] * np.sqrt(values[-side:] - least), max(least, 0)))
    (U, a), (V, b) = factors
    places = np.ravel_multi_index((part.rows, part.columns), (len(U), len(V)))
    F = np.kron(U, V), np.sqrt(a) * np.kron(np.eye(len(U)), V), np.sqrt(b) * np.kron(U, np.eye(len(V)))
    return [block[places] for block in F], a * b


SPECTRA = {
    "flat": ([1, 1, 1, 1, 1, 1, 1, 3, 9], [0.5, 0.5, 0.5, 0.5, 0.5, 2, 4]),
    "falling": (2.0 ** -np.arange(ROWS), 3.0 ** -np.arange(COLUMNS)),
    "of low rank": ([0, 0, 0, 0, 0, 0, 0, 1, 3], [1, 1, 1, 1, 1, 1, 5]),
}


@pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA)
@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_one_round_of_gauss_seidel(values, alpha):
    p = part(*values)
    found = crossed_effects(p, alpha, rank=1, rng=np.random.default_rng(0))
    blocks, floor = dense_factors(p, 2)
    N, d = len(p.rows), floor + alpha
    np.testing.assert_allclose(found.d, d, rtol=1e-9)
    round_ = np.eye(N)  # in turn, what each block leaves: with x solved exactly in H's norm
    F = np.hstack(blocks)
    H = F.T @ F + d * np.eye(F.shape[1])
    x, ends = np.zeros((F.shape[1], N)), np.cumsum([0] + [block.shape[1] for block in blocks])
    for i in (0, 1, 2, 1, 2, 1, 0):
        own = slice(ends[i], ends[i + 1])
        x[own] += np.linalg.solve(H[own, own], (F.T @ round_ - H @ x)[own])
    inverse = found(np.eye(N))
    np.testing.assert_allclose(inverse, np.eye(N) - F @ x, rtol=0, atol=1e-9)
    np.testing.assert_allclose(inverse, inverse.T, rtol=0, atol=1e-9)
    exact = d * np.linalg.inv(F @ F.T + d * np.eye(N))
    assert np.linalg.eigvalsh(inverse - exact)[0] > -1e-9
    assert np.linalg.eigvalsh(inverse)[-1] < 1 + 1e-9


def test_no_effects_of_columns_and_few_of_both_is_the_inverse():
    p = part([2.0] * ROWS, [0, 0, 0, 0, 0, 1, 3])
    alpha = 0.1
    inverse = crossed_effects(p, alpha, rank=1, rng=np.random.default_rng(0))(np.eye(len(p.rows))) / alpha
    np.testing.assert_allclose(inverse, np.linalg.inv(p.dense() + alpha * np.eye(len(p.rows))), rtol=0, atol=1e-9)


def test_split_of_what_it_assumes():
    U = np.random.default_rng(0).normal(size=(40, 3))
    found, c = split(U @ U.T + 0.7 * np.eye(40), 3, np.random.default_rng(1))
    np.testing.assert_allclose(found @ found.T, U @ U.T, rtol=0, atol=1e-9)
    np.testing.assert_allclose(c, 0.7, rtol=1e-9)
    larger = np.vstack([U] * 20)  # more than are sampled
    assert split(larger @ larger.T + 0.7 * np.eye(800), 3, np.random.default_rng(1))[1] == pytest.approx(0.7)


def test_iterations_saved():
    rng = np.random.default_rng(0)
    features = [rng.normal(size=(n, 3)) for n in (150, 90)]
    A, B = (0.5 + Z @ Z.T / 3 + np.eye(len(Z)) for Z in features)
    p = KroneckerPart(A, B, *np.nonzero(rng.random((150, 90)) < 0.2))
    y, alpha, options = rng.normal(size=(len(p.rows), 1)), 0.3, {"tol": 1e-6, "max_iter": 300}
    plain = len(iterate(lambda V: p.matvec(V) + alpha * V, y, np.copy, **options)[1]) - 1
    assert p.solve(y, alpha, rank=4, rng=rng, **options).n_iter < plain / 3


def test_nothing_to_explain():
    p = KroneckerPart(np.zeros((3, 3)), np.eye(2), np.array([0, 1, 2]), np.array([0, 1, 0]))
    v = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(crossed_effects(p, 1.0, rank=1, rng=np.random.default_rng(0))(v), v)
    assert crossed_effects(p, 1.0, rank=1, rng=np.random.default_rng(0))(v[:, :0]).shape == (3, 0)
