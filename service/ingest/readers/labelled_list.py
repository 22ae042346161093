"""Tables beside images that name them: found by their content, and joined by image."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pyarrow as pa

from service.domain.errors import SuspectsError
from service.ingest.encoding import encoding_of
from service.ingest.faults import invalid, listed
from service.ingest.readers.inner_tables import InnerTables, base_name, is_submission, stem_of
from service.ingest.readers.listing import Member
from service.ingest.readers.pictures import ArchiveImages
from service.ingest.source import RowSource, Upload
from service.ingest.values import as_text, split_name

_ALWAYS_LISTS = ("metadata.csv", "metadata.jsonl")  # Hugging Face's
_FILE_COLUMNS = ("file_name", "filename", "file", "path", "image")
_NAME_COLUMN = re.compile(
    r"(?i)\s*((image|img|picture|photo|file)?[_\s.-]?(file|name|filename|path|id|url)|image|img|picture|photo)\s*"
)
_MOST_TABLES = 50  # looked into
_LOOKED_AT = 4  # batches
_FEWEST = 2  # images that a column of another name must name
_MOST = 0.5
_WORDS = re.compile(r"[-_. ]|(?<=[a-z])(?=[A-Z])")
_REPEATED = re.compile(r"\.\d+$")

Values = Mapping[str, str | None]


@dataclass(frozen=True)
class ImageList:
    """A table of which one column names images.

    With `strict`, the last folder of a path must agree, too. With `headless`, the names of the columns are a row themselves.
    """

    path: str
    source: RowSource
    column: str
    strict: bool
    headless: bool

    @property
    def split(self) -> str | None:
        """The split that its name or its folder says."""
        return split_of_path(self.path)


@dataclass
class ListedImages:
    """Rows of all lists by the path of their image, `orphans` those without one: the place and the reason."""

    columns: dict[str, None] = field(default_factory=dict)
    rows: dict[str, tuple[str, dict[str, str | None]]] = field(default_factory=dict)
    orphans: list[tuple[str, str]] = field(default_factory=list)


def split_of_path(path: str) -> str | None:
    """The split that the name of a table or one of its folders says, the innermost first."""
    parts = path.split("/")[:-1]
    found = split_of_name(stem_of(path))
    return found or next((split for part in reversed(parts) if (split := split_name(part))), None)


def split_of_name(stem: str) -> str | None:
    """The split in the name of a table, as in `train_labels`, `trainLabels` or `data-test-2`; None for none or several."""
    found = {split for word in _WORDS.split(stem) if (split := split_name(word))}
    return found.pop() if len(found) == 1 else None


def find_lists(tables: InnerTables, images: ArchiveImages) -> list[ImageList]:
    """The tables that name images of the archive. Raises `Invalid` for a metadata.csv or metadata.jsonl that does not."""
    found = [_list(member, tables.open, upload, images) for member, upload in _unpacked(tables)]
    return sorted((one for one in found if one is not None), key=lambda one: one.path)


def _unpacked(tables: InnerTables) -> list[tuple[Member, Upload]]:
    """The tables that may be lists."""
    candidates = [one for one in tables.members(".txt") if not one.fault and not is_submission(one.path)]
    candidates.sort(key=lambda one: (base_name(one.path).lower() not in _ALWAYS_LISTS, one.path.count("/"), one.path))
    candidates = candidates[:_MOST_TABLES]
    return list(zip(candidates, tables.unpacked(candidates), strict=True))


def ambiguity(tables: InnerTables, images: ArchiveImages) -> str | None:
    """Why a column that has the names of images does not name them: several images have one name. None where that is not so."""
    for member, upload in _unpacked(tables):
        source = _opened(tables.open, upload)
        for column, texts in (_looked_at(source) if source is not None else {}).items():
            several = [found for text in texts if len(found := _candidates(text, images, member.path)) > 1]
            if len(several) > max(_FEWEST, _MOST * len(texts)) and _NAME_COLUMN.fullmatch(column):
                one, other = several[0][:2]
                return (
                    f"a name in column {column!r} of {member.path} may be that of several images, such as {one.path} and {other.path}; "
                    "write paths in it, or call the table by its split, such as train_labels.csv"
                )
    return None


def _list(
    member: Member, open_table: Callable[[Upload], RowSource], upload: Upload, images: ArchiveImages
) -> ImageList | None:
    if base_name(member.path).lower() in _ALWAYS_LISTS:
        return _chosen(member, open_table(upload), images)
    source = _opened(open_table, upload)
    found = _chosen(member, source, images) if source is not None else None
    if found is None and member.path.lower().endswith(".txt"):
        source = _opened(lambda one: open_table(_split_at_last_space(one)), upload)
        found = _chosen(member, source, images) if source is not None else None
    return found


def _opened(open_table: Callable[[Upload], RowSource], upload: Upload) -> RowSource | None:
    """A table of samples; None for any other file."""
    try:
        source = open_table(upload)
        next(source.batches(False), None)
    except SuspectsError:
        return None
    return None if source.stated is not None else source


def _split_at_last_space(upload: Upload) -> Upload:
    """Lines of a name and a label with a space between, as a table; names may have spaces, too."""
    path = upload.path.with_name(f"{upload.path.name}.tsv")
    encoding = encoding_of(upload.path)
    with upload.path.open(encoding=encoding) as lines, path.open("w", encoding="utf-8") as table:
        table.writelines("\t".join(line.rsplit(None, 1)) + "\n" for line in lines if line.strip())
    return replace(upload, path=path, name=path.name)


def _chosen(member: Member, source: RowSource, images: ArchiveImages) -> ImageList | None:
    """A table as a list, if one of its columns names images."""
    always = base_name(member.path).lower() in _ALWAYS_LISTS
    columns = _looked_at(source)
    matches = [_Match.of(name, texts, images, member.path) for name, texts in columns.items()]
    best = _best(matches, images, always=always)
    if best is not None:
        headless = len(_candidates(best.column, images, member.path)) == 1
        return ImageList(member.path, source, best.column, best.strict, headless)
    if always:
        all_fit = bool(matches) and all(one.fits(images, always=always) for one in matches)
        needed = "a column of labels beside" if all_fit else "a column"
        raise invalid(f"{member.path} needs {needed} file_name; it has {listed(list(columns))}", member.path)
    shared = next((one for one in matches if one.shared >= max(_FEWEST, _MOST * one.values)), None)
    if shared is not None:
        raise invalid(
            f"column {shared.column!r} of {member.path} names images by names that several of them have; write their paths in it, such "
            f"as {images.first!r}, or leave the file out of the archive",
            member.path,
        )
    return None


def _best(matches: Sequence["_Match"], images: ArchiveImages, *, always: bool) -> "_Match | None":
    """The column that names the images. None where no column does, and where each is a list of images, as of one class."""
    fitting = [one for one in matches if one.fits(images, always=always)]
    best = max(fitting, key=_Match.rank, default=None)
    if best is None or len(matches) > len(fitting):
        return best
    return best if all(best.is_surer(one) for one in matches if one is not best) else None


def _looked_at(source: RowSource) -> dict[str, list[str]]:
    """Different texts of each column in the first rows."""
    columns: dict[str, dict[str, None]] = defaultdict(dict)
    for batch in islice(source.batches(False), _LOOKED_AT):
        for name, column in zip(batch.rows.schema.names, batch.rows.columns, strict=True):
            columns[name] |= {} if _is_wide(column.type) else dict.fromkeys(as_text(column).drop_null().to_pylist())
    return {name: list(texts) for name, texts in columns.items()}


def _is_wide(kind: Any) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


@dataclass(frozen=True)
class _Match:
    """How the values of a column name images: the number of values, the paths found, and the number of values that name several."""

    column: str
    values: int
    paths: frozenset[str]
    shared: int
    with_ending: bool
    strict: bool

    @classmethod
    def of(cls, column: str, texts: Sequence[str], images: ArchiveImages, table: str) -> "_Match":
        found: set[str] = set()
        nested = agreeing = endings = shared = 0
        for text in texts:
            one = _candidates(text, images, table)
            shared += len(one) > 1 and one[0].path.lower().endswith(text.lower())
            if len(one) == 1:
                found.add(one[0].path)
                deep = "/" in text.replace("\\", "/").strip("/")
                nested += deep
                agreeing += deep and _agrees(text, one[0])
                endings += one[0].path.lower().endswith(text.lower()[-4:])
        strict = nested > 0 and agreeing >= _MOST * nested
        return cls(column, len(texts), frozenset(found), shared, endings > len(found) / 2, strict)

    @property
    def found(self) -> int:
        """Number of images found."""
        return len(self.paths)

    def fits(self, images: ArchiveImages, *, always: bool) -> bool:
        """Whether the column names images."""
        if always and self.column in _FILE_COLUMNS:
            return True
        many = self.found >= _MOST * self.values or self.found >= _MOST * images.count or self.with_ending
        return self.found >= _FEWEST and many

    def rank(self) -> tuple[int, bool, bool]:
        """Sorts columns, the likeliest last."""
        return self.found, self.with_ending, self.is_named

    @property
    def is_named(self) -> bool:
        """Whether the column is called as columns with the names of images are: file, image_id."""
        return _NAME_COLUMN.fullmatch(self.column) is not None

    def is_surer(self, other: "_Match") -> bool:
        """Whether the other column has labels rather than names, as 0 and 1, which are also the names of 0.png and 1.png."""
        repeats = other.paths <= self.paths and other.found <= _MOST * self.found
        return repeats or (not other.with_ending and (self.with_ending or self.is_named))


def _agrees(reference: str, member: Member) -> bool:
    """Whether the folder above the name is the same in a reference and in the archive."""
    theirs = reference.replace("\\", "/").strip("/").split("/")
    mine = member.path.split("/")
    return len(mine) > 1 and len(theirs) > 1 and mine[-2].casefold() == theirs[-2].casefold()


def read_lists(lists: Sequence[ImageList], images: ArchiveImages, kept: Collection[str] = ()) -> ListedImages:
    """All rows, joined by image: of two lists that name an image each adds its columns.

    The column that names the images is no column of the result, unless it is one of `kept`.
    """
    found = ListedImages()
    for one in lists:
        own: set[str] = set()
        for where, reference, values in _rows(one, found):
            if one.column not in kept:
                values.pop(one.column, None)
            found.columns |= dict.fromkeys(values)
            member = _member(one, reference, images)
            if isinstance(member, str):
                found.orphans.append((where, member))
            elif member.path in own or not _joins(found.rows.get(member.path), values):
                found.orphans.append((where, f"{member.path!r} has a row already, {found.rows[member.path][0]}"))
            else:
                own.add(member.path)
                before = found.rows.get(member.path, (where, {}))
                known = {name: value for name, value in before[1].items() if value is not None}
                found.rows[member.path] = (before[0], {**values, **known})
    return found


def _rows(one: ImageList, found: ListedImages) -> Iterator[tuple[str, str, dict[str, str | None]]]:
    """Each row: where it stands, the image that it names, and all its columns."""
    columns = (one.source.columns or ()) if one.headless else ()
    names = {name: name if name == one.column else f"column_{place + 1}" for place, name in enumerate(columns)}
    if one.headless:
        # Readers give a number to a name that occurs twice.
        plain = {name: _REPEATED.sub("", name) for name in columns}
        first: dict[str, str | None] = {
            names[name]: plain[name] if plain[name] in columns else name for name in columns
        }
        yield f"{one.path} line 1", one.column, first
    for batch in one.source.batches(False):
        found.orphans += [(f"{one.path} {row.where}", row.reason) for row in batch.skipped]
        for position, row in enumerate(batch.rows.to_pylist()):
            values = {names.get(name, name): None if value is None else str(value) for name, value in row.items()}
            yield f"{one.path} {batch.where(position)}", values.get(one.column) or "", values


def _joins(before: tuple[str, Values] | None, values: Values) -> bool:
    """Whether two rows of an image say nothing different."""
    return before is None or all(
        None in (value, before[1].get(name)) or value == before[1][name] for name, value in values.items()
    )


def _member(one: ImageList, reference: str, images: ArchiveImages) -> Member | str:
    found = _candidates(reference, images, one.path) if reference.strip() else []
    if len(found) > 1:
        return f"the archive has several images that may be {reference[:200]!r}: {found[0].path}, {found[1].path}"
    if not found or (one.strict and "/" in reference.strip("/\\") and not _agrees(reference, found[0])):
        return f"the archive has no image {f'{_folder(one.path)}/{reference}'.strip('/')[:200]!r}"
    return found[0]


def _candidates(reference: str, images: ArchiveImages, table: str) -> list[Member]:
    """The images that a reference in a table may name; of several those of the table's split."""
    found = images.candidates(reference, _folder(table))
    split = split_of_path(table) if len(found) > 1 else None
    return found if split is None else [one for one in found if _folder_split(one.path) == split] or found


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def with_splits(found: ListedImages, lists: Sequence[ImageList]) -> tuple[str | None, list[str]]:
    """Add a column of splits where the lists or the folders of the images say them.

    Gives its name, and the images of which nothing says a split.
    """
    if any(name.strip().lower() in ("split", "subset", "fold", "partition", "set") for name in found.columns):
        return None, []
    by_list = {one.path: one.split for one in lists}
    splits = {path: next((split for one, split in by_list.items() if where.startswith(f"{one} ")), None)
              for path, (where, _) in found.rows.items()}  # fmt: skip
    if len(set(splits.values())) < 2 or not all(splits.values()):
        splits = {path: _folder_split(path) for path in found.rows}
    known = {split for split in splits.values() if split}
    without = [path for path, split in splits.items() if not split]
    if len(known) < 2 or len(without) > _MOST * len(splits):
        return None, []
    for path, (_, values) in found.rows.items():
        values["split"] = splits[path]
    found.columns["split"] = None
    return "split", without


def _folder_split(path: str) -> str | None:
    return next((split for part in path.split("/")[:-1] if (split := split_name(part))), None)


@dataclass(frozen=True)
class FolderAgreement:
    """Beside folders that may be classes: the column that names the same classes, and how many images differ in it."""

    column: str | None
    differing: int = 0
    first: str = ""


def agreement(found: ListedImages, folders: Mapping[str, str]) -> FolderAgreement:
    """Compare the columns of the lists with the folder of each image."""
    best = FolderAgreement(None)
    classes = {folder.casefold() for folder in folders.values()}
    for name in found.columns:
        said = {path: (values.get(name) or "").strip().casefold() for path, (_, values) in found.rows.items()}
        differing = [path for path, text in said.items() if path in folders and text != folders[path].casefold()]
        in_folders = sum(1 for path in said if path in folders)
        same = in_folders - len(differing) if in_folders else len(set(said.values()) & classes)
        fits = same > 0 and same >= _MOST * (in_folders or len(classes))
        if fits and (best.column is None or len(differing) < best.differing):
            best = FolderAgreement(name, len(differing), next(iter(differing), ""))
    return best


def may_hold_labels(found: ListedImages) -> bool:
    """Whether a column of the lists may be a label: words that repeat."""
    for name in found.columns:
        counts = Counter(values.get(name) for _, values in found.rows.values())
        counts.pop(None, None)
        words = sum(
            count for text, count in counts.items() if not (text or "").replace(".", "").replace("-", "").isdigit()
        )
        if 2 <= len(counts) <= max(2, len(found.rows) / 2) and words >= _MOST * counts.total():
            return True
    return False
