"""What may load what; `make check` holds the imports between rooms, this holds what really gets loaded."""

import json
import subprocess
import sys

import pytest

from service.domain.models import MODELS
from service.domain.signal import SIGNALS
from worker.models import BUILDERS
from worker.signals.formulas import FORMULAS


@pytest.mark.parametrize("module", ["service.main", "service.cli"])
def test_the_service_starts_without_torch_and_without_the_worker(module: str) -> None:
    script = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert "service" in loaded
    # Plots are for whoever asks for a report; until then they cost neither time nor memory.
    assert not loaded & {"torch", "worker", "sklearn", "scipy", "matplotlib"}


def test_a_report_in_markdown_needs_no_plots() -> None:
    script = "import sys, service.report.render, service.report.gather; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_the_service_offers_is_what_the_worker_can_do() -> None:
    assert FORMULAS.keys() == SIGNALS.keys()
    assert BUILDERS.keys() == {name for name, model in MODELS.items() if model.training is not None}
