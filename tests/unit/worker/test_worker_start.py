"""How a worker starts."""

import subprocess
import sys

import pytest

# What the first job of a forked process runs, and which modules that imports.
PROGRAM = """
import gc
import sys
import worker.app
import worker.process.celery_app as app
app._prepare_parent(options={"concurrency": 2})
print(gc.isenabled(), gc.get_freeze_count() > 300_000)
before = set(sys.modules)
import torch
torch.use_deterministic_algorithms(True)
weight = torch.nn.Parameter(torch.ones(3))
for kind in (torch.optim.SGD, torch.optim.AdamW):
    optimizer = kind([weight], lr=0.1)
    optimizer.zero_grad()
    weight.sum().backward()
    optimizer.step()
added = set(sys.modules) - before
print(len(added) < 5, app._pool_size, app.app.conf.worker_proc_alive_timeout, sorted(set(sys.modules) & {"sklearn", "alembic", "scipy.stats"}))
"""


@pytest.mark.slow
def test_the_parent_imports_what_the_first_job_of_a_child_needs_and_nothing_that_none_needs() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    collector, imports = done.stdout.splitlines()
    assert collector == "True True", "it runs again, and does not look through what was imported"
    assert imports.split(maxsplit=3) == ["True", "2", "120.0", "[]"]
