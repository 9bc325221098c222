from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PyOpenColorIO as ocio
import pytest

from void_bridge.errors import ColourError
from void_bridge.job import Colour
from void_bridge.pixels import colour as c

SPACES = ["ACEScg", "ACES2065-1", "Linear Rec.709 (sRGB)", "Linear Rec.2020", "Linear ARRI Wide Gamut 4"]


def resolve(space: str | None = "ACEScg", config: str | None = None, header: dict | None = None) -> Colour:
    return c.resolve_colour(space, config, {}, header)


@pytest.fixture
def studio_config(tmp_path: Path) -> Path:
    """Return a config in a file, as a studio keeps it."""
    path = tmp_path / "config.ocio"
    path.write_text(ocio.Config.CreateFromFile(c.BUILTIN_CONFIG).serialize())
    return path


def test_without_a_space_the_config_role_scene_linear_is_taken_and_said() -> None:
    colour, why = c.explain_colour(None, env={})
    assert (colour.space, colour.config, colour.config_hash) == ("ACEScg", c.BUILTIN_CONFIG, "")
    assert "ACEScg (role scene_linear of the config)" in why and "(built in)" in why


@pytest.mark.parametrize(
    ("name", "space"),
    [("lin_ap1", "ACEScg"), ("scene_linear", "ACEScg"), ("Utility - Linear - sRGB", "Linear Rec.709 (sRGB)")],
)
def test_an_alias_or_role_becomes_the_space_it_stands_for(name: str, space: str) -> None:
    assert resolve(name).space == space


def test_an_unknown_space_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ColourError, match=r"'ACESgc'.*did you mean 'ACEScg'"):
        resolve("ACESgc")


@pytest.mark.parametrize("space", ["ACEScct", "sRGB - Texture", "Raw", "CIE XYZ-D65 - Display-referred"])
def test_a_space_that_is_not_scene_linear_is_refused(space: str) -> None:
    with pytest.raises(ColourError, match=r"not scene-linear; expected one of .*ACEScg"):
        resolve(space)


@pytest.mark.parametrize(
    ("header", "space"),
    [
        ({"colorInteropID": "lin_rec2020_scene"}, "Linear Rec.2020"),
        ({"acesImageContainerFlag": 1}, "ACES2065-1"),
        ({"colorInteropID": "unknown"}, "ACEScg"),
    ],
)
def test_a_plate_that_states_its_space_is_believed(header: dict, space: str) -> None:
    assert resolve(None, header=header).space == space


def test_a_given_space_wins_over_the_plate_header() -> None:
    assert resolve("ACEScg", header={"colorInteropID": "lin_rec2020_scene"}).space == "ACEScg"


def test_the_environment_names_the_config_and_its_hash_is_kept(studio_config: Path) -> None:
    colour, why = c.explain_colour("ACEScg", env={"OCIO": str(studio_config)})
    assert colour.config == str(studio_config) and len(colour.config_hash) == 64
    assert "from $OCIO" in why


def test_a_given_config_wins_over_the_environment(studio_config: Path) -> None:
    assert c.resolve_colour("ACEScg", c.BUILTIN_CONFIG, {"OCIO": str(studio_config)}).config == c.BUILTIN_CONFIG


def test_the_default_config_is_recorded_as_the_one_it_stands_for_today() -> None:
    name = resolve("ACEScg", "ocio://default").config
    assert name.startswith("ocio://") and name != "ocio://default"


@pytest.mark.parametrize("config", ["ocio://nonesuch", "nowhere/config.ocio"])
def test_a_config_that_cannot_be_read_is_named(config: str) -> None:
    with pytest.raises(ColourError, match=r"cannot read OCIO config .*no"):
        resolve("ACEScg", config)


def test_a_config_that_changed_since_the_job_was_made_is_refused(studio_config: Path) -> None:
    colour = resolve("ACEScg", str(studio_config))
    studio_config.write_text(studio_config.read_text() + "\n# edited\n")
    with pytest.raises(ColourError, match="is not the config that this job was submitted with"):
        c.check_colour(colour)


def test_a_config_without_a_bridge_to_others_is_refused(tmp_path: Path) -> None:
    config = ocio.Config()
    reference = ocio.ColorSpace(name="house", encoding="scene-linear")
    config.addColorSpace(reference)
    config.setRole("scene_linear", "house")
    path = tmp_path / "config.ocio"
    path.write_text(config.serialize())
    with pytest.raises(ColourError, match=r"does not define how house relates.*aces_interchange"):
        resolve(None, str(path))


@pytest.mark.parametrize("space", SPACES)
def test_linear_rec709_and_back_keeps_every_pixel(space: str) -> None:
    colour = resolve(space)
    rgb = np.random.default_rng(1).uniform(-1, 100, (64, 32, 3)).astype(np.float32)
    back = c.from_linear_srgb(c.to_linear_srgb(rgb, colour), colour)
    assert np.abs(back - rgb).max() < 100 * 1e-6


def test_the_matrix_to_rec709_is_the_known_one() -> None:
    """Compare the first column of ACEScg to linear Rec.709, Bradford-adapted, with the one published with ACES."""
    red = c.to_linear_srgb(np.array([[1, 0, 0]], np.float32), resolve())
    np.testing.assert_allclose(red, [[1.70505, -0.13026, -0.02400]], atol=1e-5)


def test_encoded_srgb_is_decoded_into_the_working_space() -> None:
    middle = c.from_encoded_srgb(np.full((1, 3), 0.5, np.float32), resolve())
    np.testing.assert_allclose(middle, np.full((1, 3), 0.214041), rtol=1e-5)


def test_the_input_stays_as_it_was_and_may_have_any_layout() -> None:
    rgb = np.random.default_rng(2).random((8, 3, 6), np.float32).transpose(0, 2, 1)
    kept = rgb.copy()
    result = c.to_linear_srgb(rgb, resolve())
    np.testing.assert_array_equal(rgb, kept)
    np.testing.assert_array_equal(result, c.to_linear_srgb(np.ascontiguousarray(rgb), resolve()))


def test_many_threads_get_the_same_pixels() -> None:
    rgb = np.random.default_rng(3).random((64, 64, 3), np.float32)
    expected = c.to_display(rgb, resolve())
    with ThreadPoolExecutor(8) as pool:
        for shown in pool.map(lambda _: c.to_display(rgb, resolve()), range(32)):
            np.testing.assert_array_equal(shown, expected)


def test_the_default_view_is_the_configs_and_others_can_be_named() -> None:
    colour = resolve("Linear Rec.709 (sRGB)")
    grey = np.full((1, 3), 0.18, np.float32)
    assert next(iter(c.displays(colour))) == "sRGB - Display"
    plain = c.to_display(grey, colour, view="Un-tone-mapped")
    np.testing.assert_allclose(plain, np.full((1, 3), 0.46136), atol=2e-4)
    assert not np.allclose(c.to_display(grey, colour), plain, atol=1e-2)


@pytest.mark.parametrize(("display", "view"), [("Cinema", ""), ("sRGB - Display", "Filmic")])
def test_an_unknown_display_or_view_is_refused_with_those_there_are(display: str, view: str) -> None:
    with pytest.raises(ColourError, match=r"expected one of .*(sRGB - Display|Un-tone-mapped)"):
        c.to_display(np.zeros((1, 3), np.float32), resolve(), display, view)


def test_the_header_that_states_the_space_reads_back_as_that_space() -> None:
    for space in ("ACEScg", "Linear Rec.2020", "ACES2065-1"):
        assert resolve(None, header=c.interop_id(resolve(space))).space == space
    assert c.interop_id(resolve("Linear ARRI Wide Gamut 4")) == {}
