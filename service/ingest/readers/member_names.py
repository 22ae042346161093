"""Names of archive members that do not say how they are encoded: one encoding for all of them, the most plausible."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from service.domain.dataset import ClientWarning

# In order of preference between equals. The first one that archives are said to use takes any bytes.
_CANDIDATES = (
    "cp437", "cp932", "gbk", "big5", "cp949", "cp866", "cp1251", "koi8_r", "cp850", "cp1252", "cp852", "cp1250", "cp737", "cp1253",
)  # fmt: skip
_MOST_JUDGED = 4_000  # names
_WORD = re.compile(r"[^\W_]+|[^\x00-\x7f]")
# Characters that are frequent in names and texts. They tell encodings apart that read the same bytes as other words.
_CYRILLIC = frozenset("оеаинтсрвлкмдпугбы")
_GREEK = frozenset("ατοιενρσκηπςυμλόάίέ")
_HANZI = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去"
    "法学如都同现当没动面起看定天分还进好小部其些主样理心前开但因只从想实类猫狗马牛羊鸡鸟鱼花草树车船飞机红黄蓝白黑绿水果图片测试训练数据"
)  # fmt: skip
_HANGUL = frozenset(
    "이다에의는로하을가고지서한은기으년대사시를리도인스일강아양개고새닭소말돼토끼곰원숭나무꽃차동자전거비행배기바사과파오딸포복수박물산정상불량"
    "품전후좌우남여성남검사학습훈련평가데터미국제주부장세계민보조구공업회식음악방송신문경영화면진그림책집문길음식손발눈코입얼굴머리옷신모"
    "안경해달별구름눈우산색빨강노랑초록파랑하양검정크작은큰좋나쁨예아니오유무일월화수목금토"
)  # fmt: skip


def decoded(names: Sequence[str | bytes]) -> tuple[list[str], ClientWarning | None]:
    """All names as texts. Bytes are names of unknown encoding; the warning says how they were read."""
    unknown = [name for name in names if isinstance(name, bytes)]
    if not unknown:
        return [str(name) for name in names], None
    encoding = _encoding_of(unknown)
    texts = [name.decode(encoding) if isinstance(name, bytes) else name for name in names]
    shown = next(text for text, name in zip(texts, names, strict=True) if isinstance(name, bytes))
    how = "" if encoding == "utf-8" else "; if that is wrong, pack the archive with UTF-8 names"
    detail = (
        f"{len(unknown):,} names in the archive do not say how they are encoded; they were read as {encoding}, "
        f"for example {shown!r}{how}"
    )
    return texts, ClientWarning(code="names_decoded", detail=detail)


def _encoding_of(names: Sequence[bytes]) -> str:
    # Bytes of another encoding are hardly ever valid as UTF-8.
    if all(_decodes(name, "utf-8") for name in names):
        return "utf-8"
    fitting = [one for one in _CANDIDATES if all(_decodes(name, one) for name in names)]
    judged = b"/".join(names[:_MOST_JUDGED])
    return max(fitting, key=lambda one: _plausibility(judged.decode(one), one))


def _decodes(name: bytes, encoding: str) -> bool:
    try:
        name.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _plausibility(text: str, encoding: str) -> float:
    """Mean over the different words with other than ASCII letters, from 0 to 1."""
    words = {word for word in _WORD.findall(text) if not word.isascii()}
    return sum(_word_weight(word, encoding) for word in words) / len(words) if words else 0.0


def _word_weight(word: str, encoding: str) -> float:
    foreign = [letter for letter in word if not letter.isascii()]
    weight = sum(_weight(letter, encoding) for letter in foreign) / len(foreign)
    names = [unicodedata.name(letter, "") for letter in foreign]
    alphabets = {name.split(" ")[0] for name in names}
    if alphabets == {"LATIN"}:
        # Accented letters stand among plain ones.
        weight *= 1.0 if len(foreign) <= len(word) / 2 else 0.3
    elif alphabets & {"LATIN", "CYRILLIC", "GREEK"} and (len(alphabets) > 1 or len(foreign) < len(word)):
        weight *= 0.3
    # A capital after a small letter of one word is rare.
    odd = any(one.islower() and two.isupper() and not (one + two).isascii() for one, two in pairwise(word))
    return weight * (0.3 if odd else 1.0)


def _weight(letter: str, encoding: str) -> float:
    """How likely a letter is in a name, from 0 to 1."""
    if not letter.isalnum() or letter in "ƒªº":
        return 0.5 if "\u3000" <= letter <= "\u303f" else 0.1
    if encoding in _LEADS:
        return _wide_weight(letter, encoding)
    lower = letter.lower()
    if "\u0370" <= lower <= "\u04ff":
        return 0.95 if lower in _CYRILLIC | _GREEK else 0.7
    return 0.8 if unicodedata.name(letter, "").startswith("LATIN") else 0.1


# For each encoding of two bytes a character: first bytes of the frequent characters and their weight, then of the rarer ones.
_LEADS = {
    "cp932": ((0x88, 0x97, 0.75), (0x98, 0x9F, 0.4), (0xE0, 0xEA, 0.4)),
    "gbk": ((0xB0, 0xD7, 0.7), (0xD8, 0xF7, 0.4)),
    "big5": ((0xA4, 0xC6, 0.6), (0xC9, 0xF9, 0.3)),
    "cp949": ((0xB0, 0xC8, 0.5), (0xCA, 0xFD, 0.3)),
}
_FIRST_TRAIL = 0xA1  # of the characters of the older, smaller sets that GBK and CP949 extend


def _wide_weight(letter: str, encoding: str) -> float:
    if "\u3040" <= letter <= "\u30ff":
        return 1.0 if encoding == "cp932" else 0.2
    if "\uff01" <= letter <= "\uff5e":
        return 0.7
    if letter in (_HANGUL if encoding == "cp949" else _HANZI if encoding in ("gbk", "big5") else ()):
        return 0.95
    code = letter.encode(encoding)
    if len(code) < 2 or (encoding in ("gbk", "cp949") and code[1] < _FIRST_TRAIL):
        return 0.1
    return next((weight for first, last, weight in _LEADS[encoding] if first <= code[0] <= last), 0.1)
