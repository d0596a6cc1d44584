"""What simulated cells are made of: point emitters in micrometres, arranged as structures that a microscopist knows.

Each structure is a function `(field_um, rng) -> Emitters` for a square field; parts may lie outside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Emitters:
    """Point emitters: positions (um), brightness (1) and the number of the element (filament, vesicle, ...) each belongs to."""

    y_um: np.ndarray
    x_um: np.ndarray
    brightness: np.ndarray
    element: np.ndarray

    def moved(self, yx_um: np.ndarray) -> Emitters:
        """Each element shifted by its row of `yx_um`."""
        return Emitters(self.y_um + yx_um[self.element, 0], self.x_um + yx_um[self.element, 1], self.brightness, self.element)


def filaments(field_um: float, rng: np.random.Generator) -> Emitters:
    """Worm-like chains of 8 um persistence length and 4 to 20 um length, as microtubules look."""
    step_um, persistence_um, longest_um = 0.01, 8.0, 20.0
    count, steps = _count(0.22, field_um, rng), int(longest_um / step_um)
    turns = rng.normal(0, np.sqrt(step_um / persistence_um), (count, steps))
    angle = rng.uniform(0, 2 * np.pi, (count, 1)) + np.cumsum(turns, 1)
    start = rng.uniform(0, field_um, (2, count, 1))
    y, x = start[0] + step_um * np.cumsum(np.sin(angle), 1), start[1] + step_um * np.cumsum(np.cos(angle), 1)
    present = np.arange(steps) < (steps * rng.uniform(0.2, 1, (count, 1))).astype(int)
    bright = np.broadcast_to(rng.uniform(0.5, 1.5, (count, 1)), y.shape)
    element = np.broadcast_to(np.arange(count)[:, None], y.shape)
    return Emitters(y[present], x[present], bright[present], element[present])


def vesicles(field_um: float, rng: np.random.Generator) -> Emitters:
    """Projected spherical shells of 0.1 to 0.5 um radius: bright rims, fainter middles."""
    count, per_um2 = _count(0.35, field_um, rng), 6000
    radius = rng.uniform(0.1, 0.5, count)
    points = np.maximum((4 * np.pi * radius**2 * per_um2).astype(int), 1)
    element = np.repeat(np.arange(count), points)
    index = np.arange(points.sum()) - np.repeat(np.cumsum(points) - points, points)
    # A Fibonacci lattice covers each sphere evenly; its poles lie on the optical axis.
    height = 1 - (2 * index + 1) / points[element]
    turn = np.pi * (3 - np.sqrt(5)) * index
    across = radius[element] * np.sqrt(1 - height**2)
    centre = rng.uniform(0, field_um, (2, count))
    bright = rng.uniform(0.5, 1.5, count)[element]
    return Emitters(centre[0][element] + across * np.sin(turn), centre[1][element] + across * np.cos(turn), bright, element)


def network(field_um: float, rng: np.random.Generator) -> Emitters:
    """Polygonal tubules with three-way junctions, as endoplasmic reticulum: a shaken honeycomb with bent edges."""
    edge_um, samples = 0.8, 120
    rows, columns = (int(field_um / (edge_um * pitch)) + 4 for pitch in (1.5, np.sqrt(3) / 2))
    i, j = np.mgrid[:rows, :columns]
    even = (i + j) % 2 == 0
    nodes = np.stack([1.5 * i + np.where(even, 0.25, -0.25), np.sqrt(3) / 2 * j], -1) - 1
    nodes = edge_um * (nodes + rng.normal(0, 0.18, nodes.shape))
    along, down = (nodes[:, :-1], nodes[:, 1:]), (nodes[:-1][even[:-1]], nodes[1:][even[:-1]])
    start, end = (np.concatenate([a.reshape(-1, 2), b.reshape(-1, 2)])[:, None] for a, b in zip(along, down, strict=True))
    kept = rng.random(len(start)) < 0.92
    start, end = start[kept], end[kept]
    bend = (start + end) / 2 + rng.normal(0, 0.15 * edge_um, start.shape)
    t = ((np.arange(samples) + 0.5) / samples)[None, :, None]
    points = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    element = np.repeat(np.arange(len(start)), samples)
    bright = rng.uniform(0.6, 1.4, len(start))[element]
    return Emitters(points[..., 0].ravel(), points[..., 1].ravel(), bright, element)


def puncta(field_um: float, rng: np.random.Generator) -> Emitters:
    """Spots smaller than the resolution, one in three with a close neighbour, of log-normal brightness."""
    count = _count(1.2, field_um, rng)
    centre = rng.uniform(0, field_um, (count, 2))
    paired = rng.random(count) < 1 / 3
    neighbour = centre[paired] + rng.normal(0, 0.15, (int(paired.sum()), 2))
    y, x = np.concatenate([centre, neighbour]).T
    return Emitters(y, x, rng.lognormal(0, 0.5, len(y)), np.arange(len(y)))


STRUCTURES: dict[str, Callable[[float, np.random.Generator], Emitters]] = {
    "filaments": filaments,
    "vesicles": vesicles,
    "network": network,
    "puncta": puncta,
}


def _count(per_um2: float, field_um: float, rng: np.random.Generator) -> int:
    """A number of elements in the field: Poisson, but never none."""
    return max(1, int(rng.poisson(per_um2 * field_um**2)))
