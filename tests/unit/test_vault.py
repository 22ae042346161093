"""Secrets at rest: a real Fernet, keys of settings and of a file."""

import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError

from service.domain.errors import Conflict
from service.outbound.secrets import Vault
from service.settings import Settings

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def vault(home: Path, keys: str = "") -> Vault:
    return Vault(Settings.model_validate({"home": home, "secret_keys": keys}))


def test_a_secret_comes_back_and_cannot_be_read_from_what_is_stored(tmp_path: Path) -> None:
    one = vault(tmp_path)
    sealed = one.seal("hush")
    assert "hush" not in sealed
    assert one.seal("hush") != sealed
    assert one.open(sealed) == "hush"


def test_without_keys_one_is_made_once_that_only_its_owner_can_read(tmp_path: Path) -> None:
    sealed = vault(tmp_path / "home").seal("hush")
    path = tmp_path / "home" / "secret.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert vault(tmp_path / "home").open(sealed) == "hush"
    assert [one.name for one in path.parent.iterdir()] == ["secret.key"]


def test_keys_can_be_changed_without_losing_a_secret(tmp_path: Path) -> None:
    sealed = vault(tmp_path, OLD).seal("hush")
    both = vault(tmp_path, f"{NEW}, {OLD}")
    assert both.open(sealed) == "hush"
    assert vault(tmp_path, NEW).open(both.seal("hush")) == "hush"


def test_a_key_that_is_gone_is_said_and_no_secret_with_it(tmp_path: Path) -> None:
    sealed = vault(tmp_path, OLD).seal("hush")
    with pytest.raises(Conflict, match="SUSPECTS_SECRET_KEYS") as told:
        vault(tmp_path, NEW).open(sealed)
    assert NEW not in str(told.value)


@pytest.mark.parametrize("keys", ["hush", "aGVsbG8=", f"{OLD},hush"], ids=["no base64", "too short", "one of two"])
def test_what_is_no_key_is_refused_at_the_start(tmp_path: Path, keys: str) -> None:
    with pytest.raises(ValidationError, match="32 random bytes"):
        vault(tmp_path, keys)


def test_settings_do_not_show_their_keys(tmp_path: Path) -> None:
    assert OLD not in repr(Settings.model_validate({"home": tmp_path, "secret_keys": OLD}))
