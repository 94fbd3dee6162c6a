"""Products of matrices by the BLAS that also factorises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs


def matmul(A: NDArray[np.floating], B: NDArray[np.floating]) -> NDArray[np.floating]:
    """A B by scipy's BLAS: (n, k), (k,) -> (n,), or (n, k), (k, m) -> (n, m).

    numpy and scipy often bring an OpenBLAS each. Its threads go on spinning for a while after a product, and take the
    cores from the other's: on two of them a Cholesky factorisation by scipy takes twice as long after numpy's ``@``.

    One column has a routine of its own, gemv: gemm takes half as long again for it, and was seen to take forty times as
    long on two cores that other work used, too.
    """
    columns = B if B.ndim == 2 else B[:, None]
    if columns.shape[1] == 1 and A.size:
        turn = not A.flags.f_contiguous
        gemv = get_blas_funcs("gemv", (A, columns))
        return gemv(1.0, A.T if turn else A, columns[:, 0], trans=turn).reshape(len(A), *B.shape[1:])
    gemm = get_blas_funcs("gemm", (A, columns))
    turned = [not matrix.flags.f_contiguous for matrix in (A, columns)]
    factors = [matrix.T if turn else matrix for matrix, turn in zip((A, columns), turned, strict=True)]
    return gemm(1.0, *factors, trans_a=turned[0], trans_b=turned[1]).reshape(len(A), *B.shape[1:])
