"""A fake of Nuke, written by hand, for tests of the plug-in. Nothing here is Nuke's own code.

    with FakeNuke(version=17) as fake:
        import nuke

        read = nuke.nodes.Read(file="plate.%04d.exr", first=1001, last=1010)
        assert fake.render(read, 1001).plane("rgba.red").max() > 0

Stricter than Nuke, so that mistakes show: values of choices, names of channels and knobs, whole numbers, inputs;
errors in callbacks reach the test; from Nuke 17 on knobChanged also runs for what a callback sets itself; a Read sees
a changed file only after a reload.

Simpler than Nuke: images are black outside their bounding box; colours of files are not converted (a Write in the wrong
space halves them); Roto draws boxes; expressions, Tcl and settings beyond what the tests need are refused.

Not known for sure, so to be tried in Nuke itself: which group a button's code works in, what deleting a node does to
those below it, texts of errors.

session, script        FakeNuke, a run of Nuke with its handles for tests, and the script that is open in it
module, functions, dialog_functions    the `nuke` module
nodes, answers, groups    nodes, and what they tell; questions looks it up in the graph
knobs, array_knobs, number_knobs, other_knobs, layers, formats    what nodes hold
expressions, scope, curves    values that depend on other values and on time
graph, image           images, computed with numpy
exr_files, reads, render    from files and to files
script_text            saving, loading, copying
threads, callbacks, undo, dialogs    the application around it
terminal               the same as `nuke -t`, in a process of its own
data                   what is known of Nuke's classes and knobs, from ../data
"""

from __future__ import annotations

from tests.hosts.fake_nuke.image import Box, Image
from tests.hosts.fake_nuke.session import FakeNuke

__all__ = ["Box", "FakeNuke", "Image"]
