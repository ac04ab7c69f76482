"""Shared by the tests of deploy/."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root():
    """The folder of the checkout."""
    return ROOT


@pytest.fixture
def ray_version():
    """Ray's version that constraints.txt pins."""
    return re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
