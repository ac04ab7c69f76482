"""The page at /: its files, and the policy that lets a browser load nothing else.

The files need no key: what the page asks of /v1 does. All of their addresses are relative, so the page works behind a
proxy under a path of its own, as long as that path ends in a slash.
"""

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

FOLDER = Path(__file__).with_suffix("")
MEDIA_TYPES = {  # not of the operating system, whose table may say that scripts are plain text
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FILES = {path.name: path for path in sorted(FOLDER.iterdir()) if path.suffix in MEDIA_TYPES}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
def index() -> FileResponse:
    """Answer with the page."""
    return asset("index.html")


@router.get("/page/{name}")
def asset(name: str) -> FileResponse:
    """Answer with a file of the page; names that are not in its folder give 404."""
    if name not in FILES:
        raise HTTPException(404, f"the page has no file '{name}'")
    path = FILES[name]
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=HEADERS)
