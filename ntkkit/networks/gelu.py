"""The Gaussian error linear unit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ntkkit.networks.activations import Activation, Dual, register
from ntkkit.networks.angle import polar_angle
from ntkkit.networks.state import State, kept, nearest, safe_ratio, safe_sqrt


class Gelu(Activation):
    """phi(z) = z Phi(z) = z (1 + erf(z / sqrt 2)) / 2, exact (jax.nn.gelu is by default an approximation to it).

    With p = (1 + q1)(1 + q2), L = sqrt(p - k^2) and kappa = atan(k / L),

        E[phi phi] = k / 4 + [(k^2 + s^2 L^2) / (p L) + k kappa] / 2 pi,
        E[phi' phi'] = 1/4 + [kappa + (k / L)(1 / L^2 + (2 + q1 + q2) / p)] / 2 pi.

    The distance is that at correlation 1, where E[phi phi] = s (pi - omega) / 2 pi with an omega that vanishes for
    large variances, and what turning v away from u adds, by differences of angles in which nothing cancels. In
    float32 right to 5e-7 of sqrt(K_ii K_jj).

    References
    ----------
    Tsuchida, Pearce, van der Heide, Roosta, Gallagher (2021), Avoiding kernel fixed points: computing with ELU and GELU
    infinite networks.

    Examples
    --------
    >>> from ntkkit.networks import Gelu
    >>> round(float(Gelu()(1.0)), 6)
    0.841345
    """

    def __call__(self, z: Array) -> Array:
        return jax.nn.gelu(z, approximate=False)

    def variance(self, q: Array) -> Array:
        return q * (np.pi - _deficit(q, q)) / (2 * np.pi)

    def dual(self, state: State) -> Dual:
        q1, q2, s = state.var1, state.var2, state.scale
        near, acute = nearest(state)
        far = 2 - near
        turned, kappa, root = _turn(q1, q2, s, near)
        signed = jnp.where(acute, kappa, -kappa)
        ratio = jnp.where(acute, s, -s) * (1 - near) / root
        total = 2 + q1 + q2
        derivative = (np.pi / 2 + signed + ratio * (1 / root**2 + total / ((1 + q1) * (1 + q2)))) / (2 * np.pi)

        # all relative to s / 2 pi, that is, to sqrt(E[phi^2] E[phi^2]) = s sqrt(half1 half2) / 2 pi
        omega, omega1, omega2 = (kept(_deficit(*pair)) for pair in ((q1, q2), (q1, q1), (q2, q2)))
        half1, half2 = kept(jnp.sqrt(np.pi - omega1)), kept(jnp.sqrt(np.pi - omega2))
        unequal = jnp.maximum(omega - (omega1 + omega2) / 2 - (half1 - half2) ** 2 / 2, 0)
        unequal = jnp.where(q1 == q2, 0, unequal)
        delta = (unequal + np.pi / 2 * jnp.where(acute, near, far) + turned) / (half1 * half2)
        after = (unequal + np.pi / 2 * jnp.where(acute, far, near) + np.pi - 2 * omega - turned) / (half1 * half2)
        return jnp.where(s > 0, delta, 0), None if state.anti is None else jnp.where(s > 0, after, 2), derivative


def _deficit(q1: Array, q2: Array) -> Array:
    """omega = pi - 2 pi E[phi phi] / s at correlation 1, in (0, pi / 2]; small for large variances."""
    s = safe_sqrt(q1) * safe_sqrt(q2)
    root = jnp.sqrt(1 + q1 + q2)
    return polar_angle(root, s) - s / root * (2 + q1 + q2) / ((1 + q1) * (1 + q2))


def _turn(q1: Array, q2: Array, s: Array, near: Array) -> tuple[Array, Array, Array]:
    """X(s) - X(s (1 - near)), over s, of the even part X(k) = (k^2 + s^2 L^2) / (p L) + k kappa; kappa; and L.

    With a = kappa at k = s and d = a - kappa (by the addition theorem), sqrt p sin kappa = k and sqrt p cos kappa = L,

        X(k) = (sec kappa - cos kappa + s^2 cos kappa) / sqrt p + sqrt p kappa sin kappa.
    """
    root_p = jnp.sqrt(1 + q1) * jnp.sqrt(1 + q2)
    base = 1 + q1 + q2
    sine2, cosine = near * (2 - near), 1 - near
    root0, root = jnp.sqrt(base), jnp.sqrt(base + s * s * sine2)
    above, beside = root_p**2 * s * sine2 / (root + cosine * root0), root0 * root + s * s * cosine
    d, kappa = kept(polar_angle(above, beside)), kept(polar_angle(s * cosine, root))
    sin_a, cos_a = s / root_p, root0 / root_p
    radius = jnp.sqrt(above * above + beside * beside)
    cos_h = jnp.sqrt((1 + beside / radius) / 2)
    sin_h = above / (2 * radius * cos_h)
    sin_mid, cos_mid = sin_a * cos_h - cos_a * sin_h, cos_a * cos_h + sin_a * sin_h
    # d sin a - 2 sin(a - d / 2) sin(d / 2)
    lag = sin_a * _arc_less_chord(d, sin_h) + 2 * sin_h**2 * (sin_a * sin_h / (1 + cos_h) + cos_a)
    secants = 2 * sin_mid * sin_h / root_p * (root_p**2 / (root0 * root) + 1)
    turned = secants + s * s / root_p * lag + base / root_p * d * sin_a + 2 * root_p * kappa * cos_mid * sin_h
    return kept(safe_ratio(turned, s)), kappa, root


def _arc_less_chord(d: Array, sin_h: Array) -> Array:
    """d - 2 sin(d / 2), without its cancellation at small d."""
    square = d * d
    series = d * square * (1 / 24 - square * (1 / 1920 - square * (1 / 322560 - square / 92897280)))
    return jnp.where(d < 0.5, series, d - 2 * sin_h)


register("gelu", Gelu())
