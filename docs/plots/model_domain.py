"""Draw docs/images/model_domain.png and print the figures of docs/reference/colour.md.

python docs/plots/model_domain.py
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from void_bridge.pixels.colour import resolve_colour
from void_bridge.pixels.model_domain import CURVES, SrgbRolloff, from_model, to_model

IMAGE = Path(__file__).parents[1] / "images" / "model_domain.png"
INK, MUTED, ROLLOFF, SRGB, GRID = "#1f2430", "#6b7280", "#c2410c", "#2563eb", "#e5e7eb"
SPACES = ("Linear Rec.709 (sRGB)", "ACEScg", "ACES2065-1", "Linear Rec.2020", "Linear ARRI Wide Gamut 4")


def draw() -> None:
    """Draw the three plots."""
    plt.rcParams.update({"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED})
    figure, (ordinary, stops, cost) = plt.subplots(1, 3, figsize=(14, 4.6), layout="constrained")
    _ordinary(ordinary)
    _stops(stops)
    _cost(cost)
    for axes in (ordinary, stops, cost):
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=MUTED)
    IMAGE.parent.mkdir(exist_ok=True)
    figure.savefig(IMAGE, dpi=130, metadata={"Software": None})


def _ordinary(axes: Axes) -> None:
    linear = np.linspace(-0.25, 1.6, 2000, dtype=np.float32)
    axes.axvspan(0, SrgbRolloff().knee, color=SRGB, alpha=0.06, linewidth=0)
    axes.plot(linear, CURVES["srgb"].encode(linear), color=SRGB, linewidth=1.6, linestyle=(0, (4, 2)))
    axes.plot(linear, CURVES["srgb-rolloff"].encode(linear), color=ROLLOFF, linewidth=2.2)
    axes.annotate("srgb", (1.25, 1.14), color=SRGB, ha="right")
    axes.annotate("srgb-rolloff", (1.58, 0.82), color=ROLLOFF, ha="right")
    axes.annotate("the same up to 0.7", (0.35, -0.42), color=MUTED, ha="center")
    axes.plot([0.18], [0.4614], "o", color=INK, markersize=4)
    axes.annotate("middle grey", (0.18, 0.4614), (8, -12), textcoords="offset points", color=MUTED)
    axes.set(title="Ordinary values", xlabel="linear Rec.709, 1.0 = diffuse white", ylabel="what the model sees")
    axes.set(xlim=(-0.25, 1.6), ylim=(-0.55, 1.25))


def _stops(axes: Axes) -> None:
    linear = np.exp2(np.linspace(-8, 11, 2000)).astype(np.float32)
    axes.axhline(1, color=MUTED, linewidth=0.8)
    axes.plot(linear, CURVES["srgb"].encode(linear), color=SRGB, linewidth=1.6, linestyle=(0, (4, 2)))
    axes.plot(linear, CURVES["srgb-rolloff"].encode(linear), color=ROLLOFF, linewidth=2.2)
    for value, label, above in (
        (1, "1.0 is 0.905", -16),
        (16, "16 is 1.000", -16),
        (1000, "1000 is 1.105", 8),
    ):
        code = float(SrgbRolloff().encode(np.array([value], np.float32))[0])
        axes.plot([value], [code], "o", color=INK, markersize=4)
        axes.annotate(
            label,
            (value, code),
            (0, above),
            textcoords="offset points",
            color=MUTED,
            ha="left" if above < 0 else "right",
        )
    axes.set(title="The whole range", xlabel="linear Rec.709, in stops", xlim=(2**-8, 2**11), ylim=(0, 1.25))
    axes.set_xscale("log", base=2)
    axes.set_xticks([2.0**n for n in (-8, -4, 0, 4, 8)], ["1/256", "1/16", "1", "16", "256"])


def _cost(axes: Axes) -> None:
    """Draw the error of the light for an error of the model of one 8-bit step."""
    linear = np.exp2(np.linspace(-6, 11, 2000)).astype(np.float32)
    for name, colour, dashes in (("srgb", SRGB, (0, (4, 2))), ("srgb-rolloff", ROLLOFF, "solid")):
        code = CURVES[name].encode(linear).astype(np.float64) + 1 / 255
        error = np.log2(CURVES[name].decode(code.astype(np.float32)) / linear)
        axes.plot(linear, error, color=colour, linewidth=2, linestyle=dashes)
    axes.annotate("srgb-rolloff", (2**5, 0.245), color=ROLLOFF)
    axes.annotate("srgb", (2**5, 0.012), color=SRGB)
    axes.set(title="What 1/255 from the model costs", xlabel="linear Rec.709, in stops", ylabel="stops of light")
    axes.set_xscale("log", base=2)
    axes.set_xticks([2.0**n for n in (-6, -3, 0, 4, 8)], ["1/64", "1/8", "1", "16", "256"])
    axes.set(xlim=(2**-6, 2**11), ylim=(0, 0.3))


def round_trips() -> None:
    """Print the errors of round trips of half floats from 2^-12 to 1000 in size, a third of the channels negative."""
    rng = np.random.default_rng(0)
    brightness = np.exp2(rng.uniform(-12, np.log2(1000), (1_000_000, 1)))
    halves = (brightness * rng.uniform(-0.5, 1, (1_000_000, 3))).astype(np.float16)
    rgb = halves.astype(np.float32)
    largest = np.abs(rgb).max(axis=1, keepdims=True)
    for curve in CURVES:
        for space in SPACES:
            colour = dataclasses.replace(resolve_colour(space, env={}), curve=curve, exposure=0.0)
            back = from_model(to_model(rgb, colour), colour)
            error = float((np.abs(back - rgb) / largest).max())
            same = float((back.astype(np.float16) == halves).mean())
            sys.stdout.write(f"{curve:13} {space:26} error {error:.1e}, bit-identical halves {same:.4%}\n")


if __name__ == "__main__":
    draw()
    round_trips()
