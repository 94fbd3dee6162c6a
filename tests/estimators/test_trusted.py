"""Fitted estimators saved by skops: what a file holds, what comes back, and what is refused."""

import copy
import importlib
import inspect
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from distributed import Client
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io import dump, dumps, get_untrusted_types, loads
from skops.io.exceptions import UntrustedTypesFoundException

import ntkkit
from ntkkit import (
    NNGP,
    NTK,
    TRUSTED_TYPES,
    Augmented,
    Cache,
    Engine,
    FeatureLearningRegressor,
    FiniteNetworkClassifier,
    FiniteNetworkRegressor,
    FullyConnected,
    ImageStandardizer,
    KernelSearchCV,
    NeuralDynamicsClassifier,
    NeuralDynamicsClassifierCV,
    NeuralDynamicsRegressor,
    NeuralDynamicsRegressorCV,
    NeuralInpainter,
    NeuralKernelClassifier,
    NeuralKernelClassifierCV,
    NeuralKernelFeatures,
    NeuralKernelRegressor,
    NeuralKernelRegressorCV,
    NeuralKernelSVC,
    NeuralKernelSVR,
    NeuralMatrixCompleter,
    NeuralMatrixCompleterCV,
    Normalized,
    Recurrent,
    Scaled,
    ZCAWhitener,
    networks,
)
from ntkkit.dynamics import NDK
from ntkkit.networks import Dense, Relu, Serial
from ntkkit.networks.layer import Layer
from ntkkit.networks.value import Value

X = np.random.default_rng(0).standard_normal((12, 3))
y, NEW = X[:, 0] ** 2, X[:7] + 0.1
LABELS = np.array(["low", "mid", "high"])[np.digitize(X[:, 1], [-0.4, 0.4])]

PLAIN = NTK(FullyConnected(depth=1))
FINITE = {"width": 8, "n_epochs": 2, "learning_rate": 0.1, "random_state": 0}
KERNELS = {
    "erf, input_scale": NNGP(FullyConnected(1, "erf", input_scale=[1.0, 0.5, 0.0])),
    "gelu, bounds": NTK(
        FullyConnected(1, "gelu", weight_var=0.3, input_scale=[0.1, 0.2, 0.3]),
        bounds={"network__weight_var": "fixed", "network__input_scale": np.array([[0.1, 1.0]] * 3)},
    ),
    "flip": Augmented(NTK(FullyConnected(depth=1, input_shape=(3, 1)))),
    "recurrent": NTK(Recurrent(readout="mean", initial_state_var=0.5)),
    "between times": NDK(FullyConnected(depth=1)).at(1.0),
    "algebra": 0.3 * NTK(Serial([Dense(1.7), Relu(), Dense()])) * Normalized(NNGP(FullyConnected(depth=1))) + 1.0,
}


def square(z):
    return z * z


SQUARE = f"{square.__module__}.square"
# Arguments of layers that need some.
LAYERS = {
    "ABRelu": (0.1, 0.9),
    "Hermite": (2,),
    "Monomial": (2,),
    "Polynomial": ([0.1, 1 / 3, -0.2],),
    "ProductOf": ([Dense(), Relu()],),
    "Quadrature": (square,),
    "OnePlus": ("relu",),
    "RectifiedMonomial": (2,),
    "Residual": (Dense(),),
    "Serial": ([Dense(), Relu()], (2, 2, 1)),
    "SumOf": ([Dense(), Dense(0.3)],),
}


def public_classes(module):
    """Those of a module that can be made, and that estimators are made of."""
    found = filter(inspect.isclass, (getattr(module, name) for name in module.__all__))
    found = [cls for cls in found if issubclass(cls, (BaseEstimator, Value, Engine))]
    return [cls for cls in found if not any(is_abstract(part) for _, part in inspect.getmembers(cls))]


def is_abstract(part):
    return getattr(part, "__isabstractmethod__", False)


def answers(model):
    """All that a fitted model says of new data, in one array."""
    if hasattr(model, "predict_entries"):
        return model.predict_entries([0, 5, 11], [0, 2, 1])
    if hasattr(model, "transform"):
        return model.transform(NEW)
    if hasattr(model, "classes_"):
        found = model.predict(NEW)
        return np.column_stack([np.searchsorted(model.classes_, found), model.decision_function(NEW)])
    return model.predict(NEW)


@pytest.fixture(scope="module")
def models():
    regressors = {name: NeuralKernelRegressor(kernel) for name, kernel in KERNELS.items()}
    regressors |= {
        "regressor": NeuralKernelRegressor(PLAIN, engine=Engine(memory="1GB"), random_state=np.random.RandomState(0)),
        "at a time": NeuralKernelRegressor(PLAIN, train_time=2.0),
        "pcg": NeuralKernelRegressor(PLAIN, solver="pcg", n_components=4),
        "of two": NeuralKernelRegressorCV(PLAIN, alphas=[1e-3, 1.0]),
        "svr": NeuralKernelSVR(PLAIN),
        "pipeline": make_pipeline(StandardScaler(), NeuralKernelRegressor(PLAIN)),
        "standardizer": ImageStandardizer(input_shape=(1, 1, 3)),
        "whitener": ZCAWhitener(),
        "inpainter": NeuralInpainter(depth=1),
        "completer": NeuralMatrixCompleter(column_features="data", standardize=True),
        "completer of two": NeuralMatrixCompleterCV(NeuralMatrixCompleter(PLAIN), {"alpha": [0.1, 1.0]}, cv=2),
        "dynamics": NeuralDynamicsRegressor(FullyConnected(depth=1), n_steps=10),
        "dynamics of two": NeuralDynamicsRegressorCV(FullyConnected(depth=1), train_times=[1.0], cv=2, n_steps=10),
        "learned": FeatureLearningRegressor(n_steps=5, n_units=64, random_state=0),
        "finite": FiniteNetworkRegressor(FullyConnected(depth=1), **FINITE, centered=True),
        "features": NeuralKernelFeatures(PLAIN, n_components=4, random_state=0, engine=Engine(cache=Cache("10MB"))),
        "random features": NeuralKernelFeatures(PLAIN, n_components=4, method="random", random_state=0),
    }
    classifiers = {
        "classifier": NeuralKernelClassifier(PLAIN, class_weight="balanced"),
        "classifier of two": NeuralKernelClassifierCV(PLAIN),
        "dynamics, labels": NeuralDynamicsClassifier(FullyConnected(depth=1), n_steps=10),
        "dynamics of two, labels": NeuralDynamicsClassifierCV(
            FullyConnected(depth=1), train_times=[1.0], cv=2, n_steps=10
        ),
        "finite, labels": FiniteNetworkClassifier(FullyConnected(depth=1), **FINITE, early_stopping=True),
        "svc": NeuralKernelSVC(PLAIN),
        "svc, no intercept": NeuralKernelSVC(PLAIN, fit_intercept=False),
    }
    found = {name: model.fit(X, y) for name, model in regressors.items()}
    found |= {name: model.fit(X, LABELS) for name, model in classifiers.items()}
    for name, row_kernel in (("concatenated", None), ("product", PLAIN)):
        found[name] = NeuralMatrixCompleter(PLAIN, row_kernel=row_kernel, alpha=0.1).fit(X, row_features=X**2)
    for name in ("regressor", "at a time"):  # from here on they keep a factor of the Gram matrix
        found[name].predict(NEW, return_std=True)
    return found


@pytest.fixture(scope="module")
def search():
    return KernelSearchCV(NeuralKernelRegressor(PLAIN), {"alpha": [1e-3, 1.0]}, cv=2).fit(X, y)


@pytest.fixture(scope="module")
def every_layer():
    layers = [cls(*LAYERS.get(cls.__name__, ())) for cls in public_classes(networks) if issubclass(cls, Layer)]
    return NeuralKernelRegressor(NNGP(Serial([*layers, Dense()])))


def test_the_types_are_those_of_the_estimators(models, search, every_layer):
    found = {name: set(get_untrusted_types(data=dumps(model))) for name, model in models.items()}
    found["every layer"] = set(get_untrusted_types(data=dumps(every_layer))) - {SQUARE}
    found["search"] = {name for name in get_untrusted_types(data=dumps(search)) if not name.startswith("sklearn.")}
    trusted = set(TRUSTED_TYPES)
    assert {name: types - trusted for name, types in found.items() if types - trusted} == {}
    assert set().union(*found.values()) == trusted
    assert list(TRUSTED_TYPES) == sorted(trusted)


def test_all_that_is_public_can_be_saved():
    public = {f"{cls.__module__}.{cls.__qualname__}" for cls in [*public_classes(ntkkit), *public_classes(networks)]}
    assert public - set(TRUSTED_TYPES) == set()


def test_the_types_are_classes():
    """Functions could be called with anything that a file holds."""
    for name in TRUSTED_TYPES:
        module, _, attribute = name.rpartition(".")
        assert inspect.isclass(getattr(importlib.import_module(module), attribute)), name


def test_predictions_and_kernels_come_back(models):
    for name, model in models.items():
        again = loads(dumps(model), trusted=TRUSTED_TYPES)
        assert answers(again).tobytes() == answers(model).tobytes(), name
        for kernel in ("kernel", "kernel_"):
            if hasattr(model, kernel):
                assert getattr(again, kernel) == getattr(model, kernel), name
    model = models["regressor"]
    again = loads(dumps(model), trusted=TRUSTED_TYPES)
    assert again.engine == Engine(memory="1GB")
    np.testing.assert_array_equal(again.predict(NEW, return_std=True), model.predict(NEW, return_std=True))


def test_searches_hold_a_scorer_of_scikit_learn(search):
    best = loads(dumps(search.best_estimator_), trusted=TRUSTED_TYPES)
    data = dumps(search)
    with pytest.raises(UntrustedTypesFoundException, match=r"sklearn.metrics._scorer._PassthroughScorer"):
        loads(data, trusted=TRUSTED_TYPES)
    again = loads(data, trusted=get_untrusted_types(data=data))
    for model in (best, again):
        np.testing.assert_array_equal(model.predict(NEW), search.predict(NEW))
    assert again.cv_results_["params"] == search.cv_results_["params"]
    assert again.score(X, y) == search.score(X, y)


def test_values_come_back_through_their_constructors(models, every_layer):
    again = loads(dumps(every_layer), trusted=[*TRUSTED_TYPES, SQUARE])
    assert again.kernel == every_layer.kernel
    learned = KERNELS["algebra"].clone_with_theta(KERNELS["algebra"].theta / 3)
    assert loads(dumps(learned), trusted=TRUSTED_TYPES) == learned
    scale = loads(dumps(models["erf, input_scale"]), trusted=TRUSTED_TYPES).kernel_.network.input_scale
    assert not scale.flags.writeable


def test_in_another_process(models, tmp_path):
    names = ["algebra", "pipeline", "svc", "random features"]
    for number, model in enumerate(models[name] for name in names):
        dump(model, tmp_path / f"{number}.skops")
        np.save(tmp_path / f"{number}.npy", model.transform(NEW) if hasattr(model, "transform") else model.predict(NEW))
    np.save(tmp_path / "new.npy", NEW)
    code = """
import sys, numpy, skops.io
from pathlib import Path
from ntkkit import TRUSTED_TYPES
place = Path(sys.argv[1])
new = numpy.load(place / "new.npy")
for file in sorted(place.glob("*.skops")):
    model = skops.io.load(file, trusted=TRUSTED_TYPES)
    found = model.transform(new) if hasattr(model, "transform") else model.predict(new)
    assert found.tobytes() == numpy.load(file.with_suffix(".npy")).tobytes(), model
    print(file.stem)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(ntkkit.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "1", "2", "3"]


def test_functions_are_reported_by_their_names():
    data = dumps(NNGP(FullyConnected(activation=square)))
    assert set(get_untrusted_types(data=data)) - set(TRUSTED_TYPES) == {SQUARE}
    with pytest.raises(UntrustedTypesFoundException, match="square"):
        loads(data, trusted=TRUSTED_TYPES)
    assert loads(data, trusted=[*TRUSTED_TYPES, SQUARE]).network.activation is square


def nested(z):
    return square(z)


nested.__name__ = "square"  # as a decorator leaves it: the name finds another function


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: FullyConnected(activation=lambda z: z * z), "activation=<function"),
        (lambda: FullyConnected(activation=jax.nn.relu), "activation=<jax"),
        (lambda: networks.Quadrature(jnp.tanh), "function=<PjitFunction"),
        (lambda: networks.Quadrature(nested), "function=<function nested"),
        (lambda: Scaled(PLAIN, jnp.float32(2.0)), "scale=Array"),
    ],
    ids=["lambda", "compiled", "compiled by jax", "renamed", "array of jax"],
)
def test_what_cannot_be_saved_says_so(make, name):
    value = make()
    assert copy.deepcopy(value) == value
    for model in (value, NeuralKernelRegressor(value)):
        with pytest.raises(TypeError, match=rf"{name}.* of \w+ cannot be saved by skops, which takes"):
            dumps(model)


def test_engines_that_are_tied_to_this_process():
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        for engine in (Engine(cluster=client), Engine(devices=jax.devices())):
            with pytest.raises(TypeError, match="belongs to its process"):
                dumps(NeuralKernelRegressor(PLAIN, engine=engine))


def test_callable_kernels_are_not_trusted():
    data = dumps(NeuralKernelRegressor(lambda X, Y: X @ Y.T).fit(X, y))
    with pytest.raises(UntrustedTypesFoundException, match="<lambda>"):
        loads(data, trusted=TRUSTED_TYPES)


def schema_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return json.loads(archive.read("schema.json"))


def forged(**parameters):
    """A file of a network with these parameters, as nodes of skops."""
    schema = schema_of(dumps(FullyConnected()))
    schema["content"]["content"].update(parameters)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return file.getvalue()


def node(name, loader, **content):
    module, _, attribute = name.rpartition(".")
    return {"__module__": module, "__class__": attribute, "__loader__": loader, **content}


def test_parameters_of_a_file_are_checked():
    assert loads(forged(depth=schema_of(dumps(2))), trusted=TRUSTED_TYPES).depth == 2
    with pytest.raises(ValueError, match="depth must be >= 0, found -2"):
        loads(forged(depth=schema_of(dumps(-2))), trusted=TRUSTED_TYPES)
    with pytest.raises(ValueError, match=r"activation must be .* found 'os.system'"):
        loads(forged(activation=schema_of(dumps("os.system"))), trusted=TRUSTED_TYPES)


EMPTY = schema_of(dumps(()))
# What the lowest supported version of skops must refuse; 0.11 did not refuse methods, 0.13 imported modules of losses
# before it asked whom to trust, and 0.14 called functions of numpy.random.
FORGED = {
    "os.system": node("os.system", "FunctionNode"),
    "ntkkit.networks.value._looked_up": node(
        "ntkkit.networks.value._looked_up", "ConstructorFromReduceNode", content=EMPTY
    ),
    "ntkkit.networks.families.FullyConnected.replace": node(
        "ntkkit.networks.families.FullyConnected",
        "MethodNode",
        content={"func": "replace", "obj": schema_of(dumps(FullyConnected()))},
    ),
    "imported_by_a_file.Loss": node("imported_by_a_file.Loss", "LossNode", __reduce__={"args": EMPTY}, content=EMPTY),
    "numpy.random.seed": node(
        "numpy.random._generator.Generator",
        "RandomGeneratorNode",
        content={
            "bit_generator": schema_of(dumps({"bit_generator": "seed"})),
            "seed_seq": schema_of(dumps(np.random.SeedSequence(0).state)),
        },
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_files_are_refused(name, tmp_path, monkeypatch):
    (tmp_path / "imported_by_a_file.py").write_text("class Loss: pass")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UntrustedTypesFoundException, match=name):
        loads(forged(activation=FORGED[name]), trusted=TRUSTED_TYPES)
    assert "imported_by_a_file" not in sys.modules


def test_paths_of_engines_are_saved_as_text(tmp_path):
    for engine in (Engine(store=tmp_path / "K"), Engine(cache=Cache(directory=tmp_path))):
        data = dumps(NeuralKernelRegressor(PLAIN, engine=engine))
        assert set(get_untrusted_types(data=data)) <= set(TRUSTED_TYPES)
        again = loads(data, trusted=TRUSTED_TYPES).engine
        found, expected = (again.store, engine.store) if engine.store else (again.cache.directory, tmp_path)
        assert found == str(expected)
