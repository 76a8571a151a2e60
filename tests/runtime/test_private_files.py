"""Files are private to the user, except below a shared folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.other_user import COLLEAGUE, GROUP, USER, call_as, needs_root, open_folder
from tune_jobs.runtime.private_files import (
    create_private,
    find_refusal,
    make_closed_folder,
    make_folders,
    open_private,
)
from tune_jobs.runtime.regular_files import append


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write(path: Path) -> None:
    with open(path, "w", opener=open_private) as file:
        file.write("x")


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(
    ("around", "folder", "file"),
    [
        (0o755, 0o700, 0o600),
        (0o700, 0o700, 0o600),
        (0o1777, 0o700, 0o600),  # as /tmp
        (0o2770, 0o2770, 0o660),
        (0o2775, 0o2775, 0o664),
        (0o2755, 0o2755, 0o644),
        (0o770, 0o770, 0o660),
        (0o3770, 0o2770, 0o660),
        (0o777, 0o777, 0o666),
    ],
)
def test_modes_follow_shared_folders_only(
    around: int, folder: int, file: int, tmp_path: Path
) -> None:
    tmp_path.chmod(around)
    make_folders(tmp_path / "a" / "b")
    write(tmp_path / "opened")
    create_private(tmp_path / "created")
    append(str(tmp_path / "appended"), b"x")
    write(tmp_path / "a" / "b" / "deep")
    assert [oct(mode(tmp_path / name)) for name in ("a", "a/b")] == [oct(folder)] * 2
    files = ("opened", "created", "appended", "a/b/deep")
    assert [oct(mode(tmp_path / name)) for name in files] == [oct(file)] * 4


def test_what_exists_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("longer")
    path.chmod(0o640)
    write(path)
    create_private(path)
    make_folders(tmp_path)
    assert (path.read_text(), mode(path)) == ("x", 0o640)
    with pytest.raises(FileExistsError), open(path, "x", opener=open_private):
        pass
    with pytest.raises(FileExistsError):
        make_folders(path)


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write(tmp_path / "link")
    assert mode(tmp_path / "target") == 0o600
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").symlink_to("folder")
    make_folders(tmp_path / "other" / "new")
    assert mode(tmp_path / "folder" / "new") == 0o700


def test_paths_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_folders("a/b/")
    write(Path("file"))
    assert [mode(Path(name)) for name in ("a/b", "file")] == [0o700, 0o600]


def test_folders_of_sockets_are_closed_wherever_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o2777)
    closed, opened, link = tmp_path / "closed", tmp_path / "opened", tmp_path / "link"
    for _ in range(2):
        make_closed_folder(closed)
        assert mode(closed) & 0o777 == 0o700
    make_folders(opened)
    link.symlink_to(closed)
    for other in (opened, link):
        with pytest.raises(PermissionError, match=other.name):
            make_closed_folder(other)


@needs_root
def test_members_of_the_group_of_a_shared_folder_work_together() -> None:
    with open_folder() as folder:
        for name, bits in (("setgid", 0o2770), ("writable", 0o770)):
            shared = folder / name
            shared.mkdir()
            os.chown(shared, 0, GROUP)
            shared.chmod(bits)
            member = [GROUP]
            made = call_as(USER, partial(make_folders, shared / "deep" / "er"), groups=member)
            assert made == "None"
            for user, file in ((USER, "one"), (COLLEAGUE, "two")):
                path = shared / "deep" / "er" / file
                assert call_as(user, partial(write, path), groups=member) == "None"
                assert (path.stat().st_gid, mode(path)) == (GROUP, 0o660)
            first = path.with_name("one")
            assert call_as(COLLEAGUE, partial(write, first), groups=member) == "None"


@needs_root
def test_another_group_does_not_get_the_rights_of_the_shared_folder() -> None:
    with open_folder() as folder:
        os.chown(folder, 0, GROUP)
        folder.chmod(0o777)
        assert call_as(USER, lambda: make_folders(folder / "runs")) == "None"
        assert call_as(USER, lambda: write(folder / "file")) == "None"
        assert [mode(folder / name) for name in ("runs", "file")] == [0o700, 0o600]


@needs_root
def test_refusals_name_the_path_its_owner_and_the_fix() -> None:
    with open_folder() as folder:
        inner, file = folder / "inner", folder / "inner" / "s.db"
        make_folders(inner)
        write(file)

        def ask(*, write: bool) -> str:
            return call_as(USER, lambda: find_refusal(file, write=write))

        refusal = ask(write=False)
        assert refusal.startswith(f"{inner} cannot be entered by user {USER}: it belongs to root")
        assert "mode 0700" in refusal
        assert f"chgrp GROUP {inner} && chmod g+x {inner}" in refusal
        inner.chmod(0o755)
        assert ask(write=False).startswith(f"{file} cannot be read")
        file.chmod(0o644)
        assert ask(write=False) == ""
        assert ask(write=True).startswith(f"{file} cannot be written by")
        file.chmod(0o666)
        assert ask(write=True).startswith(f"{inner} cannot be written to")
        inner.chmod(0o777)
        assert ask(write=True) == ""
        os.chown(file, USER, USER)
        file.chmod(0o400)
        assert ask(write=True).endswith(f"chmod u+rwX {file}")
        assert call_as(USER, lambda: find_refusal(inner / "no" / "such", write=True)) == ""
