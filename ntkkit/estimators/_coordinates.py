"""What a network of matrix completion is given of a row or a column: its prior features and which one it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array


@dataclass(frozen=True)
class Coordinates:
    """z_j = (p_j, w e_j), scaled so that the mean square of its numbers is one.

    p_j are the prior features, scaled together so that their mean squared norm over j is one, e_j unit vectors. One
    unit vector more is there for all coordinates that are new: they are none of those known.

    Attributes
    ----------
    features : ndarray of shape (n, p)
        The prior features, scaled; p = 0 where there are none.
    scale : float
        What prior features are divided by.
    identity_weight : float
        w >= 0; with 0 the unit vectors are left out.
    """

    features: np.ndarray
    scale: float
    identity_weight: float

    def known(self) -> np.ndarray:
        """The features of the coordinates themselves: (n, p + n + 1), or (n, p) without identity."""
        n = len(self.features)
        return self._joined(self.features, np.eye(n, n + 1))

    def new(self, features: np.ndarray) -> np.ndarray:
        """The same of new coordinates, by their prior features (q, p)."""
        n = len(self.features)
        return self._joined(features / self.scale, np.broadcast_to(np.eye(1, n + 1, n), (len(features), n + 1)))

    def _joined(self, features: np.ndarray, units: np.ndarray) -> np.ndarray:
        Z = np.hstack([features, self.identity_weight * units]) if self.identity_weight else features
        norms = np.linalg.norm(Z, axis=1, keepdims=True)
        return Z * (np.sqrt(Z.shape[1]) / np.where(norms > 0, norms, 1))


def make_coordinates(features: np.ndarray, identity_weight: float, *, name: str) -> Coordinates:
    """Coordinates of prior features (n, p), where p may be 0.

    Raises
    ------
    ValueError
        If there is neither a feature that is not zero nor an identity.
    """
    scale = float(np.sqrt(np.square(features).sum() / len(features)))
    if scale == 0 and identity_weight == 0:
        raise ValueError(
            f"{name} has no feature that is not zero, and identity_weight=0 leaves out which coordinate is which: "
            "nothing tells them apart. Give features, or identity_weight=1.5."
        )
    scale = scale or 1.0
    return Coordinates(features / scale, scale, identity_weight)


def check_features(features: Any, n: int | None, *, name: str, one_a: str, n_features: int | None = None) -> np.ndarray:
    """Prior features as finite float64 rows (n, p); of n coordinates, and as many features as in fit, where given.

    Raises
    ------
    ValueError
        If they are not; the message names the argument.
    """
    try:
        found = check_array(features, dtype=np.float64, input_name=name)
    except ValueError as error:
        raise ValueError(f"{name} must be finite numbers, one row a {one_a}. {error}") from error
    if n is not None and len(found) != n:
        raise ValueError(f"{name} must have one row a {one_a}, {n}, found {len(found)}.")
    if n_features is not None and found.shape[1] != n_features:
        raise ValueError(f"{name} must have {n_features} features, as in fit, found {found.shape[1]}.")
    return found


def concatenate(Z_rows: np.ndarray, Z_columns: np.ndarray, row_weight: float) -> np.ndarray:
    """Features of entries: (row_weight u, v) for the unit vectors u and v of row and column, mean square one."""
    p, q = Z_rows.shape[1], Z_columns.shape[1]
    scale = np.sqrt((p + q) / (row_weight**2 + 1))
    return np.hstack([scale * row_weight / np.sqrt(p) * Z_rows, scale / np.sqrt(q) * Z_columns])
