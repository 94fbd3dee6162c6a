"""The hourglass network by all pairs of pixels, and finite: nothing is known of the structure of its kernel."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np


def layers(depth, n_convs):
    """Names of the layers in turn; the last convolution is the readout."""
    one = ["conv", "act"] * n_convs
    return [*one, *["down", *one] * depth, *["up", *one] * depth][:-1]


def upsampling(side, kind):
    """The matrix (2 side, side) of an upsampling along one axis, around the border."""
    U = np.zeros((2 * side, side))
    for i in range(2 * side):
        if kind == "nearest":
            U[i, i // 2] = 1
        else:
            U[i, i // 2] += 0.75
            U[i, (i // 2 + (1 if i % 2 else -1)) % side] += 0.25
    return U


def patch_mean(S, size):
    reach = range(-(size // 2), size // 2 + 1)
    moved = [np.roll(S, (y, x, y, x), axis=(0, 1, 2, 3)) for y, x in itertools.product(reach, reach)]
    return sum(moved) / size**2


def upsampled(S, kind):
    Uy, Ux = upsampling(S.shape[0], kind), upsampling(S.shape[1], kind)
    S = np.tensordot(Uy, np.tensordot(Ux, S, (1, 1)), (1, 1))
    return np.tensordot(Uy, np.tensordot(Ux, S, (1, 3)), (1, 3)).transpose(2, 3, 0, 1)


def direct_kernel(shape, depth, *, n_convs, filter_size, upsampling, slope, prior_correlation):
    """The NTK between all pixels of a picture of this shape: (H W, H W)."""
    n = shape[0] * shape[1]
    S = np.full((n, n), prior_correlation)
    np.fill_diagonal(S, 1.0)
    S, P, K = S.reshape(shape + shape), 0.0 * S.reshape(shape + shape), None
    for layer in layers(depth, n_convs):
        if layer == "conv":
            S = patch_mean(S, filter_size)
            K = S + patch_mean(P, filter_size)
        elif layer == "act":
            n = S.shape[0] * S.shape[1]
            root = np.sqrt(S.reshape(n, n).diagonal())
            u = S.reshape(n, n) / np.outer(root, root)
            np.fill_diagonal(u, 1.0)
            t = np.arccos(np.clip(u, -1, 1))
            leak = 2 * slope / (1 + slope**2)
            kappa0 = (np.pi - t + leak * t) / np.pi
            kappa1 = (u * (np.pi - t) + np.sin(t) + leak * (u * t - np.sin(t))) / np.pi
            P = K * kappa0.reshape(S.shape)
            S = (np.outer(root, root) * kappa1).reshape(S.shape)
        elif layer == "down":
            S, P = S[::2, ::2, ::2, ::2], P[::2, ::2, ::2, ::2]
        else:
            S, P = upsampled(S, upsampling), upsampled(P, upsampling)
    n = shape[0] * shape[1]
    return K.reshape(n, n)


def noise(shape, prior_correlation):
    """A picture (H, W, H W) whose channels have exactly the covariance of the prior between positions."""
    n = shape[0] * shape[1]
    S = np.full((n, n), prior_correlation)
    np.fill_diagonal(S, 1.0)
    return np.sqrt(n) * np.linalg.cholesky(S).reshape(*shape, n)


def empirical_ntk(key, x, width, depth, *, n_convs, filter_size, upsampling, slope):
    """The NTK (H W, H W) of one output of a finite network."""
    convs = [layer for layer in layers(depth, n_convs) if layer == "conv"]
    fans = [(x.shape[2], width), *[(width, width)] * (len(convs) - 2), (width, 1)]
    keys = jax.random.split(key, len(convs))
    params = [jax.random.normal(k, (filter_size, filter_size, *fan)) for k, fan in zip(keys, fans, strict=True)]
    jacobian = jax.jacobian(lambda p: _apply(p, x, depth, n_convs, upsampling, slope))(params)
    n = x.shape[0] * x.shape[1]
    return sum(J.reshape(n, -1) @ J.reshape(n, -1).T for J in jacobian)


def _apply(params, h, depth, n_convs, kind, slope):
    params = iter(params)
    for layer in layers(depth, n_convs):
        if layer == "conv":
            W = next(params)
            size, fan_in = W.shape[0], W.shape[0] * W.shape[1] * W.shape[2]
            around = jnp.pad(h, [(size // 2, size // 2)] * 2 + [(0, 0)], mode="wrap")
            h = jax.lax.conv_general_dilated(
                around[None], W, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )[0] / np.sqrt(fan_in)
        elif layer == "act":
            h = jnp.sqrt(2 / (1 + slope**2)) * jnp.where(h > 0, h, slope * h)
        elif layer == "down":
            h = h[::2, ::2]
        else:
            Uy, Ux = (upsampling(side, kind) for side in h.shape[:2])
            h = jnp.einsum("ij,jkc,lk->ilc", Uy, h, Ux)
    return h
