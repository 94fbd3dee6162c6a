"""Claims on the engine: it adds little to its tiles, and bounds its memory, in memory and on disk.

n rows of d = 50, NTK of a depth-3 ReLU network, float32.

bare       the Gram matrix in host memory, n = 20 000, against the same compiled tiles in a bare loop on device-resident
           rows, whose results are dropped; also into an array whose pages exist already, as fresh ones may cost more
           than the arithmetic (in a virtual machine most of all); and the peak resident memory of a process.
batch      the same job by neural-tangents' `batch` at its best batch size of the run.
store      n = 30 000 (3.6 GB) into a store with memory="1GB": time, peak resident memory, and finding it again.
devices    four forced host devices, in a process of their own: time and bits against one device.
rates      the share of this machine's multiply-add and copy rates, measured in the same run.

    python benchmarks/engine.py                 # all
    python benchmarks/engine.py bare --repeats 7
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from common import copy_ns, multiply_add_ns, paired, ratio, report, seconds
from fully_connected import bare_tiles

from ntkkit import NTK, Engine, FullyConnected
from ntkkit.engine.compile import Job
from ntkkit.engine.tiles import kernel_tile
from ntkkit.engine.work import InMemory, Work, evaluate_blocks
from ntkkit.interop.neural_tangents import import_neural_tangents

NETWORK = FullyConnected(depth=3)
KERNEL = NTK(NETWORK)
BUDGET = 10**9


def rows(n):
    return np.random.default_rng(0).standard_normal((n, 50), dtype=np.float32)


def peak_memory():
    """Bytes of this process; getrusage would count its parent's."""
    with open("/proc/self/status") as lines:
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024


def in_a_process_of_its_own(part, n, **environment):
    """What the function `part` of CHILDREN returns."""
    command = [sys.executable, __file__, "--child", part, "--n", str(n)]
    child = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if child.returncode:
        raise RuntimeError(child.stderr)
    return json.loads(child.stdout.strip().splitlines()[-1])


def gram_child(n):
    """Peak memory of one Gram matrix."""
    before = peak_memory()
    K = Engine(memory=BUDGET).gram(KERNEL, rows(n))
    return {"peak": peak_memory(), "before": before, "result": K.nbytes}


def store_child(n):
    """Fill a store, and find it again."""
    directory = tempfile.mkdtemp(dir=os.environ.get("STORE_DIRECTORY"))
    X, engine = rows(n), Engine(memory=BUDGET, store=os.path.join(directory, "K"))
    try:
        filling = seconds(lambda: engine.gram(KERNEL, X))
        peak = peak_memory()
        finding = seconds(lambda: engine.gram(KERNEL, X))
        K, few = engine.gram(KERNEL, X), np.random.default_rng(1).choice(n, 200, replace=False)
        sample = np.stack([K[i][few] for i in few])
        error = np.abs(sample - Engine().gram(KERNEL, X[few], X[few].copy())).max() / sample.diagonal().max()
        blocks = K.chunks
    finally:
        shutil.rmtree(directory)
    return {
        "seconds to fill": filling,
        "seconds to find again, all checksums read": finding,
        "peak memory, GB": peak / 1e9,
        "matrix, GB": n * n * 4 / 1e9,
        "block": blocks,
        "largest difference to the diagonal, of 40 000 entries": float(error),
    }


def devices_child(n):
    """Time and bits of all devices against one of them."""
    X, one, every = rows(n), Engine(devices=jax.devices()[:1]), Engine()
    equal = np.array_equal(one.gram(KERNEL, X), every.gram(KERNEL, X))
    alone, together = paired(lambda: one.gram(KERNEL, X), lambda: every.gram(KERNEL, X), repeats=3, warmup=1)
    return {"devices": len(jax.devices()), "equal bits": bool(equal), "one device / all": ratio(alone, together)}


CHILDREN = {"gram": gram_child, "store": store_child, "devices": devices_child}


def bare(n, repeats):
    X = rows(n)
    work, used = Work(kernel_tile, KERNEL, X, None), np.ones((n, n), np.float32)
    plan, target = Engine().plan(KERNEL, X), InMemory(used, symmetric=True)
    engine, tiles, again, fresh = paired(
        lambda: Engine().gram(KERNEL, X),
        bare_tiles(KERNEL, X),
        lambda: evaluate_blocks(work, plan, plan.blocks(), target, devices=jax.local_devices()),
        lambda: np.empty((n, n), np.float32).fill(0.0),
        repeats=repeats,
        warmup=1,
    )
    memory = in_a_process_of_its_own("gram", n)
    return {
        "the engine / its tiles in a bare loop": ratio(engine, tiles),
        "the same into memory that was used before": ratio(again, tiles),
        "seconds, median": {
            "engine": float(np.median(engine)),
            "bare": float(np.median(tiles)),
            "engine, into memory that was used before": float(np.median(again)),
            "filling fresh memory of the size of the result, one core": float(np.median(fresh)),
        },
        "peak memory beyond the result, GB": (memory["peak"] - memory["result"]) / 1e9,
        "of which before the engine was called": memory["before"] / 1e9,
        "memory, GB": BUDGET / 1e9,
    }


def stax_kernel():
    stax = import_neural_tangents().stax
    dense = {"W_std": np.sqrt(2.0), "b_std": np.sqrt(0.1)}
    hidden = [layer for _ in range(NETWORK.depth) for layer in (stax.Dense(1, **dense), stax.Relu())]
    return stax.serial(*hidden, stax.Dense(1, **dense))[2]


def batch(n, repeats):
    nt, kernel_fn = import_neural_tangents(), stax_kernel()
    few, X = rows(4000), rows(n)
    kernels = {size: nt.batch(kernel_fn, batch_size=size, device_count=0, store_on_device=False) for size in SIZES}
    trials = {}
    for size, function in kernels.items():
        np.asarray(function(few, None, "ntk"))  # compiles
        trials[size] = seconds(lambda f=function: np.asarray(f(few, None, "ntk")))
    best = min(trials, key=trials.get)
    theirs, ours = paired(
        lambda: np.asarray(kernels[best](X, None, "ntk")), lambda: Engine().gram(KERNEL, X), repeats=repeats, warmup=1
    )
    return {
        "neural-tangents' batch / ntkkit": ratio(theirs, ours),
        "seconds, median": {"neural-tangents": float(np.median(theirs)), "ntkkit": float(np.median(ours))},
        "its best batch size": best,
        "its seconds at n = 4000 by batch size": trials,
    }


SIZES = [500, 1000, 2000, 4000]


def rates(n):
    """What the machine can do, and what the engine makes of it."""
    X, job, device = rows(n), Job(kernel_tile, KERNEL, np.dtype(np.float32), {}), jax.devices()[0]
    side = Engine().plan(KERNEL, X).tile[0]
    cost = job.executable((side, 50), (side, 50), device=device, same=False).call.cost_analysis()
    time_taken = min(seconds(lambda: Engine().gram(KERNEL, X)) for _ in range(3))
    cells, cores = n * (n + 1) / 2, os.cpu_count()
    nanoseconds = time_taken / cells * 1e9 * cores
    multiply_add = multiply_add_ns(np.float32)
    copy = copy_ns()
    fresh = seconds(lambda: np.empty((n, n), np.float32).fill(0.0)) / (n * n * 4) * 1e9
    operations = cost["flops"] / side**2
    return {
        "core nanoseconds an element of the triangle": nanoseconds,
        "operations an element, by XLA's count": operations,
        "of which transcendental": cost.get("transcendentals", 0.0) / side**2,
        "ns a multiply-add, one core": multiply_add,
        "share of the multiply-add rate": operations / 2 * multiply_add / nanoseconds,
        "GB/s of a copy, one core": 1 / copy,
        "share of the copy rate, for the result": 8 * copy / nanoseconds,
        "GB/s of writing to pages never used, one core": 1 / fresh,
        "share of that rate, for the result": 8 * fresh / nanoseconds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["bare", "batch", "store", "devices", "rates"])
    parser.add_argument("--n", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", choices=list(CHILDREN), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(CHILDREN[options.child](options.n)))
        return
    four = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    parts = {
        "bare": lambda: bare(options.n or 20_000, options.repeats),
        "batch": lambda: batch(options.n or 20_000, max(1, options.repeats // 2)),
        "store": lambda: in_a_process_of_its_own("store", options.n or 30_000),
        "devices": lambda: in_a_process_of_its_own("devices", options.n or 8_000, **four),
        "rates": lambda: rates(options.n or 20_000),
    }
    for part in options.parts:
        start = time.perf_counter()
        found = parts[part]()
        report(
            f"engine_{part}",
            {"d": 50, "depth": NETWORK.depth, **found, "seconds of this part": time.perf_counter() - start},
        )


if __name__ == "__main__":
    main()
