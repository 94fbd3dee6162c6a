"""The types that fitted estimators are made of, for saving and loading without pickle, by skops.

A pickle can run any code when it is loaded. `skops.io` saves names of types and what objects of them hold, and loads
no types but those that it knows (of scikit-learn and numpy) or is told to trust. `TRUSTED_TYPES` is what
`skops.io.get_untrusted_types` reports of the estimators of ntkkit: classes only, none of which runs code, or imports
modules, that a file names. Kernels and networks are made anew by their constructors, which check their parameters.

What else a model holds is reported by its own name, for the user to judge and to add: a callable kernel, a kernel of
scikit-learn, a function as activation, the scorer of a `KernelSearchCV` (its `best_estimator_` has none). Functions are
found again by their names, so they must be defined in a module. Those that are not, and functions compiled by jax
(`jax.nn.relu`; the name "relu" is fine), are refused when a kernel is saved; so is an engine with devices or a cluster.

A file that is not one's own still decides what its model predicts, and where its engine's store and cache are written.

Examples
--------
>>> import numpy as np
>>> import skops.io
>>> from ntkkit import TRUSTED_TYPES, NeuralKernelRegressor
>>> X = np.eye(3)
>>> data = skops.io.dumps(NeuralKernelRegressor().fit(X, [1.0, 2.0, 3.0]))
>>> set(skops.io.get_untrusted_types(data=data)) <= set(TRUSTED_TYPES)
True
>>> skops.io.loads(data, trusted=TRUSTED_TYPES).predict(X).round(1)
array([1., 2., 3.])
"""

from __future__ import annotations

TRUSTED_TYPES: tuple[str, ...] = (
    "ntkkit.dynamics.ndk.NDK",
    "ntkkit.dynamics.ndk.NDKAt",
    "ntkkit.engine.cache.Cache",
    "ntkkit.engine.evaluate.Engine",
    "ntkkit.estimators._coordinates.Coordinates",
    "ntkkit.estimators._labels.Labels",
    "ntkkit.estimators._random_features.RandomNetworks",
    "ntkkit.estimators._spread.Spread",
    "ntkkit.estimators.classification.NeuralKernelClassifier",
    "ntkkit.estimators.completion.NeuralMatrixCompleter",
    "ntkkit.estimators.dynamics.NeuralDynamicsClassifier",
    "ntkkit.estimators.dynamics.NeuralDynamicsRegressor",
    "ntkkit.estimators.dynamics_cv.NeuralDynamicsClassifierCV",
    "ntkkit.estimators.dynamics_cv.NeuralDynamicsRegressorCV",
    "ntkkit.estimators.feature_learning.FeatureLearningRegressor",
    "ntkkit.estimators.features.NeuralKernelFeatures",
    "ntkkit.estimators.finite.FiniteNetworkClassifier",
    "ntkkit.estimators.finite.FiniteNetworkRegressor",
    "ntkkit.estimators.images.ImageStandardizer",
    "ntkkit.estimators.images.ZCAWhitener",
    "ntkkit.estimators.inpainting.NeuralInpainter",
    "ntkkit.estimators.regression.NeuralKernelRegressor",
    "ntkkit.estimators.ridge_cv.NeuralKernelClassifierCV",
    "ntkkit.estimators.ridge_cv.NeuralKernelRegressorCV",
    "ntkkit.estimators.svc.NeuralKernelSVC",
    "ntkkit.estimators.svr.NeuralKernelSVR",
    "ntkkit.finite.parametrization.FiniteNetwork",
    "ntkkit.kernels.algebra.Constant",
    "ntkkit.kernels.algebra.Normalized",
    "ntkkit.kernels.algebra.Product",
    "ntkkit.kernels.algebra.Scaled",
    "ntkkit.kernels.algebra.Sum",
    "ntkkit.kernels.augmented.Augmented",
    "ntkkit.kernels.limits.NNGP",
    "ntkkit.kernels.limits.NTK",
    "ntkkit.linalg.cholesky.Cholesky",
    "ntkkit.linalg.eigen.Eigen",
    "ntkkit.linalg.ridge.RidgeFactor",
    "ntkkit.linalg.ridge.ShiftedEigen",
    "ntkkit.model_selection.completion.NeuralMatrixCompleterCV",
    "ntkkit.model_selection.search.KernelSearchCV",
    "ntkkit.networks.activations.Identity",
    "ntkkit.networks.combinators.ProductOf",
    "ntkkit.networks.combinators.Residual",
    "ntkkit.networks.combinators.SumOf",
    "ntkkit.networks.convolution.Conv",
    "ntkkit.networks.convolutional_families.Convolutional",
    "ntkkit.networks.convolutional_families.Myrtle",
    "ntkkit.networks.convolutional_families.ResNet",
    "ntkkit.networks.dense.Dense",
    "ntkkit.networks.dropout.Dropout",
    "ntkkit.networks.exponentials.Exp",
    "ntkkit.networks.exponentials.Gaussian",
    "ntkkit.networks.exponentials.Rbf",
    "ntkkit.networks.families.FullyConnected",
    "ntkkit.networks.gelu.Gelu",
    "ntkkit.networks.global_pooling.Flatten",
    "ntkkit.networks.global_pooling.GlobalAvgPool",
    "ntkkit.networks.global_pooling.GlobalSumPool",
    "ntkkit.networks.global_pooling.LocalAvgPool",
    "ntkkit.networks.network.Serial",
    "ntkkit.networks.normalisation.LayerNorm",
    "ntkkit.networks.polynomial.OnePlus",
    "ntkkit.networks.polynomial.PolynomialNetwork",
    "ntkkit.networks.pooling.AvgPool",
    "ntkkit.networks.pooling.SumPool",
    "ntkkit.networks.quadrature.Quadrature",
    "ntkkit.networks.rectified_powers.RectifiedMonomial",
    "ntkkit.networks.rectifiers.ABRelu",
    "ntkkit.networks.rectifiers.Abs",
    "ntkkit.networks.rectifiers.LeakyRelu",
    "ntkkit.networks.rectifiers.Relu",
    "ntkkit.networks.recurrent.Recurrent",
    "ntkkit.networks.series.Hermite",
    "ntkkit.networks.series.Monomial",
    "ntkkit.networks.series.Polynomial",
    "ntkkit.networks.sigmoids.Erf",
    "ntkkit.networks.sigmoids.SigmoidLike",
    "ntkkit.networks.steps.Sign",
    "ntkkit.networks.steps.Step",
    "ntkkit.networks.waves.Cos",
    "ntkkit.networks.waves.Sin",
)
