"""Every example runs, and says what it should."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def load_example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_example_gallery(tmp_path):
    assert 0.8 < load_example("gallery").main(tmp_path / "gallery.png") < 0.97
    assert (tmp_path / "gallery.png").stat().st_size > 50_000


@pytest.mark.slow
def test_example_learned_kernel():
    assert 0.8 < load_example("learned_kernel").main() < 0.97


@pytest.mark.slow
def test_example_width_comparison(tmp_path):
    path = tmp_path / "width_comparison.png"
    comparison = load_example("width_comparison").main(widths=(32, 128), n_networks=4, picture=path)
    assert path.stat().st_size > 10_000
    assert -0.8 < comparison.exponents["kernel_error"].value < -0.2


@pytest.mark.slow
def test_example_adversarial(tmp_path):
    path = tmp_path / "adversarial.png"
    (_, _, before), (kernel, own, chance) = load_example("adversarial").main((0.0, 0.05), 256, 2, path)
    assert path.stat().st_size > 10_000
    assert own - 0.02 <= kernel < before - 0.15
    assert chance > before - 0.1


@pytest.mark.slow
def test_example_robustness(tmp_path):
    limit, radii = load_example("robustness").main(widths=(100, 1000), picture=tmp_path / "robustness.png")
    assert (tmp_path / "robustness.png").stat().st_size > 10_000
    assert 0.005 < limit < 0.02
    assert 1.5 < radii[0] / radii[1] < 4  # about the root of 10


@pytest.mark.slow
def test_example_dmft(tmp_path):
    path = tmp_path / "dmft.png"
    lazy, rich = load_example("dmft").main((0.1, 2.0), n_steps=16, widths=(32, 256), n_units=256, picture=path)
    assert path.stat().st_size > 10_000
    assert rich[0] > 5 * rich[1]  # the NTK that stays errs by much more than mean-field theory
    assert abs(lazy[0] - lazy[1]) < 0.01


@pytest.mark.slow
def test_example_spectral_bias(tmp_path):
    path = tmp_path / "spectral_bias.png"
    one, three, nine, _ = load_example("spectral_bias").main(picture=path)
    assert path.stat().st_size > 10_000
    assert (three > 1.3 * one).all()
    assert (nine > 1.8 * three).all()


@pytest.mark.slow
def test_example_edge_of_stability(tmp_path):
    below, beyond = load_example("edge_of_stability").main(n_seeds=5, picture=tmp_path / "edge.png")
    assert (tmp_path / "edge.png").stat().st_size > 10_000
    assert 0.99 < below < 1.02
    assert 1.02 < beyond[0] < beyond[1] < beyond[2] < 1.4


@pytest.mark.slow
def test_example_lazy_to_rich(tmp_path):
    path = tmp_path / "lazy.png"
    limit, found = load_example("lazy_to_rich").main(gammas=(0.03, 1.0), width=128, n_networks=2, picture=path)
    assert path.stat().st_size > 10_000
    (lazy, _, lazy_end, lazy_error), (rich, start, rich_end, rich_error) = found
    assert rich > 8 * lazy
    assert rich_end - start > 5 * abs(lazy_end - start)
    assert abs(lazy_error - limit) < 0.1
    assert rich_error < limit / 5


@pytest.mark.slow
def test_example_task_shift(tmp_path):
    path = tmp_path / "shift.png"
    spikes, exponent = load_example("task_shift").main(widths=(64, 128), n_networks=2, picture=path)
    assert path.stat().st_size > 10_000
    for width in (64, 128):
        new, kept, none = (spikes[width, name] for name in ("new classes", "four of five classes kept", "no shift"))
        assert new > 1.4 * kept
        assert kept > 1.4 * none
    assert -2 < exponent < -1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_example_cluster(tmp_path):
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        assert load_example("cluster").run(client, 1500, str(tmp_path / "K")) > 0.7


@pytest.mark.slow
def test_example_ndk(tmp_path):
    found = load_example("ndk").main(tmp_path / "ndk.png")
    assert (tmp_path / "ndk.png").stat().st_size > 50_000
    for activation in ("relu", "erf"):
        errors, end = found[activation]
        np.testing.assert_allclose(errors[-1], end, atol=2e-3)  # all forget where they started
        assert (errors.min(axis=0) < end - 0.005).all()  # an early minimum,
        assert (np.diff(errors.argmin(axis=0)) < 0).all()  # earlier and
        assert (np.diff(errors.min(axis=0)) < 0).all()  # deeper for larger init_var
    errors, end = found["relu"]
    assert errors[errors[:, 2].argmin() :, 2].max() > end + 0.005  # then beyond the end, and back
    stays, decays = found["drift"].values()
    assert min(stays[0], decays[0]) > 0.95
    assert stays[-1] > 0.8
    assert decays[-1] < 0.6


def test_every_example_is_run():
    tested = set(re.findall(r'load_example\("(\w+)"\)', Path(__file__).read_text()))
    assert tested == {path.stem for path in (ROOT / "examples").glob("*.py")}
