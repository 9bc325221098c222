"""A worked example: a message that asks for the work of one user, its answer, and the handler.

Run it, and it asks a server of its own. In VOID Bridge the two classes stand in `void_bridge/protocol/messages.py` and
the handler in `gpu_server/server/control.py`.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from gpu_server.server.app import Server
from gpu_server.server.control import ControlLoop
from gpu_server.server.settings import ServerSettings
from gpu_server.server.sockets import ClientRequest
from void_bridge.client.connector import Connector
from void_bridge.client.session import ClientSession
from void_bridge.config import Config
from void_bridge.protocol.messages import Message


@dataclass(frozen=True)
class GetUserWork(Message, type="get_user_work"):
    """A request for the number of jobs and frames of one user.

    Attributes:
        user: name of the user, as jobs carry it.
    """

    user: str


@dataclass(frozen=True)
class UserWork(Message, type="user_work"):
    """The answer to `get_user_work`.

    Attributes:
        jobs: number of known jobs of the user.
        frames: number of frames that they have published.
    """

    jobs: int = 0
    frames: int = 0


@ControlLoop.handle.register
def user_work(self, message: GetUserWork, request: ClientRequest) -> UserWork:
    """Return the answer to `get_user_work`. The server finds this handler by the type of `message`."""
    records = [record for record in self.store.table if record.user == message.user]
    return UserWork(len(records), sum(len(record.frames) for record in records))


def main() -> None:
    """Ask a server that has no jobs yet."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(spool=Path(folder, "spool"), runtime_dir=Path(folder, "run"))
        server = Server(ServerSettings.from_config(config, autostarted=True))  # starts no worker before the first job
        server.start()
        connector = Connector(config, autostart=False, notice=print)
        try:
            print(ClientSession(config, connector, print).ask(GetUserWork("anna"), UserWork))
        finally:
            connector.close()
            server.stop()


if __name__ == "__main__":
    main()
