"""Arguments and options that several commands take."""

import sys
from typing import Annotated

import typer

Job = Annotated[str, typer.Argument(help="Id of a job: job_…")]
Dataset = Annotated[str, typer.Argument(help="Id of a dataset: ds_…")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print ids alone, one a line.")]
By = Annotated[str, typer.Option(help="mislabeled, anomalous, or any signal of `suspects signals`.")]
Label = Annotated[str | None, typer.Option(help="Only samples with this given label.")]
Suggested = Annotated[str | None, typer.Option(help="Only samples with this suggested label.")]
Verdict = Annotated[
    str | None, typer.Option(help="Only samples with this verdict: mislabeled, anomalous, clean or not_judged.")
]
Part = Annotated[
    str | None,
    typer.Option(help="Only samples in this part of their label, as `suspects groups` has it: tighter or looser."),
]
MinScore = Annotated[float | None, typer.Option(help="Only samples that score at least this.")]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        help="Only samples whose suggested label is at least this certain, 0 to 1: a probability, or only an order where none is shown."
    ),
]
Raw = Annotated[
    bool,
    typer.Option(
        "--raw",
        help="Leave texts of CSV as they are. Otherwise one that a spreadsheet would compute has an apostrophe before it.",
    ),
]
Disagrees = Annotated[
    bool | None,
    typer.Option("--disagrees/--agrees", help="Only samples whose suggested label is not the given one, or is."),
]
Reviewed = Annotated[
    bool | None, typer.Option("--reviewed/--not-reviewed", help="Only samples on which a decision holds, or none does.")
]
Decided = Annotated[
    str | None,
    typer.Option("--decision", help="Only samples on which this holds: relabel, keep, remove, plausible or unsure."),
]
Search = Annotated[
    str | None,
    typer.Option("--search", help="Only samples whose id, or the beginning of whose text, contains this, in any case."),
]
Region = Annotated[
    str | None,
    typer.Option(help="Only samples inside this polygon of a map: its name and the corners, as in pca:0,0;1.5,0;1,2."),
]
Stage = Annotated[
    str | None,
    typer.Option(
        help="Which ranking: quick for the first one of a table, by trees alone, full for that of the completed job; default: the newest."
    ),
]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Number of rows to show.")]
Port = Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")]


def secret(given: str | None, what: str, variable: str) -> str:
    """A secret from its variable, or asked for at a terminal. Where nobody can answer, it is a usage error: exit code 2."""
    if given:
        return given
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"set {variable}: there is no terminal to ask for {what}")
    return str(typer.prompt(what, hide_input=True, err=True))
