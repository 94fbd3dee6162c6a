"""The kernel between positions: the direct recursion over all pairs of pixels, and finite networks."""

import jax
import numpy as np
import pytest
from references.hourglass import direct_kernel, empirical_ntk, noise

from ntkkit.linalg import periodic_matrix
from ntkkit.networks.hourglass import hourglass_kernel


def on_torus(table, shape):
    """The kernel of all pixels, of which the table has those of one cell."""
    return periodic_matrix(table, shape).product(np.eye(shape[0] * shape[1]))


@pytest.mark.parametrize(
    ("shape", "depth", "upsampling", "n_convs", "filter_size", "slope"),
    [
        ((8, 8), 1, "nearest", 1, 3, 0.0),
        ((8, 16), 1, "nearest", 3, 5, 0.3),
        ((16, 16), 2, "nearest", 2, 3, 0.0),
        ((16, 16), 2, "nearest", 1, 1, 0.1),
        ((14, 16), 1, "bilinear", 2, 3, 0.0),
        ((16, 16), 1, "bilinear", 1, 7, -0.5),
        ((28, 32), 2, "bilinear", 2, 3, 0.2),
    ],
)
def test_the_direct_recursion(shape, depth, upsampling, n_convs, filter_size, slope):
    options = {"n_convs": n_convs, "filter_size": filter_size, "upsampling": upsampling, "slope": slope}
    for prior_correlation in (0.75,) if shape == (28, 32) else (0.0, 0.75):
        table = hourglass_kernel(depth, prior_correlation=prior_correlation, **options)
        expected = direct_kernel(shape, depth, prior_correlation=prior_correlation, **options)
        np.testing.assert_allclose(on_torus(table, shape), expected, rtol=0, atol=1e-12 * expected[0, 0])


@pytest.mark.parametrize(("upsampling", "reach"), [("nearest", 3), ("bilinear", 9)])
def test_far_pixels_see_residues_only(upsampling, reach):
    table = hourglass_kernel(2, upsampling=upsampling)
    side = table.shape[2]
    far = np.arange(reach + 1, side - reach)
    for residue in range(4):
        entries = table[:, :, far[far % 4 == residue]]
        np.testing.assert_allclose(entries, entries[:, :, :1].repeat(entries.shape[2], axis=2), rtol=1e-13)
    assert np.abs(np.diff(table[0, 0, 0, : reach + 2])).min() > 1e-5
    spread = np.ptp(table[:, :, far])
    assert spread < 1e-13 if upsampling == "nearest" else 1e-4 < spread < 1e-3


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("n_convs", [1, 2])
def test_a_single_convolution_a_level_is_singular(upsampling, n_convs):
    table = hourglass_kernel(1, n_convs=n_convs, upsampling=upsampling)
    values = np.linalg.eigvalsh(on_torus(table, (16, 16)))
    assert values[0] > 0.05 if n_convs == 2 else abs(values[0]) < 1e-12 * values[-1]


@pytest.mark.parametrize(("n_convs", "depth"), [(1, 1), (2, 3)])
def test_the_diagonal_counts_convolutions(n_convs, depth):
    table = hourglass_kernel(depth, n_convs=n_convs, upsampling="nearest", slope=0.2)
    np.testing.assert_allclose(table[:, :, 0, 0], n_convs * (2 * depth + 1), rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_finite_networks(upsampling):
    """Errors of single networks fall like width^(-1/2), and their mean is the limit."""
    shape, options = (4, 6), {"n_convs": 1, "filter_size": 3, "upsampling": upsampling, "slope": 0.2}
    limit = direct_kernel(shape, 1, prior_correlation=0.5, **options)
    x, widths, n_draws, errors = noise(shape, 0.5), (32, 128), 100, []
    for width in widths:
        draw = jax.jit(lambda key, width=width: empirical_ntk(key, x, width, 1, **options))
        draws = np.array([draw(key) for key in jax.random.split(jax.random.key(0), n_draws)])
        errors.append(np.sqrt(np.mean((draws - limit) ** 2)))
    slope = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)
    features = [np.stack([K.mean(), K.diagonal().mean(), K[0, 1], K[0, 9]]) for K in (*draws, limit)]
    deviations = np.mean(features[:-1], axis=0) - features[-1]
    assert (np.abs(deviations) < 3 * np.std(features[:-1], axis=0) / np.sqrt(n_draws)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "depth must be >= 1, found 0"),
        ({"n_convs": 0}, "n_convs must be >= 1, found 0"),
        ({"filter_size": 4}, "filter_size must be odd, found 4"),
        ({"upsampling": "cubic"}, r"upsampling must be one of \['bilinear', 'nearest'\], found 'cubic'"),
        ({"slope": np.nan}, "slope must be finite, found nan"),
        ({"prior_correlation": 1.0}, r"prior_correlation must be in \[0, 1\), found 1.0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        hourglass_kernel(**{"depth": 1, **arguments})
