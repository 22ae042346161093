"""Options of a submission as the API takes them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from usual_suspects.client.models import DatasetOptions, JobOptions
from usual_suspects.client.names import sample_name
from usual_suspects.client.submissions.prepared import Origin, Prepared

_OF_DATASET = frozenset(DatasetOptions.__annotations__)
_OF_JOB = frozenset(JobOptions.__annotations__)
_COLUMNS = frozenset({"label", "id", "split", "group", "annotator", "features", "exclude", "kinds"})


class SubmitOptions(DatasetOptions, JobOptions, total=False):
    """How the data are read, and what the job is asked for."""


def dataset_spec(options: Mapping[str, Any], prepared: Prepared | None, name: str | None) -> dict[str, Any]:
    """The spec of an upload. What the form of the data asks for holds unless the caller says otherwise. Raises TypeError."""
    check(options, _OF_DATASET)
    found = {key: _as_names(value) if key in _COLUMNS else value for key, value in options.items() if value is not None}
    for key, value in (prepared.options if prepared else {}).items():
        found[key] = [*value, *found.get(key, ())] if isinstance(value, list) else found.get(key, value)
    shown = name or (prepared.name if prepared else None)
    return {**found, **({"name": shown} if shown else {})}


def named_by(origin: Origin, column: str | None) -> Origin:
    """The origin of data whose samples a column names: values of a default index name none of them."""
    return origin if column is None else replace(origin, places=None)


def with_sample_names(options: Mapping[str, Any], origin: Origin | None) -> dict[str, Any]:
    """The options of a job, its reference samples by their ids: they may be values of the index of the frame."""
    reference = options.get("reference")
    if not isinstance(reference, Mapping) or isinstance(reference.get("samples"), str | None):
        return dict(options)
    named = [sample_name(one, origin) for one in reference["samples"]]
    return {**options, "reference": {**reference, "samples": named}}


def _as_names(value: Any) -> Any:
    """Names of columns as texts: those of a frame may be numbers."""
    if isinstance(value, Mapping):
        return {str(name): one for name, one in value.items()}
    return [str(name) for name in value] if isinstance(value, list | tuple) else str(value)


def job_spec(options: Mapping[str, Any], more: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the dataset and those of the job, of the arguments of `submit`. Raises TypeError for an unknown one."""
    check(options, _OF_DATASET | _OF_JOB)
    of_job = {key: value for key, value in options.items() if key in _OF_JOB and value is not None}
    if isinstance(of_job.get("model"), str):
        of_job["model"] = {"name": of_job["model"]}
    of_dataset = {key: value for key, value in options.items() if key in _OF_DATASET}
    given = dict(more or {})
    of_dataset |= given.pop("dataset", {})
    return of_dataset, {**of_job, **given}


def check(options: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raises TypeError for an option that is not known."""
    unknown = sorted(set(options) - known)
    if unknown:
        raise TypeError(f"unknown option {', '.join(unknown)}: expected some of {', '.join(sorted(known))}")
