"""Several devices: all of them work, and the bits are those of one."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys, threading
import jax, numpy as np
from ntkkit import NTK, Engine, FullyConnected, Recurrent
from ntkkit.engine import result
from ntkkit.engine.compile import Job

result.LONGEST_SIDE = {"cpu": 64}
used, call = [], Job.__call__

def spy(job, device, *arrays, **static):
    used.append(str(device))
    return call(job, device, *arrays, **static)

Job.__call__ = spy
rng = np.random.default_rng(0)
X = rng.standard_normal((400, 3)).astype(np.float32)
kernel = NTK(FullyConnected(depth=1, input_scale=[1.0, 2.0, 0.5]))
sequences = [rng.standard_normal((length, 1)) for length in rng.integers(1, 9, 200)]
one = Engine(devices=jax.devices()[:1])
found, devices = {}, {}
for name, engine in {"one": one, "all": Engine()}.items():
    used.clear()
    found[name] = {
        "gram": engine.gram(kernel, X),
        "cross": engine.gram(kernel, X, X[:70]),
        "diag": engine.diag(kernel, X),
        "sequences": engine.gram(NTK(Recurrent()), sequences, sequences[:70]),
        "matvec": engine.matvec(kernel, X, np.ones(400)),
    }
    devices[name] = len(set(used))
print(json.dumps({
    "devices": len(jax.devices()),
    "used": devices,
    "equal": {name: bool(np.array_equal(found["one"][name], values)) for name, values in found["all"].items()},
}))
"""


@pytest.mark.slow
def test_four_devices_give_the_bits_of_one():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["devices"] == 4
    assert found["used"] == {"one": 1, "all": 4}
    assert all(found["equal"].values()), found["equal"]
