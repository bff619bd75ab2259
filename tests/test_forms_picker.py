"""The picker walks through folders, and takes a name in the one that is shown."""

from __future__ import annotations

from pathlib import Path

from datatransfer.notebook.picker import PathPicker


def test_the_picker_walks_through_folders_and_takes_a_name_in_the_one_that_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "part.zip").write_bytes(b"x")
    picked: list[str] = []
    picker = PathPicker("Package", picked.append, folder=tmp_path)
    picker.list.value = "a/"  # choosing is not opening: the arrow keys choose whatever they pass
    assert picker.folder == tmp_path
    assert not picker.into.disabled
    picker.into.click()
    assert picker.folder == tmp_path / "a"
    assert picker.list.options == ("b/", "part.zip  (1 byte)")
    assert picked == []
    picker.list.value = "part.zip  (1 byte)"
    assert picker.into.disabled
    picker.path.value = "new.zip"
    assert picked == [str(tmp_path / "a" / "part.zip"), str(tmp_path / "a" / "new.zip")]
    picker.list.value = "part.zip  (1 byte)"  # again, after something else was written
    assert picked[-1] == str(tmp_path / "a" / "part.zip")
    (tmp_path / "a" / "late.zip").write_bytes(b"xy")
    picker.clear()
    assert (picker.value, picker.list.value, picked[-1]) == ("", None, "")
    assert picker.list.options == ("b/", "late.zip  (2 bytes)", "part.zip  (1 byte)")
    picker.list.value = "part.zip  (1 byte)"
    assert picked[-1] == str(tmp_path / "a" / "part.zip")
    picker.up.click()
    assert picker.folder == tmp_path
    picker.path.value = str(tmp_path / "a")  # a folder is no file: what was picked before does not count any more
    assert picker.folder == tmp_path / "a"
    assert picked[-1] == ""
