"""Secrets of local runs: from the environment or the keyring, masked in the output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail

from tests.backends.local_bench import Bench
from tests.conftest import Script
from tune_jobs.backends.local import masked_output
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.backends.local.masked_output import MaskedOutput
from tune_jobs.core.job_runs import RunState
from tune_jobs.core.secret import Secret
from tune_jobs.errors import ConfigError, SubmitError
from tune_jobs.runtime.masking import Masking
from tune_jobs.runtime.secret_values import mask_values, note_unmasked

SECRET = Secret("ocid1.vaultsecret.oc1..a")
VALUE = "hf_Secret/Token+1"


class Keyring(KeyringBackend):
    """Keyring with one password."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    priority = 1.0
    locked = False

    def set_password(self, service: str, username: str, password: str) -> None:
        raise keyring.errors.PasswordSetError("read only")

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise keyring.errors.KeyringLocked("it is locked")
        return VALUE if (service, username) == ("tune_jobs", "TOKEN") else None


@pytest.fixture
def ring() -> Iterator[Keyring]:
    before, own = keyring.get_keyring(), Keyring()
    keyring.set_keyring(own)
    yield own
    keyring.set_keyring(before)


BODY = (
    'printf %.8s "$TOKEN"; sleep 0.1; printf %s "$TOKEN" | tail -c +9; echo; echo "$OTHER" >&2; '
    'echo "len=${#TOKEN} value=1"; echo $TUNE_JOBS_SECRET_NAMES'
)


def test_output_is_masked(script: Script, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    monkeypatch.setenv("OTHER", "abc")
    backend = LocalBackend(script(BODY), env={"TOKEN": SECRET, "OTHER": SECRET})
    backend.check()
    b = Bench(backend)
    try:
        assert b.run("r-1").state is RunState.SUCCEEDED
        with pytest.raises(SubmitError, match="environment variable TOKEN is a secret"):
            b.start("r-2", env={"TOKEN": "0.1"})
    finally:
        b.service.close()
    note = "tune_jobs: not masked in the output, since shorter than 6 bytes: OTHER"
    assert b.store.log("r-1").splitlines() == [
        *(note, "***", "abc", f"len={len(VALUE)} value=1", "TOKEN,OTHER")
    ]
    assert [r.values for r in b.store.records("r-1")] == [{"value": 1.0}]
    for path in Path("runs").rglob("*"):
        assert path.is_dir() or VALUE.encode() not in path.read_bytes()
    assert VALUE not in repr(vars(backend))


def test_output_of_all_nodes(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", VALUE)
    body = 'echo "$NODE_RANK $TOKEN"; echo value=1'
    b = Bench(LocalBackend(script(body), env={"TOKEN": SECRET}, nodes=2))
    try:
        assert b.run("r-1").state is RunState.SUCCEEDED
    finally:
        b.service.close()
    logs = sorted(path.read_text() for path in Path("runs").rglob("log.txt"))
    assert logs == ["0 ***\nvalue=1\n", "1 ***\nvalue=1\n"]


def test_output_of_a_process_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    output = MaskedOutput(os.fdopen(read, "rb"), f"{tmp_path}/log", Masking([VALUE.encode()]))
    assert not output.is_complete()
    monkeypatch.setattr(masked_output, "PIPE_SECONDS", 0.0)
    assert output.is_complete()
    os.close(write)


def test_secrets_that_are_missing(ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    for name in ("EMPTY", "ABSENT"):
        with pytest.raises(ConfigError, match=f"set the variable {name} .*keyring set tune_jobs"):
            LocalBackend(["true"], env={name: SECRET}).check()
    ring.locked = True
    with pytest.raises(ConfigError, match="keyring cannot be read: it is locked"):
        LocalBackend(["true"], env={"TOKEN": SECRET}).check()


def test_a_machine_without_keyring(ring: Keyring) -> None:
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    with pytest.raises(ConfigError, match="TOKEN"):
        LocalBackend(["true"], env={"TOKEN": SECRET}).check()


def test_what_is_not_masked_is_said() -> None:
    values = {"A": "abc\n\n\n\n", "B": "abcdef", "C": "\n" * 9, "D": "abc\ndef\n"}
    masking = mask_values(values)
    assert note_unmasked(values).endswith(": A, C\n")
    assert masking.mask(b"abcdef abc\ndef") == b"*** ***"
