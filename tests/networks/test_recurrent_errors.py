"""What recurrent networks warn of, and what they refuse."""

import re
import warnings

import numpy as np
import pytest
from references import recurrent as reference

from ntkkit import NNGP, NTK, Recurrent
from ntkkit.kernels.sequences import as_sequences
from ntkkit.networks import QuadratureWarning


def warned(network, *arrays):
    """The variance in the warning of a poor quadrature, if there is one."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", QuadratureWarning)
        NNGP(network).examine(*map(as_sequences, arrays))
    return [float(re.search(r"variances up to (\S+),", str(w.message))[1]) for w in found]


def test_quadrature_warns_of_large_variances():
    network = Recurrent(activation="tanh", input_weight_var=1.0)
    small, step = [np.full(8, 0.3), np.full(5, 0.2)], [np.array([0.1, 8.0, 0.1])]
    long = [np.full(7, 3.1)]  # of a larger norm than the sequence with the largest step
    about_65 = [pytest.approx(65, rel=0.02)]
    assert warned(network, small) == []
    assert warned(network, [*small, *long, *step]) == about_65
    assert warned(network, small, [np.full(9, 0.3), *step]) == about_65
    assert warned(network.replace(initial_state_var=32.5), small) == about_65


def test_quadrature_warns_of_what_grows_in_either_direction():
    network = Recurrent(activation="silu", recurrent_weight_var=8.0)
    early = [[10.0, 0, 0, 0, 0, 0, 0, 0]]
    late = [early[0][::-1]]
    assert warned(network, early) == warned(network.replace(bidirectional=True), late) > warned(network, late)


def test_sign_has_an_nngp_alone():
    network = Recurrent(activation="sign")
    with pytest.raises(ValueError, match=r"has no NTK: no gradient .* through Sign\(\)"):
        NTK(network)
    assert NTK(network.replace(n_frozen_layers=1)).network.without_ntk() is None
    X = [[1.0, -0.5], [2.0]]
    columns = [np.array(x)[:, None] for x in X]
    np.testing.assert_allclose(NNGP(network)(X), reference.limits(columns, columns, activation="Sign")[0], rtol=1e-14)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Recurrent(depth=0), ValueError, "depth must be >= 1, found 0"),
        (lambda: Recurrent(depth=1.5), TypeError, "depth must be an integer >= 1"),
        (lambda: Recurrent(readout="first"), ValueError, r"readout must be one of \['last', 'mean', 'per_step'\]"),
        (lambda: Recurrent(bias_var=-1), ValueError, "bias_var must be finite and >= 0"),
        (lambda: Recurrent(initial_state_var=np.nan), ValueError, "initial_state_var must be finite and >= 0"),
        (lambda: Recurrent(n_frozen_layers=2), ValueError, "n_frozen_layers must be at most depth=1, found 2"),
        (lambda: Recurrent(activation="relo"), ValueError, "activation must be an Activation"),
        (lambda: Recurrent(2, n_frozen_layers=2).limits([[1.0]], [[1.0]], depths=[1]), ValueError, "n_frozen_layers=2"),
        (lambda: Recurrent().limits([[1.0]], [[1.0]], depths=[]), ValueError, "depths must be one or more integers"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
