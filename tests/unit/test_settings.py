"""Settings that contradict each other."""

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from service.environment import SettingsError, misspelt_settings, read_settings
from service.settings import Settings


@pytest.mark.parametrize("lease", [1.0, 5.0])
def test_a_lease_that_ends_before_the_next_sign_of_life_is_refused(lease: float) -> None:
    with pytest.raises(
        ValidationError, match=r"SUSPECTS_LEASE_SECONDS .* must be longer than SUSPECTS_HEARTBEAT_SECONDS"
    ):
        Settings(lease_seconds=lease, heartbeat_seconds=5)
    assert Settings(lease_seconds=5.5, heartbeat_seconds=5).lease_seconds == 5.5


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LEASE_SECONDS", "inf", "finite"),
        ("LEASE_SECONDS", "soon", "valid number"),
        ("KEEP_JOBS_DAYS", "nan", "finite"),
        ("KEEP_CHECKPOINTS_DAYS", "1e300", "less than or equal to 36525"),
        ("COLLECT_SECONDS", "1e12", "less than or equal to"),
        ("DATABASE_URL", "nonsense", "postgresql://USER@HOST/DATABASE or sqlite"),
        ("DATABASE_URL", "mysql://host/suspects", "postgresql://USER@HOST/DATABASE or sqlite"),
        ("BROKER_URL", "nonsense", "redis://HOST:PORT/NUMBER"),
        ("BROKER_URL", "amqp://host", "redis://HOST:PORT/NUMBER"),
        ("PUBLIC_URL", "nonsense", "begins with https:// or http://"),
        ("SECRETS", "/nosuch", "there is no folder /nosuch"),
        ("HOME", __file__, "is a file"),
        ("OIDC_GROUPS", "annotators", "oidc_groups"),
        ("OIDC_ISSUER", "https://id.example.org", "SUSPECTS_OIDC_CLIENT_ID"),
    ],
)
def test_an_invalid_value_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"SUSPECTS_{name}", value)
    with pytest.raises(SettingsError) as refused:
        read_settings()
    (fault,) = refused.value.faults
    assert said in fault
    assert name in fault.upper()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("postgresql://noor@host/suspects", "postgresql+psycopg://noor@host/suspects"),
        ("postgres://host/suspects", "postgresql+psycopg://host/suspects"),
        ("postgresql+psycopg:///suspects?host=/run", "postgresql+psycopg:///suspects?host=/run"),
        ("sqlite:////data/suspects.db", "sqlite:////data/suspects.db"),
    ],
)
def test_the_driver_of_a_database_need_not_be_named(given: str, meant: str) -> None:
    assert Settings(database_url=given).database == meant


def test_variables_that_are_named_nearly_like_a_setting_are_told() -> None:
    environment = {
        "SUSPECTS_API_KEY": "sesame",
        "SUSPECTS_LEASE_SECOND": "3",
        "SUSPECTS_HOME": "/data",
        "SUSPECTS_KEY": "of the client",
        "SUSPECTS_PORT_8000_TCP_ADDR": "of Kubernetes",
        "HOME": "/root",
    }
    assert misspelt_settings(environment) == [
        "SUSPECTS_API_KEY is no setting; SUSPECTS_API_KEYS is",
        "SUSPECTS_LEASE_SECOND is no setting; SUSPECTS_LEASE_SECONDS is",
    ]


@pytest.mark.parametrize(
    "command", [["service.main", "--port", "0"], ["celery", "--app", "worker.app", "worker", "--pool", "solo"]]
)
def test_a_process_with_invalid_settings_ends_with_their_names_and_no_traceback(command: list[str]) -> None:
    environment = {**os.environ, "SUSPECTS_LEASE_SECONDS": "inf", "SUSPECTS_BROKER_URL": "nonsense"}
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    for name in ("SUSPECTS_LEASE_SECONDS: ", "SUSPECTS_BROKER_URL: "):
        assert name in done.stderr
