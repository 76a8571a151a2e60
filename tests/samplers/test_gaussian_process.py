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

from tune_jobs.samplers.job_sampler.encoding import Encoding
from tune_jobs.samplers.job_sampler.gaussian_process import Kernel, Posterior, _loss, _squared, fit
from tune_jobs.samplers.job_sampler.improvement import highest, log_expected_improvement
from tune_jobs.samplers.job_sampler.model import Model, tamed

SPACE = {
    "rate": FloatDistribution(1e-4, 1.0, log=True),
    "layers": IntDistribution(1, 9, step=2),
    "width": IntDistribution(8, 1024, log=True),
    "kind": CategoricalDistribution(["a", "b", None]),
    "share": FloatDistribution(0.0, 1.0, step=0.25),
}


def rows(count: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return Encoding(SPACE).random(count, np.random.RandomState(seed))


CHOSEN = np.array([False, False, False, True, False])


def test_rows_are_configurations_and_back() -> None:
    encoding = Encoding(SPACE)
    drawn = encoding.random(200, np.random.RandomState(0))
    params = [encoding.decode(row) for row in drawn]
    for each in params:
        for name, distribution in SPACE.items():
            assert distribution._contains(distribution.to_internal_repr(each[name])), each
    assert_allclose(encoding.encode(params), drawn, atol=1e-9)
    assert_allclose(encoding.snap(drawn), drawn, atol=1e-9)
    assert {each["layers"] for each in params} == {1, 3, 5, 7, 9}
    assert {each["kind"] for each in params} == {"a", "b", None}


def test_the_gradient_is_that_of_the_loss() -> None:
    drawn, values = rows(30), np.random.RandomState(1).normal(size=30)
    squared = np.stack([_squared(drawn[:, c], bool(CHOSEN[c])) for c in range(5)])
    at = np.log([0.4, 0.7, 1.1, 1.0, 0.5, 1.3, 0.02])

    def loss(theta: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
        return _loss(theta, squared, values, 0.9)[0]

    numeric = approx_fprime(at, loss, 1e-6)
    assert_allclose(_loss(at, squared, values, 0.9)[1], numeric, rtol=1e-3, atol=1e-4)


def test_the_posterior_is_that_of_the_textbook_and_pending_runs_lower_its_spread_only() -> None:
    kernel = Kernel(np.array([0.5, 1.0, 0.7, 1.0, 2.0]), 1.5, 0.01)
    seen, waiting, asked = rows(20), rows(3, seed=1), rows(6, seed=2)
    values = np.sin(np.arange(20.0))
    covariance = kernel.between(seen, seen, CHOSEN) + (0.01 + 1e-8) * np.eye(20)
    cross = kernel.between(asked, seen, CHOSEN)
    mean = cross @ np.linalg.solve(covariance, values)
    spread = np.sqrt(1.5 - np.diag(cross @ np.linalg.solve(covariance, cross.T)))
    alone = Posterior(kernel, seen, values, waiting[:0], CHOSEN)
    assert_allclose(alone.at(asked), (mean, spread), rtol=1e-8)
    pending = Posterior(kernel, seen, values, waiting, CHOSEN)
    assert_allclose(pending.at(asked)[0], mean, rtol=1e-8)
    assert (pending.at(asked)[1] <= spread + 1e-12).all()
    assert pending.at(waiting)[1].max() < 0.11, "as if it had ended, with the noise of one run"


def test_a_fit_finds_what_matters_and_how_noisy_it_is() -> None:
    drawn = rows(120)
    chance = np.random.RandomState(3)
    values = np.sin(6 * drawn[:, 0]) + 0.3 * chance.normal(size=120)
    values = (values - values.mean()) / values.std()
    kernel = fit(drawn, values, CHOSEN, [Kernel.usual(5, noise) for noise in (1e-3, 0.2)], steps=60)
    assert kernel.lengths[0] < 0.3 * min(kernel.lengths[1:])
    assert 0.05 < kernel.noise < 0.4


def test_the_expected_improvement_is_right_and_does_not_vanish_far_away() -> None:
    z = np.array([-8.0, -2.0, -1e-9, 0.0, 1e-9, 3.0])
    spread = 0.5
    direct = np.log(spread * (norm.pdf(z) + z * norm.cdf(z)))
    assert_allclose(
        log_expected_improvement(1.0, 1.0 - spread * z, np.full(6, spread)), direct, rtol=1e-6
    )
    far = log_expected_improvement(0.0, np.array([90.0, 99.9, 100.1, 400.0]), np.ones(4))
    assert np.isfinite(far).all()
    assert (np.diff(far) < 0).all()
    assert abs(far[1] - far[2]) < 25, "no jump where the formula changes"


def test_what_is_known_is_not_suggested_again_and_an_exhausted_grid_ends() -> None:
    space = {"a": IntDistribution(0, 2), "b": CategoricalDistribution(["x", "y"])}
    encoding = Encoding(space)
    grid = [{"a": a, "b": b} for a in range(3) for b in ("x", "y")]
    known = encoding.encode(grid[:-1])
    rng = np.random.RandomState(0)
    found = highest(encoding, lambda rows: -rows[:, 0], known, known, rng)
    assert found is not None
    assert encoding.decode(found) == grid[-1]
    everything = encoding.encode(grid)
    assert highest(encoding, lambda rows: -rows[:, 0], everything, everything, rng) is None
    values = np.arange(6.0)
    assert Model(space).suggest(grid, values, [], rng) is None


def test_what_is_bad_is_compressed_and_the_order_is_kept() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 1e6, 1e12])
    shown = tamed(values)
    assert (np.diff(shown) > 0).all()
    assert shown[-1] < 3.0
    assert_allclose([shown.mean(), shown.std()], [0.0, 1.0], atol=1e-12)
    assert_allclose(tamed(np.full(5, 3.0)), 0.0)
