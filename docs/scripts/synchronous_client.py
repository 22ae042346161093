"""The synchronous client from the asynchronous one, word by word: `python -m docs.scripts.synchronous_client` writes it.

As httpcore makes its own. The tests fail where a file is not what its asynchronous counterpart becomes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from docs.scripts.formatting import formatted

_CLIENT = Path(__file__).parents[2] / "usual_suspects/client"
ASYNCHRONOUS, SYNCHRONOUS = _CLIENT / "asynchronous", _CLIENT / "synchronous"
_BY_HAND = {"__init__.py", "waiting.py"}
_WORDS = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\baclosing\b", "closing"),
    (r"\baclose\b", "close"),
    (r"\baread\b", "read"),
    (r"\baiter_(bytes|sse)\b", r"iter_\1"),
    (r"\baconnect_sse\b", "connect_sse"),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\basynchronous\b", "synchronous"),
]


def counterparts() -> Iterator[tuple[Path, str]]:
    """Each file of the synchronous client that is written, with its content."""
    for source in sorted(ASYNCHRONOUS.glob("*.py")):
        if source.name not in _BY_HAND:
            target = SYNCHRONOUS / source.name
            yield target, formatted(synchronous(source.read_text(encoding="utf-8")), target)


def synchronous(text: str) -> str:
    """The source without what waits in an event loop."""
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    return text


if __name__ == "__main__":
    for target, text in counterparts():
        target.write_text(text, encoding="utf-8")
