"""Products by scipy's BLAS are numpy's, however the matrices lie in memory."""

import numpy as np
import pytest

from ntkkit.linalg import matmul

LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda A: np.repeat(A, 2, axis=-1)[..., ::2],
}


@pytest.mark.parametrize("dtypes", [("f8", "f8"), ("f4", "f8"), ("f4", "f4")], ids=str)
@pytest.mark.parametrize("columns", [(), (1,), (4,), (0,)], ids=str)
@pytest.mark.parametrize("shape", [(5, 3), (1, 3), (0, 3), (5, 0)], ids=str)
@pytest.mark.parametrize("layouts", [("C", "C"), ("Fortran", "C"), ("C", "Fortran"), ("strided", "strided")], ids=str)
def test_it_is_numpys(layouts, shape, columns, dtypes):
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal(shape).astype(dtypes[0]), rng.standard_normal((shape[1], *columns)).astype(dtypes[1])
    A, B = LAYOUTS[layouts[0]](A), LAYOUTS[layouts[1]](B)
    found, expected = matmul(A, B), A @ B
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=16 * np.finfo(expected.dtype).eps)
