"""Structures of simulated cells: point emitters in micrometres.

Each structure is a function `(field_um, rng, thickness_um=0) -> Emitters` for a square field; parts may lie outside it. In a sample with
a thickness it extends in depth. Depths are drawn from a separate stream, so that they do not change the structure in the plane.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Emitters:
    """Point emitters: positions `zyx_um` (3 n), brightness, and the number of the element (filament, vesicle, ...) of each.

    y and x are relative to the corner of the field, z to the center of the sample.
    """

    zyx_um: np.ndarray
    brightness: np.ndarray
    element: np.ndarray

    def moved(self, step_um: np.ndarray) -> Emitters:
        """The emitters after a shift of each element by its row of `step_um`, along (y, x) or (z, y, x).

        >>> one = Emitters(np.array([[0.0], [1.0], [2.0]]), np.ones(1), np.zeros(1, int))
        >>> one.moved(np.array([[0.5, 0.25]])).zyx_um.ravel().tolist()
        [0.0, 1.5, 2.25]
        """
        zyx_um = self.zyx_um.copy()
        zyx_um[-step_um.shape[1] :] += step_um[self.element].T
        return replace(self, zyx_um=zyx_um)


Structure = Callable[[float, np.random.Generator, float], Emitters]


def filaments(field_um: float, rng: np.random.Generator, thickness_um: float = 0.0) -> Emitters:
    """Worm-like chains of 8 um persistence length and 4 to 20 um length, similar to microtubules; in depth they start almost level."""
    step_um, persistence_um, longest_um, steepness = 0.01, 8.0, 20.0, 0.3
    depth_rng = rng.spawn(1)[0]
    count, steps = _count(0.22, 0.05, field_um, thickness_um, rng), int(longest_um / step_um)
    bend = np.sqrt(step_um / persistence_um)
    turns = rng.normal(0, bend, (count, steps))
    angle = rng.uniform(0, 2 * np.pi, (count, 1)) + np.cumsum(turns, 1)
    slope = np.zeros((1, 1))
    if thickness_um:
        slope = depth_rng.normal(0, steepness, (count, 1)) + np.cumsum(depth_rng.normal(0, bend, (count, steps)), 1)
    start = rng.uniform(0, field_um, (2, count, 1))
    y = start[0] + step_um * np.cumsum(np.sin(angle) * np.cos(slope), 1)
    x = start[1] + step_um * np.cumsum(np.cos(angle) * np.cos(slope), 1)
    z = _depths(depth_rng, thickness_um, count)[:, None] + step_um * np.cumsum(np.broadcast_to(np.sin(slope), y.shape), 1)
    present = np.arange(steps) < (steps * rng.uniform(0.2, 1, (count, 1))).astype(int)
    bright = np.broadcast_to(rng.uniform(0.5, 1.5, (count, 1)), y.shape)
    element = np.broadcast_to(np.arange(count)[:, None], y.shape)
    return Emitters(np.stack([z[present], y[present], x[present]]), bright[present], element[present])


def vesicles(field_um: float, rng: np.random.Generator, thickness_um: float = 0.0) -> Emitters:
    """Spherical shells of 0.1 to 0.5 um radius: in projection bright at the border, in depth hollow."""
    count, per_um2 = _count(0.35, 0.1, field_um, thickness_um, rng), 2000 if thickness_um else 6000
    radius = rng.uniform(0.1, 0.5, count)
    points = np.maximum((4 * np.pi * radius**2 * per_um2).astype(int), 1)
    element = np.repeat(np.arange(count), points)
    index = np.arange(points.sum()) - np.repeat(np.cumsum(points) - points, points)
    # A Fibonacci lattice covers each sphere evenly; its poles lie on the optical axis.
    height = 1 - (2 * index + 1) / points[element]
    turn = np.pi * (3 - np.sqrt(5)) * index
    across = radius[element] * np.sqrt(1 - height**2)
    centre = np.stack([_depths(rng.spawn(1)[0], thickness_um, count), *rng.uniform(0, field_um, (2, count))])
    bright = rng.uniform(0.5, 1.5, count)[element]
    z, y, x = centre[:, element]
    return Emitters(np.stack([z + radius[element] * height, y + across * np.sin(turn), x + across * np.cos(turn)]), bright, element)


def network(field_um: float, rng: np.random.Generator, thickness_um: float = 0.0) -> Emitters:
    """Polygonal tubules with three-way junctions, similar to endoplasmic reticulum; in depth undulating sheets of them, 2.5 um apart."""
    depth_rng = rng.spawn(1)[0]
    levels = max(1, round(thickness_um / 2.5))
    sheets = [_honeycomb(field_um, rng) for _ in range(levels)]
    first = np.cumsum([0, *(int(sheet.element.max()) + 1 for sheet in sheets)])
    if thickness_um:
        center = thickness_um * ((np.arange(levels) + 0.5) / levels - 0.5)
        sheets = [_undulating(sheet, z, depth_rng) for sheet, z in zip(sheets, center, strict=True)]
    return Emitters(
        np.concatenate([sheet.zyx_um for sheet in sheets], 1),
        np.concatenate([sheet.brightness for sheet in sheets]),
        np.concatenate([sheet.element + start for sheet, start in zip(sheets, first[:-1], strict=True)]),
    )


def puncta(field_um: float, rng: np.random.Generator, thickness_um: float = 0.0) -> Emitters:
    """Spots below the resolution, one in three with a close neighbour, of log-normal brightness, uniform in the sample."""
    depth_rng = rng.spawn(1)[0]
    count = _count(1.2, 0.5, field_um, thickness_um, rng)
    centre = rng.uniform(0, field_um, (count, 2))
    paired = rng.random(count) < 1 / 3
    neighbour = centre[paired] + rng.normal(0, 0.15, (int(paired.sum()), 2))
    y, x = np.concatenate([centre, neighbour]).T
    z = _depths(depth_rng, thickness_um, count)
    # Along the axis, where the resolution is lower, neighbours are farther apart.
    near = z[paired] + depth_rng.normal(0, 0.3, int(paired.sum())) * bool(thickness_um)
    return Emitters(np.stack([np.concatenate([z, near]), y, x]), rng.lognormal(0, 0.5, len(y)), np.arange(len(y)))


STRUCTURES: dict[str, Structure] = {
    "filaments": filaments,
    "vesicles": vesicles,
    "network": network,
    "puncta": puncta,
}
"""Structures by their name in `Scene.structure`."""


def _honeycomb(field_um: float, rng: np.random.Generator) -> Emitters:
    """A flat network: a honeycomb with displaced nodes and bent edges."""
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
    y, x = points.reshape(-1, 2).T
    return Emitters(np.stack([np.zeros(len(y)), y, x]), bright, element)


def _undulating(sheet: Emitters, z_um: float, rng: np.random.Generator) -> Emitters:
    """The sheet at the depth `z_um` plus three waves of 0.2 um amplitude in random directions."""
    _, y, x = sheet.zyx_um
    angle, phase = rng.uniform(0, 2 * np.pi, (2, 3, 1))
    wavelength_um = rng.uniform(6, 15, (3, 1))
    distance_um = np.sin(angle) * y + np.cos(angle) * x
    z = z_um + 0.2 * np.sin(2 * np.pi * distance_um / wavelength_um + phase).sum(0)
    return replace(sheet, zyx_um=np.stack([z, y, x]))


def _count(per_um2: float, per_um3: float, field_um: float, thickness_um: float, rng: np.random.Generator) -> int:
    """Number of elements in the field, with or without a thickness: Poisson, but 1 at least."""
    return max(1, int(rng.poisson(per_um3 * field_um**2 * thickness_um if thickness_um else per_um2 * field_um**2)))


def _depths(rng: np.random.Generator, thickness_um: float, count: int) -> np.ndarray:
    """Depths, uniform in the sample, relative to its center."""
    return thickness_um * (rng.random(count) - 0.5)
