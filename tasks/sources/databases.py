"""Databases that questions are asked of, by name: only those that the operator's configuration names, never one that a text names."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from ...graph.errors import UserError

BUNDLED = "sales"
"""Name of the database that comes with the package."""

FOLDERS = ("database", "test_database", "databases", "dev_databases", "train_databases")
"""Folders of databases in Spider's and BIRD's layout: FOLDER/NAME/NAME.sqlite."""

_LAYOUT = f"{FOLDERS[0]} or {FOLDERS[3]}/NAME/NAME.sqlite"

FILE_ENDINGS = (".sqlite", ".db", ".sqlite3")


def databases(data: str) -> Mapping[str, str]:
    """Return the URLs of the known databases by name.

    Args:
        data: what the operator says. A folder in Spider's or BIRD's layout; a file of questions in such a folder; a SQLite file; a URL without a password, such as `postgresql://reader@host/shop`; "" for
            the database that comes with the package.

    Raises:
        UserError: if it is none of these.
    """
    if not data:
        return {BUNDLED: _url(bundled_database())}
    if "://" in data:
        return _by_url(data)
    path = Path(data).expanduser().absolute()
    if path.is_file():
        return {path.stem: _url(path)} if path.suffix in FILE_ENDINGS else _beside(data, path)
    if not path.is_dir():
        raise UserError(
            f"there is no {data!r}; give a folder in Spider's or BIRD's layout, a .sqlite file or a URL"
        )
    found = _within(path)
    if not found:
        raise UserError(f"{data!r} has no databases; it must hold {_LAYOUT}")
    return found


def is_questions(path: Path) -> bool:
    """Return whether a path is a file of questions and not a database."""
    return path.is_file() and path.suffix not in FILE_ENDINGS


def _beside(data: str, path: Path) -> Mapping[str, str]:
    """Return the databases of the folder that a file of questions is in, or of the one above, as with Spider's test_data/test.json."""
    found = _within(path.parent) or _within(path.parent.parent)
    if not found:
        raise UserError(
            f"{data!r} is no database, and beside it there is no {_LAYOUT}; give a folder in Spider's or BIRD's layout, its file of questions, "
            "a .sqlite file or a URL"
        )
    return found


def _within(path: Path) -> Mapping[str, str]:
    return {
        file.parent.name: _url(file)
        for folder in reversed(_folders(path))
        for file in sorted(folder.glob("*/*.sqlite"))
        if file.stem == file.parent.name
    }


def _folders(path: Path) -> list[Path]:
    places = (path, path / "dev", path / "train")
    return [place / name for place in places for name in FOLDERS if (place / name).is_dir()]


def _url(path: Path) -> str:
    return f"sqlite:///{path}"


def _by_url(data: str) -> Mapping[str, str]:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(data)
    except (ArgumentError, ValueError):
        raise UserError("the database URL cannot be read; give sqlite:///PATH or postgresql://…") from None
    if url.password is not None:
        raise UserError(
            "a URL with a password would be recorded with the run; leave it out and use PGPASSWORD or ~/.pgpass"
        )
    name = Path(url.database or "").stem
    if not name:
        raise UserError(f"the URL {data!r} names no database; write postgresql://USER@HOST/NAME")
    return {name: data}


@cache
def bundled_database() -> Path:
    """Return the path of the database that comes with the package, made from its recipe in the user's cache directory if it is not there.

    Raises:
        UserError: if it cannot be made there.
    """
    from platformdirs import user_cache_path

    recipe = (
        files((__package__ or "thoughtgraph.tasks.sources").rpartition(".")[0])
        .joinpath("data", f"{BUNDLED}.sql")
        .read_text("utf-8")
    )
    folder = user_cache_path("thoughtgraph") / "databases"
    path = folder / f"{BUNDLED}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.sqlite"
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _make(recipe, path)
        except (OSError, sqlite3.OperationalError) as error:
            raise UserError(
                f"cannot write the database {str(path)!r} ({error}); set XDG_CACHE_HOME to a folder that can be written"
            ) from None
    return path


def _make(recipe: str, path: Path) -> None:
    """Make the file under another name and move it: several processes may do so at once."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    os.close(handle)
    try:
        with contextlib.closing(sqlite3.connect(name)) as connection:
            connection.executescript(recipe)
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
