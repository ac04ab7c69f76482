import re
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from serve import page


@pytest.fixture(scope="module")
def client():
    app = FastAPI()
    app.include_router(page.router)
    return TestClient(app)


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/page/page.css", "text/css"), ("/page/page.js", "text/javascript")]
)
def test_files_come_with_their_type_and_a_strict_policy(client, path, kind):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("name", ["page.py", "../page.py", "..%2Fpage.py", "%2Fetc%2Fpasswd", "nothing.js", ""])
def test_other_files_are_not_given(client, name):
    assert client.get(f"/page/{name}").status_code == 404


def test_all_that_the_files_name_is_there(client):
    for name, path in page.FILES.items():
        text = path.read_text(encoding="utf-8")
        for address in re.findall(r'(?:src|href)="([^"]+)"', text):
            assert client.get(f"/{address}").status_code == 200, f"{name}: {address}"
        for module in re.findall(r'from "./([^"]+)"', text):
            assert module in page.FILES, f"{name}: {module}"


def test_nothing_in_the_page_needs_a_weaker_policy():
    def look(tag, attributes):
        for name, _ in attributes:
            assert not name.startswith("on"), f"{tag} has {name}"
            assert name != "style", f"{tag} has a style"
        assert tag != "style"
        assert tag != "script" or dict(attributes)["src"].startswith("page/")

    parser = HTMLParser()
    parser.handle_starttag = look
    parser.feed(page.FILES["index.html"].read_text(encoding="utf-8"))
    for name, path in page.FILES.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text()), name
