import dataclasses

import numpy as np
import pandas as pd
import pytest

from ntkkit.report import images
from ntkkit.report.problem import Grids, fashion_problem
from ntkkit.report.sequences import sequences_problem

SMALL = Grids(
    depths=(0, 1),
    weight_vars=(2.0,),
    bias_vars=(0.1,),
    relative_alphas=(1e-2,),
    Cs=(1.0,),
    relative_gammas=(1.0,),
    relative_max_features=(1.0,),
    min_samples_leaf=(1,),
    learning_rates=(1e-3,),
    weight_decays=(1e-4,),
    n_trees=10,
    width=8,
    n_epochs=3,
)


@pytest.fixture(scope="session")
def small_grids():
    """One setting a model, two depths."""
    return SMALL


@pytest.fixture(scope="session")
def small_images():
    """The shipped pictures, a fifth of them, by small grids."""
    whole = fashion_problem()
    return dataclasses.replace(
        whole,
        X_train=whole.X_train[:200],
        y_train=whole.y_train[:200],
        X_test=whole.X_test[:100],
        y_test=whole.y_test[:100],
        grids=SMALL,
    )


@pytest.fixture(scope="session")
def small_pictures():
    """Few shipped pictures of 4 x 4 pixels for convolutional networks, by small grids."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "N_PICTURES", 60)
        patch.setattr(images, "BLOCK", 7)
        problem = images.images_problem()
    return dataclasses.replace(problem, grids=dataclasses.replace(SMALL, conv_depths=(1, 2), learning_rates=(0.05,)))


@pytest.fixture(scope="session")
def small_sequences():
    """The first steps of few shipped utterances of three speakers, by small grids."""
    whole = sequences_problem()
    train, test = (np.flatnonzero(np.isin(y, ["1", "2", "3"]))[::2] for y in (whole.y_train, whole.y_test))
    return dataclasses.replace(
        whole,
        X_train=whole.X_train[train, :8],
        y_train=whole.y_train[train],
        X_test=whole.X_test[test, :8],
        y_test=whole.y_test[test],
        grids=dataclasses.replace(SMALL, depths=(1, 2), readouts=("last",), learning_rates=(0.05,)),
    )


@pytest.fixture
def csv_file(tmp_path):
    """A table with numbers, categories and gaps, and a target of each kind: label and amount."""
    rng = np.random.default_rng(0)
    n = 120
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n), "city": rng.choice(["Ulm", "Bonn"], n)})
    frame["amount"] = frame.x - frame.z**2 + (frame.city == "Ulm")
    frame["label"] = np.where(frame.amount > 0, "high", "low")
    frame.loc[::9, "x"] = np.nan
    frame.loc[::7, "city"] = None
    path = tmp_path / "some table.csv"
    frame.to_csv(path, index=False)
    return path
