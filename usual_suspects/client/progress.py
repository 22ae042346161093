"""Progress bar of a job that is waited for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol

from usual_suspects.client.events import Update
from usual_suspects.client.submissions.prepared import package


class Bar(Protocol):
    """Shows where a job stands."""

    def show(self, update: Update) -> None:
        """Take in an event."""


class _Silent:
    def show(self, update: Update) -> None:
        pass


class _Drawn:
    def __init__(self, bar: Any) -> None:
        self._bar, self._metrics = bar, ""

    def show(self, update: Update) -> None:
        data = update.data
        match update.kind:
            case "progress":
                self._bar.set_description_str(data["phase"], refresh=False)
                self._bar.set_postfix_str(", ".join(filter(None, (data["detail"], self._metrics))), refresh=False)
                self._bar.n = max(self._bar.n, round(data["fraction"] * 100, 1))
            case "metrics":
                self._metrics = f"loss {data['loss']:.3f}, accuracy {data['accuracy']:.1%}"
            case _:
                self._bar.set_description_str(data["state"], refresh=False)
                if data["state"] == "completed":
                    self._bar.n = 100
        self._bar.refresh()


@contextmanager
def progress_bar(job: str, wanted: bool | None) -> Iterator[Bar]:
    """A bar on stderr, or in the cell of a notebook.

    Without a wish there is one where somebody sees it, at a terminal or in a notebook, and tqdm is installed. Raises MissingPackage
    where one is wished for and tqdm is not installed.
    """
    if wanted is False or (wanted is None and not _is_seen()):
        yield _Silent()
        return
    try:
        tqdm = package("tqdm.auto" if _has_widgets() else "tqdm", "a progress bar").tqdm
    except ImportError:
        if wanted:
            raise
        yield _Silent()
        return
    with tqdm(
        total=100, desc=job, bar_format="{desc:<10}{percentage:3.0f}%|{bar}| {elapsed} {postfix}", leave=True
    ) as bar:
        yield _Drawn(bar)


def _is_seen() -> bool:
    return sys.stderr.isatty() or _in_notebook()


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def _has_widgets() -> bool:
    """Whether tqdm.auto can draw without a warning: in a notebook it needs ipywidgets."""
    return not _in_notebook() or find_spec("ipywidgets") is not None
