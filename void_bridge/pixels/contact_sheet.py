"""Contact sheets: pictures of a shot in labelled rows."""

from __future__ import annotations

from typing import Mapping, Sequence

import cv2
import numpy as np

from void_bridge.pixels.arrays import Picture

_PAPER = 24
_INK = 210
_GAP = 8
_LABEL_WIDTH = 110
_HEADER_HEIGHT = 26


def contact_sheet(rows: Mapping[str, Sequence[Picture]], columns: Sequence[str], tile_width: int = 300) -> Picture:
    """Lay out pictures with a label for each row and each column.

    Args:
        rows: label -> pictures, shape [H, W, 3], display-encoded; each row has one picture a column.
        columns: labels such as frame numbers.
        tile_width: width of each picture on the sheet, in pixels.

    Returns:
        Shape [h, w, 3].
    """
    assert all(len(pictures) == len(columns) for pictures in rows.values()), "a row with another number of pictures"
    strips = [_header(columns, tile_width)]
    strips += [_row(label, pictures, tile_width) for label, pictures in rows.items()]
    return np.vstack(strips)


def _header(columns: Sequence[str], tile_width: int) -> Picture:
    strip = _paper(_HEADER_HEIGHT, _LABEL_WIDTH + len(columns) * (tile_width + _GAP))
    for number, label in enumerate(columns):
        _write(strip, label, _LABEL_WIDTH + number * (tile_width + _GAP), _HEADER_HEIGHT - 8)
    return strip


def _row(label: str, pictures: Sequence[Picture], tile_width: int) -> Picture:
    tiles = [_tile(picture, tile_width) for picture in pictures]
    height = max(tile.shape[0] for tile in tiles)
    strip = _paper(height + _GAP, _LABEL_WIDTH + len(tiles) * (tile_width + _GAP))
    _write(strip, label, 10, height // 2)
    for number, tile in enumerate(tiles):
        left = _LABEL_WIDTH + number * (tile_width + _GAP)
        strip[: tile.shape[0], left : left + tile_width] = tile
    return strip


def _tile(picture: Picture, width: int) -> Picture:
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _paper(height: int, width: int) -> Picture:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _write(strip: Picture, text: str, x: int, y: int) -> None:
    cv2.putText(strip, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (_INK,) * 3, 1, cv2.LINE_AA)
