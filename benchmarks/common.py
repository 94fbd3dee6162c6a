"""What the benchmarks share: paired timing, the machine, and one JSON a claim."""

import json
import os
import platform
import statistics
import time
from pathlib import Path


def paired(*functions, repeats=7, warmup=2):
    """Seconds of each function, run in turn A B C A B C ... so that a drift of the machine meets all alike."""
    seconds = [[] for _ in functions]
    for round_ in range(warmup + repeats):
        for function, times in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function()
            if round_ >= warmup:
                times.append(time.perf_counter() - start)
    return seconds


def ratio(slow, fast):
    """Median, least and greatest of the ratios run by run."""
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def multiply_add_ns(dtype, degree=64):
    """Nanoseconds of one multiply-add an element, by a polynomial on an array that stays in cache."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        x = jnp.full((256, 256), 0.5, dtype)

        @jax.jit
        def polynomial(x):
            value = x
            for _ in range(degree):
                value = value * x + 1
            return value

        polynomial(x).block_until_ready()
        times = [seconds(lambda: polynomial(x).block_until_ready()) for _ in range(50)]
    return min(times) / x.size / degree * 1e9


def copy_ns(side=4096):
    """Nanoseconds of copying one byte between arrays that exist, on one core."""
    import numpy as np

    source = np.ones((side, side), np.float32)
    target = source.copy()
    return min(seconds(lambda: np.copyto(target, source)) for _ in range(10)) / source.nbytes * 1e9


def machine():
    """What a reader needs to know of where this ran."""
    import jax
    import numpy as np

    model = ""
    try:
        with open("/proc/cpuinfo") as lines:
            model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor()
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "devices": [str(device.platform) for device in jax.devices()],
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
    }


def report(name, results, directory=None):
    """Print the results and write them to NAME.json."""
    text = json.dumps({"benchmark": name, "machine": machine(), **results}, indent=1)
    path = Path(directory or Path(__file__).parent / "results") / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    print(text)
