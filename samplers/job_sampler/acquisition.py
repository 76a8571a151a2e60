"""Expected improvement, and a search for the configuration that maximizes it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import erfcx, log_ndtr

from .encoding import Array, Encoding

_RADII = (0.3, 0.1, 0.04, 0.015, 0.006, 0.002)
"""Standard deviation of the perturbations in each round of refinement, in units of a range."""
_N_RANDOM, _N_KEPT, _N_PERTURBED = 512, 8, 24
"""Random candidates; candidates kept after each round; perturbations of each of them."""


def log_expected_improvement(best: float, mean: Array, std: Array) -> Array:
    """Return the logarithm of ``E[max(0, best - f)]`` for normally distributed ``f``.

    With ``z = (best - mean) / std`` this is ``log(phi(z) + z Phi(z)) + log(std)`` (Jones et al.
    1998, *Efficient Global Optimization of Expensive Black-Box Functions*, Eq. 15), evaluated in
    the logarithm so that it neither underflows nor loses its slope far from the optimum (Ament et
    al. 2023, *Unexpected Improvements to Expected Improvement for Bayesian Optimization*, Eq. 9).

    Args:
        best: Value to improve on, by a smaller one.
        mean: Means of ``f``, (m,).
        std: Standard deviations of ``f``, (m,).

    Returns:
        Values of shape (m,).
    """
    z = (best - mean) / std
    log_phi = -0.5 * z * z - 0.5 * math.log(2 * math.pi)
    # For z < 0, phi(z) + z Phi(z) = phi(z) (1 - |z| sqrt(pi / 2) erfcx(|z| / sqrt(2))). Beyond
    # |z| = 100 the difference cancels, and the expression tends to phi(z) / z^2.
    distance = np.maximum(-z, 0.0)
    near = np.minimum(distance, 100.0)
    log_factor = np.log1p(-near * math.sqrt(math.pi / 2) * erfcx(near / math.sqrt(2)))
    log_tail = np.where(distance < 100.0, log_factor, -2.0 * np.log(np.maximum(distance, 1.0)))
    above = np.logaddexp(log_phi, np.log(np.maximum(z, 1e-300)) + log_ndtr(z))
    return np.where(z < 0.0, log_phi + log_tail, above) + np.log(std)


def maximize_acquisition(
    encoding: Encoding,
    acquisition: Callable[[Array], Array],
    incumbents: Array,
    known: Array,
    rng: np.random.RandomState,
) -> Array | None:
    """Return a row (d,) of high acquisition that is not among the known ones.

    A stochastic local search: random rows and perturbed incumbents are scored, then the best of
    all are perturbed again, in rounds of decreasing radius. It needs no gradient, so it handles
    categories and steps.

    Args:
        encoding: Search space.
        acquisition: Scores of rows, (n, d) to (n,).
        incumbents: Rows that are worth perturbing, (k, d).
        known: Rows that must not be returned, (n, d).
        rng: Source of randomness.

    Returns:
        The row; None if all candidates are known, as in an exhausted grid.
    """
    excluded = {row.tobytes() for row in _round(known)}

    def score(rows: Array) -> Array:
        scores = acquisition(rows)
        scores[[row.tobytes() in excluded for row in _round(rows)]] = -np.inf
        return scores

    rows = np.concatenate(
        [encoding.sample(_N_RANDOM, rng)]
        + [perturb(encoding, incumbents, radius, 16, rng) for radius in (0.2, 0.05, 0.01)]
    )
    scores = score(rows)
    for radius in _RADII:
        kept = np.argsort(-scores, kind="stable")[:_N_KEPT]
        perturbed = perturb(encoding, rows[kept], radius, _N_PERTURBED, rng)
        rows = np.concatenate([rows[kept], perturbed])
        scores = np.concatenate([scores[kept], score(perturbed)])
    best = int(np.argmax(scores))
    return np.asarray(rows[best]) if scores[best] > -np.inf else None


def perturb(
    encoding: Encoding, rows: Array, radius: float, count: int, rng: np.random.RandomState
) -> Array:
    """Return ``count`` perturbed copies of each row, (n * count, d).

    A random subset of the columns changes, at least one: numbers by a normal step, categories to
    a uniformly drawn one.

    Args:
        encoding: Search space.
        rows: Rows to perturb, (n, d).
        radius: Standard deviation of a step, in units of a range. On a coarse grid a step is
            larger, so that it reaches the next level.
        count: Copies of each row.
        rng: Source of randomness.
    """
    columns = len(encoding)
    copies = np.repeat(rows, count, axis=0)
    changed = rng.rand(*copies.shape) < min(1.0, max(2.0, columns / 3) / columns)
    changed[np.arange(len(copies)), rng.randint(columns, size=len(copies))] = True
    n_levels = encoding.n_levels
    spacing = np.where(np.isfinite(n_levels), 1.0 / np.maximum(n_levels - 1.0, 1.0), 0.0)
    steps = rng.normal(size=copies.shape) * np.maximum(radius, 0.7 * spacing)
    categories = np.floor(rng.rand(*copies.shape) * np.maximum(encoding.n_choices, 1))
    moved = np.where(encoding.is_categorical, categories, copies + steps)
    return encoding.snap(np.where(changed, moved, copies))


def _round(rows: Array) -> Array:
    return np.round(rows, 9) + 0.0  # turns -0.0, which has other bytes, into 0.0
