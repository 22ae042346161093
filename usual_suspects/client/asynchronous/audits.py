"""The audit of a job."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from usual_suspects.client.asynchronous.transport import AsyncTransport
from usual_suspects.client.asynchronous.waiting import work
from usual_suspects.client.conversion import to_model
from usual_suspects.client.models import Audit, AuditBatchView, AuditCertificate, AuditProxy, JobView
from usual_suspects.client.names import class_name, sample_name
from usual_suspects.client.requests import act, create, get
from usual_suspects.client.submissions.prepared import Origin


class AsyncAudits:
    """How many labels of a job are wrong, measured by the reviews of drawn samples."""

    _transport: AsyncTransport
    view: JobView
    origin: Origin | None

    async def draw(
        self,
        count: int = 20,
        *,
        goal: str = "measure",
        reviewer: str | None = None,
        confirm: int | None = None,
        of: str = "original",
    ) -> AuditBatchView:
        """Samples to review next, so that their reviews measure how many labels are wrong.

        `goal`: measure, recall:0.9, remaining:0.01 or accept:0.01. What `reviewer` was given and has not reviewed comes first. With
        `confirm=2` a label counts as wrong once a second person calls it so. Raises Invalid.
        """
        body = {"count": count, "goal": goal, "reviewer": reviewer, "confirm": confirm, "of": of}
        request = create(body, "jobs", self.view.id, "audit", "draws")
        return to_model(AuditBatchView, await self._transport.send(request))

    async def audit(
        self,
        *,
        goal: str | None = None,
        level: float = 0.95,
        by: str | None = None,
        top: Sequence[int] = (),
        history: bool = False,
        opinions: bool = False,
        worst_case: bool = False,
        of: str = "original",
    ) -> Audit:
        """How many labels are wrong, measured by the reviews of drawn samples, and whether reviewing may stop.

        The interval holds with the confidence `level` at every moment. `by` label or split also measures each of them, `top` the first
        ranks. Raises ApiError.
        """
        asked = {"goal": goal, "level": level, "by": by, "top": ",".join(map(str, top)) or None, "of": of}
        named = {"history": history, "opinions": opinions, "worst_case": worst_case}
        flags = {name: str(value).lower() for name, value in named.items()}
        return to_model(Audit, await self._transport.send(get("jobs", self.view.id, "audit", **asked, **flags)))

    async def add_proxy(
        self,
        name: str,
        *,
        labels: Mapping[Any, Any] | None = None,
        wrong: Mapping[Any, float] | None = None,
        of: str = "original",
    ) -> AuditProxy:
        """Let another judge share in the draws of the audit: the `labels` that it would give, or how likely labels are `wrong`, by id.

        A good judge saves reviews; a bad one costs reviews, and the interval holds all the same. Raises Invalid.
        """
        named = {sample_name(one, self.origin): self._class(label) for one, label in (labels or {}).items()}
        shares = {sample_name(one, self.origin): float(share) for one, share in (wrong or {}).items()}
        said = {"labels": None if labels is None else named, "wrong": None if wrong is None else shares}
        body = {"name": name, "of": of, **{field: value for field, value in said.items() if value is not None}}
        return to_model(AuditProxy, await self._transport.send(act("jobs", self.view.id, "proxies", body=body)))

    async def certificate(
        self, share: float = 0.01, *, level: float = 0.95, of: str = "original", path: str | Path | None = None
    ) -> AuditCertificate:
        """Whether at most `share` of the labels is wrong, by the audit; the page is also written to `path`. Raises ApiError."""
        request = get("jobs", self.view.id, "audit", "certificate", share=share, level=level, of=of)
        found = to_model(AuditCertificate, await self._transport.send(request))
        if path is not None:
            page = get("jobs", self.view.id, "audit", "certificate", share=share, level=level, of=of, format="html")
            async with self._transport.opened(page) as blocks:
                content = b"".join([block async for block in blocks])
            await work(Path(path).write_bytes, content)
        return found

    def _class(self, label: Any) -> str:
        return class_name(label, self.view.dataset.classes, self.origin)
