"""Grain: measured on the plate, and made again where mixing or resampling removed it.

All pictures are encoded, at the plate's resolution. Two registered frames differ by their grain and, in places, by
more; so only the quieter blocks are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

import cv2
import numpy as np
from numpy.typing import NDArray

from void_bridge.pixels.arrays import Array

_BLOCK = 16
_TONES = 12
_QUIET = 0.35  # quantile of the blocks of a tone that counts as grain alone
_LAGS = 3
_INVISIBLE = 1e-4
_KERNEL = 7


@dataclass(frozen=True)
class Grain:
    """The grain of a plate.

    Attributes:
        tones: shape [N], encoded, ascending.
        std: shape [N, 3]: standard deviation at those tones, of each channel.
        kernel: shape [7, 7], of unit energy: gives white noise the softness of the plate's grain.
        mixing: shape [3, 3]: independent to correlated channels, of unit variance.
        resampled: share of the grain's variance that Lanczos sampling at a random place keeps.
    """

    tones: Array
    std: Array
    kernel: Array
    mixing: Array
    resampled: float

    def make(self, clean: Array, missing: Array, draws: np.random.Generator) -> Array:
        """Return new grain, encoded, shape [H, W, 3].

        Args:
            clean: the picture, shape [H, W, 3], encoded.
            missing: shape [H, W]: share of the grain's variance to make, in [0, 1].
            draws: random numbers.
        """
        noise = draws.standard_normal(clean.shape, np.float32)
        soft = cv2.filter2D(noise, -1, self.kernel, borderType=cv2.BORDER_REFLECT) @ self.mixing.T
        return np.asarray(soft * self.strength(clean) * np.sqrt(np.clip(missing, 0, 1))[..., None], np.float32)

    def without(self, picture: Array, strength: Optional[Array] = None, least: Union[Array, float] = 0.0) -> Array:
        """Remove most of the grain of a picture and keep its edges, by N. Wiener's filter, locally. Shape [H, W, 3].

        Args:
            picture: shape [H, W, 3], encoded.
            strength: strength of its grain, shape [H, W, 3]; None: that of the plate at its tones.
            least: the least share of the strength that stays, in [0, 1].
        """
        mean = cv2.blur(picture, (5, 5))
        variance = np.maximum(cv2.blur(np.square(picture), (5, 5)) - np.square(mean), 1e-12)
        noise = self.strength(picture) if strength is None else strength
        in_mean = self._in_the_mean()
        floor = np.sqrt(np.maximum(np.square(least, dtype=np.float32) - in_mean, 0) / (1 - in_mean))
        keep = np.clip(1 - np.square(0.9 * noise) / variance, floor, 1)
        return np.asarray(mean + keep * (picture - mean), np.float32)

    def _in_the_mean(self) -> float:
        """Return the share of the grain's variance that a mean of 5 x 5 pixels keeps."""
        return float(np.sum(np.square(cv2.blur(np.pad(self.kernel, 2), (5, 5), borderType=cv2.BORDER_CONSTANT))))

    def strength(self, clean: Array) -> Array:
        """Return the standard deviation of the grain on a picture, shape [H, W, 3] both ways, encoded."""
        flat = cv2.blur(clean, (5, 5))
        levels = [np.interp(flat[..., c], self.tones, self.std[:, c]) for c in range(3)]
        return np.stack(levels, axis=-1).astype(np.float32)


def no_grain() -> Grain:
    """Return the grain of a plate that has none."""
    kernel = np.zeros((_KERNEL, _KERNEL), np.float32)
    kernel[_KERNEL // 2, _KERNEL // 2] = 1
    return Grain(np.zeros(1, np.float32), np.zeros((1, 3), np.float32), kernel, np.eye(3, dtype=np.float32), 0.8)


@dataclass
class GrainSampler:
    """A collector of differences between registered pictures, from which it estimates a `Grain`."""

    def __post_init__(self) -> None:
        self._tones: list[Array] = []
        self._variances: list[Array] = []
        self._blocks: list[Array] = []
        self._exact: list[bool] = []

    def add(self, here: Array, there: Array, valid: NDArray[np.bool_], exact: bool) -> None:
        """Add two registered pictures.

        Args:
            here: shape [H, W, 3], encoded.
            there: the same picture in another frame, shape [H, W, 3], encoded.
            valid: shape [H, W]: pixels that show the same scenery.
            exact: whether `there` was not resampled.
        """
        blocks, means = _blocks((here - there) / np.float32(np.sqrt(2))), _blocks(here).mean(axis=(1, 2))
        whole = _blocks(valid.astype(np.float32)[..., None]).min(axis=(1, 2, 3)) > 0.5
        blocks, means = blocks[whole], means[whole]
        if len(blocks):
            self._blocks.append(blocks)
            self._tones.append(means)
            self._variances.append(blocks.var(axis=(1, 2)))
            self._exact.append(exact)

    def result(self) -> Grain:
        """Return the grain; none if too few pixels were valid."""
        if sum(map(len, self._blocks)) < 4:
            return no_grain()
        tones, variances = np.concatenate(self._tones), np.concatenate(self._variances)
        blocks = np.concatenate(self._blocks)
        edges = np.quantile(tones.mean(axis=-1), np.linspace(0, 1, _TONES + 1))
        centres, levels = [], []
        which = np.clip(np.searchsorted(edges, tones.mean(axis=-1), side="right") - 1, 0, _TONES - 1)
        quiet = np.zeros(len(blocks), bool)
        for tone in range(_TONES):
            here = which == tone
            if here.sum() >= 8:
                limit = np.quantile(variances[here], _QUIET, axis=0)
                centres.append(tones[here].mean())
                levels.append(np.sqrt(limit))
                quiet |= here & (variances <= limit).all(axis=-1)
        if not centres or max(map(np.max, levels)) < _INVISIBLE:
            return no_grain()
        calm = blocks[quiet] if quiet.any() else blocks
        correlation = _autocorrelation(calm)
        order, retained = np.argsort(centres), _retained(correlation)
        share_there = np.mean([1.0 if exact else retained for exact in self._exact])
        correction = np.sqrt(2 / (1 + share_there)) / _quantile_bias(correlation)
        std = np.array(levels, np.float32)[order] * np.float32(correction)
        return Grain(np.array(centres, np.float32)[order], std, _kernel(correlation), _mixing(calm), retained)


def _blocks(picture: Array) -> Array:
    """Cut a picture [H, W, C] into blocks, shape [N, 16, 16, C]."""
    rows, columns = picture.shape[0] // _BLOCK, picture.shape[1] // _BLOCK
    cut = picture[: rows * _BLOCK, : columns * _BLOCK]
    parted = cut.reshape(rows, _BLOCK, columns, _BLOCK, picture.shape[2]).swapaxes(1, 2)
    return np.asarray(parted.reshape(rows * columns, _BLOCK, _BLOCK, picture.shape[2]))


def _autocorrelation(blocks: Array) -> Array:
    """Return the mean correlation over blocks and channels for lags from -3 to 3: shape [7, 7], 1 in the middle."""
    centred = blocks - blocks.mean(axis=(1, 2), keepdims=True)
    inner = slice(_LAGS, _BLOCK - _LAGS)
    middle = centred[:, inner, inner]
    result = np.empty((2 * _LAGS + 1,) * 2, np.float64)
    for dy in range(-_LAGS, _LAGS + 1):
        for dx in range(-_LAGS, _LAGS + 1):
            y, x = slice(_LAGS + dy, _BLOCK - _LAGS + dy), slice(_LAGS + dx, _BLOCK - _LAGS + dx)
            result[dy + _LAGS, dx + _LAGS] = np.mean(middle * centred[:, y, x], dtype=np.float64)
    result /= max(result[_LAGS, _LAGS], 1e-20)
    symmetric = (result + result[::-1, ::-1]) / 2
    return np.asarray(np.clip(symmetric, -1, 1), np.float32)


def _kernel(correlation: Array) -> Array:
    """Return the zero-phase filter with this autocorrelation."""
    size = 32
    padded = np.zeros((size, size))
    taper = np.array([0.3, 0.8, 1, 1, 1, 0.8, 0.3])
    window = np.outer(taper, taper)
    for dy in range(-_LAGS, _LAGS + 1):
        for dx in range(-_LAGS, _LAGS + 1):
            padded[dy, dx] = (correlation * window)[dy + _LAGS, dx + _LAGS]
    amplitude = np.sqrt(np.maximum(np.fft.fft2(padded).real, 0))
    spatial = np.fft.fftshift(np.fft.ifft2(amplitude).real)
    middle, half = size // 2, _KERNEL // 2
    kernel = spatial[middle - half : middle + half + 1, middle - half : middle + half + 1]
    return np.asarray(kernel / np.sqrt(np.sum(np.square(kernel))), np.float32)


def _mixing(blocks: Array) -> Array:
    flat = (blocks - blocks.mean(axis=(1, 2), keepdims=True)).reshape(-1, 3)
    correlation = np.eye(3)
    if float(flat.std(axis=0).min()) > 1e-9:
        correlation = 0.98 * np.corrcoef(flat, rowvar=False) + 0.02 * np.eye(3)
    return np.asarray(np.linalg.cholesky(correlation), np.float32)


def _quantile_bias(correlation: Array) -> float:
    """Return the standard deviation of the quieter blocks over the true one, for grain alone."""
    independent = _BLOCK**2 / max(1.0, float(np.sum(np.square(correlation))))
    return float(np.sqrt(max(0.5, 1 - 0.385 * np.sqrt(2 / independent))))


def _retained(correlation: Array) -> float:
    """Return the share of variance that Lanczos sampling keeps, as a mean over all places between pixels."""
    along = np.array([correlation[_LAGS, _LAGS + lag] for lag in range(_LAGS + 1)] + [0.0] * 8)
    share = []
    for phase in np.arange(16) / 16:
        offsets = np.arange(-3, 5) - phase
        weights = np.sinc(offsets) * np.sinc(offsets / 4) * (np.abs(offsets) < 4)
        weights /= weights.sum()
        lags = np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
        share.append(float(weights @ along[lags] @ weights))
    return float(np.clip(np.mean(share) ** 2, 0.3, 1.0))
