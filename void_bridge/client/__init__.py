"""The client: what hosts and the command line use to have a server do a job.

with connect(load().config, notice=log.info) as client:
    status = client.submit(job)
    for event in client.watch(status.id):
        ...
    paths = client.fetch(status.id)
"""

from void_bridge.client.client import Client, connect
from void_bridge.client.watch import FramePreview

__all__ = ["Client", "FramePreview", "connect"]
