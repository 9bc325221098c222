"""A fake of Resolve around that of Fusion: a project with a timeline, a clip under the playhead and a media pool."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from tests.hosts.fake_fusion.api import Api
from tests.hosts.fake_fusion.comp import Composition
from tests.hosts.fake_fusion.exr_files import sequence_of
from tests.hosts.fake_fusion.session import FakeFusion, Fusion


class MediaPoolItem(Api):
    def __init__(self, session: FakeFusion, info: Dict[str, Any]) -> None:
        self.thread, self.info = session.thread, info


class MediaPool(Api):
    def __init__(self, session: FakeFusion) -> None:
        self.thread, self.session = session.thread, session
        self.items: List[MediaPoolItem] = []

    def ImportMedia(self, items: List[Dict[str, Any]]) -> Optional[List[MediaPoolItem]]:
        """Import sequences whose files exist; return None if one is missing."""
        for info in items:
            assert set(info) == {"FilePath", "StartIndex", "EndIndex"}, info
            held = sequence_of(info["FilePath"] % info["StartIndex"])
            if not {info["StartIndex"], info["EndIndex"]} <= set(held):
                return None
            self.items.append(MediaPoolItem(self.session, info))
        return self.items


class TimelineItem(Api):
    def __init__(self, session: FakeFusion, name: str) -> None:
        self.thread, self.session, self.name = session.thread, session, name
        self.comps: List[Composition] = []

    def GetName(self) -> str:
        return self.name

    def GetFusionCompCount(self) -> int:
        return len(self.comps)

    def GetFusionCompByIndex(self, index: int) -> Optional[Composition]:
        return self.comps[index - 1] if 1 <= index <= len(self.comps) else None

    def AddFusionComp(self) -> Optional[Composition]:
        """Add a composition with a MediaIn and a MediaOut, which is a Saver by its id. It is not on the screen."""
        comp = self.session.new_comp(self.name)
        comp.has_flow = False
        with self.session.building():
            source = comp.AddTool("MediaIn", 0, 0)
            out = comp.AddTool("Saver", 3, 0)
            out.SetAttrs({"TOOLS_Name": "MediaOut1"})
            out.ConnectInput("Input", source)
        self.comps.append(comp)
        return comp


class Timeline(Api):
    def __init__(self, session: FakeFusion, item: Optional[TimelineItem]) -> None:
        self.thread, self.item = session.thread, item

    def GetCurrentVideoItem(self) -> Optional[TimelineItem]:
        return self.item


class Project(Api):
    def __init__(self, session: FakeFusion, timeline: Optional[Timeline]) -> None:
        self.thread, self.timeline = session.thread, timeline
        self.pool = MediaPool(session)

    def GetCurrentTimeline(self) -> Optional[Timeline]:
        return self.timeline

    def GetMediaPool(self) -> MediaPool:
        return self.pool


class ProjectManager(Api):
    def __init__(self, session: FakeFusion, project: Project) -> None:
        self.thread, self.project = session.thread, project

    def GetCurrentProject(self) -> Optional[Project]:
        return self.project


class Resolve(Api):
    def __init__(self, session: FakeFusion, project: Project) -> None:
        self.thread, self.session, self.project = session.thread, session, project
        self.page = "edit"

    def Fusion(self) -> Fusion:
        return self.session.fusion

    def GetProjectManager(self) -> ProjectManager:
        return ProjectManager(self.session, self.project)

    def GetVersionString(self) -> str:
        return "fake 21.1"

    def OpenPage(self, name: str) -> bool:
        self.page = name
        return True


class FakeResolve(FakeFusion):
    """A session of Resolve.

    Args:
        windows: whether there is a UI manager.
        clip: the name of the clip under the playhead; empty if there is none.
    """

    def __init__(self, windows: bool = True, clip: str = "A001_C003") -> None:
        super().__init__(windows)
        self.item = TimelineItem(self, clip) if clip else None
        self.project = Project(self, Timeline(self, self.item))
        self.resolve = Resolve(self, self.project)

    def names(self) -> Dict[str, Any]:
        """Return the globals of a timeline script, which has no composition."""
        return {"resolve": self.resolve, "bmd": self.bmd, "fusion": self.fusion}
