"""A fake of Nuke, written by hand, for tests of the plug-in. Nothing here is Nuke's own code.

    with FakeNuke(version=17) as fake:
        import nuke

        read = nuke.nodes.Read(file="plate.%04d.exr", first=1001, last=1010)
        assert fake.render(read, 1001).plane("rgba.red").max() > 0

It is stricter than Nuke about values of choices, names of channels and knobs, whole numbers and inputs, so that
mistakes show. Errors in callbacks reach the test; from Nuke 17 on knobChanged also runs for changes by a callback
itself; a Read sees a changed file only after a reload.

It is simpler than Nuke: images are black outside their bounding box; colours of files are not converted (a Write in
the wrong space halves them); Roto draws boxes; expressions, Tcl and settings that no test needs are refused.

It holds what the plug-in and its tests use, and no more. To be verified in Nuke itself: the group that a button's code
works in, the effect of deleting a node on those below it, texts of errors.

session, script        FakeNuke, a run of Nuke with its handles for tests, and the script that is open in it
module, functions      the `nuke` module
nodes, answers, groups    nodes and their answers, which questions finds in the graph
knobs, array_knobs, number_knobs, other_knobs, layers, formats    the values of nodes
expressions, scope, curves    values that depend on other values and on time
graph, image           images, computed with numpy
exr_files, render      from files and to files
script_text            saving, loading, copying
threads, callbacks, undo, dialogs    the application around it
terminal               the same as `nuke -t`, in a process of its own
data                   the known facts of Nuke's classes and knobs, from ../data
"""

from __future__ import annotations

from tests.hosts.fake_nuke.image import Box, Image
from tests.hosts.fake_nuke.session import FakeNuke

__all__ = ["Box", "FakeNuke", "Image"]
