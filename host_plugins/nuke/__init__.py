"""The Nuke plug-in, for Nuke 14 to 17: a `VOIDRemove` group and the actions of its buttons.

node        the group, created in Python: inputs, image path, panel
panel       knobs from the settings that all hosts share
inputs      the connected plate and roto: frames, channels, the plate's own files
digest      digests of everything upstream that can change a pixel
colour      the script's OCIO settings
export      plate and roto to EXR through temporary Write nodes
background  a second Nuke that renders the export
result      the node's display of its jobs
freshness   whether a result is stale
submission  the way from a node to its jobs
farm        the submission to a farm, with its dialog
actions     the buttons, from submit to compare
session     the controller of this Nuke
interface   menus and callbacks of Nuke's interface
terminal    render(node) without an interface
selftest, host_checks  checks that only Nuke itself can pass or fail
"""
