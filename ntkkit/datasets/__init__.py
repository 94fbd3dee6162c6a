"""Small real data sets: images, tables, time series and a tensor; and sequences of other libraries.

Every loader works as scikit-learn's do, takes the same two keyword arguments, and reads a file that is installed with
the package. Nothing is standardised; images are uint8, sequences padded with NaN at the end. ``load_x().DESCR`` tells
where a set is from, what was done to it and under which licence.
"""

from ntkkit.datasets.loaders import (
    load_concrete,
    load_contraceptive,
    load_covid_serology,
    load_fashion_mnist,
    load_gun_point,
    load_hayes_roth,
    load_ionosphere,
    load_italy_power_demand,
    load_japanese_vowels,
    load_monk_2,
    load_photos,
    load_segment,
    load_sonar,
    load_tae,
    load_tic_tac_toe,
    load_vehicle,
    load_vowel,
    load_wisconsin,
)
from ntkkit.datasets.sequences import to_sequences

__all__ = [
    "load_concrete",
    "load_contraceptive",
    "load_covid_serology",
    "load_fashion_mnist",
    "load_gun_point",
    "load_hayes_roth",
    "load_ionosphere",
    "load_italy_power_demand",
    "load_japanese_vowels",
    "load_monk_2",
    "load_photos",
    "load_segment",
    "load_sonar",
    "load_tae",
    "load_tic_tac_toe",
    "load_vehicle",
    "load_vowel",
    "load_wisconsin",
    "to_sequences",
]
