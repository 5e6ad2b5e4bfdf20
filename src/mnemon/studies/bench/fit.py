from collections.abc import Sequence
from itertools import combinations

import numpy as np


def non_negative(amounts: Sequence[Sequence[float]], totals: Sequence[float]) -> list[float]:
    """Coefficients c >= 0 with sum_j c_j amounts_ij near totals_i: the least sum of squared relative deviations.

    Exact for the few terms there are: of all sets of terms whose ordinary solution is non-negative, the best.
    """
    scaled = np.asarray(amounts) / np.asarray(totals)[:, None]
    scale = np.maximum(scaled.max(0), 1e-300)
    scaled, wanted = scaled / scale, np.ones(len(totals))
    n = scaled.shape[1]
    best, least = np.zeros(n), float(len(totals))
    for kept in (list(each) for many in range(1, n + 1) for each in combinations(range(n), many)):
        found = np.linalg.lstsq(scaled[:, kept], wanted, rcond=None)[0]
        missed = float(((scaled[:, kept] @ found - wanted) ** 2).sum())
        if missed < least and (found >= 0).all():
            best, least = np.zeros(n), missed
            best[kept] = found
    return [float(value) for value in best / scale]
