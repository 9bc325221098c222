"""Smooth interpolation into holes: the harmonic membrane and Poisson's equation.

Both solve, over the hole, mean4(u) - u = rhs, where mean4 is the mean of the four neighbours and pixels outside the
hole are fixed; at the raster's edge the normal derivative is 0. Full multigrid on cell-centred grids (W. Hackbusch,
Multi-Grid Methods and Applications, 1985): damped Jacobi smoothing, 2 x 2 means going down, bilinear interpolation
going up.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import matte_box

Value = TypeVar("Value", bound=np.generic)

_RESIDUAL = np.array([[0, 0.25, 0], [0.25, -1, 0.25], [0, 0.25, 0]], np.float32)
_DAMPING = 0.8
_CYCLES, _SWEEPS = 3, 3
_COARSEST = 4  # pixels on the short side of the smallest grid


def membrane(values: Array, known: Mask) -> Array:
    """Fill unknown pixels by the smoothest continuation of their rim (Laplace's equation).

    Args:
        values: shape [H, W, C], float32, any range; ignored where not known.
        known: shape [H, W].

    Returns:
        Shape [H, W, C]: `values` bit for bit where known, elsewhere within the known range of each channel; all 0 if
        nothing
        is known.
    """
    assert values.ndim == 3 and known.shape == values.shape[:2]
    filled = np.array(values, np.float32)
    if known.all():
        return filled
    if not known.any():
        filled[:] = 0
        return filled
    window = with_rim(~known)
    inside, hole, original = filled[window], ~known[window], known[window]
    grids = _grids(hole)
    for channel in range(values.shape[2]):
        rim = np.where(original, inside[..., channel], 0)
        fixed = _pad(rim, grids[0].shape)
        solved = _solve(fixed, np.zeros_like(fixed), grids)[: hole.shape[0], : hole.shape[1]]
        low, high = rim[original].min(), rim[original].max()
        inside[..., channel][hole] = np.clip(solved[hole], low, high)
    return filled


def poisson(start: Array, hole: Mask, rhs: Array) -> Array:
    """Solve mean4(u) - u = rhs over the hole, with u = start outside of it.

    Args:
        start: shape [H, W, C], float32; also the first guess inside.
        hole: shape [H, W].
        rhs: shape [H, W, C], read inside the hole.

    Returns:
        Shape [H, W, C]. A hole that covers everything has no rim to continue and comes back as `start`.
    """
    assert start.shape == rhs.shape and hole.shape == start.shape[:2]
    solved = np.array(start, np.float32)
    if not hole.any() or hole.all():
        return solved
    window = with_rim(hole)
    inside, hole = solved[window], hole[window]
    grids = _grids(hole)
    for channel in range(start.shape[2]):
        guess = np.ascontiguousarray(inside[..., channel])
        misfit = _pad(np.where(hole, rhs[window][..., channel] - _residual(guess), 0), grids[0].shape)
        inside[..., channel] += _solve(np.zeros_like(misfit), misfit, grids)[: hole.shape[0], : hole.shape[1]]
    return solved


def with_rim(hole: Mask) -> tuple[slice, slice]:
    """Return the hole's bounding box and one pixel around it: the solution depends on nothing else."""
    return (matte_box(hole).grown(1) & Box(0, 0, *hole.shape)).slices


def _pad(image: NDArray[Value], shape: tuple[int, ...]) -> NDArray[Value]:
    """Grow by reflection, which the solution of a problem with free edges shares."""
    height, width = image.shape[0], image.shape[1]
    return np.pad(image, ((0, shape[0] - height), (0, shape[1] - width)), "symmetric")


def _grids(hole: Mask) -> list[Array]:
    """Return weights of the unknowns (the damping, or 0 where fixed), finest grid first."""
    levels = 0
    while min(hole.shape) >> (levels + 1) >= _COARSEST:
        levels += 1
    unit = 1 << levels
    fine = _pad(hole, (-(-hole.shape[0] // unit) * unit, -(-hole.shape[1] // unit) * unit))
    grids = [fine.astype(np.float32) * _DAMPING]
    for _ in range(levels):
        if not grids[-1].any():
            break
        fine = fine[::2, ::2] & fine[1::2, ::2] & fine[::2, 1::2] & fine[1::2, 1::2]
        grids.append(fine.astype(np.float32) * _DAMPING)
    return grids


def _halve(image: Array) -> Array:
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def _double(image: Array) -> Array:
    size = (image.shape[1] * 2, image.shape[0] * 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _solve(values: Array, rhs: Array, grids: list[Array]) -> Array:
    """Solve by full multigrid: on the coarsest grid first, each solution the next one's first guess.

    Args:
        values: the fixed values, read outside the hole.
        rhs: the right-hand side, read inside.
        grids: weights of the unknowns, see `_grids`.
    """
    hole = grids[0] > 0
    if len(grids) == 1:
        u = np.where(hole, values[~hole].mean(), values)
    else:
        known_share = _halve((~hole).astype(np.float32))
        coarse = _halve(values * ~hole) / np.maximum(known_share, np.float32(0.25))
        u = np.where(hole, _double(_solve(coarse, 4 * _halve(rhs * hole), grids[1:])), values)
    for _ in range(_CYCLES):
        _v_cycle(u, rhs, grids)
    return u


def _v_cycle(u: Array, rhs: Array, grids: list[Array]) -> None:
    """Run one multigrid cycle, in place."""
    weight = grids[0]
    if len(grids) == 1:
        _smooth(u, rhs, weight, sweeps=4 * max(u.shape) if max(u.shape) <= 64 else 8)
        return
    hole = weight > 0
    _smooth(u, rhs, weight, _SWEEPS)
    residual = (_residual(u) - rhs) * hole
    correction = np.zeros_like(u[::2, ::2])
    _v_cycle(correction, -4 * _halve(residual), grids[1:])
    step = _double(correction) * hole
    u += np.float32(_best_length(step, residual, hole)) * step
    _smooth(u, rhs, weight, _SWEEPS)


def _best_length(step: Array, residual: Array, hole: Mask) -> float:
    """Return the step length of least energy: coarse holes are smaller than fine ones, and their steps too short."""
    bend = -float(np.vdot(step, _residual(step) * hole))
    return float(np.vdot(step, residual)) / bend if bend > 0 else 0.0


def _smooth(u: Array, rhs: Array, weight: Array, sweeps: int) -> None:
    for _ in range(sweeps):
        u += weight * (_residual(u) - rhs)


def _residual(u: Array) -> Array:
    """Return mean4(u) - u, free at the edges."""
    return np.asarray(cv2.filter2D(u, -1, _RESIDUAL, borderType=cv2.BORDER_REPLICATE), np.float32)
