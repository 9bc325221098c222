"""The Nuke plug-in, for Nuke 14 to 17: a `VOIDRemove` group and what its buttons do.

node     the group, made in Python: inputs, image path, panel
panel    knobs from the settings that all hosts share
inputs   what is connected: frames, channels, the plate's own files
colour   the script's OCIO settings
export   plate and roto to EXR through temporary Write nodes
result   what a node shows of its jobs
submission  what is asked for at one moment, and its way to the controller
actions  what the buttons do, from submit to compare
session  the controller of this Nuke, and the callbacks that keep nodes and jobs together
renders  refuses what must not go out of a render inside an interface
terminal  render(node) without an interface
selftest, claims  what only Nuke itself can verify
"""
