"""One test a mistake: the error names the argument, what was found and the remedy, and leaves no trace."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from scipy.linalg import LinAlgError
from sklearn.exceptions import NotFittedError

from ntkkit.estimators import NeuralKernelClassifier, NeuralKernelRegressor
from ntkkit.kernels import NTK
from ntkkit.networks import FullyConnected, Recurrent

X = np.random.default_rng(0).normal(size=(6, 3))
Y = np.array([0, 1, 0, 1, 1, 0])
IMAGES = NTK(FullyConnected(input_shape=(3, 1, 1)))


def changed(value):
    wrong = X.copy()
    wrong[2, 1] = value
    return wrong


SEQUENCES = NTK(Recurrent())
BOTH = {  # name: what differs from a good fit, and what the message says
    "NaN": ({"X": changed(np.nan)}, r"Input X contains NaN(.|\n)*imputer"),
    "inf": ({"X": changed(np.inf)}, r"Input X contains infinity(.|\n)*Clip or drop"),
    "1-D X": ({"X": X[0]}, r"got 1D array instead(.|\n)*X must be 2-D, one row a sample"),
    "3-D X": ({"X": X[:, :, None]}, r"dim 3(.|\n)*input_shape(.|\n)*X\.reshape"),
    "text": ({"X": X.astype(str).astype(object) + "a"}, r"could not convert .*a'(.|\n)*X, .* OneHotEncoder"),
    "text column": ({"X": pd.DataFrame({"a": list("uvwxyz"), "b": Y})}, r"could not convert .*'u'(.|\n)*OneHotEncoder"),
    "complex X": ({"X": X + 1j}, r"Complex data(.|\n)*X and y must be real"),
    "sparse X": ({"X": scipy.sparse.csr_array(X)}, r"[Ss]parse data was passed(.|\n)*toarray"),
    "no samples": ({"X": X[:0], "y": Y[:0]}, r"0 sample\(s\) \(shape=\(0, 3\)\)(.|\n)*X must have at least one row"),
    "no features": ({"X": X[:, :0]}, r"0 feature\(s\) \(shape=\(6, 0\)\)(.|\n)*X must have at least one column"),
    "long y": ({"y": [*Y, 1]}, r"numbers of samples: \[6, 7\](.|\n)*X and y must have one row a sample"),
    "no y": ({"y": None}, "requires y to be passed, but the target y is None"),
    "NaN in y": ({"y": [0, 1, 0, 1, np.nan, 0]}, r"Input y contains NaN(.|\n)*Drop the samples"),
    "sparse y": ({"y": scipy.sparse.csr_array(np.eye(6)[:, :2])}, r"y .*shape \(6, 2\).*(toarray|MultiOutput)"),
    "negative alpha": ({"alpha": -1.0}, r"'alpha' parameter .* in the range \[0.0, inf\).* Got -1.0"),
    "alpha NaN": ({"alpha": np.nan}, r"'alpha' parameter .* in the range \[0.0, inf\).* Got nan"),
    "alpha infinite": ({"alpha": np.inf}, r"'alpha' parameter .* in the range \[0.0, inf\).* Got inf"),
    "alpha text": ({"alpha": "1"}, r"'alpha' parameter .* must be a float .*. Got '1'"),
    "alpha an array": ({"alpha": np.ones(6)}, r"must be a float .*Got array|one for each of 1 targets, found"),
    "unknown solver": ({"solver": "svd"}, r"'solver' parameter .* must be a str among .*'auto'.* Got 'svd'"),
    "no engine": ({"engine": 4}, r"'engine' parameter .* instance of '.*Engine' or None. Got 4"),
    "kernel by name": ({"kernel": "rbf"}, r"'kernel' parameter .* Got 'rbf' instead.*as an object, .*RBF\(\)"),
    "a network": ({"kernel": FullyConnected()}, r"'kernel' parameter .* Got FullyConnected\(\) .*NTK\(network\)"),
    "a class": ({"kernel": NTK}, r"'kernel' parameter .* Got <class .*NTK\(FullyConnected\(\)\)"),
    "a number": ({"kernel": 3}, r"'kernel' parameter .* Got 3 instead"),
    "hole in a sequence": (
        {"kernel": SEQUENCES, "X": changed(np.nan)},
        r"X has NaN inside sequence 2, at step 1 of 3.*(Interpolate|drop the step)",
    ),
    "empty sequence": ({"kernel": SEQUENCES, "X": [[0.0]] * 5 + [[]]}, "Sequence 5 of X is empty: drop it"),
    "sequences and long y": ({"kernel": SEQUENCES, "y": [*Y, 1]}, r"numbers of samples: \[6, 7\]"),
    "wrong image": (
        {"kernel": IMAGES, "X": X.reshape(6, 1, 3, 1)},
        r"X has shape \(6, 1, 3, 1\).* input_shape is \(3, 1, 1\).*change input_shape",
    ),
    "wrong flat image": ({"kernel": IMAGES, "X": X[:, :2]}, r"X has shape \(6, 2\).*rows of 3 features"),
    "overflow": ({"X": X * 1e200}, r"kernel returned NaN or infinity.*StandardScaler"),
    "not square": ({"kernel": "precomputed"}, r"X, with kernel='precomputed', must be a square .*\(6, 3\).*training"),
    "not symmetric": (
        {"kernel": "precomputed", "X": np.arange(36.0).reshape(6, 6)},
        r"X, with kernel='precomputed', must be symmetric .* differ by 25 .*training samples",
    ),
    "callable on pairs": ({"kernel": lambda x, y: 1.0}, r"shape \(6, 6\), found \(\).*whole matrices"),
    "callable complex": ({"kernel": lambda A, B: 1j * A @ B.T}, "real numbers, found dtype complex128"),
    "callable NaN": ({"kernel": lambda A, B: A @ B.T * np.nan}, "kernel returned NaN"),
    "callable not symmetric": (
        {"kernel": lambda A, B: A @ np.triu(np.ones((3, 3))) @ B.T},
        "kernel.*must be symmetric",
    ),
    "negative weight": ({"sample_weight": [1, 1, 1, 1, 1, -2]}, "sample_weight must be >= 0, found -2; .* weigh it 0"),
    "zero weights": ({"sample_weight": np.zeros(6)}, "weight.*zero"),
    "NaN weight": ({"sample_weight": [1, 1, 1, 1, 1, np.nan]}, r"sample_weight contains NaN(.|\n)*finite and >= 0"),
    "long weights": (
        {"sample_weight": np.ones(7)},
        r"sample_weight.shape == \(7,\), expected \(6,\)(.|\n)*one weight a",
    ),
}
REGRESSOR = {
    "text in y": ({"y": list("uvwxyz")}, r"could not convert .*'u'(.|\n)*y in regression(.|\n)*NeuralKernelClassifier"),
}
CLASSIFIER = {
    "one class": ({"y": np.ones(6)}, r"y must have at least two classes .*found one class: .*1"),
    "one class of positive weight": (
        {"sample_weight": Y},
        "at least two classes among the samples of positive sample_weight",
    ),
    "numbers": ({"y": X[:, 0]}, "continuous"),
    "several targets": (
        {"y": np.arange(18).reshape(6, 3) % 4},
        r"y must be 1-D, or zeros and ones.*found shape \(6, 3\).*MultiOutputClassifier",
    ),
}
CASES = [(NeuralKernelRegressor, *case) for case in (BOTH | REGRESSOR).items()]
CASES += [(NeuralKernelClassifier, *case) for case in (BOTH | CLASSIFIER).items()]


def split(arguments):
    """Constructor's and fit's arguments."""
    at_fit = {"X": X, "y": Y} | {k: v for k, v in arguments.items() if k in ("X", "y", "sample_weight")}
    return {k: v for k, v in arguments.items() if k not in at_fit}, at_fit


@pytest.mark.parametrize(("Estimator", "name", "case"), CASES, ids=[f"{E.__name__[12:]}-{n}" for E, n, _ in CASES])
def test_the_error_names_what_where_and_the_remedy_and_leaves_no_trace(Estimator, name, case):
    arguments, message = case
    parameters, at_fit = split(arguments)
    estimator = Estimator(**parameters)
    before = set(vars(estimator))
    with pytest.raises((ValueError, TypeError), match=message):
        estimator.fit(**at_fit)
    assert set(vars(estimator)) == before

    fitted = Estimator(alpha=0.1).fit(X, Y)
    predicted = fitted.predict(X)
    with pytest.raises((ValueError, TypeError), match=message):
        fitted.set_params(**parameters).fit(**at_fit)
    fitted.set_params(engine=None)
    np.testing.assert_array_equal(fitted.predict(X), predicted)


@pytest.mark.parametrize("Estimator", [NeuralKernelRegressor, NeuralKernelClassifier])
class TestAtPredict:
    def test_before_fit(self, Estimator):
        with pytest.raises(NotFittedError, match=r"not fitted yet\. Call 'fit'"):
            Estimator().predict(X)

    def test_other_columns(self, Estimator):
        message = r"X has 2 features, but \w+ is expecting 3 features(.|\n)*columns it had in fit"
        with pytest.raises(ValueError, match=message):
            Estimator().fit(X, Y).predict(X[:, :2])

    def test_nan(self, Estimator):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            Estimator().fit(X, Y).predict(changed(np.nan))

    def test_overflow(self, Estimator):
        with pytest.raises(ValueError, match=r"kernel returned NaN or infinity.*StandardScaler"):
            Estimator().fit(X, Y).predict(X * 1e200)

    def test_the_kernel_of_new_samples_with_themselves(self, Estimator):
        with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 6"):
            Estimator("precomputed", alpha=1.0).fit(X @ X.T, Y).predict(X[:2] @ X[:2].T)

    def test_other_images(self, Estimator):
        with pytest.raises(ValueError, match=r"X has shape \(6, 1, 3, 1\), but input_shape is \(3, 1, 1\)"):
            Estimator(IMAGES).fit(X, Y).predict(X.reshape(6, 1, 3, 1))


@pytest.mark.parametrize("kernel", [None, "precomputed", np.dot], ids=["None", "precomputed", "callable"])
def test_parameters_of_a_kernel_that_has_none(kernel):
    estimator = NeuralKernelRegressor(kernel)
    with pytest.raises(ValueError, match=r"kernel is .* kernel__network__depth: pass kernel=NTK\(FullyConnected\(\)\)"):
        estimator.set_params(kernel__network__depth=2, alpha=5.0)
    assert estimator.get_params(deep=False) == NeuralKernelRegressor(kernel).get_params(deep=False)


def test_cholesky_alone_refuses_a_singular_system():
    estimator = NeuralKernelRegressor(alpha=0, solver="cholesky")
    with pytest.raises(LinAlgError, match=r"at alpha=0: .* Raise alpha to .* or use solver='auto'"):
        estimator.fit(X[[0, 0, 1]], [1.0, 2.0, 3.0])
    assert not hasattr(estimator, "dual_coef_")
