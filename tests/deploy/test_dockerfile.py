"""What the image is built from."""

import re

import pytest


@pytest.fixture
def lines(root):
    return (root / "deploy/Dockerfile").read_text().splitlines()


def test_it_stands_on_the_pinned_ray_and_python(lines, ray_version):
    base = next(line for line in lines if line.startswith("FROM "))
    assert base == f"FROM rayproject/ray:{ray_version}-py311-gpu"
    assert f"-t YOUR_REGISTRY/s2st:ray{ray_version} " in lines[0]
    assert any("pip install" in line and "-c constraints.txt" in line for line in lines)


def test_it_copies_what_is_there_as_the_user_it_runs_as(lines, root):
    copied = [line.split() for line in lines if line.startswith("COPY ")]
    for _, owner, *sources, _ in copied:
        assert owner == "--chown=1000:100"
        assert all((root / source).exists() for source in sources)
    assert not any(line.startswith("USER") for line in lines)


def test_it_holds_every_room(lines, root):
    contracts = (root / "pyproject.toml").read_text()
    rooms = set(re.findall(r'"(\w+)"', re.search(r"root_packages = \[(.+)\]", contracts)[1]))
    assert rooms <= {word for line in lines if line.startswith("COPY ") for word in line.split()}
