# The part of Fusion's scripting that VOID Bridge uses, for mypy. Blackmagic publishes no stubs with a Fusion API; each
# line names its source. Nothing here has been run inside Fusion: the self-test does that.
#
# [G]  Blackmagic Design, "Fusion 8 Scripting Guide and Reference Manual", February 2016: the entry of that name
# [R]  Blackmagic Design, DaVinci Resolve, Developer/Scripting/README.txt, as kept in
#      github.com/thatcherfreeman/resolve-scripts, Documentation/scripting_documentation.txt
# [A]  github.com/ynput/ayon-fusion, client/ayon_fusion/{api/lib.py, plugins/load/load_sequence.py,
#      plugins/publish/extract_render_local.py}
# [U]  "Building GUIs With Fusion's UI Manager", steakunderwater.com/wesuckless/viewtopic.php?t=1411, with the examples
#      that github.com/Kartaverse/Reactor-Docs, docs/com.AndrewHazelden.UIManagerLuaExamples.md lists
# [W]  public scripts that run in Resolve and use it so: a `ui.Timer` reaches its script as `disp.On.Timeout`
#
# Input ids, attributes and reg ids are plain text; tests/hosts/fake_fusion/registry.py lists those in use, with their
# source.

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

Data = Union[str, float, bool]
Handler = Callable[[Any], None]

class Image:
    OriginalWidth: int  # [G] Image.OriginalWidth: without proxy scaling
    OriginalHeight: int  # [G] Image.OriginalHeight
    Depth: int  # [G] Image.Depth

class PlainOutput:
    def GetAttrs(self) -> Dict[str, Any]: ...  # [G] PlainOutput attributes: OUTS_ID, OUTS_Name, OUTS_DataType
    def GetValue(self, time: float = ...) -> Optional[Image]: ...  # [G] PlainOutput.GetValue

class Operator:
    ID: str  # [G] Operator.ID: the reg id
    Name: str  # [G] Operator.Name
    def GetAttrs(self) -> Dict[str, Any]: ...  # [G] Operator attributes: TOOLS_..., TOOLB_..., TOOLNT_...
    def SetAttrs(self, attrs: Mapping[str, Any]) -> None: ...  # [G] "Attributes"
    def GetData(self, name: str) -> Optional[Data]: ...  # [G] Operator.GetData: stored with the tool, copied with it
    def SetData(self, name: str, value: Optional[Data]) -> None: ...  # [G] Operator.SetData; None deletes it: [W]
    def FindMainOutput(self, index: int) -> Optional[PlainOutput]: ...  # [G] Operator.FindMainOutput, from 1
    def GetInput(self, id: str) -> Any: ...  # [G] Operator.GetInput
    def SetInput(self, id: str, value: Any) -> None: ...  # [G] Operator.SetInput
    def ConnectInput(self, input: str, target: Optional[Operator]) -> bool: ...  # [G] Operator.ConnectInput
    def Delete(self) -> None: ...  # [G] Operator.Delete

class FlowView:
    def GetPosTable(self, tool: Operator) -> Dict[float, float]: ...  # [G] FlowView.GetPosTable: {1: x, 2: y}

class FuFrame:
    FlowView: FlowView  # [G] FuFrame.FlowView

class Composition:
    ActiveTool: Optional[Operator]  # [G] Composition.ActiveTool
    CurrentFrame: Optional[FuFrame]  # [G] Composition.CurrentFrame: the window, not the time
    CurrentTime: float  # [G] Composition.CurrentTime
    def GetAttrs(self) -> Dict[str, Any]: ...  # [G] Composition attributes: COMPN_..., COMPS_..., COMPB_...
    def SetAttrs(self, attrs: Mapping[str, Any]) -> None: ...  # [A] lib.py, maintained_comp_range
    def GetData(self, name: str) -> Optional[Data]: ...  # [G] Composition.GetData: saved in the .comp file
    def SetData(self, name: str, value: Optional[Data]) -> None: ...  # [G] Composition.SetData
    def Lock(self) -> None: ...  # [G] Composition.Lock: no dialogs, no renders
    def Unlock(self) -> None: ...  # [G] Composition.Unlock
    def StartUndo(self, name: str) -> None: ...  # [G] Composition.EndUndo, usage
    def EndUndo(self, keep: bool) -> None: ...  # [G] Composition.EndUndo
    def Undo(self, count: int) -> None: ...  # [G] Composition.Undo
    def AddTool(self, id: str, xpos: float, ypos: float) -> Optional[Operator]: ...  # [G] Composition.AddTool
    def FindTool(self, name: str) -> Optional[Operator]: ...  # [G] Composition.FindTool
    def GetToolList(
        self, selected: bool = ..., regid: str = ...
    ) -> Optional[Dict[float, Operator]]: ...  # [G] Composition.GetToolList: nil if nothing is selected
    def Render(self, settings: Mapping[str, Any]) -> Optional[bool]: ...  # [G] Composition.Render; RenderFlags: [A]
    def IsRendering(self) -> bool: ...  # [G] Composition.IsRendering
    def MapPath(self, path: str) -> str: ...  # [G] Composition.MapPath
    def Print(self, text: str) -> None: ...  # [G] Composition.Print
    def AskUser(
        self, title: str, controls: Mapping[int, Mapping[Any, Any]]
    ) -> Optional[Dict[str, Any]]: ...  # [G] Composition.AskUser: nil if cancelled

class Item:
    Text: str  # [U] Label, LineEdit, Button, CheckBox
    PlainText: str  # [U] TextEdit
    PlaceholderText: str  # [U] LineEdit
    Value: float  # [U] SpinBox, DoubleSpinBox
    Checked: bool  # [U] CheckBox
    CurrentIndex: int  # [U] ComboBox, TabBar, Stack
    def AddItem(self, text: str) -> None: ...  # [U] ComboBox
    def AddTab(self, text: str) -> None: ...  # [U] TabBar
    def Clear(self) -> None: ...  # [U] ComboBox

class Events:
    Clicked: Handler  # [U] Button
    Close: Handler  # [U] window
    CurrentChanged: Handler  # [U] TabBar

class WindowEvents:
    def __getattr__(self, id: str) -> Events: ...  # [U] win.On.ID.Event = function

class Window:
    On: WindowEvents  # [U] win.On
    def GetItems(self) -> Dict[str, Item]: ...  # [U] win.GetItems
    def Show(self) -> None: ...  # [U] win.Show
    def Hide(self) -> None: ...  # [U] win.Hide
    def Raise(self) -> None: ...  # [U] win.Raise

class Timer:
    def Start(self) -> None: ...  # [U] ui.Timer
    def Stop(self) -> None: ...  # [U] ui.Timer

Options = Mapping[str, Any]
Children = Sequence[Any]

class UIManager:
    def FindWindow(self, id: str) -> Optional[Window]: ...  # [U] ui:FindWindow: of a script that runs already
    def VGroup(self, options: Options, children: Children) -> Any: ...  # [U]
    def HGroup(self, options: Options, children: Children) -> Any: ...  # [U]
    def Stack(self, options: Options, children: Children) -> Any: ...  # [U]
    def TabBar(self, options: Options) -> Any: ...  # [U]
    def Label(self, options: Options) -> Any: ...  # [U]
    def LineEdit(self, options: Options) -> Any: ...  # [U]
    def TextEdit(self, options: Options) -> Any: ...  # [U]
    def SpinBox(self, options: Options) -> Any: ...  # [U]
    def DoubleSpinBox(self, options: Options) -> Any: ...  # [U]
    def CheckBox(self, options: Options) -> Any: ...  # [U]
    def ComboBox(self, options: Options) -> Any: ...  # [U]
    def Button(self, options: Options) -> Any: ...  # [U]
    def Timer(self, options: Options) -> Optional[Timer]: ...  # [U]

class DispatcherEvents:
    Timeout: Handler  # [W]

class Dispatcher:
    On: DispatcherEvents  # [W]
    def AddWindow(self, options: Options, children: Children) -> Window: ...  # [U]
    def RunLoop(self) -> None: ...  # [U]
    def ExitLoop(self) -> None: ...  # [U]

class Fusion:
    UIManager: Optional[UIManager]  # [U] fu.UIManager
    def GetCurrentComp(self) -> Optional[Composition]: ...  # [G] Fusion.GetCurrentComp
    def GetAttrs(self) -> Dict[str, Any]: ...  # [G] Fusion attributes: FUSIONS_Version
    def RequestDir(self, path: str) -> Optional[str]: ...  # [U] fu:RequestDir
    def RequestFile(self, path: str) -> Optional[str]: ...  # [U] fu:RequestFile

class Bmd:
    def UIDispatcher(self, ui: UIManager) -> Dispatcher: ...  # [U] bmd.UIDispatcher

class MediaPoolItem: ...

class MediaPool:
    def ImportMedia(self, items: List[Dict[str, Any]]) -> Optional[List[MediaPoolItem]]: ...  # [R] MediaPool

class TimelineItem:
    def GetName(self) -> str: ...  # [R] TimelineItem
    def GetFusionCompCount(self) -> int: ...  # [R] TimelineItem
    def GetFusionCompByIndex(self, index: int) -> Optional[Composition]: ...  # [R] TimelineItem, from 1
    def AddFusionComp(self) -> Optional[Composition]: ...  # [R] TimelineItem

class Timeline:
    def GetCurrentVideoItem(self) -> Optional[TimelineItem]: ...  # [R] Timeline: the clip under the playhead

class Project:
    def GetCurrentTimeline(self) -> Optional[Timeline]: ...  # [R] Project
    def GetMediaPool(self) -> MediaPool: ...  # [R] Project

class ProjectManager:
    def GetCurrentProject(self) -> Optional[Project]: ...  # [R] ProjectManager

class Resolve:
    def Fusion(self) -> Fusion: ...  # [R] Resolve
    def GetProjectManager(self) -> ProjectManager: ...  # [R] Resolve
    def GetVersionString(self) -> str: ...  # [R] Resolve
    def OpenPage(self, name: str) -> bool: ...  # [R] Resolve: "fusion", "edit"
