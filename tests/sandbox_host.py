"""Tests that need a host which can hold a program: skipped elsewhere, but not where THOUGHTGRAPH_REQUIRE_SANDBOX=1."""

from __future__ import annotations

import os

import pytest

from thoughtgraph.tools.sandbox.boundary import probe

_REQUIRED = os.environ.get("THOUGHTGRAPH_REQUIRE_SANDBOX") == "1"

needs_sandbox = pytest.mark.skipif(not probe().works and not _REQUIRED, reason=probe().why or "it works")
