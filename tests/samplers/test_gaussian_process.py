"""The Gaussian process and its acquisition function, against reference implementations."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy.optimize import approx_fprime
from scipy.stats import norm

from tune_jobs.samplers.job_sampler.acquisition import (
    log_expected_improvement,
    maximize_acquisition,
)
from tune_jobs.samplers.job_sampler.encoding import Array, Encoding
from tune_jobs.samplers.job_sampler.gaussian_process import (
    Kernel,
    Posterior,
    _negative_log_posterior,
    _squared_differences,
    fit_kernel,
)
from tune_jobs.samplers.job_sampler.model import Model, standardize

SPACE = {
    "rate": FloatDistribution(1e-4, 1.0, log=True),
    "layers": IntDistribution(1, 9, step=2),
    "width": IntDistribution(8, 1024, log=True),
    "kind": CategoricalDistribution(["a", "b", None]),
    "share": FloatDistribution(0.0, 1.0, step=0.25),
}


IS_CATEGORICAL = Encoding(SPACE).is_categorical


def sample(count: int, seed: int = 0) -> Array:
    return Encoding(SPACE).sample(count, np.random.RandomState(seed))


def test_encoding_is_a_bijection_that_respects_distributions() -> None:
    encoding = Encoding(SPACE)
    assert encoding.is_categorical.tolist() == [False, False, False, True, False]
    rows = encoding.sample(200, np.random.RandomState(0))
    params = [encoding.decode(row) for row in rows]
    for each in params:
        for name, distribution in SPACE.items():
            assert distribution._contains(distribution.to_internal_repr(each[name])), each
    assert_allclose(encoding.encode(params), rows, atol=1e-9)
    assert_allclose(encoding.snap(rows), rows, atol=1e-9)
    assert {each["layers"] for each in params} == {1, 3, 5, 7, 9}
    assert {each["kind"] for each in params} == {"a", "b", None}


def test_gradient_of_the_log_posterior_matches_finite_differences() -> None:
    rows, values = sample(30), np.random.RandomState(1).normal(size=30)
    squared = np.stack(
        [_squared_differences(rows[:, c], bool(IS_CATEGORICAL[c])) for c in range(5)]
    )
    theta = np.log([0.4, 0.7, 1.1, 1.0, 0.5, 1.3, 0.02])

    def loss(theta: Array) -> float:
        return _negative_log_posterior(theta, squared, values, 0.9)[0]

    gradient = _negative_log_posterior(theta, squared, values, 0.9)[1]
    assert_allclose(gradient, approx_fprime(theta, loss, 1e-6), rtol=1e-3, atol=1e-4)


def test_posterior_matches_the_closed_form_and_pending_points_reduce_only_the_variance() -> None:
    kernel = Kernel(np.array([0.5, 1.0, 0.7, 1.0, 2.0]), 1.5, 0.01)
    inputs, pending, points = sample(20), sample(3, seed=1), sample(6, seed=2)
    targets = np.sin(np.arange(20.0))
    covariance = kernel.covariance(inputs, inputs, IS_CATEGORICAL) + (0.01 + 1e-8) * np.eye(20)
    cross = kernel.covariance(points, inputs, IS_CATEGORICAL)
    mean = cross @ np.linalg.solve(covariance, targets)
    std = np.sqrt(1.5 - np.diag(cross @ np.linalg.solve(covariance, cross.T)))
    without = Posterior(kernel, inputs, targets, pending[:0], IS_CATEGORICAL)
    assert_allclose(without.predict(points), (mean, std), rtol=1e-8)
    posterior = Posterior(kernel, inputs, targets, pending, IS_CATEGORICAL)
    assert_allclose(posterior.predict(points)[0], mean, rtol=1e-8)
    assert (posterior.predict(points)[1] <= std + 1e-12).all()
    assert posterior.predict(pending)[1].max() < 0.11, "the noise of one observation remains"


def test_fit_identifies_the_relevant_parameter_and_the_noise() -> None:
    rows = sample(120)
    values = np.sin(6 * rows[:, 0]) + 0.3 * np.random.RandomState(3).normal(size=120)
    values = (values - values.mean()) / values.std()
    initial = [Kernel.prior(5, noise) for noise in (1e-3, 0.2)]
    kernel = fit_kernel(rows, values, IS_CATEGORICAL, initial, max_iterations=60)
    assert kernel.length_scales[0] < 0.3 * min(kernel.length_scales[1:])
    assert 0.05 < kernel.noise_variance < 0.4


def test_log_expected_improvement_is_accurate_and_keeps_its_slope_in_the_tail() -> None:
    z = np.array([-8.0, -2.0, -1e-9, 0.0, 1e-9, 3.0])
    std = 0.5
    direct = np.log(std * (norm.pdf(z) + z * norm.cdf(z)))
    computed = log_expected_improvement(1.0, 1.0 - std * z, np.full(6, std))
    assert_allclose(computed, direct, rtol=1e-6)
    tail = log_expected_improvement(0.0, np.array([90.0, 99.9, 100.1, 400.0]), np.ones(4))
    assert np.isfinite(tail).all()
    assert (np.diff(tail) < 0).all()
    assert abs(tail[1] - tail[2]) < 25, "continuous where the formula changes"


def test_known_configurations_are_excluded_and_an_exhausted_grid_gives_none() -> None:
    space = {"a": IntDistribution(0, 2), "b": CategoricalDistribution(["x", "y"])}
    encoding = Encoding(space)
    grid = [{"a": a, "b": b} for a in range(3) for b in ("x", "y")]
    known = encoding.encode(grid[:-1])
    rng = np.random.RandomState(0)
    found = maximize_acquisition(encoding, lambda rows: -rows[:, 0], known, known, rng)
    assert found is not None
    assert encoding.decode(found) == grid[-1]
    every = encoding.encode(grid)
    assert maximize_acquisition(encoding, lambda rows: -rows[:, 0], every, every, rng) is None
    values = np.arange(6.0)
    assert Model(space).suggest(grid, values, [], rng) is None


def test_standardize_compresses_bad_values_and_preserves_their_order() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 1e6, 1e12])
    standardized = standardize(values)
    assert (np.diff(standardized) > 0).all()
    assert standardized[-1] < 3.0
    assert_allclose([standardized.mean(), standardized.std()], [0.0, 1.0], atol=1e-12)
    assert_allclose(standardize(np.full(5, 3.0)), 0.0)
