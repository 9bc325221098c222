"""The code that all hosts share: settings, jobs, versions, states, and the controller that runs jobs.

Nothing here imports a host (`nuke`, Fusion), and nothing here decodes an image (no numpy, no OpenEXR).
"""
