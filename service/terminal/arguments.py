"""Arguments and options that several commands take."""

from typing import Annotated

import typer

Job = Annotated[str, typer.Argument(help="Id of a job: job_…")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
By = Annotated[str, typer.Option(help="mislabeled, anomalous, or any signal of `suspects signals`.")]
Label = Annotated[str | None, typer.Option(help="Only samples with this given label.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Number of rows to show.")]
