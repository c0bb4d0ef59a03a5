"""Parameters with which tests run every registered scheme, gathered from the files cases_*.py: a new scheme cannot escape the laws."""

from __future__ import annotations

import importlib
from pathlib import Path

SMALL: dict[str, dict[str, object]] = {}
"""Parameters that keep a scheme's searches small."""
VARIANTS: list[tuple[str, dict[str, object]]] = []
"""Further parameters that the laws are tested with."""
ORDERLESS: set[str] = set()
"""Schemes whose answer does not depend on the order in which outcomes come."""

for _path in sorted(Path(__file__).parent.glob("cases_*.py")):
    _cases = importlib.import_module(_path.stem)
    SMALL.update(_cases.SMALL)
    VARIANTS.extend(_cases.VARIANTS)
    ORDERLESS.update(_cases.ORDERLESS)
