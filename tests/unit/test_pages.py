"""Pages that are written from the code are up to date and complete, and links to the documentation lead somewhere."""

from __future__ import annotations

import dataclasses
import re

import pytest
from markdown.extensions.toc import slugify

from tools.page import ROOT
from tools.write_configuration import GROUPS, PAGE
from tools.write_errors import EXIT_CODES
from tools.write_pages import PAGES
from void_bridge.config import Config
from void_bridge.errors import error_classes

SOURCES = [path for package in ("void_bridge", "gpu_server", "host_plugins") for path in (ROOT / package).rglob("*.py")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_is_up_to_date(path):
    assert path.read_text(encoding="utf-8") == PAGES[path](), "run make docs"


@pytest.mark.parametrize("spec", dataclasses.fields(Config), ids=lambda spec: spec.name)
def test_every_setting_has_its_help_and_a_group(spec):
    assert spec.metadata["help"].endswith(".") and spec.metadata["group"] in GROUPS


def test_every_exit_code_has_a_meaning():
    assert set(EXIT_CODES) == {0, *(cls.exit_code for cls in error_classes().values())}


def test_every_error_has_a_meaning_and_a_remedy():
    for cls in error_classes().values():
        meaning, _, remedy = cls.__doc__.partition("\n\n")
        assert meaning.endswith(".") and remedy.strip().endswith("."), cls


def test_every_environment_variable_that_the_code_reads_is_documented():
    page = PAGE.read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    read = set(re.findall(r"environ(?:ment)?(?:\.get\(|\[)\"(\w+)\"", code))
    read |= set(re.findall(r"\"(VOID_BRIDGE_\w+)\"", code)) - {"VOID_BRIDGE_", "VOID_BRIDGE_HOME"}  # a line in scripts
    for_completion_and_tests = {"_ARGCOMPLETE", "COMP_LINE", "CONDA_PREFIX", "TORCHINDUCTOR_CACHE_DIR"}
    request_of_a_web_server = {"HTTP_HOST", "PATH_INFO"}
    missing = {name for name in read if f"`{name}`" not in page}
    assert missing <= {*for_completion_and_tests, "TRITON_CACHE_DIR", *request_of_a_web_server}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_into_the_documentation_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if target.startswith("http"):
            continue
        assert (ROOT / path).exists(), target
        if anchor and path:
            headings = re.findall(r"^#+ (.*)", (ROOT / path).read_text(encoding="utf-8"), re.M)
            assert anchor in {slugify(heading, "-") for heading in headings}, target


def test_the_site_has_every_page():
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    listed = re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    assert pages == set(listed) and len(pages) == len(listed)


def test_files_that_pages_name_exist():
    named = re.compile(r"`((?:void_bridge|gpu_server|host_plugins|tests|tools|examples|docs)/[\w./-]*(?:/|\.\w+))`")
    for page in [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for path in named.findall(page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name} names {path}"
