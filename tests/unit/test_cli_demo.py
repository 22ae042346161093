"""The end of `suspects demo --keep`; the demo itself runs in `make demo`."""

from collections.abc import Callable

import pytest

from service.terminal import console, demo


class Running:
    """A stack that is interrupted as soon as it is watched."""

    url = "http://127.0.0.1:8123"

    def __init__(self) -> None:
        self.watched = 0

    def watch(self, _on_restart: Callable[[str], None]) -> None:
        self.watched += 1
        raise KeyboardInterrupt


@pytest.mark.parametrize("display", [None, ":0"])
@pytest.mark.parametrize("person", [True, False])
def test_the_page_of_the_job_is_named_and_opens_for_a_person_with_a_display(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], display: str | None, person: bool
) -> None:
    opened: list[str] = []

    def show(page: str) -> bool:
        opened.append(page)
        return True

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("webbrowser.open", show)
    monkeypatch.setattr(console.console, "_force_terminal", person)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if display is None:
        monkeypatch.delenv("DISPLAY", raising=False)
    else:
        monkeypatch.setenv("DISPLAY", display)
    stack = Running()
    demo._keep(stack, "job_7")  # type: ignore[arg-type]  # has what it uses
    page = "http://127.0.0.1:8123/#/jobs/job_7"
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count(page), stack.watched) == ("", 1, 1)
    assert opened == ([page] if person and display else [])
