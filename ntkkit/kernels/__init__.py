"""Kernels: what is evaluated over a data set."""

from ntkkit.kernels.algebra import Constant, Normalized, Product, Scaled, Sum
from ntkkit.kernels.augmented import Augmented
from ntkkit.kernels.base import Kernel
from ntkkit.kernels.limits import NNGP, NTK
from ntkkit.kernels.spectrum import KernelSpectrum, kernel_spectrum

__all__ = [
    "NNGP",
    "NTK",
    "Augmented",
    "Constant",
    "Kernel",
    "KernelSpectrum",
    "Normalized",
    "Product",
    "Scaled",
    "Sum",
    "kernel_spectrum",
]
