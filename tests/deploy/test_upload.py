"""What `ray job submit --working-dir .` sends, by Ray's own packing."""

import shutil
import zipfile

import pytest
from ray._private.runtime_env.packaging import create_package

MEGABYTES = 16


def packed(folder, archive):
    """Names of the files that Ray would send."""
    create_package(str(folder), archive, include_gitignore=True)
    with zipfile.ZipFile(archive) as file:
        return {name for name in file.namelist() if not name.endswith("/")}


def test_the_upload_is_small_and_holds_what_a_recipe_needs(root, tmp_path):
    archive = tmp_path / "upload.zip"
    names = packed(root, archive)
    assert archive.stat().st_size < MEGABYTES << 20
    for room in ("recipes", "pipelines", "trainers", "serve", "stages", "s2st"):
        sources = {str(path.relative_to(root)) for path in (root / room).rglob("*.py")}
        assert sources
        assert sources <= names
    assert "recipes/fleurs_en_hi.yaml" in names
    assert "s2st/corpora/sample_data/en_us/train/0000.parquet" in names
    assert not any(name.startswith(("docs/", "tests/", ".venv", ".git/", "runs/")) for name in names)


@pytest.mark.parametrize(
    "left_out",
    [
        "runs/demo/model/x",
        "data/x.wav",
        ".venv/bin/python",
        ".git/HEAD",
        "docs/x.html",
        "tests/x.py",
        "s2st/__pycache__/x",
    ],
)
def test_what_a_checkout_gathers_stays_here(root, tmp_path, left_out):
    for name in (".rayignore", ".gitignore"):
        shutil.copy(root / name, tmp_path)
    for name in (left_out, "s2st/corpora/sample_data/x", "recipes/x.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    names = packed(tmp_path, tmp_path.parent / f"{tmp_path.name}.zip")
    assert names - {".rayignore", ".gitignore"} == {"s2st/corpora/sample_data/x", "recipes/x.yaml"}
