"""`suspects keys`: an operator's work at the terminal."""

from tests.unit.test_cli import Suspects, suspects

__all__ = ["suspects"]


def test_keys_are_created_used_rotated_revoked_and_logged(suspects: Suspects) -> None:
    admin = suspects("keys", "create", "operator", "--scope", "admin").out.strip()
    made = suspects(
        "--key", admin, "keys", "create", "Noor", "--scope", "review", "--project", "birds", "--jobs-per-day", "3"
    )
    noor = made.out.strip()
    assert suspects("--key", noor, "list").code == 0
    assert "admin" in suspects("--key", noor, "keys", "list").err
    listed = suspects("--key", admin, "keys", "list").out.splitlines()
    assert [line.split("\t")[1:3] for line in listed] == [
        ["name", "project"],
        ["Noor", "birds"],
        ["operator", "default"],
    ]
    number = noor.partition(".")[0]
    newer = suspects("--key", admin, "keys", "rotate", number, "--grace-seconds", "0").out.strip()
    assert suspects("--key", noor, "list").code == 1
    assert suspects("--key", newer, "list").code == 0
    assert suspects("--key", admin, "keys", "revoke", newer.partition(".")[0]).code == 0
    assert "not known" in suspects("--key", newer, "list").err
    logged = suspects("--key", admin, "keys", "log", "--limit", "50").out
    assert "DELETE" in logged
    assert not any(key in logged for key in (admin, noor, newer))
