"""A fake of Fusion and of Resolve around it, written by hand: a stand-in for tests, not the vendor's program.

It is strict where Fusion is silent: an unknown tool id, input, attribute, option or widget raises. Every call from
another thread than the one that made the session raises. Savers write real EXR files and Loaders read them. Its surface
is held against typings/fusionscript.pyi by tests/hosts/test_fake_fusion_stubs.py; what it believes about tools is in
registry.py.
"""

from tests.hosts.fake_fusion.resolve import FakeResolve
from tests.hosts.fake_fusion.session import FakeFusion

__all__ = ["FakeFusion", "FakeResolve"]
