"""The methods of a node about its image, its neighbours and its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List

from tests.hosts.fake_nuke import constants, questions
from tests.hosts.fake_nuke.api import ApiObject
from tests.hosts.fake_nuke.formats import Format

if TYPE_CHECKING:
    from tests.hosts.fake_nuke.nodes import Node

_ALL = constants.INPUTS | constants.HIDDEN_INPUTS | constants.EXPRESSIONS


class Answers(ApiObject):
    """Part of Node. Images are computed at the current frame and view unless a call names others."""

    def _live(self) -> Node:
        """Return the node itself. Raises ValueError: it was deleted."""
        raise NotImplementedError

    def dependencies(self, mask: int = _ALL) -> List[Node]:
        return questions.dependencies(self._live(), mask)

    def channels(self) -> List[str]:
        return questions.channels(self._live())

    def format(self) -> Format:
        return questions.format_of(self._live())

    def width(self) -> int:
        return self.format().width()

    def sample(self, c: str, x: float, y: float, dx: float = 1, dy: float = 1) -> float:
        """Return the pixel of a channel at a point; the fake does not average over dx and dy."""
        return questions.sample(self._live(), c, x, y)

    def metadata(self, *args: Any, **kwargs: Any) -> Any:
        """Return metadata: `metadata()`, `metadata(key)`, `metadata(key, time, view)`, `metadata(time, view)`."""
        return questions.metadata(self._live(), *args, **kwargs)

    def firstFrame(self) -> int:
        return questions.frame_range(self._live())[0]

    def lastFrame(self) -> int:
        return questions.frame_range(self._live())[1]
