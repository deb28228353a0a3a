"""The one-to-one assignment of rows to columns with the least total cost, by shortest augmenting paths.

Crouse, "On implementing 2D rectangular assignment algorithms", IEEE Transactions on Aerospace and Electronic Systems
52(4), 2016, which follows Jonker and Volgenant, 1987.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]


def assign(costs: NDArray[np.float64]) -> tuple[Index, Index]:
    """Rows and columns (K,) of the assignment of least total cost, K = min(N, M); costs (N, M) are finite.

    >>> rows, columns = assign(np.array([[1.0, 2.0, 9.0], [1.0, 4.0, 9.0]]))
    >>> rows.tolist(), columns.tolist()
    ([0, 1], [1, 0])
    """
    if costs.shape[0] > costs.shape[1]:
        columns, rows = assign(costs.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    count, width = costs.shape
    row_price, column_price = np.zeros(count), np.zeros(width)
    owner = np.full(width, -1, np.intp)
    for start in range(count):
        _augment(costs, row_price, column_price, owner, start)
    columns = np.flatnonzero(owner >= 0)
    order = np.argsort(owner[columns])
    return owner[columns][order], columns[order]


def _augment(
    costs: NDArray[np.float64],
    row_price: NDArray[np.float64],
    column_price: NDArray[np.float64],
    owner: Index,
    start: int,
) -> None:
    """Give row `start` a column by the shortest alternating path; prices and owners change in place."""
    width = costs.shape[1]
    distance, came_from = np.full(width, np.inf), np.full(width, -1, np.intp)
    is_done = np.zeros(width, np.bool_)
    row, reached = start, 0.0
    visited_rows = [start]
    while True:
        reduced = reached + costs[row] - row_price[row] - column_price
        is_shorter = ~is_done & (reduced < distance)
        distance[is_shorter], came_from[is_shorter] = reduced[is_shorter], row
        column = int(np.where(is_done, np.inf, distance).argmin())
        reached = float(distance[column])
        is_done[column] = True
        if owner[column] < 0:
            break
        row = int(owner[column])
        visited_rows.append(row)
    row_price[start] += reached
    own_column = {int(owner[each]): each for each in np.flatnonzero(is_done & (owner >= 0))}
    for each in visited_rows[1:]:
        row_price[each] += reached - distance[own_column[each]]
    column_price[is_done] -= reached - distance[is_done]
    while True:
        row = int(came_from[column])
        before = np.flatnonzero(owner == row)
        owner[column] = row
        if row == start:
            return
        column = int(before[0])
