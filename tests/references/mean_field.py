"""Networks in the mean-field parametrisation: simulated, and in theory by iteration of a dense fixed point."""

import numpy as np


def simulate(X, y, *, width, n_networks, depth, phi, slope, gamma0, rate, n_steps, seed=0, **variances):
    """Outputs (n_networks, n_steps + 1, n), less those at the start, and tangent kernels, by explicit gradients.

    f = (sqrt(w_r / N) v.phi(h_L) + sqrt(b_r) c) / (gamma0 sqrt N), all parameters standard normal, and steps of
    -rate gamma0^2 N times the gradient of sum (y - f)^2 / 2n.
    """
    w, b = variances.get("weight_var", 1.0), variances.get("bias_var", 0.0)
    w_r, b_r = variances.get("readout_weight_var", w), variances.get("readout_bias_var", b)
    n, d = X.shape
    outputs, kernels = [], []
    for index in range(n_networks):
        rng = np.random.default_rng([seed, index])
        sizes = [d, *[width] * depth]
        weights = [rng.standard_normal(shape) for shape in zip(sizes[1:], sizes[:-1], strict=True)]
        biases = [rng.standard_normal(width) for _ in range(depth)]
        readout, offset = rng.standard_normal(width), rng.standard_normal()
        said, moved = [], []
        for _ in range(n_steps + 1):
            inputs, hidden = [X.T], []
            for W, c in zip(weights, biases, strict=True):
                hidden.append(np.sqrt(w / W.shape[1]) * W @ inputs[-1] + np.sqrt(b) * c[:, None])
                inputs.append(phi(hidden[-1]))
            scale = 1 / (gamma0 * np.sqrt(width))
            f = scale * (np.sqrt(w_r / width) * readout @ inputs[-1] + np.sqrt(b_r) * offset)
            back = np.sqrt(w_r / width) * readout[:, None] * slope(hidden[-1])  # d (f / scale) / d h
            backs = [back]
            for W, h in zip(weights[:0:-1], hidden[-2::-1], strict=True):
                backs.insert(0, np.sqrt(w / width) * W.T @ backs[0] * slope(h))
            kernel = w_r / width * inputs[-1].T @ inputs[-1] + b_r
            for back, below in zip(backs, inputs[:-1], strict=True):
                kernel = kernel + back.T @ back * (w / len(below) * below.T @ below + b)
            said.append(f)
            moved.append(kernel)
            errors = y - (f - said[0])
            step = rate * gamma0 * np.sqrt(width) / n * errors
            readout = readout + np.sqrt(w_r / width) * inputs[-1] @ step
            offset = offset + np.sqrt(b_r) * step.sum()
            for layer, (back, below) in enumerate(zip(backs, inputs[:-1], strict=True)):
                weights[layer] = weights[layer] + np.sqrt(w / len(below)) * (back * step) @ below.T
                biases[layer] = biases[layer] + np.sqrt(b) * back @ step
        outputs.append(np.array(said) - said[0])
        kernels.append(moved)
    return np.array(outputs), np.array(kernels)


def linear_fixed_point(K, y, *, depth, gamma0, rate, n_times, tolerance=1e-9):
    """Tangent kernels (n_times, n, n) of a deep linear network without biases, by iteration from the lazy kernels.

    Errors follow Delta(t + 1) = Delta(t) - rate / n Theta(t) Delta(t), which is of first order in the steps.
    """
    n, c = len(y), gamma0 * rate / len(y)
    ones = np.ones((n_times, n_times))
    inputs = np.kron(ones, K)
    earlier, earlier_points = np.tril(ones, -1), np.kron(np.tril(ones, -1), np.ones((n, n)))
    features, gradients = [inputs] * depth, [ones] * depth
    up, down = [np.zeros((n_times * n, n_times))] * depth, [np.zeros((n_times, n_times * n))] * depth
    for _ in range(200):
        errors, kernels = np.zeros((n_times, n)), []
        errors[0] = y
        for t in range(n_times):
            now = slice(t * n, (t + 1) * n)
            above = [gradient[t, t] for gradient in gradients] + [1.0]
            below = [K] + [feature[now, now] for feature in features]
            kernels.append(sum(g * phi for g, phi in zip(above, below, strict=True)))
            if t + 1 < n_times:
                errors[t + 1] = errors[t] - rate / n * kernels[t] @ errors[t]
        spread = np.zeros((n_times * n, n_times))
        spread[np.arange(n_times * n), np.repeat(np.arange(n_times), n)] = errors.ravel()
        new_features, new_gradients, new_up, new_down = [], [], list(up), list(down)
        for layer in range(depth):
            below = inputs if layer == 0 else features[layer - 1]
            above = ones if layer == depth - 1 else gradients[layer + 1]
            C = (up[layer - 1] if layer else 0) + c * (below * earlier_points) @ spread
            D = (down[layer + 1] if layer < depth - 1 else 0) + c * (above * earlier) @ spread.T
            R, S = np.linalg.inv(np.eye(len(C)) - C @ D), np.linalg.inv(np.eye(len(D)) - D @ C)
            new_features.append(R @ below @ R.T + R @ C @ above @ (R @ C).T)
            new_gradients.append(S @ above @ S.T + S @ D @ below @ (S @ D).T)
            new_up[layer], new_down[layer] = R @ C, S @ D
        new, old = new_features + new_gradients, features + gradients
        change = max(np.abs(a - b).max() for a, b in zip(new, old, strict=True))
        features, gradients, up, down = new_features, new_gradients, new_up, new_down
        if change < tolerance:
            return np.array(kernels)
    raise AssertionError(f"no fixed point: the last change is {change}")
