"""Which version of this program made a result."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """A release, and the commit where it runs from a checkout."""

    version: str
    commit: str | None = None
    """None outside a git checkout."""
    modified: bool | None = None
    """Whether files of the checkout differ from the commit; None where there is none."""
    sources: str = ""
    """Digest of the package's files, which says whether two results were made by the same code, wherever it was committed or installed."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)

    def __str__(self) -> str:
        if self.commit is None:
            return self.version
        return f"{self.version}, commit {self.commit[:12]}{' with local changes' if self.modified else ''}"


def code_version(version: str, package: Path) -> CodeVersion:
    """Return the version of the code that runs.

    Args:
        version: the release.
        package: the package's folder. Its commit counts only if git tracks its files: an installed package may lie in somebody else's checkout.
    """
    folder, sources = package.resolve(), _digest(package)
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    commit = _git(folder, "rev-parse", "HEAD") if tracked else None
    if not commit:
        return CodeVersion(version, sources=sources)
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", ":/")
    return CodeVersion(version, commit, None if changes is None else bool(changes), sources)


def _digest(package: Path) -> str:
    """Return 16 hex digits of all the package's files, compiled ones left out; a checkout links to the rooms."""
    digest = hashlib.blake2b(digest_size=8)
    for folder, folders, names in os.walk(package, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            path = Path(folder, name)
            digest.update(f"{path.relative_to(package).as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says; None if there is no git, or it refuses."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
