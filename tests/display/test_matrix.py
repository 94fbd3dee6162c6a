import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from references.sequences import Averages, averages
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, DotProduct
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ntkkit import NTK, FullyConnected, NeuralKernelClassifier, NeuralKernelRegressor
from ntkkit.display import KernelMatrixDisplay


@pytest.fixture
def samples(rng):
    return rng.standard_normal((30, 3)) * 5, rng.permutation(np.repeat(["b", "a", "c"], [12, 10, 8]))


def test_the_picture_shows_cosines_sorted_by_class(samples):
    X, y = samples
    display = KernelMatrixDisplay.from_kernel(DotProduct(), X, y)
    order = np.argsort(y, kind="stable")
    K = DotProduct()(X)[order][:, order]
    assert_allclose(display.gram, K)
    shown = display.image_.get_array()
    assert_allclose(shown, K / np.sqrt(np.outer(K.diagonal(), K.diagonal())))
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["a", "b", "c"]
    assert_allclose(display.ax_.get_yticks(), [4.5, 15.5, 25.5])
    across, upright = display.boundaries_[::2], display.boundaries_[1::2]
    assert [line.get_ydata()[0] for line in across] == [line.get_xdata()[0] for line in upright] == [9.5, 21.5]


def test_the_spectrum_leaves_rounding_out(samples):
    X, y = samples  # x.x' + 1 has rank 4
    display = KernelMatrixDisplay.from_kernel(DotProduct(), X, y)
    assert_allclose(display.eigenvalues, np.linalg.eigvalsh(display.gram)[::-1], atol=1e-10)
    index, values = display.spectrum_line_.get_data()
    assert_array_equal(index, [1, 2, 3, 4])
    assert_allclose(values, display.eigenvalues[:4])
    assert "26 below rounding" in display.spectrum_ax_.get_title(loc="left")


def test_reads_machines_in_pipelines_and_searches(samples):
    X, y = samples
    model = make_pipeline(StandardScaler(), NeuralKernelClassifier(NTK(FullyConnected(depth=1))))
    search = GridSearchCV(model, {"neuralkernelclassifier__alpha": [1.0]}, cv=2).fit(X, y)
    order = np.argsort(y, kind="stable")
    expected = NTK(FullyConnected(depth=1))(StandardScaler().fit_transform(X)[order])
    assert_allclose(KernelMatrixDisplay.from_estimator(search, X, y).gram, expected, rtol=1e-12)


def test_sequences_of_different_lengths():
    X, y = [[1.0, 3.0], [2.0], [0.0, 1.0, 5.0]], ["b", "a", "a"]
    expected = averages([np.array(X[i])[:, None] for i in (1, 2, 0)], [np.array(X[i])[:, None] for i in (1, 2, 0)])
    for data in (X, [np.array(x)[:, None] for x in X]):
        assert_allclose(KernelMatrixDisplay.from_kernel(Averages(), data, y).gram, expected)
        model = NeuralKernelClassifier(Averages()).fit(data, y)
        assert_allclose(KernelMatrixDisplay.from_estimator(model, data, y).gram, expected)


def test_a_regressor_sorts_by_the_target_and_has_no_classes(samples):
    X, y = samples[0], np.tile([2, 0, 1], 10)
    for model in (NeuralKernelRegressor(RBF()), GaussianProcessRegressor(RBF(), optimizer=None)):
        display = KernelMatrixDisplay.from_estimator(model.fit(X, y), X, y)
        assert_array_equal(display.y, np.sort(y))
        assert display.boundaries_ == []
    assert len(KernelMatrixDisplay.from_kernel(RBF(), X, y).boundaries_) == 4
    assert KernelMatrixDisplay.from_kernel(RBF(), X, y + 0.5).boundaries_ == []


def test_precomputed(samples):
    X, y = samples
    K, order = X @ X.T, np.argsort(y, kind="stable")
    model = NeuralKernelClassifier("precomputed").fit(K, y)
    for display in (
        KernelMatrixDisplay.from_estimator(model, K, y),
        KernelMatrixDisplay.from_kernel("precomputed", K, y),
    ):
        assert_allclose(display.gram, K[order][:, order])


def test_many_rows_are_thinned_out_in_sorted_order(rng):
    X, y, seen = rng.standard_normal((1500, 1)), rng.permutation(np.repeat([0, 1], [1000, 500])), []

    def kernel(A, B):
        seen.append(len(A))
        return np.exp(-((A - B.T) ** 2))

    display = KernelMatrixDisplay.from_kernel(kernel, X, y)
    assert seen == [500]  # only what is shown is evaluated
    assert abs(np.mean(display.y) - 1 / 3) < 0.01
    assert "500 of 1,500 rows" in display.ax_.get_title(loc="left")


def test_one_sample_and_a_kernel_of_zeros():
    assert KernelMatrixDisplay.from_kernel(RBF(), [[1.0]], [3.5]).image_.get_array().shape == (1, 1)
    display = KernelMatrixDisplay.from_kernel("precomputed", np.zeros((3, 3)), [0, 1, 1])
    assert not display.image_.get_array().any()
    assert display.spectrum_line_.get_xdata().size == 0


def test_two_axes_or_one_in_a_grid(samples):
    figure, axes = plt.subplots(1, 2)
    display = KernelMatrixDisplay.from_kernel(RBF(), *samples, ax=axes)
    assert (display.ax_, display.spectrum_ax_) == tuple(axes)
    with pytest.raises(ValueError, match="ax must be made by subplots"):
        display.plot(figure.add_axes((0, 0, 1, 1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": [[np.nan]] * 30}, "NaN"),
        ({"y": np.zeros(29)}, "inconsistent numbers of samples"),
        ({"y": np.zeros((30, 2))}, "y should be a 1d array"),
        ({"kernel": FullyConnected()}, "Give the network's kernel"),
        ({"kernel": "rbf"}, "Give the kernel as an object"),
    ],
)
def test_refuses_what_it_cannot_use(samples, change, message):
    arguments = {"kernel": RBF(), "X": samples[0], "y": samples[1], **change}
    with pytest.raises(ValueError, match=message):
        KernelMatrixDisplay.from_kernel(**arguments)


def test_refuses_machines_without_kernel_and_other_features(samples):
    X, y = samples[0], np.arange(30.0)
    with pytest.raises(TypeError, match="must have a kernel_"):
        KernelMatrixDisplay.from_estimator(Ridge().fit(X, y), X, y)
    with pytest.raises(ValueError, match="features"):
        KernelMatrixDisplay.from_estimator(NeuralKernelRegressor(RBF()).fit(X, y), X[:, :2], y)
