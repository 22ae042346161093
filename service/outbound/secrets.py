"""Encryption of secrets in the database, with Fernet."""

import os
from functools import cached_property
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from service.domain.errors import Conflict
from service.settings import Settings

_FILE = "secret.key"


class Vault:
    """Encrypts with the first key and decrypts with any key, so that keys can be rotated.

    Without SUSPECTS_SECRET_KEYS a key is created in a file of the home folder that only its owner can read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def seal(self, secret: str) -> str:
        """Encrypt a secret."""
        return self._fernet.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """Decrypt a secret. Raises Conflict when no key fits."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise Conflict(
                "the secret was encrypted with a key that is not among SUSPECTS_SECRET_KEYS any more; send the token anew",
                members={"state": "sealed"},
            ) from None

    @cached_property
    def _fernet(self) -> MultiFernet:
        keys = [key.strip() for key in self._settings.secret_keys.get_secret_value().split(",") if key.strip()]
        return MultiFernet([Fernet(key) for key in keys or [_own_key(self._settings.home / _FILE)]])


def _own_key(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Written to a temporary file and linked: a reader sees a whole key, and the first of two writers wins.
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(Fernet.generate_key())
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_text().strip()
