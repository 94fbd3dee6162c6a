"""Kernels that do not change when images are transformed: averages over a group."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from ntkkit.kernels.algebra import Composite, check_operand
from ntkkit.kernels.base import Kernel

GROUPS = ("flip",)


class Augmented(Composite):
    """Average of a kernel over a group of transformations of both images: (1 / |G|^2) sum_{g, h in G} k(g x, h y).

    It is positive semi-definite, and invariant: k(g x, y) = k(x, y). Where k itself only changes if one of its images
    is transformed and the other is not, as that of a convolutional network without strides, a kernel ridge machine with
    this kernel and `alpha` is the machine with k and ``|G| alpha`` on data augmented by all their transformed images.

    Parameters
    ----------
    kernel : Kernel
        Of images: its network has an `input_shape` of (H, W, C), or (L, C) for sequences of positions.
    group : {"flip"}, default="flip"
        "flip": the identity and the horizontal flip, which reverses W of (H, W, C) and L of (L, C).

    Raises
    ------
    TypeError
        If kernel is no kernel of ntkkit.
    ValueError
        If the kernel has no such `input_shape`, or the group is unknown.

    Notes
    -----
    A tile takes |G|^2 = 4 times the evaluations of the kernel inside, where augmenting the data takes 4 times the
    memory too, and 8 times the operations to solve.

    What comes before the kernel must keep flips what they are: `ImageStandardizer` does, `ZCAWhitener` only where it is
    fitted to the images and their flips together.

    References
    ----------
    Haasdonk, Burkhardt (2007), Invariant kernel functions for pattern analysis and machine learning; Li, Wang, Yu, Du,
    Hu, Salakhutdinov, Arora (2019), Enhanced convolutional neural tangent kernels.

    Examples
    --------
    A linear kernel is left with the means of mirrored pixels, (1.5, 1.5) and (3.5, 3.5):

    >>> from ntkkit import NTK, Augmented, FullyConnected
    >>> linear = NTK(FullyConnected(depth=0, weight_var=1.0, bias_var=0.0, input_shape=(1, 2, 1)))
    >>> linear([[1.0, 2.0]], [[3.0, 4.0]]), Augmented(linear, "flip")([[1.0, 2.0]], [[3.0, 4.0]])
    (array([[5.5]]), array([[5.25]]))
    """

    group: str

    def __init__(self, kernel: Kernel, group: str = "flip") -> None:
        check_operand(kernel, "kernel")
        if group not in GROUPS:
            raise ValueError(f"group must be one of {list(GROUPS)}, found {group!r}.")
        if kernel.input_shape is None or len(kernel.input_shape) not in (2, 3):
            raise ValueError(
                f"kernel={kernel!r} has the input_shape {kernel.input_shape}: give its network the input_shape of one "
                "image, (H, W, C) or (L, C), to say which features are flipped."
            )
        self.kernel, self.group = kernel, group

    @property
    def tile_side(self) -> int | None:
        side = self.kernel.tile_side
        return None if side is None else max(1, side // 2)

    def tile(self, X: Array, Y: Array, *, same: bool = False) -> Array:
        orbits_x, orbits_y = self._orbits(X), self._orbits(Y)
        size, n, m = len(orbits_x), len(X), len(Y)
        K = self.kernel.tile(orbits_x.reshape(size * n, -1), orbits_y.reshape(size * m, -1), same=same)
        return K.reshape(size, n, size, m).mean(axis=(0, 2))

    def tile_diag(self, X: Array) -> Array:
        def within(orbit: Array) -> Array:
            return self.kernel.tile(orbit, orbit, same=True).mean()

        return jax.vmap(within, in_axes=1)(self._orbits(X))

    def _orbits(self, X: Array) -> Array:
        """All transformed images: (n, d) -> (|G|, n, d)."""
        images = X.reshape(len(X), *(self.input_shape or ()))
        return jnp.stack([images, jnp.flip(images, axis=-2)]).reshape(2, len(X), -1)
