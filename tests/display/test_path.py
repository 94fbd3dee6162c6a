import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from numpy.testing import assert_allclose
from sklearn.gaussian_process.kernels import RBF
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ntkkit import NeuralKernelClassifierCV, NeuralKernelRegressor, NeuralKernelRegressorCV
from ntkkit.display import RidgePathDisplay
from ntkkit.display.style import RED


@pytest.fixture
def samples(rng):
    X = rng.standard_normal((40, 2))
    return X, np.sin(2 * X[:, 0]) + 0.3 * rng.standard_normal(40)


def test_the_line_is_the_path_and_the_mark_the_choice(samples):
    model = NeuralKernelRegressorCV(RBF(), alphas=[10.0, 1e-6, 1e-2, 1e-1, 1.0]).fit(*samples)
    display = RidgePathDisplay.from_estimator(model)
    order = np.argsort(model.alphas_)
    (line,), (mark,) = display.lines_, display.chosen_
    assert_allclose(line.get_data(), [model.alphas_[order], model.cv_errors_[order]])
    assert_allclose(np.ravel(mark.get_data()), [model.alpha_, model.cv_errors_.min()])
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "log"
    assert display.ax_.get_ylabel() == "mean squared leave-one-out error"
    assert not display.at_end
    assert "end of the grid" not in display.ax_.get_title(loc="left")


@pytest.mark.parametrize("alphas", [[1e2, 1e3], [1e-9, 1e-6], [0.5, 1e3]])
def test_says_that_the_choice_is_at_the_end(samples, alphas):
    display = RidgePathDisplay.from_estimator(NeuralKernelRegressorCV(RBF(), alphas=alphas).fit(*samples))
    assert display.at_end
    (title,) = [text for text in display.ax_.findobj(Text) if text.get_text().endswith("the end of the grid")]
    assert to_rgba(title.get_color()) == to_rgba(RED)


def test_zero_and_a_single_ridge_term_are_no_ends(samples):
    X, _ = samples
    display = RidgePathDisplay.from_estimator(NeuralKernelRegressorCV(RBF(), alphas=[0, 1.0, 10.0]).fit(X, X[:, 0]))
    assert display.alpha == 0
    assert not display.at_end
    assert display.ax_.get_xscale() == "symlog"
    display.figure_.canvas.draw()
    assert not RidgePathDisplay.from_estimator(NeuralKernelRegressorCV(RBF(), alphas=[1.0]).fit(*samples)).at_end


def test_one_line_a_target(samples, rng):
    X, y = samples
    model = NeuralKernelRegressorCV(RBF(), alpha_per_target=True).fit(X, np.c_[y, rng.standard_normal(40), X[:, 0]])
    display = RidgePathDisplay.from_estimator(model)
    assert_allclose(np.transpose([line.get_ydata() for line in display.lines_]), model.cv_errors_)
    assert_allclose([mark.get_xdata()[0] for mark in display.chosen_], model.alpha_)
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["target 0", "target 1", "target 2"]


def test_error_rates_of_a_classifier_in_a_pipeline(samples):
    X, y = samples
    model = make_pipeline(StandardScaler(), NeuralKernelClassifierCV(RBF(), criterion="error_rate")).fit(X, y > 0)
    display = RidgePathDisplay.from_estimator(model)
    assert_allclose(display.lines_[0].get_ydata(), model[-1].cv_errors_)
    assert display.ax_.get_yscale() == "linear"
    assert display.ax_.get_ylabel() == "leave-one-out error rate"


def test_refuses_machines_of_one_ridge_term(samples):
    with pytest.raises(TypeError, match="must be a NeuralKernelRegressorCV or NeuralKernelClassifierCV"):
        RidgePathDisplay.from_estimator(NeuralKernelRegressor(RBF()).fit(*samples))
