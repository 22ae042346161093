"""The Dockerfile and the compose file, read."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
Instruction = tuple[str, str]


def read_stages(text: str) -> dict[str, list[Instruction]]:
    """The instructions of each stage of a Dockerfile, FROM among them, with continued lines joined."""
    stages: dict[str, list[Instruction]] = {}
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    name = ""  # arguments may stand before the first stage
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        keyword, rest = line.strip().split(maxsplit=1)
        if keyword == "FROM":
            name = rest.split()[-1]
        stages.setdefault(name, []).append((keyword, rest))
    return stages


STAGES = read_stages((ROOT / "Dockerfile").read_text())


def values(stage: str, keyword: str) -> list[str]:
    """What stands after a keyword in a stage."""
    return [rest for found, rest in STAGES[stage] if found == keyword]


def origins(stage: str) -> set[str]:
    """The stage and every stage that anything in it comes from."""
    named = {values(stage, "FROM")[0].split()[0]}
    named |= {found for _, rest in STAGES[stage] for found in re.findall(r"(?:--|,)from=([^\s,]+)", rest)}
    return {stage}.union(*(origins(name) for name in named & set(STAGES)))


def inherited(stage: str, keyword: str) -> list[str]:
    """What a keyword says in the stages that a stage is built on, then in itself; a copied file brings none of it."""
    source = values(stage, "FROM")[0].split()[0]
    return (inherited(source, keyword) if source in STAGES else []) + values(stage, keyword)


def environment(stage: str) -> dict[str, str]:
    """The variables that an image sets."""
    return dict(pair.split("=", 1) for rest in inherited(stage, "ENV") for pair in shlex.split(rest))


def command(stage: str) -> list[str]:
    """What an image runs, which must be in exec form: signals would otherwise end at a shell."""
    words: list[str] = json.loads(values(stage, "CMD")[-1])
    return words


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether the builder is not sent a path: the last pattern that matches it, or a folder above it, decides."""
    parts = path.split("/")
    prefixes = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    verdict = False
    for pattern in patterns:
        bare = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(bare, prefix) for prefix in prefixes):
            verdict = not pattern.startswith("!")
    return verdict


def ignore_patterns() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
