"""What a network's kernel does when its task shifts: it turns fast at the boundary, the faster the newer the task.

Fully connected networks learn five of ten Gaussian classes, and then five new ones, or four of them and a new one, or
the same five on; or the same rows with their features permuted. Prints the velocity of the empirical NTK on rows of the
first task before and after the boundary, how that falls with width, and what an abrupt change of a target's frequency
does; draws velocity, largest eigenvalue and alignment into task_shift.png.
"""

from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np

from ntkkit import FullyConnected
from ntkkit.display import KernelTrackingDisplay
from ntkkit.finite import FiniteNetwork, KernelTracker, NetworkTrainer, TaskSequence, kernel_velocity

STEPS, LONGER, EVERY = 300, 160, 20
SHIFTS = {"new classes": 0.0, "four of five classes kept": 0.67, "no shift": 1.0}


def gaussian_classes(seed=0, n_classes=10, n_rows=20, d=20):
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), n_rows)
    means = random.standard_normal((n_classes, d))
    return (means[y] + random.standard_normal((len(y), d))).astype(np.float32), y


def sequences():
    X, y = gaussian_classes()
    found = {name: TaskSequence.by_overlap(X, y, jaccard=jaccard) for name, jaccard in SHIFTS.items()}
    first = found["new classes"][0]
    found["inputs permuted"] = TaskSequence.permuted_inputs(first.X, first.y, random_state=0)
    return found


def track(width, tasks, targets, *, n_networks, reports=(EVERY, STEPS - EVERY), then=EVERY):
    """Trackers of an ensemble that learns a first task once, and then each of some others, for some steps."""
    first = tasks[next(iter(tasks))][0]
    tracker = KernelTracker(first.X, targets(first.y), n_networks=n_networks, center=True)
    network = FiniteNetwork(FullyConnected(depth=2, bias_var=0.0), width)
    trainer = NetworkTrainer(network, n_networks=n_networks, n_epochs=STEPS, report_every=reports, random_state=0)
    trained = trainer.set_params(callbacks=[tracker]).run(first.X, targets(first.y))
    trackers = {}
    for name, sequence in tasks.items():
        trackers[name] = deepcopy(tracker)
        second = sequence[1]
        trainer.set_params(callbacks=[trackers[name]], learning_rate=trained.learning_rate, n_epochs=then)
        trainer.run(second.X, targets(second.y), start=trained)
    return trackers


def velocities(tracker):
    """Kernel distances over the steps before and after the boundary, (network, 2)."""
    [boundary] = tracker.boundaries
    at = [np.flatnonzero(tracker.epochs == boundary + shift)[0] for shift in (-EVERY, 0, EVERY)]
    return np.array([kernel_velocity(path[at], [0, 1, 2], center=True) for path in tracker.kernels.swapaxes(0, 1)])


def frequency_shift(n_networks):
    """The same for a target whose frequency goes from 0.5 to 2 periods, on a square."""
    X = np.random.default_rng(0).uniform(-1, 1, (100, 2)).astype(np.float32)
    weights = {"abrupt": [[1, 0], [0, 1]], "none": [[1, 0], [1, 0]]}
    tasks = {
        name: TaskSequence.frequency_mixtures(X, frequencies=[0.5, 2.0], weights=rows, random_state=0)
        for name, rows in weights.items()
    }
    trackers = track(256, tasks, lambda y: y[:, None], n_networks=n_networks)
    return {name: velocities(tracker).mean(axis=0) for name, tracker in trackers.items()}


def draw(trackers, path):
    figure, axes = plt.subplots(3, len(trackers), figsize=(15, 9), layout="constrained", sharex=True, sharey="row")
    for column, (name, tracker) in zip(axes.T, trackers.items(), strict=True):
        for ax, metric in zip(column, ("velocity", "largest_eigenvalue", "alignment"), strict=True):
            KernelTrackingDisplay.from_tracker(tracker, metric, ax=ax)
            ax.set_title("", loc="left")
            ax.label_outer()
        column[0].set_yscale("log")
        column[0].set_title(name)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def main(widths=(64, 256, 1024), n_networks=3, picture="task_shift.png"):
    tasks = sequences()
    targets = tasks["new classes"].one_hot
    spikes = {}
    for width in widths:
        drawn = picture and width == widths[len(widths) // 2]
        shown = tasks if drawn else {name: tasks[name] for name in SHIFTS}
        longer = {"reports": EVERY, "then": LONGER} if drawn else {}
        trackers = track(width, shown, targets, n_networks=n_networks, **longer)
        for name, tracker in trackers.items():
            before, after = velocities(tracker).mean(axis=0)
            spikes[width, name] = after
            print(f"width {width:4d}, {name}: velocity {before:.1e} before the boundary, {after:.1e} behind it")
        if drawn:
            draw(trackers, picture)
    exponent = np.polyfit(np.log(widths), [np.log(spikes[width, "new classes"]) for width in widths], 1)[0]
    print(f"the velocity behind a boundary with new classes falls like width^{exponent:.2f}")
    for name, (before, after) in frequency_shift(n_networks).items():
        print(f"frequency shift, {name}: velocity {before:.1e} before, {after:.1e} behind")
    return spikes, exponent


if __name__ == "__main__":
    main()
