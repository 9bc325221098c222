"""What every host does the same way: settings, jobs, versions, states, and the controller that runs them.

Nothing here knows a host: no `nuke`, no Fusion. Nothing here decodes an image: no numpy, no OpenEXR.
"""
