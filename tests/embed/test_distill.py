"""The committed model is the one that its card describes."""

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from dialoguedb.embed import static

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def distill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, looking at a copy of the model."""
    spec = importlib.util.spec_from_file_location("distill", ROOT / "scripts" / "distill.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.FOLDER == static.FOLDER
    shutil.copytree(script.FOLDER, tmp_path / "model")
    monkeypatch.setattr(script, "FOLDER", tmp_path / "model")
    monkeypatch.setattr(script, "CARD", tmp_path / "model" / "MODEL_CARD.md")
    monkeypatch.setattr("sys.argv", ["distill.py", "--check"])
    return script


def test_the_files_have_the_hashes_of_the_card(distill: ModuleType) -> None:
    """Nothing lies beside them, and what the card says of them is so."""
    assert distill.main() == 0
    assert {file.name for file in distill.FOLDER.iterdir()} == {*distill.FILES, "MODEL_CARD.md"}
    card = distill.CARD.read_text(encoding="utf-8")
    assert static.NAME in card
    assert distill.SOURCE_SHA256 in card
    for name in distill.FILES:
        assert f"| `{name}` | {(distill.FOLDER / name).stat().st_size:,} |" in card


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_file_that_was_changed_or_lost_is_noticed(
    distill: ModuleType, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = distill.FOLDER / name
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert distill.main() == 1
    assert re.search(rf"^{name}: is not", capsys.readouterr().out)
    file.unlink()
    assert distill.main() == 1
    assert f"{name}: is missing" in capsys.readouterr().out


def test_other_weights_are_not_distilled(
    distill: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package of the same name with other weights stops the script."""
    folder = tmp_path / f"{distill.SOURCE_PACKAGE.replace('-', '_')}-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Name: {distill.SOURCE_PACKAGE}\nVersion: 0.1.0\n")
    (folder / "RECORD").write_text("weights/model.safetensors,,\n")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"other")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SystemExit, match=r"does not have the SHA-256 53aa5117"):
        distill.source()
