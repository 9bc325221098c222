"""The client: submits jobs to a server, watches them and fetches their frames, for hosts and the command line.

with connect(load().config, notice=log.info) as client:
    status = client.submit(job)
    for event in client.watch(status.id):
        ...
    paths = client.fetch(status.id)
"""

from void_bridge.client.client import Client, connect
from void_bridge.client.watch import FramePreview

__all__ = ["Client", "FramePreview", "connect"]
