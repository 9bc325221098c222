"""Draw the pictures of docs/artists/removing.md: the mattes, and the three recipes. They are drawings, not results.

python docs/plots/recipes.py
"""

from __future__ import annotations

import numpy as np
from drawing import (
    HEIGHT,
    LEGEND,
    MUTED,
    WIDTH,
    Area,
    Colour,
    Disc,
    Limb,
    Page,
    Shape,
    arrow,
    blend,
    callout,
    generous,
    laid_down,
    matte,
    moved,
    oval,
    paint,
    person,
    rectangle,
    rim,
    sheet,
    turned,
    walker,
    with_mattes,
)

from void_bridge.pixels.arrays import Picture
from void_bridge.pixels.mattes import Plane

PAGE, PANEL, GAP, LEFT = 1400, 446, 11, 20
BODY, SLEEVE, FRONT = (150, 162, 182), (178, 188, 204), (186, 178, 190)
WHITE = (255, 255, 255)
MAY_CHANGE = ("paste matte", WHITE)


def columns() -> list[int]:
    """Return the left sides of three panels."""
    return [LEFT + i * (PANEL + GAP) for i in range(3)]


def two_rows(moments: list[str], upper: str, lower: str) -> tuple[Page, list[int], list[int]]:
    """Return a page of two rows and three moments, the panels' left sides and the rows' tops."""
    height = PANEL * HEIGHT // WIDTH
    tops = [66, 66 + height + 40]
    page = Page(PAGE, tops[1] + height + 50)
    for left, moment in zip(columns(), moments, strict=True):
        page.text(moment, left, 10, fontsize=13, fontweight="bold")
    for top, words in zip(tops, (upper, lower), strict=True):
        page.text(words, LEFT, top - 26, fontsize=11.5, color=MUTED)
    return page, columns(), tops


# --- a person who holds something -------------------------------------------------------------------------------------

FLOOR, STANDS = 84.0, 66.0


def room() -> Picture:
    """Return the empty room."""
    picture = sheet((214, 206, 192))
    paint(picture, (160, 124, 92), rectangle(0, 70, WIDTH, HEIGHT))
    paint(picture, (196, 187, 172), rectangle(0, 68, WIDTH, 70))
    for y in (77, 86):
        paint(picture, (148, 113, 83), rectangle(0, y, WIDTH, y + 0.5))
    paint(picture, (176, 196, 210), rectangle(8, 14, 36, 44))
    paint(
        picture,
        (238, 234, 226),
        Limb(((8, 14), (36, 14), (36, 44), (8, 44), (8, 14)), 1.6),
        Limb(((22, 14), (22, 44)), 1),
    )
    paint(picture, (120, 84, 60), rectangle(118, 56, 142, 74))
    paint(picture, (94, 132, 92), Disc((124, 46), 7), Disc((133, 42), 8), Disc((137, 50), 6))
    return picture


Coloured = tuple[Colour, Shape]


def guitar(x: float, y: float, degrees: float) -> list[Coloured]:
    """Return a guitar; its neck points to the right at 0 degrees."""

    def disc(along: float, radius: float) -> Disc:
        return Disc(turned([(along, 0)], x, y, degrees, 1)[0], radius)

    def bar(start: float, end: float, width: float) -> Limb:
        return Limb(turned([(start, 0), (end, 0)], x, y, degrees, 1), width)

    wood, dark, black = (96, 48, 40), (58, 38, 34), (40, 28, 26)
    neck = [(dark, bar(4, 27, 2.4)), (black, bar(26, 31, 3.8))]
    return [*neck, (wood, disc(-6, 8.2)), (wood, disc(4, 6.4)), (black, disc(1, 2.8))]


def player(x: float) -> list[Shape]:
    """Return a person with both hands on a guitar; the arms come last."""
    neck, body = (x + 17, FLOOR - 38), (x - 4, FLOOR - 31)
    arms = [
        Limb(((x + 5, FLOOR - 49), (x + 13, FLOOR - 42), neck), 4),
        Limb(((x - 5, FLOOR - 49), (x - 12, FLOOR - 38), body), 4),
    ]
    return [*person(x, FLOOR, 64), *arms]


def held_guitar(x: float) -> list[Coloured]:
    """Return the guitar in the hands of a player."""
    return guitar(x - 1, FLOOR - 32, -18)


def holding_plate(x: float) -> Picture:
    """Return the plate with the player."""
    picture = room()
    picture = blend(picture, (40, 30, 24), matte(oval(x, FLOOR, 20, 3.4)), 0.45)
    paint(picture, BODY, *player(x)[:-2])
    for colour, shape in held_guitar(x):
        paint(picture, colour, shape)
    paint(picture, SLEEVE, *player(x)[-2:])
    return picture


def holding_remove(x: float) -> Plane:
    """Return the matte of the player without the guitar; the hands in front of it belong to the player."""
    body, guitar_matte, arms = matte(*player(x)[:-2]), matte(*(s for _, s in held_guitar(x))), matte(*player(x)[-2:])
    return np.asarray(np.maximum(body * (1 - guitar_matte), arms), np.float32)


def holding_affected() -> Plane:
    """Return one generous matte for the shot: the guitar, its fall, its landing, the shadow."""
    return generous(matte(Area(((54, 48), (92, 38), (104, 66), (112, 83), (48, 83), (50, 62)))), 9)


def landed(x: float, y: float, degrees: float) -> Picture:
    """Return the result: the guitar without its player."""
    picture = room()
    if y > 70:
        picture = blend(picture, (40, 30, 24), matte(oval(x + 8, y + 6, 26, 2.6)), 0.45)
    for colour, shape in guitar(x, y, degrees):
        paint(picture, colour, shape)
    return picture


def draw_holding() -> None:
    """Draw the recipe of a person who holds something."""
    page, lefts, tops = two_rows(
        ["start · 1001", "moving · 1008", "landed, and after · 1020"],
        "the plate with its mattes: the white outline is the guitar without the person",
        "the result to expect from the void engine (a drawing, not a result): without the person, the guitar falls",
    )
    upper, lower = [], []
    for left, x, at in zip(lefts, (66, 68, 65), ((65, 52, -18), (70, 66, 16), (70, 82, -3)), strict=True):
        preview = with_mattes(holding_plate(x), holding_remove(x), holding_affected())
        ought = rim(matte(*(shape for _, shape in guitar(*at))), 0.7)
        upper.append(page.panel(blend(preview, WHITE, ought, 1), left, tops[0], PANEL))
        lower.append(page.panel(landed(*at), left, tops[1], PANEL))
    callout(upper[0], "where it STARTS:\nthe guitar, and\nthe hands on it", (125, 22), (88, 44))
    callout(upper[1], "where it MOVES:\nthe whole way down", (122, 22), (96, 62))
    callout(upper[2], "where it LANDS:\nwith room to bounce", (122, 22), (106, 80))
    callout(upper[2], "still drawn here:\nthe plate's guitar\nnever leaves", (22, 62), (56, 55))
    page.legend(LEGEND[:3], LEFT, page.height - 32)
    page.save("recipe_holding.png")


# --- shadow and reflection --------------------------------------------------------------------------------------------

POLISHED = 66.0


def hall() -> Picture:
    """Return the empty hall."""
    picture = sheet((222, 216, 206))
    for x in (16, 62, 108):
        paint(picture, (190, 206, 216), rectangle(x, 10, x + 26, 44))
        paint(picture, (240, 238, 232), Limb(((x, 10), (x + 26, 10), (x + 26, 44), (x, 44), (x, 10)), 1.4))
    paint(picture, (176, 168, 158), rectangle(0, 54, WIDTH, HEIGHT))
    paint(picture, (200, 193, 183), rectangle(0, 52.5, WIDTH, 54))
    for offset in range(-60, 220, 26):
        paint(picture, (166, 158, 148), Limb(((offset, HEIGHT), (75 + (offset - 75) * 0.55, 54)), 0.5))
    for y in (60, 69, 82):
        paint(picture, (166, 158, 148), rectangle(0, y, WIDTH, y + 0.5))
    return picture


def shadow_parts(x: float) -> tuple[Plane, Plane, Plane]:
    """Return the mattes of a person, of the shadow to the right, and of the reflection below."""
    body = matte(*walker(60, POLISHED, 50, -17))
    laid = body, laid_down(body, POLISHED, 0.95, 0.45), laid_down(body, POLISHED, 0, 0.55)
    return moved(laid[0], x - 60), moved(laid[1], x - 60), moved(laid[2], x - 60)


def shadow_plate(body: Plane, shadow: Plane, mirrored: Plane) -> Picture:
    """Return the plate with a person, a shadow and a reflection."""
    picture = blend(hall(), (34, 32, 40), shadow, 0.55)
    return blend(blend(picture, BODY, mirrored, 0.4), BODY, body, 1)


def draw_shadow() -> None:
    """Draw the recipe of a shadow and a reflection."""
    page, lefts, tops = two_rows(
        ["start · 1001", "moving · 1020", "after · 1044, the person has left"],
        "the plate with its mattes",
        "sources of a result's pixels (a drawing, not a result)",
    )
    upper, lower = [], []
    for left, x in zip(lefts, (104, 50, -15), strict=True):
        parts = shadow_parts(x)
        drawn = generous(np.maximum(parts[1], parts[2]), 3)
        upper.append(page.panel(with_mattes(shadow_plate(*parts), parts[0], drawn), left, tops[0], PANEL))
        lower.append(page.panel(sources(parts, drawn), left, tops[1], PANEL))
    callout(upper[0], "the shadow,\nto the edge\nof the frame", (133, 38), (140, 81))
    callout(upper[0], "the reflection", (72, 90), (99, 84))
    callout(upper[1], "no gap at the feet:\nthe mattes overlap", (116, 40), (58, 65))
    callout(upper[2], "the person is gone,\nthe shadow is not: keep drawing", (94, 92), (20, 82))
    callout(lower[0], "behind the person:\nthe model's pixels", (56, 46), (101, 40))
    callout(lower[1], "under the shadow:\nthe plate, brightened", (122, 40), (82, 80))
    callout(lower[2], "drawn, but nothing changed there:\nthe plate, bit-identical", (94, 92), (36, 88.5))
    page.legend([*LEGEND[:3], ("the model's pixels", MODEL), ("the plate, brightened", RELIT)], LEFT, page.height - 32)
    page.save("recipe_shadow.png")


MODEL, RELIT = (150, 90, 200), (70, 150, 230)


def sources(parts: tuple[Plane, Plane, Plane], drawn: Plane) -> Picture:
    """Return the clean hall, tinted by the source of its pixels, with the outline of the drawn matte."""
    body, shadow, mirrored = parts
    picture = blend(hall(), RELIT, np.maximum(shadow, mirrored) * (1 - body), 0.45)
    picture = blend(picture, MODEL, body, 0.5)
    return blend(picture, LEGEND[1][1], rim(drawn) * (1 - body), 1)


# --- a passer-by in front of a locked-off camera ----------------------------------------------------------------------

STREET = 86.0
DOOR, POSTER = rectangle(19, 24, 49, 82), rectangle(81, 25, 115, 69)


def street() -> Picture:
    """Return the empty street."""
    picture = sheet((176, 104, 84))
    for row in range(20):
        for x in range(-12, 160, 12):
            left = x + (6 if row % 2 else 0)
            paint(picture, (186, 116, 95), rectangle(left, row * 4 + 0.5, left + 11.3, row * 4 + 3.6))
    paint(picture, (150, 150, 152), rectangle(0, 80, WIDTH, HEIGHT))
    paint(picture, (120, 120, 124), rectangle(0, 80, WIDTH, 81.2))
    paint(picture, (232, 226, 214), rectangle(21, 26, 47, 80))
    paint(picture, (40, 92, 96), rectangle(24, 29, 44, 80))
    paint(picture, (58, 118, 122), rectangle(27, 33, 41, 50), rectangle(27, 55, 41, 74))
    paint(picture, (226, 190, 90), Disc((41.5, 58), 1.1))
    paint(picture, (240, 236, 226), rectangle(84, 28, 112, 66))
    paint(picture, (214, 74, 60), Disc((98, 43), 9))
    paint(picture, (40, 52, 84), rectangle(88, 56, 108, 58.5), rectangle(88, 60, 102, 62))
    return picture


def passer_by(x: float) -> tuple[Plane, Plane]:
    """Return the mattes of a person and of the shadow at the feet."""
    return matte(*walker(x, STREET, 62, 20)), matte(oval(x + 1, STREET, 17, 2.6))


def draw_passer_by() -> None:
    """Draw the recipe of a passer-by in front of a locked-off camera."""
    page, lefts, tops = two_rows(
        ["start · 1001, hides the door", "moving · 1014, hides the poster", "after · 1026, nearly gone"],
        "the plate with its mattes; the camera does not move",
        "the result (drawn): real pixels of this shot",
    )
    upper, lower = [], []
    for left, x, free in zip(lefts, (36.0, 98.0, 148.0), ((), (DOOR,), (POSTER,)), strict=True):
        body, drawn = passer_by(x)[0], generous(passer_by(x)[1], 2)
        plate = blend(blend(street(), (30, 30, 34), passer_by(x)[1], 0.5), FRONT, body, 1)
        preview = with_mattes(plate, body, drawn, dilate=2, outlined=True)
        upper.append(page.panel(blend(preview, WHITE, rim(matte(*free), 0.6), 1), left, tops[0], PANEL))
        hole = generous(np.maximum(body, drawn), 2)
        lower.append(page.panel(blend(street(), WHITE, rim(hole), 1), left, tops[1], PANEL))
    callout(upper[0], "roto to the pixel, then dilate:\nthe white line is the paste matte", (104, 12), (47, 40))
    callout(upper[0], "the shadow at the feet:\naffected", (104, 89), (56, 88))
    callout(upper[1], "1014 sees\nthe door", (66, 44))
    callout(upper[2], "1026 sees\nthe poster", (63, 44))
    arrow(page, upper[1], (24, 82), lower[0], (43, 52))
    arrow(page, upper[2], (84, 69), lower[1], (108, 48))
    page.legend([*LEGEND[:3], MAY_CHANGE], LEFT, page.height - 32)
    page.save("recipe_passer_by.png")


# --- what the mattes mean ---------------------------------------------------------------------------------------------


def foreground_person(x: float) -> list[Shape]:
    """Return a person who stands close to the camera."""
    arms = [Limb(((x + side * 9, 40), (x + side * 14, 66), (x + side * 12, 88)), 6) for side in (-1, 1)]
    return [*person(x, 116, 102), *arms]


def draw_mattes() -> None:
    """Draw the first recipe's shot with a person in front, one matte after the other."""
    plate, front = holding_plate(STANDS), matte(*foreground_person(112))
    plate = blend(plate, FRONT, front, 1)
    remove, affected = holding_remove(STANDS), holding_affected()
    panels = (
        ("remove", "the object, to the pixel", (remove, None, None)),
        ("affected", "shadows, reflections, falling things", (None, affected, None)),
        ("keep", "a foreground that must not change", (None, None, front)),
        ("together", "as Preview quadmask shows them", (remove, affected, front)),
    )
    size, gap = 334, 8
    page = Page(PAGE, 50 + size * HEIGHT // WIDTH + 44)
    for i, (name, words, mattes) in enumerate(panels):
        left = LEFT + i * (size + gap)
        page.text(name, left, 4, fontsize=13, fontweight="bold")
        page.text(words, left, 27, fontsize=10.5, color=MUTED)
        page.panel(with_mattes(plate, *mattes), left, 50, size)
    page.legend(LEGEND, LEFT, page.height - 30)
    page.save("mattes.png")


if __name__ == "__main__":
    draw_mattes()
    draw_holding()
    draw_shadow()
    draw_passer_by()
