"""How a worker starts, and what it says when it is asked to end."""

import json
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
torch.set_deterministic_debug_mode("error")
from service.domain.specs import Training
from worker.training.loop import train
labels = torch.arange(8) % 2
for optimizer in ("sgd", "adamw"):
    # One network has gradients of its own, the other those of autograd. Training goes on from the state of its first epoch.
    for model in (torch.nn.Linear(3, 2), torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Softplus())):
        training = Training(epochs=2, batch_size=4, learning_rate=0.1, momentum=0.9, weight_decay=0.01, seed=0, checkpoints="all", schedule="constant", optimizer=optimizer)
        states = []
        train(model, [torch.rand(8, 3)], labels, training, resume=None, after_epoch=lambda one, _: states.append(one))
        train(model, [torch.rand(8, 3)], labels, training, resume=states[0], after_epoch=lambda *_: None)
added = set(sys.modules) - before
unwanted = {"sklearn", "alembic", "scipy.stats", "torch._dynamo", "torch._inductor.config"}
print(len(added) < 5, app._pool_size, app.app.conf.worker_proc_alive_timeout, sorted(set(sys.modules) & unwanted))
"""


@pytest.mark.slow
def test_the_parent_imports_what_the_first_job_of_a_child_needs_and_nothing_that_none_needs() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    collector, imports = done.stdout.splitlines()
    assert collector == "True True", "it runs again, and does not look through what was imported"
    assert imports.split(maxsplit=3) == ["True", "2", "120.0", "[]"]


# Celery's own handler of SIGTERM, as it is installed for a worker.
ENDING = """
import os
import signal
from types import SimpleNamespace
import worker.process.celery_app as app
from celery.apps import worker as celery_worker
app._prepare_parent(options={"concurrency": 1})
celery_worker.install_worker_term_handler(SimpleNamespace(hostname="here"))
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
def test_a_worker_that_is_asked_to_end_says_so_in_json() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(one["level"], one["event"]) for one in told] == [("info", "worker: Warm shutdown (MainProcess)")]
    assert "timestamp" in told[0]
