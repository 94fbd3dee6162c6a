"""The edge of stability: sharpness of known Hessians, and alignment by learning rate over seeds."""

import jax.numpy as jnp
import numpy as np
import pytest

from ntkkit.finite import align_by_learning_rate, empirical_ntk, largest_eigenvalue, sharpness, target_alignment

P, D, H = 20, 30, 50


def two_layers(params, X):
    """A linear network of two layers, in the NTK parametrisation."""
    return X @ params["first"] @ params["second"] / np.sqrt(D * H)


def draw(seed):
    random = np.random.default_rng(seed)
    X, y = random.standard_normal((P, D)), random.standard_normal(P)
    return {"first": random.standard_normal((D, H)), "second": random.standard_normal(H)}, X, y


def test_sharpness_of_a_quadratic_form():
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.standard_normal((9, 9)))[0]
    hessian = turn @ np.diag([*range(-8, 0), 3.0]) @ turn.T  # the largest, not the largest in size

    def loss(params):
        both = jnp.concatenate([params["a"].ravel(), params["b"]])
        return both @ hessian @ both / 2

    params = {"a": random.standard_normal((2, 3)), "b": random.standard_normal(3)}
    assert sharpness(loss, params, tol=1e-9) == pytest.approx(3, rel=1e-8)
    rough = {name: leaf.astype(np.float32) for name, leaf in params.items()}
    assert sharpness(loss, rough) == pytest.approx(3, rel=1e-3)


def test_sharpness_without_residuals_is_the_kernels():
    """Where the network fits, the Hessian of half the sum of squares is J'J, whose spectrum is that of J J'."""
    params, X, _ = draw(0)
    targets = two_layers(params, X)

    def loss(params):
        return jnp.sum((two_layers(params, X) - targets) ** 2) / 2

    kernel = empirical_ntk(two_layers, params, X)
    assert sharpness(loss, params, tol=1e-8) == pytest.approx(largest_eigenvalue(kernel), rel=1e-6)


@pytest.fixture(scope="module")
def edges():
    """Five seeds, at the same loss."""
    return [align_by_learning_rate(two_layers, *draw(seed), ratios=[0.4, 1.58, 2.1, 2.6]) for seed in range(5)]


def test_alignment_at_equal_loss_rises_beyond_the_edge(edges):
    """For each seed; below the edge it is the same to a percent."""
    for edge in edges:
        below, near, beyond, far = edge.alignments
        assert near == pytest.approx(below, rel=0.015)
        assert beyond > 1.005 * max(below, near)
        assert far > beyond
        assert below > edge.initial_alignment
    rises = np.array([edge.alignments[3] / edge.alignments[0] for edge in edges])
    assert rises.min() > 1.03
    assert 1.1 < rises.mean() < 1.25


def test_what_is_reported(edges):
    for seed, edge in enumerate(edges):
        params, X, y = draw(seed)
        kernel = empirical_ntk(two_layers, params, X)
        np.testing.assert_allclose(edge.learning_rates * largest_eigenvalue(kernel), [0.4, 1.58, 2.1, 2.6])
        assert edge.initial_alignment == pytest.approx(target_alignment(kernel, y))
        assert (edge.losses <= 1e-4).all()
        assert (edge.losses > 1e-5).all()
        assert edge.n_steps[0] > 3 * edge.n_steps[1]
        assert (edge.final_ratios[2:] < 2.05).all()  # they have left for where they are stable
        assert (edge.final_ratios[:2] > edge.initial_ratios[:2]).all()  # progressive sharpening
    frame = edges[0].to_frame()
    assert len(frame) == 4
    np.testing.assert_array_equal(frame.alignments, edges[0].alignments)


ERRORS = {
    "ratios": ({"ratios": [0.5, -1]}, "ratios must be positive"),
    "loss": ({"loss": 0.0}, "loss must be finite and positive"),
    "max_steps": ({"max_steps": 0}, "max_steps must be >= 1"),
    "diverged": ({"ratios": [0.4, 1.58, 2.1, 50.0]}, "was not reached at eta lambda_1 = 50"),
    "slow": ({"ratios": [0.4, 1.58, 2.1, 2.6], "max_steps": 3}, "at eta lambda_1 = 0.4: .* after 3 steps"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    arguments, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        align_by_learning_rate(two_layers, *draw(0), **arguments)
