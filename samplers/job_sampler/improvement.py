"""Where the improvement to be expected is largest."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import erfcx, log_ndtr

from .encoding import Array, Encoding

_ROUNDS = (0.3, 0.1, 0.04, 0.015, 0.006, 0.002)
"""How far the candidates of a round of refinement are from the best ones before, in [0, 1]."""
_RANDOM, _KEPT, _AROUND = 512, 8, 24


def log_expected_improvement(best: float, mean: Array, spread: Array) -> Array:
    """The logarithm of ``E[max(0, best - f)]`` for normal ``f``, also where that is tiny.

    Ament et al. 2023, *Unexpected Improvements to Expected Improvement for Bayesian Optimization*.
    """
    z = (best - mean) / spread
    density = -0.5 * z * z - 0.5 * math.log(2 * math.pi)
    # phi(z) + z Phi(z) is phi(z) (1 - |z| sqrt(pi / 2) erfcx(|z| / sqrt(2))) where z is negative;
    # far from 0 nothing is left of that difference, and it tends to phi(z) / z^2.
    far = np.maximum(-z, 0.0)
    near = np.minimum(far, 100.0)
    part = np.log1p(-near * math.sqrt(math.pi / 2) * erfcx(near / math.sqrt(2)))
    below = density + np.where(far < 100.0, part, -2.0 * np.log(np.maximum(far, 1.0)))
    above = np.logaddexp(density, np.log(np.maximum(z, 1e-300)) + log_ndtr(z))
    return np.where(z < 0.0, below, above) + np.log(spread)


def highest(
    encoding: Encoding,
    score: Callable[[Array], Array],
    promising: Array,
    known: Array,
    rng: np.random.RandomState,
) -> Array | None:
    """A row of a high score that is none of the ``known`` ones, in a corner of the space neither.

    Random rows and rows around ``promising`` ones are scored; the best of them are refined in
    rounds of smaller and smaller moves.

    Returns:
        The row; None if all that were looked at are known.
    """
    seen = {row.tobytes() for row in _rounded(known)}

    def scored(rows: Array) -> Array:
        scores = score(rows)
        scores[[row.tobytes() in seen for row in _rounded(rows)]] = -np.inf
        return scores

    rows = np.concatenate(
        [encoding.random(_RANDOM, rng)]
        + [moved(encoding, promising, reach, 16, rng) for reach in (0.2, 0.05, 0.01)]
    )
    scores = scored(rows)
    for reach in _ROUNDS:
        kept = np.argsort(-scores, kind="stable")[:_KEPT]
        near = moved(encoding, rows[kept], reach, _AROUND, rng)
        rows = np.concatenate([rows[kept], near])
        scores = np.concatenate([scores[kept], scored(near)])
    best = int(np.argmax(scores))
    return np.asarray(rows[best]) if scores[best] > -np.inf else None


def moved(
    encoding: Encoding, rows: Array, reach: float, count: int, rng: np.random.RandomState
) -> Array:
    """So many rows around each of the rows, some of their columns changed."""
    columns = len(encoding)
    around = np.repeat(rows, count, axis=0)
    changed = rng.rand(*around.shape) < min(1.0, max(2.0, columns / 3) / columns)
    changed[np.arange(len(around)), rng.randint(columns, size=len(around))] = True
    # A number on a coarse grid moves by a level or more.
    levels = np.where(np.isfinite(encoding.grid), 1.0 / np.maximum(encoding.grid - 1.0, 1.0), 0.0)
    steps = rng.normal(size=around.shape) * np.maximum(reach, 0.7 * levels)
    chosen = encoding.choices > 0
    drawn = np.floor(rng.rand(*around.shape) * np.maximum(encoding.choices, 1))
    return encoding.snap(np.where(changed, np.where(chosen, drawn, around + steps), around))


def _rounded(rows: Array) -> Array:
    return np.round(rows, 9) + 0.0  # there is a negative zero
