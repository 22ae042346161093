"""Which level of folders names the class of an image: found by repetition.

A level whose folders hold the same folders is a split or a part of the data (`train/`, `fold0/`), and the level inside names the
classes. A level of which all names are those of splits or parts names no class either.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from service.ingest.faults import invalid, listed
from service.ingest.values import split_name

Folder = tuple[str, ...]

# Folders of images of whatever class.
_GENERIC = re.compile(
    r"(?i)(images?|imgs?|jpe?gs?|pngs?|jpegimages|pictures?|pics?|photos?|data|dataset|files|raw|all|input|inputs)"
)
_PART = re.compile(
    r"(?i)((.*[\W_])?(fold|part|batch|chunk|shard|subset|split|set|images?|imgs?|data|volume|vol|disk|cv|run)"
    r"[\W_]*\d+([\W_]*of[\W_]*\d+)?|(.*[\W_])?(fold|part|batch|chunk|shard|subset|split|set)[\W_]+[a-z])"
)
_PIECE = re.compile(
    r"(?i)((patient|subject|participant|person|case|session|scan|study|visit|video|clip|sequence|slide)[\W_]*)?\d+"
)
_SAME = 0.6  # of the folders in the folders of a part, so many are in all of them on average
_MOST = 0.5


@dataclass(frozen=True)
class Place:
    """What the folder of an image says. `fault` is the reason why it says no class."""

    label: str | None = None
    split: str | None = None
    part: str | None = None
    fault: str = ""


@dataclass(frozen=True)
class FolderRoles:
    """The place of each folder.

    `parts` are names of folders that are no classes and no splits; `repeated` whether only repetition says so.
    """

    places: Mapping[Folder, Place]
    parts: tuple[str, ...] = ()
    repeated: bool = False

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted({place.label for place in self.places.values() if place.label is not None})


def names_within_classes(roles: FolderRoles) -> list[str]:
    """Folders that several classes hold and that are no parts, such as `positive` in `hand/` and in `elbow/`: they may be the classes."""
    classes: dict[str, set[str]] = defaultdict(set)
    for folder, place in roles.places.items():
        inner = folder[folder.index(place.label) + 1 :] if place.label is not None else ()
        for name in inner:
            if not (is_part(name) or _is_generic(name) or _PIECE.fullmatch(name)):
                classes[name].add(str(place.label))
    return sorted(name for name, holders in classes.items() if len(holders) > 1)


@dataclass(frozen=True)
class _Open:
    """A folder that is not decided yet: the names that were not looked at."""

    tail: Folder
    count: int
    place: Place = field(default_factory=Place)

    def deeper(self, *, split: str | None = None, part: str | None = None) -> "_Open":
        place = replace(self.place, split=split or self.place.split, part=part or self.place.part)
        return replace(self, tail=self.tail[1:], place=place)


@dataclass(frozen=True)
class _Level:
    """The first names of all folders that are not decided yet, and the names in each."""

    inside: Mapping[str, frozenset[str]]
    images: Mapping[str, int]  # by first name
    images_inside: int  # of them in folders inside

    @property
    def inner(self) -> frozenset[str]:
        return frozenset().union(*self.inside.values())

    @property
    def mostly_inside(self) -> bool:
        return self.images_inside >= _MOST * sum(self.images.values())


def roles_of_folders(counts: Mapping[Folder, int]) -> FolderRoles:
    """Decide which level names the class, from the number of images in each folder.

    Raises `Invalid` where no level does.
    """
    opened = {folder: _Open(folder, count) for folder, count in counts.items()}
    parts: dict[str, None] = {}
    repeated = False
    while True:
        opened = _without_single_folders(opened)
        level = _level(opened.values())
        if not level.inside:
            raise _no_label(counts)
        names = list(level.inside)
        if _is_outer(level):
            opened = {folder: one.deeper() if one.tail else one for folder, one in opened.items()}
        elif splits := _splits(level):
            opened = {folder: _in_split(one, splits) for folder, one in opened.items()}
        elif holders := _holders(level, opened.values()):
            opened = {folder: one.deeper() if one.tail[:1] in holders else one for folder, one in opened.items()}
        elif (named := all(map(is_part, names))) and not level.mostly_inside:
            raise _no_label(counts)
        elif named or _hold_the_same(level):
            parts |= dict.fromkeys(sorted(names))
            repeated = repeated or not named
            opened = {folder: _in_part(one) for folder, one in opened.items()}
        else:
            inner_splits = level.mostly_inside and all(map(split_name, level.inner))
            places = {folder: _in_class(one, inner_splits=inner_splits) for folder, one in opened.items()}
            return FolderRoles(places, tuple(parts), repeated)


def is_part(name: str) -> bool:
    """Whether a folder is called like a split or a numbered part: `train`, `fold0`, `part_1`."""
    return split_name(name) is not None or _PART.fullmatch(name) is not None


def _level(folders: Iterable[_Open]) -> _Level:
    inside: dict[str, set[str]] = defaultdict(set)
    images: dict[str, int] = defaultdict(int)
    images_inside = 0
    for one in folders:
        if one.tail and not one.place.fault:
            inside[one.tail[0]].update(one.tail[1:2])
            images[one.tail[0]] += one.count
            images_inside += one.count if len(one.tail) > 1 else 0
    return _Level({name: frozenset(found) for name, found in inside.items()}, images, images_inside)


def _without_single_folders(opened: Mapping[Folder, _Open]) -> dict[Folder, _Open]:
    """Pass through a folder that is alone in its own and says nothing: `val/images/`, `seg_train/seg_train/`."""
    siblings: dict[Folder, set[str]] = defaultdict(set)
    for folder, one in opened.items():
        siblings[_above(folder, one)].update(one.tail[:1])
    found = {}
    for folder, one in opened.items():
        names = siblings[_above(folder, one)]
        alone = len(names) == 1 and bool(one.tail) and (len(one.tail) < len(folder) or _is_generic(one.tail[0]))
        nothing = alone and (_is_generic(one.tail[0]) or split_name(one.tail[0]) is not None)
        found[folder] = one.deeper() if nothing else one
    return (
        found
        if all(found[folder].tail == one.tail for folder, one in opened.items())
        else _without_single_folders(found)
    )


def _above(folder: Folder, one: _Open) -> Folder:
    return folder[: len(folder) - len(one.tail)]


def _is_generic(name: str) -> bool:
    return _GENERIC.fullmatch(name) is not None


def _is_outer(level: _Level) -> bool:
    """Whether all images lie in one folder with others in it, so that its name says nothing."""
    return len(level.inside) == 1 and level.mostly_inside and not any(map(split_name, level.inside))


def _splits(level: _Level) -> frozenset[str]:
    """The folders of the level that are splits; none where it is no level of splits."""
    splits = frozenset(name for name in level.inside if split_name(name))
    inside = any(level.inside[name] for name in splits)
    if not inside:
        return frozenset()
    if len(splits) == len(level.inside):
        return splits
    images = sum(level.images[name] for name in splits)
    return splits if len(splits) > 1 and images >= _MOST * sum(level.images.values()) else frozenset()


def _holders(level: _Level, folders: Iterable[_Open]) -> frozenset[Folder]:
    """Folders beside a split that hold the other splits, perhaps some folders deeper: `data/data/train/` beside `test/`."""
    splits = [name for name in level.inside if split_name(name)]
    found = set()
    for name in level.inside.keys() - set(splits) if splits else ():
        tails = [one.tail[1:] for one in folders if one.tail[:1] == (name,)]
        while all(tails) and len({tail[0] for tail in tails}) == 1 and not split_name(tails[0][0]):
            tails = [tail[1:] for tail in tails]
        if all(tails) and all(split_name(tail[0]) for tail in tails):
            found.add((name,))
    return frozenset(found)


def _hold_the_same(level: _Level) -> bool:
    """Whether the folders of a level hold the same folders or nearly so, and these may be classes."""
    inner = level.inner
    if not level.mostly_inside or len(inner) < 2 or all(is_part(name) or _is_generic(name) for name in inner):
        return False
    # 1, 2, 3 or patient1, patient2 in the folders of a word are sessions or pieces.
    numbers = all(map(_PIECE.fullmatch, inner)) and not all(map(_PIECE.fullmatch, level.inside))
    outer = [found for found in level.inside.values() if found]
    return len(outer) > 1 and sum(map(len, outer)) >= _SAME * len(outer) * len(inner) and not numbers


def _in_split(one: _Open, splits: frozenset[str]) -> _Open:
    if not one.tail or one.place.fault:
        return one
    if one.tail[0] not in splits:
        fault = f"in the folder {one.tail[0]}, which lies beside the splits {listed(sorted(splits))}"
        return replace(one, place=replace(one.place, fault=fault))
    return one.deeper(split=split_name(one.tail[0]))


def _in_part(one: _Open) -> _Open:
    if not one.tail:
        return one
    return one.deeper(part="/".join(filter(None, (one.place.part, one.tail[0]))))


def _in_class(one: _Open, *, inner_splits: bool) -> Place:
    if one.place.fault or not one.tail:
        return replace(one.place, fault=one.place.fault or "not in a class folder")
    split = split_name(one.tail[1]) if inner_splits and len(one.tail) > 1 else one.place.split
    return replace(one.place, label=one.tail[0], split=split)


def _no_label(counts: Mapping[Folder, int]) -> Exception:
    names = sorted({"/".join(folder) for folder in counts if folder})
    why = (
        f"the names of the folders ({listed(names)}) are those of parts of the data, or of images of any class; "
        if names
        else ""
    )
    return invalid(
        f"no label: {why}put each image in a folder named by its class (cat/1.png, train/cat/1.png), or add a list of the images, "
        "such as a CSV with the columns file_name and label"
    )
