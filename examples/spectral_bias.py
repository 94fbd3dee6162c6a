"""Which functions a network learns first: spectra of kernels on the sphere.

The eigenvalue of a degree says how fast gradient descent learns spherical harmonics of that degree. Networks that
multiply layers (`PolynomialNetwork`, here with skips) have larger ones at higher degrees, the more the higher their own
degree: they learn high frequencies sooner. Prints ratios to degree 1, and draws spectral_bias.png.
"""

import matplotlib.pyplot as plt

from ntkkit import NTK, FullyConnected, PolynomialNetwork, kernel_spectrum
from ntkkit.display import KernelSpectrumDisplay

DIMENSION = 10


def main(degrees=(1, 3, 9), picture="spectral_bias.png"):
    given = {"weight_var": DIMENSION, "bias_var": 0.0, "readout_weight_var": 1.0}
    kernels = {f"polynomial network of degree {n}": NTK(PolynomialNetwork(degree=n, **given)) for n in degrees}
    kernels["fully connected, 3 hidden layers"] = NTK(FullyConnected(depth=3, weight_var=2.0, bias_var=0.0))
    print(f"{'':36}" + "".join(f"{f'degree {degree}':>11}" for degree in range(2, 7)))
    found = []
    for name, kernel in kernels.items():
        eigenvalues = kernel_spectrum(kernel, DIMENSION, 7).eigenvalues
        found.append(eigenvalues[2:] / eigenvalues[1])
        print(f"{name:36}" + "".join(f"{ratio:11.1e}" if ratio > 1e-12 else f"{0:11}" for ratio in found[-1]))
    KernelSpectrumDisplay.from_kernels(kernels, dimension=DIMENSION).figure_.savefig(picture, dpi=120)
    plt.close("all")
    return found


if __name__ == "__main__":
    main()
