"""Metrics of kernels against 3 x 3 cases by hand, and what must not change them."""

import numpy as np
import pytest

from ntkkit.finite import distances, metrics

# Eigenvalues 4, 1, 1; the first along (1, 1, 1).
K = np.array([[2.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 2.0]])
L = np.diag([1.0, 2.0, 3.0])
Y = np.array([1.0, -1.0, 0.0])
CENTRED = 14 - 2 * 14 / 3 + 6**2 / 9  # |H L H|^2 = tr H L H L, with H = I - 1 1' / 3
COLUMNS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def random_kernel(seed, n=5):
    rows = np.random.default_rng(seed).standard_normal((n, 2 * n))
    return rows @ rows.T


def test_distances_by_hand():
    # <K, L> = 12, |K|^2 = 18, |L|^2 = 14; centred, H K H = H, <H, L> = 4, |H|^2 = 2
    assert distances.kernel_distance(K, L) == pytest.approx(1 - 12 / np.sqrt(18 * 14), abs=1e-15)
    assert distances.kernel_distance(K, L, center=True) == pytest.approx(1 - 4 / np.sqrt(2 * CENTRED), abs=1e-15)
    assert distances.frobenius_distance(K, L) == pytest.approx(np.sqrt((18 + 14 - 24) / 14), abs=1e-15)
    assert distances.frobenius_distance(K, L, center=True) == pytest.approx(np.sqrt((CENTRED + 2 - 8) / CENTRED))


def test_small_distances_keep_their_digits():
    turned = L + 1e-9 * (K - (K * L).sum() / 14 * L)
    expected = 1e-18 * (18 - 12**2 / 14) / 14 / 2
    assert distances.kernel_distance(L, turned) == pytest.approx(expected, rel=1e-5)


def test_paths_by_hand():
    path = [K, L, 2 * L]
    step = 1 - 12 / np.sqrt(18 * 14)
    np.testing.assert_allclose(distances.kernel_velocity(path, [0, 2, 3]), [step / 2, 0], atol=1e-15)
    expected = distances.kernel_distance(K, L, center=True) / 2
    np.testing.assert_allclose(distances.kernel_velocity(path, [0, 2, 3], center=True), [expected, 0], atol=1e-15)
    ways = np.sqrt([0, 18 + 14 - 24, 18 + 56 - 48])
    np.testing.assert_allclose(distances.polar_dynamics(path), ways / ways[-1], atol=1e-15)


def test_spectra_by_hand():
    assert metrics.largest_eigenvalue(K) == pytest.approx(4)
    assert metrics.stability_ratio(K, 0.25, curvature=2 / 3) == pytest.approx(1 / 3)
    assert metrics.effective_rank(K) == pytest.approx((3 / 2) ** (4 / 6) * 6 ** (2 / 6))
    assert metrics.effective_rank(np.ones((3, 3))) == pytest.approx(1)
    assert metrics.top_mass(K, k=1) == pytest.approx(4 / 6)
    assert metrics.top_mass(K, k=2) == pytest.approx(5 / 6)
    assert metrics.top_mass(K) == pytest.approx(1)


def test_alignments_by_hand():
    assert metrics.target_alignment(K, Y) == pytest.approx(2 / np.sqrt(18) / 2)  # K Y = Y
    assert metrics.target_alignment(K, Y, center=True) == pytest.approx(1 / np.sqrt(2))  # H K H = H
    # tr Y' K Y = 6 + 6, |Y Y'|^2 = |Y' Y|^2 = 4 + 4 + 1 + 1
    assert metrics.target_alignment(K, COLUMNS) == pytest.approx(12 / np.sqrt(18 * 10))
    np.testing.assert_allclose(metrics.eigenvector_alignment(L, [1.0, 2.0, 4.0]), np.array([16, 4, 1]) / 21)
    np.testing.assert_allclose(metrics.eigenvector_alignment(L, COLUMNS), np.array([2, 1, 1]) / 4)


def test_machines_by_hand():
    """Points 0 and 1 are alike, 2 is apart: of three classes alone, no point's own is known to the others."""
    apart = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 2.0]])
    assert metrics.machine_accuracy(apart, [5, 5, 7], [[1, 1, 0], [0, 0, 1], [1, 0, 0]], [5, 7, 7]) == 2 / 3
    four = np.kron(np.eye(2), np.array([[2.0, 1.0], [1.0, 2.0]]))
    assert metrics.leave_one_out_accuracy(four, ["a", "a", "b", "b"], alpha=0.5) == 1
    assert metrics.leave_one_out_accuracy(four, ["a", "b", "a", "b"], alpha=0.5) == 0


def test_leave_one_out_is_leaving_one_out():
    kernel, y = random_kernel(0, 12), np.arange(12) % 3
    rest = [np.delete(np.arange(12), i) for i in range(12)]
    one_by_one = [
        metrics.machine_accuracy(kernel[np.ix_(at, at)], y[at], kernel[i : i + 1, at], y[i : i + 1], alpha=2.0)
        for i, at in enumerate(rest)
    ]
    assert 0 < np.mean(one_by_one) < 1
    assert metrics.leave_one_out_accuracy(kernel, y, alpha=2.0) == pytest.approx(np.mean(one_by_one))


@pytest.mark.parametrize("center", [False, True])
def test_what_scaling_leaves(center):
    one, other, y = random_kernel(1), random_kernel(2), np.arange(10.0).reshape(5, 2) ** 2
    assert distances.kernel_distance(3 * one, 0.1 * other, center=center) == pytest.approx(
        distances.kernel_distance(other, one, center=center), rel=1e-12
    )
    assert distances.frobenius_distance(3 * one, 3 * other, center=center) == pytest.approx(
        distances.frobenius_distance(one, other, center=center), rel=1e-12
    )
    aligned = metrics.target_alignment(one, y, center=center)
    assert metrics.target_alignment(3 * one, -7 * y, center=center) == pytest.approx(aligned, rel=1e-12)
    if center:  # and then constants change nothing
        assert distances.kernel_distance(one + 5, other - 1, center=True) == pytest.approx(
            distances.kernel_distance(one, other, center=True), rel=1e-12
        )
        assert metrics.target_alignment(one + 5, y - 3, center=True) == pytest.approx(aligned, rel=1e-12)


def test_what_scaling_leaves_of_spectra():
    one = random_kernel(1)
    assert metrics.effective_rank(3 * one) == pytest.approx(metrics.effective_rank(one))
    assert metrics.top_mass(3 * one, k=2) == pytest.approx(metrics.top_mass(one, k=2))
    assert metrics.largest_eigenvalue(3 * one) == pytest.approx(3 * metrics.largest_eigenvalue(one))


@pytest.mark.parametrize("center", [False, True])
def test_rotations_of_outputs_and_orders_of_points_change_nothing(center):
    one, other, order = random_kernel(1), random_kernel(2), np.random.default_rng(3).permutation(5)
    y = np.random.default_rng(4).standard_normal((5, 3))
    turn = np.linalg.qr(np.random.default_rng(5).standard_normal((3, 3)))[0]
    aligned = metrics.target_alignment(one, y, center=center)
    assert metrics.target_alignment(one, y @ turn, center=center) == pytest.approx(aligned, rel=1e-12)
    np.testing.assert_allclose(metrics.eigenvector_alignment(one, y @ turn), metrics.eigenvector_alignment(one, y))
    shuffled, reordered = one[np.ix_(order, order)], other[np.ix_(order, order)]
    assert metrics.target_alignment(shuffled, y[order], center=center) == pytest.approx(aligned, rel=1e-12)
    assert distances.kernel_distance(shuffled, reordered, center=center) == pytest.approx(
        distances.kernel_distance(one, other, center=center), rel=1e-12
    )
    np.testing.assert_allclose(
        metrics.eigenvector_alignment(shuffled, y[order]), metrics.eigenvector_alignment(one, y), atol=1e-12
    )


ERRORS = {
    "not square": (lambda: metrics.largest_eigenvalue(np.ones((2, 3))), r"K must be a square matrix.*\(2, 3\)"),
    "empty": (lambda: metrics.effective_rank(np.ones((0, 0))), "at least one row"),
    "NaN": (lambda: metrics.top_mass(np.full((2, 2), np.nan)), "K contains NaN or infinity"),
    "not symmetric": (lambda: metrics.largest_eigenvalue([[1, 2], [0, 1]]), "must be symmetric; .* up to 2"),
    "other": (lambda: distances.kernel_distance(K, [[1, 2], [0, 1]]), "other must be symmetric"),
    "shapes": (lambda: distances.kernel_distance(K, np.eye(2)), r"K and other .* \(3, 3\) and \(2, 2\)"),
    "reference": (lambda: distances.frobenius_distance(K, 0 * K), "reference is zero"),
    "zero": (lambda: distances.kernel_distance(0 * K, K), "K is zero"),
    "constant": (
        lambda: distances.kernel_distance(K, np.full((3, 3), 0.1), center=True),
        "other .* when it is centred",
    ),
    "one kernel": (lambda: distances.polar_dynamics([K]), "n_times >= 2"),
    "no way": (lambda: distances.polar_dynamics([K, L, K]), "The last kernel is the first"),
    "times": (lambda: distances.kernel_velocity([K, L], [1, 1]), "times must increase"),
    "times short": (lambda: distances.kernel_velocity([K, L], [1]), "one for each of 2 kernels"),
    "third": (lambda: distances.kernel_velocity([K, L, 0 * K], [1, 2, 3]), r"kernels\[2\] is zero"),
    "spectrum": (lambda: metrics.effective_rank(-K), "no positive eigenvalue"),
    "k": (lambda: metrics.top_mass(K, k=0), "k must be >= 1"),
    "rate": (lambda: metrics.stability_ratio(K, 0.0), "learning_rate must be finite and positive"),
    "curvature": (lambda: metrics.stability_ratio(K, 1.0, curvature=-1), "curvature must be finite and positive"),
    "y": (lambda: metrics.target_alignment(K, [1, 2]), r"shape \(3,\)"),
    "y zero": (lambda: metrics.eigenvector_alignment(K, [0, 0, 0]), "y is zero"),
    "y constant": (lambda: metrics.target_alignment(K, [0.1] * 3, center=True), "y .* when it is centred"),
    "classes": (lambda: metrics.leave_one_out_accuracy(K, COLUMNS), "a class a point"),
    "K_test": (lambda: metrics.machine_accuracy(K, Y, [[1, 2]], [1]), r"K_test must be .*\(m, 3\)"),
    "y_test": (lambda: metrics.machine_accuracy(K, Y, [[1, 2, 3]], [1, 0]), "y_test must be of shape"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        call()
