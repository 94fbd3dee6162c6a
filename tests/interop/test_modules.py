"""Networks of other frameworks: their empirical NTKs are those of the same network written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import SVC

from ntkkit.finite import EmpiricalNTK, empirical_ntk, empirical_ntk_by_layer
from ntkkit.interop.modules import TorchNTK, from_equinox, from_flax

X = np.random.default_rng(0).standard_normal((5, 3))
Y = X[:2]


def by_hand(weights, biases):
    """tanh networks with torch's and equinox's layout of weights, by whole Jacobians in float64."""

    def apply(params, X):
        *hidden, last = params
        for W, b in hidden:
            X = jnp.tanh(X @ W.T + b)
        return X @ last[0].T + last[1]

    params = [(np.array(W, float), np.array(b, float)) for W, b in zip(weights, biases, strict=True)]
    return empirical_ntk(apply, params, X, implementation="jacobian_contraction")


def test_flax():
    nn = pytest.importorskip("flax.linen")

    class Model(nn.Module):
        @nn.compact
        def __call__(self, X):
            return nn.Dense(2)(jnp.tanh(nn.BatchNorm(use_running_average=True)(nn.Dense(4)(X))))

    module = Model()
    apply, params = from_flax(module, module.init(jax.random.key(0), X))
    expected = empirical_ntk(apply, params, X, implementation="jacobian_contraction")
    np.testing.assert_allclose(empirical_ntk(apply, params, X), expected, rtol=1e-11)
    np.testing.assert_allclose(EmpiricalNTK(apply, params)(X), expected, rtol=1e-11)
    parts = empirical_ntk_by_layer(apply, params, X)
    assert set(parts) == {"BatchNorm_0", "Dense_0", "Dense_1"}
    with pytest.raises(ValueError, match="variables must have 'params'"):
        from_flax(module, {})


def test_equinox():
    eqx = pytest.importorskip("equinox")
    module = eqx.nn.MLP(3, 2, 4, 2, activation=jnp.tanh, key=jax.random.key(0))
    apply, params = from_equinox(module)
    expected = by_hand([layer.weight for layer in module.layers], [layer.bias for layer in module.layers])
    np.testing.assert_allclose(empirical_ntk(apply, params, X), expected, rtol=1e-10)
    assert set(empirical_ntk_by_layer(apply, params, X)) == {f"layers/{i}" for i in range(3)}


@pytest.mark.slow
def test_torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).eval()
    layers = [module[0], module[2]]
    expected = by_hand([a.weight.detach().numpy() for a in layers], [a.bias.detach().numpy() for a in layers])
    kernel = TorchNTK(module, batch_size=2)
    np.testing.assert_allclose(kernel(X), expected, rtol=1e-10)
    np.testing.assert_allclose(kernel(X, Y), expected[:, :2], rtol=1e-10)
    single = kernel(X.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-4)
    SVC(kernel=kernel).fit(X, [0, 1, 0, 1, 1]).predict(X)
    module[0].requires_grad_(False)
    assert (kernel(X).diagonal() < expected.diagonal()).all()
    with pytest.raises(ValueError, match=r"call its \.eval"):
        TorchNTK(module.train())(X)
