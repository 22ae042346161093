"""Limits on uploads."""

from dataclasses import dataclass

from service.domain.errors import TooLarge

_SMALL = 256 * 2**20  # Below this an expansion is harmless, whatever its ratio.


@dataclass(frozen=True)
class Limits:
    """Limits of one upload; beyond any of them it is refused with `TooLarge`, or `Invalid` for classes.

    `max_ratio` is expanded over compressed size, `max_decoded_ratio` that of files by columns, where a long value or a run of
    equal ones may be stored once for many rows. `max_members` counts the files of an archive.
    """

    max_expanded_bytes: int = 100 * 2**30
    max_ratio: int = 200
    max_decoded_ratio: int = 1_000
    max_members: int = 2_000_000
    max_pixels: int = 50_000_000
    max_classes: int = 10_000
    max_columns: int = 20_000

    def check_expansion(self, packed: int, expanded: int, harmless: int | None = None) -> None:
        """Raise `TooLarge` when `packed` bytes that become `expanded` ones look like a bomb.

        Up to `harmless` bytes, 256 MiB by default, any ratio is allowed.
        """
        self.check_size(expanded)
        if expanded > (harmless or _SMALL) and expanded > self.max_ratio * max(packed, 1):
            raise TooLarge(
                f"expands to more than {self.max_ratio} times its size, which looks like a compression bomb; "
                "upload it uncompressed"
            )

    def check_decoded(self, stored: int, decoded: int) -> None:
        """Raise `TooLarge` when `stored` bytes by columns that become `decoded` ones look like a bomb."""
        self.check_size(decoded)
        if decoded > _SMALL and decoded > self.max_decoded_ratio * max(stored, 1):
            raise TooLarge(
                f"its values take more than {self.max_decoded_ratio:,} times its size ({decoded:,} bytes) once they are decoded, which "
                "looks like a compression bomb; upload it as CSV, or in several files"
            )

    def check_size(self, expanded: int) -> None:
        """Raise `TooLarge` when the data is too much, however it was packed."""
        if expanded > self.max_expanded_bytes:
            raise TooLarge(f"expands to more than {self.max_expanded_bytes:,} bytes, the limit of this installation")

    def check_columns(self, count: int) -> None:
        """Raise `TooLarge` when a table is too wide."""
        if count > self.max_columns:
            raise TooLarge(f"{count:,} columns; the limit is {self.max_columns:,}: put vectors in one list column")
