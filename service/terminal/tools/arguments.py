"""Arguments that several tools take."""

from typing import Annotated, Literal

from pydantic import Field

Job = Annotated[str, Field(description="Id of a job: job_…")]
Dataset = Annotated[str, Field(description="Id of a dataset: ds_…")]
Sample = Annotated[str, Field(description="Id of a sample, as lists of samples have it.")]
Limit = Annotated[int, Field(ge=1, le=1000, description="Largest number of items.")]
Cursor = Annotated[str | None, Field(description="`next` of the page before; left out: the first page.")]
Raw = Annotated[bool, Field(description="CSV: values as they are, also those that a spreadsheet would compute.")]
By = Annotated[str, Field(description="mislabeled, anomalous, or any name that `signals` lists.")]
Label = Annotated[str | None, Field(description="Only samples with this given label.")]
Suggested = Annotated[str | None, Field(description="Only samples with this suggested label.")]
Verdict = Annotated[
    str | None, Field(description="Only samples with this verdict: mislabeled, anomalous, clean or not_judged.")
]
Part = Annotated[
    Literal["tighter", "looser"] | None,
    Field(description="Only samples in this part of their label, as `groups` has it."),
]
MinScore = Annotated[float | None, Field(description="Only samples that score at least this.")]
MinConfidence = Annotated[
    float | None,
    Field(
        description="Only samples whose suggested label is at least this certain, 0 to 1: a probability, or only an order where no confidence is shown."
    ),
]
Disagrees = Annotated[
    bool | None,
    Field(description="true: only samples whose suggested label is not the given one; false: only the others."),
]
Reviewed = Annotated[
    bool | None, Field(description="true: only samples on which a decision holds; false: only the others.")
]
Decided = Annotated[
    Literal["relabel", "keep", "remove", "plausible", "unsure"] | None,
    Field(description="Only samples on which this decision holds."),
]
Search = Annotated[
    str | None,
    Field(
        max_length=200, description="Only samples whose id, or the beginning of whose text, contains this; in any case."
    ),
]
Region = Annotated[
    str | None,
    Field(description="Only samples inside this polygon of a map: its name and the corners, as in pca:0,0;1.5,0;1,2."),
]
Stage = Annotated[
    Literal["quick", "full"] | None,
    Field(
        description="quick: the first ranking of a table, by trees alone; full: that of the completed job; left out: the newest."
    ),
]
Apply = Annotated[
    Literal["reviews", "suggestions"],
    Field(
        description="reviews: what was decided. suggestions: also the labels that the job suggests for flagged samples."
    ),
]
Output = Annotated[str, Field(description="Path of the file to write, on the machine of this tool. It must not exist.")]
