"""The kernel between the positions of one image, of a network that halves and doubles its resolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ntkkit.networks.value import check_count, check_real

Table = NDArray[np.float64]

# What a pixel of the doubled image is made of: weights, and which coarse pixel it is, seen from half its coordinate,
# for even and for odd coordinates.
UPSAMPLINGS: dict[str, list[tuple[float, tuple[int, int]]]] = {
    "nearest": [(1.0, (0, 0))],
    "bilinear": [(0.75, (0, 0)), (0.25, (-1, 1))],
}


def hourglass_kernel(
    depth: int,
    *,
    n_convs: int = 2,
    filter_size: int = 3,
    upsampling: str = "bilinear",
    slope: float = 0.0,
    prior_correlation: float = 0.75,
) -> Table:
    """The NTK between positions p and p' of one image, which is noise: what a wide network completes pictures by.

    The network is n_convs convolutions, `depth` times followed by a subsampling to even coordinates and n_convs
    convolutions, then `depth` times by an upsampling and n_convs convolutions. All but the last are followed by
    LeakyReLU; the borders are joined (a torus), there are no biases, weight_var is 1 and LeakyReLU scaled to keep the
    variance. With C the average over a filter's patch, U the resampling and k0, k1 the duals of the activation, [1]_

        A = C S C',    K = C (S + T) C'        with S the covariance of the input, T = 0, at first,
        S <- U sqrt(A_pp A_p'p') k1(A / sqrt(A_pp A_p'p')) U',    T <- U (K * k0(A / sqrt(A_pp A_p'p'))) U'.

    The input has variance 1 and the correlation `prior_correlation` between any two positions. So K depends on
    p mod m, m = 2^depth, and p' - p only: convolutions keep p' - p, and average over p. Where p' - p is more than
    r = m - 1 (nearest) or 3 (m - 1) (bilinear) along an axis, K depends on p mod m and p' mod m only. Hence the kernel
    on a torus of T = 3 m or 7 m pixels a side has all entries of those on larger ones.

    Parameters
    ----------
    depth : int
        How often the resolution is halved, and doubled again; >= 1.
    n_convs : int, default=2
        Convolutions at each resolution, on either way; >= 1. With 1 the kernel of a whole image is singular.
    filter_size : int, default=3
        Pixels a side of the filters, odd. It matters little, since K is an average over what filters see.
    upsampling : {"nearest", "bilinear"}, default="bilinear"
        "nearest" repeats each pixel, "bilinear" gives the two nearest along each axis the weights 3/4 and 1/4.
    slope : float, default=0.0
        Slope of LeakyReLU left of 0, finite. 0 is ReLU.
    prior_correlation : float, default=0.75
        Correlation of the input between any two positions, in [0, 1).

    Returns
    -------
    ndarray of shape (m, m, T, T)
        ``K[y, x, dy, dx]`` is the kernel between (y, x) and (y + dy, x + dx); on the diagonal, of "nearest", the number
        of convolutions n_convs (2 depth + 1). In float64, right to some 1e-13 of the diagonal; 2 s and 25 MB at
        depth 4, bilinear, and 16 times that a further level.

    Raises
    ------
    TypeError
        If an argument is of a wrong type.
    ValueError
        If one is out of its range. The message says what was found.

    References
    ----------
    .. [1] Radhakrishnan, Stefanakis, Belkin, Uhler (2022), Simple, fast, and flexible framework for matrix completion
       with infinite width neural networks, PNAS 119.

    Examples
    --------
    >>> from ntkkit.networks.hourglass import hourglass_kernel
    >>> K = hourglass_kernel(1, n_convs=1, upsampling="nearest", prior_correlation=0.0)
    >>> K.shape
    (2, 2, 6, 6)

    Two layers of ReLU at a coarse position and one convolution: 3 on the diagonal, and far from it

    >>> angle = np.arccos(1 / np.pi)  # between two positions, after the first layer
    >>> nngp = (np.sin(angle) + (np.pi - angle) / np.pi) / np.pi
    >>> ntk = nngp + (1 / np.pi + 0) * (np.pi - angle) / np.pi
    >>> bool(np.isclose(K[0, 0, 0, 0], 3)), bool(np.isclose(K[0, 0, 3, 3], ntk))
    (True, True)
    """
    check_count(depth, "depth", low=1)
    check_count(n_convs, "n_convs", low=1)
    if check_count(filter_size, "filter_size", low=1) % 2 == 0:
        raise ValueError(f"filter_size must be odd, found {filter_size}.")
    if upsampling not in UPSAMPLINGS:
        raise ValueError(f"upsampling must be one of {sorted(UPSAMPLINGS)}, found {upsampling!r}.")
    slope = check_real(slope, "slope", signed=True)
    if not 0 <= check_real(prior_correlation, "prior_correlation") < 1:
        raise ValueError(f"prior_correlation must be in [0, 1), found {prior_correlation}.")
    period, side = 1, 3 if upsampling == "nearest" else 7
    nngp = np.full((side, side), prior_correlation)  # [residue and offset of rows, residue and offset of columns]
    nngp[0, 0] = 1.0
    ntk = np.zeros_like(nngp)
    for level in range(2 * depth + 1):  # subsampling leaves a constant covariance what it is
        if level > depth:
            up = _upsampling(period, side, UPSAMPLINGS[upsampling])
            nngp, ntk, period, side = _on_both(up, nngp), _on_both(up, ntk), 2 * period, 2 * side
        patch = _patch(period, side, filter_size)
        for conv in range(n_convs):
            nngp = _on_both(patch, nngp)
            ntk = nngp + _on_both(patch, ntk)
            if (level, conv) < (2 * depth, n_convs - 1):
                nngp, derivative = _activate(nngp, period, side, slope)
                ntk *= derivative
    return np.ascontiguousarray(ntk.reshape(period, side, period, side).transpose(0, 2, 1, 3))


def _on_both(operator: csr_array, K: Table) -> Table:
    """Rows and columns of an image are transformed alike."""
    return (operator @ (operator @ K).T).T


def _upsampling(period: int, side: int, taps: list[tuple[float, tuple[int, int]]]) -> csr_array:
    """U . U' along one axis, from pairs (residue, offset) of coarse pixels to those of fine ones."""
    residue, offset = np.divmod(np.arange(4 * period * side), 2 * side)
    other = residue + offset
    weights, sources = [], []
    for weight, shifts in taps:
        p = residue // 2 + np.take(shifts, residue % 2)
        for weight_other, shifts_other in taps:
            q = other // 2 + np.take(shifts_other, other % 2)
            weights.append(np.full(len(p), weight * weight_other))
            sources.append(p % period * side + (q - p) % side)
    pairs = (np.tile(np.arange(len(residue)), len(weights)), np.concatenate(sources))
    return csr_array((np.concatenate(weights), pairs), shape=(4 * period * side, period * side))


def _patch(period: int, side: int, filter_size: int) -> csr_array:
    """Average over a filter's patch along one axis: both positions move together."""
    residue, offset = np.divmod(np.arange(period * side), side)
    shifts = np.arange(filter_size)[:, None] - filter_size // 2
    sources = (residue + shifts) % period * side + offset
    pairs = (np.broadcast_to(np.arange(period * side), sources.shape).ravel(), sources.ravel())
    shape = (period * side, period * side)
    return csr_array((np.full(sources.size, 1 / filter_size), pairs), shape=shape)


def _activate(A: Table, period: int, side: int, slope: float) -> tuple[Table, Table]:
    """Duals of LeakyReLU, E[phi phi] and E[phi' phi'], for phi scaled to keep the variance."""
    residue, offset = np.divmod(np.arange(period * side), side)
    deviation = np.sqrt(A[::side, ::side])  # at offset 0, of each residue
    other = (residue + offset) % period
    scale = deviation[np.ix_(residue, residue)] * deviation[np.ix_(other, other)]
    cosine = np.clip(A / scale, -1.0, 1.0)
    cosine[::side, ::side] = 1.0  # not 1 - eps, whose angle is 1e-8
    angle = np.arccos(cosine)
    sine = np.sqrt(1.0 - cosine * cosine)
    leak = 2 * slope / (1 + slope * slope)
    first = cosine * (np.pi - angle) + sine + leak * (cosine * angle - sine)
    zeroth = (np.pi - angle) + leak * angle
    return scale * first / np.pi, zeroth / np.pi
