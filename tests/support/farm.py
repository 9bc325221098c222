"""Farm jobs for tests: the command line as a process, and what of it is left on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import psutil

BIN = Path(sys.executable).parent
MARK = "VOID_BRIDGE_USER"


class Ran(NamedTuple):
    """A command that has ended.

    Attributes:
        code: exit code.
        result: the JSON line.
        said: standard error.
    """

    code: int
    result: Dict[str, Any]
    said: str


class Farm:
    """Runs `void-bridge farm ...` under a user name of its own, by which its processes are known."""

    def __init__(self, folder: Path, **variables: object) -> None:
        self.folder = folder
        self.user = f"farm-{uuid.uuid4().hex[:10]}"
        kept = {name: text for name, text in os.environ.items() if not name.startswith("VOID_BRIDGE_")}
        own = {"CONFIG": folder / "none.toml", "SITE_CONFIG": folder / "none.toml", "RUNTIME_DIR": folder / "run"}
        settings = {f"VOID_BRIDGE_{name}": str(value) for name, value in {**own, **variables}.items()}
        self.environment = {**kept, **settings, MARK: self.user, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def start(self, *words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "void_bridge.cli", *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=self.environment, cwd=self.folder, text=True, **pipes)

    def run(self, *words: object) -> Ran:
        return self.ended(self.start(*words, "--json"))

    @staticmethod
    def ended(process: subprocess.Popen[str]) -> Ran:
        output, said = process.communicate(timeout=240)
        lines = output.strip().splitlines()
        return Ran(process.returncode, json.loads(lines[-1]) if lines else {}, said)

    def processes(self, words: str = "") -> List[psutil.Process]:
        """Return the running processes of this farm whose command line contains `words`."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get(MARK) == self.user and process.status() != psutil.STATUS_ZOMBIE
                if ours and words in " ".join(process.cmdline()):
                    found.append(process)
            except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found


def digests(folder: Path) -> Dict[int, str]:
    """Return the digest of each frame's file by frame number."""
    return {
        int(path.name.split(".")[-2]): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*.exr"))
    }


def rules_file(path: Path, rules: Sequence[Sequence[str]]) -> Path:
    """Write path mapping rules as a worker gets them; each is a format, a source and a destination."""
    names = ("source_path_format", "source_path", "destination_path")
    data = {"version": "pathmapping-1.0", "path_mapping_rules": [dict(zip(names, rule, strict=True)) for rule in rules]}
    path.write_text(json.dumps(data))
    return path


def openjd(farm: Farm, *words: object, cwd: Optional[Path] = None) -> subprocess.CompletedProcess[str]:
    """Run the vendor's own command."""
    command = [sys.executable, "-m", "openjd", *map(str, words)]
    return subprocess.run(command, env=farm.environment, cwd=cwd, capture_output=True, text=True, timeout=240)
