"""A fake of Fusion and Resolve for tests, written by hand.

It raises where Fusion is silent: for an unknown tool id, input, attribute, option or widget, and for a call from a
thread that is not the script's. Savers write real EXR files and Loaders read them. test_fake_fusion_stubs.py compares
its classes with typings/fusionscript.pyi; registry.py has the facts about tools, with their sources.
"""

from tests.hosts.fake_fusion.resolve import FakeResolve
from tests.hosts.fake_fusion.session import FakeFusion

__all__ = ["FakeFusion", "FakeResolve"]
