"""The tools: which verbs there are, what they change, and which command does the same."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcp.types import ToolAnnotations

from service.terminal.tools import annotators, audits, datasets, integrations, issues, jobs, rankings, reviews


@dataclass(frozen=True)
class Verb:
    """A tool. `effect` tells clients what to ask a person about; `command` is the one of the command line that does the same."""

    function: Callable[..., Any]
    title: str
    effect: ToolAnnotations
    command: str | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.function.__name__

    @property
    def description(self) -> str:
        """What it does, for an agent."""
        return " ".join((self.function.__doc__ or "").split())


_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
# Done twice, it is as if it were done once.
_SETTLES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_REACHES_OUT = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True
)
_REPLACES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True)
_DESTROYS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

VERBS = (
    Verb(jobs.submit, "Rank a dataset", _REACHES_OUT, "submit"),
    Verb(jobs.jobs, "List jobs", _READS, "list"),
    Verb(jobs.job, "Show a job", _READS),
    Verb(jobs.wait, "Wait for a job", _READS, "watch"),
    Verb(jobs.cancel, "Cancel a job", _SETTLES, "cancel"),
    Verb(jobs.retry, "Continue a failed or cancelled job", _WRITES, "retry"),
    Verb(jobs.rerun, "Run a job again over corrected data", _WRITES, "rerun"),
    Verb(jobs.rescore, "Score a job again by verified samples", _SETTLES, "rescore"),
    Verb(jobs.delete, "Delete a job", _DESTROYS, "delete"),
    Verb(jobs.models, "List models", _READS, "models"),
    Verb(rankings.suspects, "List suspects", _READS, "suspects"),
    Verb(rankings.sample, "Show a sample", _READS, "show"),
    Verb(rankings.images, "Show images", _READS),
    Verb(rankings.groups, "List groups that stand apart", _READS, "groups"),
    Verb(issues.issues, "List what is wrong beside labels", _READS, "issues"),
    Verb(annotators.annotators, "Rate the people who labelled", _READS, "annotators"),
    Verb(rankings.verify_next, "List samples to verify", _READS, "verify-next"),
    Verb(rankings.signals, "List signals", _READS, "signals"),
    Verb(rankings.export, "Write a ranking to a file", _WRITES, "export"),
    Verb(rankings.report, "Write a report to a file", _WRITES, "report"),
    Verb(reviews.review, "Record reviews", _WRITES, "review"),
    Verb(reviews.reviews, "List reviews", _READS),
    Verb(reviews.reviews_summary, "Sum up reviews", _READS),
    Verb(audits.audit, "Tell how many labels are wrong", _READS, "audit"),
    Verb(audits.draw, "Draw samples to review", _WRITES, "draw"),
    Verb(audits.certificate, "Accept or refuse a delivery of labels", _READS, "certificate"),
    Verb(reviews.diff, "Compare two jobs", _READS, "diff"),
    Verb(datasets.datasets, "List datasets", _READS, "datasets"),
    Verb(datasets.dataset, "Show a dataset", _READS),
    Verb(datasets.upload, "Upload a dataset", _REACHES_OUT),
    Verb(datasets.skipped, "List rows that were left out", _READS, "skipped"),
    Verb(datasets.version, "Make a corrected dataset", _SETTLES, "version"),
    Verb(datasets.corrected, "Write the corrected file", _WRITES, "corrected"),
    Verb(integrations.connections, "List connected labelling tools", _READS, "connections"),
    Verb(integrations.push, "Write suspects into the labelling tool", _REPLACES, "push"),
    Verb(integrations.push_undo, "Undo a requeue", _REACHES_OUT),
    Verb(integrations.reconcile, "Read decisions from the labelling tool", _REACHES_OUT, "reconcile"),
    Verb(integrations.networks, "List networks", _READS, "networks"),
    Verb(integrations.deliveries, "List webhook messages", _READS, "deliveries"),
    Verb(integrations.delivery_retry, "Send a webhook message again", _REACHES_OUT),
)

# Commands without a tool, and why.
LEFT_OUT = {
    "up": "it starts the service",
    "demo": "it starts a service of its own",
    "migrate": "it changes the database, which is an operator's work",
    "doctor": "it examines the machine; an agent with a shell can run it",
    "mcp": "it serves the tools",
    "keys list": "keys are an operator's work",
    "keys create": "it prints a secret, which does not belong into a conversation",
    "keys rotate": "it prints a secret, which does not belong into a conversation",
    "keys revoke": "keys are an operator's work",
    "keys log": "it is an operator's work",
    "proxy": "it takes a file with an opinion on every sample",
    "connect": "it takes the token of a labelling tool, which does not belong into a conversation",
    "doccano submit": "it takes a password, which does not belong into a conversation",
    "doccano push": "it takes a password, which does not belong into a conversation",
    "doccano reviews": "it takes a password, which does not belong into a conversation",
}
