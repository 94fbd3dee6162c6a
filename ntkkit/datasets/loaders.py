"""Loaders of the small real data sets that are installed with the package."""

from collections.abc import Callable
from importlib.resources import files
from importlib.resources.abc import Traversable
from inspect import cleandoc
from pathlib import Path
from typing import Any, Literal, Protocol, cast, overload

import numpy as np
from sklearn.utils import Bunch

Subset = Literal["all", "train", "test"]

# Inserted into every loader's docstring, before its first section.
_SHARED_SECTIONS = """
Parameters
----------
subset : {"all", "train", "test"}, default="all"
    Which side of the source's official split.
return_X_y : bool, default=False
    Return ``(X, y)`` instead of a Bunch.

Returns
-------
Bunch or (X, y)
    A :class:`~sklearn.utils.Bunch` with `data` (X), `target` (y: class codes 0, 1, ... or measurements), `DESCR` and,
    where the source has them: `target_names` (``target_names[target]`` are the source's labels), `feature_names`,
    `train_idx` and `test_idx` (the official split, with ``subset="all"``), and what the notes below name.

Raises
------
ValueError
    If `subset` is another word, or not "all" for a set that has no official split.
"""

_FIELDS = {"X": "data", "y": "target", "classes": "target_names"}
_ONE_PER_SAMPLE = {"X", "y", "lengths", "groups", "source_idx"}


class _Loader(Protocol):
    __name__: str

    @overload
    def __call__(self, *, subset: Subset = ..., return_X_y: Literal[False] = ...) -> Bunch: ...
    @overload
    def __call__(self, *, subset: Subset = ..., return_X_y: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...


def _directory() -> Traversable:
    try:
        return files("ntkkit._data")
    except ModuleNotFoundError:  # run in the source tree, where setup.py has not mapped datasets/ into the package
        return Path(__file__).resolve().parents[2] / "datasets"


def _load(name: str, subset: Subset, return_X_y: bool) -> Bunch | tuple[np.ndarray, np.ndarray]:
    if subset not in ("all", "train", "test"):
        raise ValueError(f'subset must be "all", "train" or "test", got {subset!r}')
    with (_directory() / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays: dict[str, np.ndarray] = dict(archive)
    if subset != "all":
        if "train_idx" not in arrays:
            raise ValueError(
                f'subset must be "all" for {name}, got {subset!r}: its source has no official split; '
                "make one with sklearn.model_selection.train_test_split"
            )
        rows = {side: arrays.pop(f"{side}_idx") for side in ("train", "test")}[subset]
        arrays |= {key: arrays[key][rows] for key in _ONE_PER_SAMPLE & arrays.keys()}
    if return_X_y:
        return arrays["X"], arrays["y"]
    provenance = (_directory() / "PROVENANCE.md").read_text(encoding="utf-8")
    description = provenance.split(f"\n## {name}.npz\n")[1].split("\n# ")[0].split("\n## ")[0].strip()
    return Bunch(DESCR=description, **{_FIELDS.get(key, key): array for key, array in arrays.items()})


def _loader(described: Callable[[], None]) -> _Loader:
    """Make a loader of the data set that the name and docstring of a function describe."""
    name = described.__name__.removeprefix("load_")

    def load(*, subset: Subset = "all", return_X_y: bool = False) -> Any:
        return _load(name, subset, return_X_y)

    summary, notes, rest = cleandoc(described.__doc__ or "").partition("\nNotes\n")
    load.__doc__ = f"{summary}{_SHARED_SECTIONS}{notes}{rest}"
    load.__name__, load.__qualname__, load.__module__ = described.__name__, described.__qualname__, described.__module__
    return cast(_Loader, load)


@_loader
def load_fashion_mnist() -> None:
    """Load 1500 grey-scale pictures of clothes in 10 balanced classes: X is ``(1500, 28, 28, 1)`` uint8.

    Notes
    -----
    Official split: 1000 train, 500 test, taken from the original's 60000 and 10000 in file order; `source_idx` is the
    place there. Source: Xiao, Rasul and Vollgraf (2017), Fashion-MNIST. Licence: MIT.

    Examples
    --------
    >>> X, y = load_fashion_mnist(subset="test", return_X_y=True)
    >>> X.shape, X.dtype
    ((500, 28, 28, 1), dtype('uint8'))
    """


@_loader
def load_photos() -> None:
    """Load three colour pictures (a cat, a coffee cup, a retina) for inpainting: X is ``(3, 128, 128, 3)`` uint8.

    Notes
    -----
    `target` is only the picture's number. Source: scikit-image; photographs by Stefan van der Walt, Rachel Michetti and
    Mikael Haggstrom (2014). Licence: CC0.

    Examples
    --------
    >>> load_photos().target_names.tolist()
    ['chelsea', 'coffee', 'retina']
    """


@_loader
def load_japanese_vowels() -> None:
    """Load 640 utterances of two vowels, to tell 9 speakers apart: X is ``(640, 29, 12)`` float32, padded with NaN.

    Notes
    -----
    12 LPC coefficients a step; `lengths`, 7 to 29, are the numbers of steps. Official split: 270 train, 370 test.
    Source: Kudo, Toyama and Shimbo (1999), Pattern Recognition Letters 20, 1103-1111. Licence: not stated by the source
    package.

    Examples
    --------
    >>> vowels = load_japanese_vowels(subset="train")
    >>> vowels.data.shape, int(vowels.lengths.min()), int(vowels.lengths.max())
    ((270, 29, 12), 7, 26)
    """


@_loader
def load_gun_point() -> None:
    """Load 200 hand movements, drawing a gun or pointing (2 classes): X is ``(200, 150, 1)`` float32, z-normalised.

    Notes
    -----
    `lengths` are all 150. Official split: 50 train, 150 test. Source: GunPoint of the UCR archive, Dau et al. (2018).
    Licence: not stated by the source package.

    Examples
    --------
    >>> load_gun_point().data.shape
    (200, 150, 1)
    """


@_loader
def load_italy_power_demand() -> None:
    """Load 1096 days of power demand, winter or summer half-year (2 classes): X is ``(1096, 24, 1)`` float32.

    Notes
    -----
    Each day z-normalised; `lengths` are all 24. Official split: 67 train, 1029 test. Source: ItalyPowerDemand of the
    UCR archive, Dau et al. (2018). Licence: not stated by the source package.

    Examples
    --------
    >>> load_italy_power_demand().data.shape
    (1096, 24, 1)
    """


@_loader
def load_covid_serology() -> None:
    """Load antibody measurements for tensor completion, samples x antigens x receptors: X is ``(438, 6, 11)`` float32.

    Notes
    -----
    Complete, and normalised by the source; ``X.reshape(438, 66)`` is a matrix. `target` is the patient's status (5
    classes); `antigens` and `receptors` name the other two axes. Source: Tan et al. (2021), Molecular Systems Biology
    17(9), e10243; Zohar et al. (2020), Cell 183(6), 1508-1519. Licence: a grant in MIT's words.

    Examples
    --------
    >>> serology = load_covid_serology()
    >>> serology.data.shape == (438, len(serology.antigens), len(serology.receptors))
    True
    """


@_loader
def load_concrete() -> None:
    """Load 1030 concrete mixtures, to predict their compressive strength in MPa: X is ``(1030, 8)`` float32.

    Notes
    -----
    Regression: `target` is float32. Features: seven ingredients, and age in days. Source: Yeh (2006), J. Materials in
    Civil Engineering 18, 597-604. Licence: MIT, as stated by modeldata.

    Examples
    --------
    >>> concrete = load_concrete()
    >>> concrete.feature_names[-1], concrete.target.dtype
    (np.str_('age'), dtype('float32'))
    """


@_loader
def load_ionosphere() -> None:
    """Load 351 radar returns, good or bad (2 classes): X is ``(351, 33)`` float32.

    Notes
    -----
    Source: UCI Ionosphere (Sigillito et al. 1989), as in KEEL. Licence: not stated by the source package.

    Examples
    --------
    >>> load_ionosphere().data.shape
    (351, 33)
    """


@_loader
def load_sonar() -> None:
    """Load 208 sonar returns, from a mine (M) or a rock (R): X is ``(208, 60)`` float32.

    Notes
    -----
    Source: UCI Connectionist Bench, Sonar (Gorman and Sejnowski 1988), as in KEEL. Licence: not stated by the source
    package.

    Examples
    --------
    >>> X, y = load_sonar(return_X_y=True)
    >>> X.shape, y.shape
    ((208, 60), (208,))
    """


@_loader
def load_vehicle() -> None:
    """Load 846 silhouettes of vehicles of 4 classes: X is ``(846, 18)`` float32.

    Notes
    -----
    Source: Statlog Vehicle Silhouettes (Siebert 1987), as in KEEL. Licence: not stated by the source package.

    Examples
    --------
    >>> load_vehicle().target_names.tolist()
    ['bus', 'opel', 'saab', 'van']
    """


@_loader
def load_vowel() -> None:
    """Load 990 steady-state British vowels of 11 classes: X is ``(990, 11)`` float32, the speaker's sex and 10 numbers.

    Notes
    -----
    `groups` is the speaker. Official split, by speaker: 528 train (speakers 0-7), 462 test (8-14). Source: UCI
    Connectionist Bench (Deterding 1989), as in KEEL. Licence: not stated by the source package.

    Examples
    --------
    >>> sorted(set(load_vowel(subset="test").groups.tolist()))
    [8, 9, 10, 11, 12, 13, 14]
    """


@_loader
def load_wisconsin() -> None:
    """Load 683 breast cancer cytologies, benign (2) or malignant (4): X is ``(683, 9)`` float32.

    Notes
    -----
    Source: UCI Breast Cancer Wisconsin, original (Wolberg and Mangasarian 1990), as in KEEL. Licence: not stated by the
    source package.

    Examples
    --------
    >>> load_wisconsin().target_names.tolist()
    ['2', '4']
    """


@_loader
def load_hayes_roth() -> None:
    """Load 160 people by hobby, age, education and marital status, 3 classes: X is ``(160, 15)`` float32, one-hot.

    Notes
    -----
    Source: UCI Hayes-Roth (Hayes-Roth and Hayes-Roth 1977), as in KEEL. Licence: not stated by the source package.

    Examples
    --------
    >>> load_hayes_roth().data.shape
    (160, 15)
    """


@_loader
def load_monk_2() -> None:
    """Load the MONK-2 problem, are exactly two of six attributes at their first value: X is ``(432, 17)`` float32.

    Notes
    -----
    All combinations of the attributes, one-hot, in 2 classes. Source: UCI MONK's Problems (Thrun et al. 1991), as in
    KEEL. Licence: not stated by the source package.

    Examples
    --------
    >>> load_monk_2().data.shape
    (432, 17)
    """


@_loader
def load_tae() -> None:
    """Load 151 evaluations of teaching assistants, 3 classes: X is ``(151, 54)`` float32, mostly one-hot.

    Notes
    -----
    Source: UCI Teaching Assistant Evaluation (Loh and Shih 1997), as in KEEL. Licence: not stated by the source
    package.

    Examples
    --------
    >>> load_tae().data.shape
    (151, 54)
    """


@_loader
def load_contraceptive() -> None:
    """Load 1473 answers of a survey on contraceptive methods, 3 classes: X is ``(1473, 12)`` float32.

    Notes
    -----
    Source: UCI Contraceptive Method Choice (1987 National Indonesia Contraceptive Prevalence Survey), as in KEEL.
    Licence: not stated by the source package.

    Examples
    --------
    >>> load_contraceptive().data.shape
    (1473, 12)
    """


@_loader
def load_segment() -> None:
    """Load 2310 segments of outdoor images, 7 classes: X is ``(2310, 19)`` float32; column x3 is constant.

    Notes
    -----
    Source: Statlog Image Segmentation (Vision Group, University of Massachusetts, 1990), as in KEEL. Licence: not
    stated by the source package.

    Examples
    --------
    >>> load_segment().data.shape
    (2310, 19)
    """


@_loader
def load_tic_tac_toe() -> None:
    """Load 958 ends of tic-tac-toe games, does x win (2 classes): X is ``(958, 27)`` float32, one-hot.

    Notes
    -----
    Source: UCI Tic-Tac-Toe Endgame (Aha 1991), as in KEEL. Licence: not stated by the source package.

    Examples
    --------
    >>> load_tic_tac_toe().target_names.tolist()
    ['negative', 'positive']
    """
