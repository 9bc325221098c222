# The module by which Resolve is reached from outside: Developer/Scripting/README.txt, "Using a script"
# (github.com/thatcherfreeman/resolve-scripts, Documentation/scripting_documentation.txt).

from typing import Optional

from fusionscript import Dispatcher, Resolve, UIManager

def scriptapp(name: str) -> Optional[Resolve]: ...  # the README's examples: scriptapp("Resolve")
def UIDispatcher(ui: UIManager) -> Dispatcher: ...  # it is fusionscript itself, which scripts know as bmd
