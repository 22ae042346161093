"""Client of doccano's API: export of a project, marks on examples, decisions of annotators.

Tested with doccano 1.8.4. Its annotation page sorts by an example's `score`, lowest first; the default score is 100.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx

from usual_suspects.client import ApiError, is_local

_PAGE = 500
_EXPORT_WITHIN_S = 600.0
_DEFAULT_SCORE = 100.0
_RECORDED = "suspects_told"  # meta: the decision that was recorded last, so that it is recorded once
_OWN = ("suspicion", "suspect_rank", "suggested", "suspects_job", "suspects_pushed_at", _RECORDED)


@dataclass(frozen=True)
class MarkCounts:
    """Numbers of examples: marked, marked so `before`, `cleared` of older marks, reopened, no longer in the project."""

    marked: int
    before: int
    cleared: int
    reopened: int
    missing: int


class Doccano:
    """One server, one user. The password is used once, to get a token. Neither is stored."""

    def __init__(self, url: str, username: str, password: str) -> None:
        try:
            self._http = httpx.Client(
                base_url=f"{url.rstrip('/')}/v1",
                timeout=httpx.Timeout(120, connect=10),
                trust_env=not is_local(url),
            )
        except (ValueError, httpx.InvalidURL) as error:
            raise ApiError("Not an address", f"{url}: {error}") from error
        login = self._request("POST", "/auth/login/", json={"username": username, "password": password})
        # With the session's cookie beside the token doccano would ask for its CSRF token, too.
        self._http.cookies.clear()
        self._http.headers["Authorization"] = f"Token {login['key']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def export(self, project: int, target: Path) -> None:
        """Write the project's export, JSONL in a ZIP, to a file. Raises ApiError."""
        body = {"format": "JSONL", "exportApproved": False}
        task = self._request("POST", f"/projects/{project}/download", json=body)["task_id"]
        deadline = time.monotonic() + _EXPORT_WITHIN_S
        while not (status := self._request("GET", f"/tasks/status/{task}"))["ready"]:
            if time.monotonic() > deadline:
                raise ApiError("doccano is too slow", f"its export was not ready after {_EXPORT_WITHIN_S:.0f} s")
            time.sleep(0.2)
        if status.get("error"):
            raise ApiError("doccano cannot export", str(status["error"])[:300])
        with self._connection_errors():
            answer = self._http.get(f"/projects/{project}/download", params={"taskId": task})
        _check(answer)
        target.write_bytes(answer.content)

    def push(
        self,
        project: int,
        job: str,
        suspects: Sequence[Mapping[str, Any]],
        now: datetime,
        *,
        reopen: bool,
        comment: bool,
    ) -> MarkCounts:
        """Mark these suspects, and remove older marks from all other examples. Repeatable. Raises ApiError.

        A suspect gets a low score, its results as meta, and a comment; with `reopen` it is set to unconfirmed.
        """
        wanted = {str(one["sample"]["id"]): one for one in suspects}
        before = cleared = reopened = 0
        seen: set[str] = set()
        for example in self.examples(project):
            name, meta = str(example["id"]), dict(example["meta"])
            others = {key: value for key, value in meta.items() if key not in _OWN}
            one = wanted.get(name)
            if one is None:
                if "suspects_job" in meta:
                    self._mark(project, name, others, _DEFAULT_SCORE)
                    cleared += 1
                continue
            seen.add(name)
            marked = meta.get("suspects_job") == job
            pushed_at = meta["suspects_pushed_at"] if marked else now.isoformat()
            recorded = {_RECORDED: meta[_RECORDED]} if marked and _RECORDED in meta else {}
            meta = {**others, **_meta_of(one, job), "suspects_pushed_at": pushed_at, **recorded}
            score = _DEFAULT_SCORE * (1 - float(one["score"]))
            if marked and example["meta"] == meta and example["score"] == score:
                before += 1
            else:
                self._mark(project, name, meta, score)
            if comment:
                self._comment(project, example, _comment_text(one, job))
            if reopen and not marked and example["is_confirmed"]:
                self._request("POST", f"/projects/{project}/examples/{name}/states")  # it toggles
                reopened += 1
        return MarkCounts(len(seen), before, cleared, reopened, len(wanted) - len(seen))

    def decisions(self, project: int, job: str, given: Mapping[str, str]) -> list[dict[str, str]]:
        """New decisions on the examples that a job marked, as bodies of reviews; `given` are the classes by sample.

        Another class is `relabel`, the same class confirmed since the push is `keep`, a deleted example is `remove`.
        A decision that `mark_recorded` has marked is left out: it must not replace a later review from elsewhere.
        Raises ApiError, also when the job has marked nothing in the project: all its samples would seem deleted.
        """
        types = self._request("GET", f"/projects/{project}/category-types")
        names = {one["id"]: str(one["text"]) for one in types}
        left, found = dict(given), []
        examples = list(self.examples(project))
        if all(one["meta"].get("suspects_job") != job for one in examples):
            raise ApiError("No marks", f"{job} has marked no example of project {project}; push it first")
        for example in examples:
            name, meta = str(example["id"]), example["meta"]
            label = left.pop(name, None)
            if label is None or meta.get("suspects_job") != job:
                continue
            path = f"/projects/{project}/examples/{name}"
            labels = [names.get(one["label"]) for one in self._request("GET", f"{path}/categories")]
            one = {}
            if len(labels) == 1 and labels[0] is not None and labels[0] != label:
                one = {"decision": "relabel", "label": labels[0]}
            elif labels == [label] and self._confirmed_since(path, meta["suspects_pushed_at"]):
                one = {"decision": "keep"}
            if one and meta.get(_RECORDED) != one:
                found.append({"sample_id": name, **one})
        return found + [{"sample_id": name, "decision": "remove"} for name in left]

    def mark_recorded(self, project: int, decisions: Sequence[Mapping[str, str]]) -> None:
        """Mark on the examples which decisions were recorded as reviews. Raises ApiError."""
        recorded = {one["sample_id"]: {key: one[key] for key in one if key != "sample_id"} for one in decisions}
        for example in self.examples(project):
            name = str(example["id"])
            if name in recorded:
                self._mark(project, name, {**example["meta"], _RECORDED: recorded[name]}, example["score"])

    def examples(self, project: int) -> Iterator[dict[str, Any]]:
        """All examples of a project, read before the first is returned."""
        found: list[dict[str, Any]] = []
        while True:
            params = {"limit": _PAGE, "offset": len(found)}
            page = self._request("GET", f"/projects/{project}/examples", params=params)
            found += page["results"]
            if not page["next"]:
                yield from found
                return

    def _mark(self, project: int, example: str, meta: Mapping[str, Any], score: float) -> None:
        body = {"meta": dict(meta), "score": score}
        self._request("PATCH", f"/projects/{project}/examples/{example}", json=body)

    def _comment(self, project: int, example: Mapping[str, Any], sentence: str) -> None:
        path, params = f"/projects/{project}/comments", {"example": example["id"]}
        held = (
            self._request("GET", path, params={**params, "limit": _PAGE})["results"] if example["comment_count"] else []
        )
        if all(one["text"] != sentence for one in held):
            self._request("POST", path, params=params, json={"text": sentence})

    def _confirmed_since(self, path: str, moment: str) -> bool:
        states = self._request("GET", f"{path}/states")
        states = states["results"] if isinstance(states, dict) else states
        since = datetime.fromisoformat(moment)
        return any(datetime.fromisoformat(one["confirmed_at"]) > since for one in states)

    def _request(self, method: str, path: str, **options: Any) -> Any:
        with self._connection_errors():
            answer = self._http.request(method, path, **options)
        _check(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise ApiError("Not doccano", f"{self._http.base_url} answers, but not with JSON") from error

    @contextmanager
    def _connection_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise ApiError("Cannot reach doccano", f"{self._http.base_url}: {error}") from error


def _meta_of(one: Mapping[str, Any], job: str) -> dict[str, Any]:
    return {
        "suspicion": one["score"],
        "suspect_rank": one["rank"],
        "suggested": one["suggested_label"],
        "suspects_job": job,
    }


def _comment_text(one: Mapping[str, Any], job: str) -> str:
    doubt = (
        f"looks like {one['suggested_label']}" if one["suggested_label"] != one["given_label"] else "unlike its class"
    )
    return f"suspect {one['score']:.2f}: labelled {one['given_label']}, {doubt} ({job})"


def _check(answer: httpx.Response) -> None:
    if not answer.is_success:
        # Its answer may hold what was sent, and a password may have been.
        detail = answer.text[:300] if "/auth/" not in str(answer.url) else "the user name or the password is wrong"
        raise ApiError(f"doccano answers {answer.status_code}", detail)
