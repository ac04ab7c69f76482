"""The headless Chromium that the page is looked at with."""

import os
import shutil
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def launch(playwright: Any, *options: str) -> Any:
    """Start Chromium; of root it asks to go without its sandbox."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return playwright.chromium.launch(executable_path=CHROMIUM, args=[*options, *["--no-sandbox"] * is_root])
