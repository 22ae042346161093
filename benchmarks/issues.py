"""What the look for issues beside labels costs: processor seconds of the checks, beside those of the whole job.

    python -m benchmarks.issues [DATASET[:ROWS] ...]

Both run in this process; the job is the default one, with the model that is trained from random weights. What was found is printed too: the sets are
public, and nothing is planted.
"""

import argparse
import time

from rich.console import Console
from rich.table import Table

from benchmarks.data import load
from benchmarks.runs import fixed, run
from service.domain.specs import JobOptions
from worker.issues.find import find_issues
from worker.job.ranking import held_out_guess
from worker.machine.threads import one_thread
from worker.signals.measurements import Measurements

DEFAULT = ("adult:4000", "trec", "mnist:4000", "bank")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("datasets", nargs="*", default=DEFAULT)
    console = Console()
    table = Table("dataset", "samples", "job s", "issues s", "share", "found")
    for asked in parser.parse_args().datasets:
        name, _, rows = asked.partition(":")
        info, dataset = load(name, int(rows) if rows else None)
        began = time.process_time()
        done = run(info, dataset, JobOptions(model=fixed(info)))
        job = time.process_time() - began
        samples, measured = done.prepared, done.scored.measurements
        features = measured.position.features if isinstance(measured, Measurements) else None
        began = time.process_time()
        with one_thread():
            answer = find_issues(
                dataset,
                samples.rows,
                samples.planted,
                reference_rows=samples.reference_rows,
                features=features,
                guess=held_out_guess(measured),
                seed=done.spec.training.seed,
            )
        spent = time.process_time() - began
        found = ", ".join(f"{one['type']} {one['flagged']}" for one in answer["items"] if one["found"])
        table.add_row(name, f"{len(samples.rows):,}", f"{job:.1f}", f"{spent:.2f}", f"{spent / job:.1%}", found)
    console.print(table)


if __name__ == "__main__":
    main()
