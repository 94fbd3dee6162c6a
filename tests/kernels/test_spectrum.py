"""Spectra on the sphere: closed forms, the spectral bias of polynomial networks, and large Gram matrices."""

import numpy as np
import pytest
from scipy.special import iv
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics.pairwise import polynomial_kernel

from ntkkit import NTK, Convolutional, FullyConnected, PolynomialNetwork, Recurrent, kernel_spectrum


@pytest.mark.parametrize(
    ("degree", "expected"),
    [(1, [0.086, 0, 9.7e-4]), (3, [0.138, 0.012, 1.8e-3]), (9, [0.258, 0.054, 1.0e-2])],
)
def test_polynomial_networks_learn_high_degrees_sooner(degree, expected):
    """Eigenvalues of degrees 2, 3, 4 over that of degree 1, of CCP networks in ten dimensions."""
    network = PolynomialNetwork(degree=degree, weight_var=10.0, bias_var=0.0, readout_weight_var=1.0)
    eigenvalues = kernel_spectrum(NTK(network), 10, 5).eigenvalues
    np.testing.assert_allclose(eigenvalues[2:] / eigenvalues[1], expected, rtol=0.06, atol=1e-14)


@pytest.mark.parametrize("d", [2, 3, 10])
def test_a_polynomial_has_as_many_eigenvalues_as_its_degree(d):
    """(x.x')^2 = 1 / d + (t^2 - 1 / d), whose second part is (1 - 1 / d) P_2."""
    spectrum = kernel_spectrum(lambda X, Y: polynomial_kernel(X, Y, degree=2, gamma=1, coef0=0), d, 6)
    n_second = d * (d + 1) / 2 - 1
    np.testing.assert_allclose(spectrum.eigenvalues, [1 / d, 0, (1 - 1 / d) / n_second, 0, 0, 0], atol=2e-14)
    np.testing.assert_allclose(spectrum.multiplicities[:3], [1, d, n_second])


def test_a_gaussian_kernel_has_bessel_functions():
    """exp(-|x - x'|^2 / 2) = exp(t - 1) on the ordinary sphere: e^-1 sqrt(pi / 2) I_(l + 1/2)(1)."""
    found = kernel_spectrum(RBF(1.0), 3, 8).eigenvalues
    expected = np.exp(-1) * np.sqrt(np.pi / 2) * iv(np.arange(8) + 0.5, 1.0)
    np.testing.assert_allclose(found, expected, atol=1e-15)


@pytest.mark.parametrize(("d", "depth"), [(2, 3), (5, 1), (40, 2)])
def test_eigenvalues_are_not_negative_and_sum_up_to_the_diagonal(d, depth):
    kernel = NTK(FullyConnected(depth=depth))
    spectrum = kernel_spectrum(kernel, d, 60)
    diagonal = kernel.diag(np.eye(d)[:1])[0]
    assert spectrum.eigenvalues.min() > -1e-13 * diagonal
    total = spectrum.eigenvalues @ spectrum.multiplicities
    assert 0.9 * diagonal < total < (1 + 1e-9) * diagonal


def test_it_is_the_spectrum_of_large_gram_matrices():
    kernel, n = NTK(FullyConnected(depth=1, bias_var=0.0)), 1500
    X = np.random.default_rng(0).standard_normal((n, 3))
    found = np.linalg.eigvalsh(kernel(X / np.linalg.norm(X, axis=1, keepdims=True)) / n)[::-1]
    spectrum = kernel_spectrum(kernel, 3, 3)
    expected = np.repeat(spectrum.eigenvalues, spectrum.multiplicities.astype(int))
    np.testing.assert_allclose(found[:9], expected, rtol=0.15)
    np.testing.assert_allclose(found[1:4].mean(), expected[1], rtol=0.05)


@pytest.mark.parametrize(
    ("kernel", "d", "match"),
    [
        (NTK(FullyConnected(depth=1, input_scale=[1.0, 2.0, 3.0])), 3, "must not change when all points are rotated"),
        (NTK(Convolutional(2, input_shape=(2, 2, 1))), 4, "must be of rows, found one of images"),
        (NTK(Recurrent()), 4, "must be of rows, found one of sequences"),
        (lambda X, Y: X @ Y.T * np.nan, 3, "finite values"),
        (lambda X, Y: X @ X.T, 3, "shape"),
        (RBF(), 1, "dimension"),
    ],
)
def test_what_has_no_spectrum_is_refused(kernel, d, match):
    with pytest.raises(ValueError, match=match):
        kernel_spectrum(kernel, d)
