"""Pictures of the Nuke panel and of the Fusion window, drawn from the knobs that the plug-ins build: no screenshots.

python -m docs.plots.host_panels          from the repository's root; Nuke is the fake of the tests
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"

WIDTH, ROW, LABEL, PAD = 620, 25, 170, 14
BACK, BAR, FIELD, INK, MUTED, ACCENT = "#323232", "#262626", "#424242", "#e4e4e4", "#9b9b9b", "#f0a830"
PLAIN = ImageFont.truetype(str(FONTS / "DejaVuSans.ttf"), 13)
BOLD = ImageFont.truetype(str(FONTS / "DejaVuSans-Bold.ttf"), 13)


@dataclass(frozen=True)
class Widget:
    """A widget of a panel.

    Attributes:
        kind: field, lines, choice, number, flag, button, text or heading.
        text: its value.
        label: its label.
    """

    kind: str
    text: str = ""
    label: str = ""


@dataclass
class Row:
    """Widgets side by side."""

    widgets: list[Widget] = field(default_factory=list)


def draw_panel(title: str, pages: dict[str, list[Row]], path: Path) -> None:
    """Draw the pages of a panel side by side, each under its tab.

    Args:
        title: the panel's title.
        pages: the rows of each page, by its tab's name.
        path: the PNG file.
    """
    height = PAD * 2 + ROW * 2 + max(sum(_height(row) for row in rows) for rows in pages.values())
    picture = Image.new("RGB", (WIDTH * len(pages), height), BACK)
    pen = ImageDraw.Draw(picture)
    for index, (name, rows) in enumerate(pages.items()):
        left = WIDTH * index
        pen.rectangle((left, 0, left + WIDTH, ROW), fill=BAR)
        pen.text((left + PAD, 5), title if index == 0 else "", fill=MUTED, font=PLAIN)
        _tabs(pen, list(pages), name, left)
        top = PAD + 2 * ROW
        for row in rows:
            _row(pen, row, left, top)
            top += _height(row)
    picture.quantize(48).save(path, optimize=True)


def _tabs(pen: ImageDraw.ImageDraw, names: list[str], chosen: str, left: int) -> None:
    x = left + PAD
    for name in names:
        width = int(pen.textlength(name, font=PLAIN)) + 24
        pen.rectangle((x, ROW + 4, x + width, 2 * ROW + 2), fill=FIELD if name == chosen else BAR)
        pen.text((x + 12, ROW + 8), name, fill=INK if name == chosen else MUTED, font=PLAIN)
        x += width + 4


def _height(row: Row) -> int:
    return ROW * 2 if any(widget.kind == "lines" for widget in row.widgets) else ROW


def _row(pen: ImageDraw.ImageDraw, row: Row, left: int, top: int) -> None:
    first = row.widgets[0]
    x = left + (PAD if first.kind == "heading" else LABEL)
    if first.kind not in ("heading", "flag", "button", "text"):
        width = pen.textlength(first.label, font=PLAIN)
        pen.text((x - width - 8, top + 4), first.label, fill=INK, font=PLAIN)
    wide = [widget for widget in row.widgets if widget.kind in ("field", "lines")]
    for widget in row.widgets:
        x = _widget(pen, widget, x, top, left + WIDTH - PAD - (90 if len(row.widgets) > 1 and wide else 0))


def _widget(pen: ImageDraw.ImageDraw, widget: Widget, x: int, top: int, right: int) -> int:
    """Draw a widget and return where the next one begins."""
    bottom = top + ROW - 5
    if widget.kind in ("heading", "text"):
        pen.text(
            (x, top + 4),
            widget.text,
            fill=ACCENT if widget.kind == "heading" else MUTED,
            font=BOLD if widget.kind == "heading" else PLAIN,
        )
        return x + int(pen.textlength(widget.text, font=PLAIN)) + 12
    if widget.kind == "flag":
        pen.rectangle((x, top + 4, x + 13, top + 17), outline=MUTED, fill=FIELD)
        if widget.text:
            pen.line((x + 3, top + 10, x + 6, top + 14, x + 11, top + 6), fill=INK, width=2)
        pen.text((x + 20, top + 4), widget.label, fill=INK, font=PLAIN)
        return x + 34 + int(pen.textlength(widget.label, font=PLAIN))
    if widget.kind == "button":
        width = max(40, int(pen.textlength(widget.label, font=PLAIN)) + 22)
        pen.rounded_rectangle((x, top + 1, x + width, bottom), 3, fill="#555555")
        pen.text((x + 11, top + 4), widget.label, fill=INK, font=PLAIN)
        return x + width + 8
    width = {"choice": 150, "number": 80}.get(widget.kind, right - x)
    pen.rectangle((x, top + 1, x + width, bottom + (ROW if widget.kind == "lines" else 0)), fill=FIELD)
    pen.text((x + 7, top + 4), _fitting(pen, widget.text, width - 14), fill=INK, font=PLAIN)
    if widget.kind == "choice":
        pen.polygon(((x + width - 16, top + 8), (x + width - 6, top + 8), (x + width - 11, top + 14)), fill=MUTED)
    return x + width + 12


def _fitting(pen: ImageDraw.ImageDraw, text: str, width: int) -> str:
    while pen.textlength(text, font=PLAIN) > width:
        text = text[:-2].rstrip() + "…"
    return text


# --- Nuke ---------------------------------------------------------------------------------------------------------

_NUKE_KINDS = {
    "String_Knob": "field",
    "File_Knob": "field",
    "Multiline_Eval_String_Knob": "lines",
    "Int_Knob": "number",
    "Double_Knob": "number",
    "Boolean_Knob": "flag",
    "Enumeration_Knob": "choice",
    "Channel_Knob": "choice",
    "PyScript_Knob": "button",
}


def nuke_pages() -> dict[str, list[Row]]:
    """Return the knobs of a new node, in their order, by page."""
    from tests.hosts.nuke_plugin import started

    with started() as (fake, plugin):
        before = set(fake.nuke.nodes.Group().knobs())
        knobs = [knob for name, knob in plugin.create().knobs().items() if name not in before]
        pages: dict[str, list[Row]] = {}
        for knob in knobs:
            if knob.Class() == "Tab_Knob":
                pages[knob.label()] = []
            elif knob.visible() and not knob.getFlag(fake.nuke.INVISIBLE):
                _place(list(pages.values())[-1], knob, bool(knob.getFlag(fake.nuke.STARTLINE)))
        return pages


def _place(rows: list[Row], knob: Any, new_line: bool) -> None:
    widget = _nuke_widget(knob)
    if widget.kind == "text" and not widget.text.strip():
        return
    beside = widget.kind in ("flag", "button") and not new_line and rows and rows[-1].widgets[0].kind != "heading"
    if beside:
        rows[-1].widgets.append(widget)
    else:
        rows.append(Row([widget]))


def _nuke_widget(knob: Any) -> Widget:
    if knob.Class() == "Text_Knob":
        heading = re.fullmatch(r"<b>(.+)</b>", knob.label())
        return Widget("heading", heading[1]) if heading else Widget("text", str(knob.value()))
    kind = _NUKE_KINDS[knob.Class()]
    value = knob.value()
    if kind == "flag":
        return Widget(kind, "on" if value else "", knob.label())
    return Widget(kind, "" if kind == "button" else str(value), knob.label())


# --- Fusion -------------------------------------------------------------------------------------------------------


class Recorder:
    """A stand-in for Fusion's UI manager that returns each element as (kind, options, children)."""

    def __getattr__(self, kind: str) -> Any:
        return lambda options, children=(): (kind, options, list(children))


_FUSION_KINDS = {"LineEdit": "field", "TextEdit": "lines", "SpinBox": "number", "DoubleSpinBox": "number"}
_FUSION_KINDS |= {"ComboBox": "choice", "CheckBox": "flag", "Button": "button", "Label": "text"}


def fusion_pages() -> dict[str, list[Row]]:
    """Return the window's pages, with the settings' defaults as values."""
    from host_plugins.resolve.window import PAGES, elements

    found: dict[str, list[Row]] = {}
    for kind, options, children in _walk(elements(Recorder())):  # type: ignore[arg-type]
        if kind == "VGroup" and str(options.get("ID", "")).startswith("page_"):
            found[options["ID"][5:]] = [row for child in children if (row := _fusion_row(child)).widgets]
    return {page.capitalize(): found[page] for page in PAGES}


def _walk(elements: list[Any]) -> Any:
    for element in elements:
        yield element
        yield from _walk(element[2])


def _fusion_row(element: Any) -> Row:
    kind, _, children = element
    parts = children if kind == "HGroup" else [element]
    labelled = kind == "HGroup" and parts[0][0] == "Label"
    label = parts[0][1].get("Text", "") if labelled else ""
    widgets = [_fusion_widget(part, label) for part in parts[labelled:]]
    return Row([widget for widget in widgets if widget.kind != "text" or widget.text])


def _fusion_widget(element: Any, label: str) -> Widget:
    from host_plugins.control.settings import setting_specs

    kind, options, _ = element
    widget_kind, text = _FUSION_KINDS[kind], str(options.get("Text", ""))
    heading = re.fullmatch(r"<b>(.+)</b>", text)
    if heading:
        return Widget("heading", heading[1])
    spec = next((spec for spec in setting_specs() if spec.name == options.get("ID")), None)
    if widget_kind == "flag":
        return Widget(widget_kind, "on" if spec and spec.default else "", text)
    if widget_kind in ("button", "text"):
        return Widget(widget_kind, text, text)
    hint = str(options.get("PlaceholderText", ""))
    value = str(dict(spec.choices).get(str(spec.default), spec.default)) if spec else ""
    return Widget(widget_kind, value or hint, label)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    draw_panel("VOIDRemove1", nuke_pages(), IMAGES / "nuke_panel.png")
    draw_panel("VOID Remove", fusion_pages(), IMAGES / "fusion_window.png")
