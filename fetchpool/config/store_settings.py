"""Settings of where bodies go: a file each, or containers that hold many.

Declared as in `settings`, whose `Config` has them too.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from fetchpool.config.list_settings import ListSettings
from fetchpool.config.options import Also, Panel
from fetchpool.config.typed import FieldsGiven, OptionalPathGiven, Takes, default
from fetchpool.config.values import Choice, FilePath, Whole
from fetchpool.config.warc_values import ArchiveFields, FilePrefix

FILES = "files"
WARC_PREFIX = "fetchpool"
DEFAULT_MAX_SIZE = 1 << 30
MOST_IN_A_ROW = {"parquet": 2_000_000_000, "sqlite": 999_000_000}
"""The largest body that a store of rows takes, in bytes.

A value in Parquet has a length of 32 bits with its sign, a row in SQLite 1,000,000,000 bytes.
"""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StoreSettings(ListSettings):
    """What becomes of bodies."""

    store: Annotated[
        Literal["files", "warc", "tar", "parquet", "sqlite"],
        Panel.IO,
        Choice("KIND", "files", "warc", "tar", "parquet", "sqlite"),
        "How bodies lie in DEST: a file each, or in containers: warc, tar, parquet, sqlite",
        Also(
            example="tar",
            more="A record says where its body is: `path` of a file; of a container `container`, "
            "`offset` and `length`.",
        ),
    ] = "files"
    state: Annotated[
        Takes[str | None, OptionalPathGiven],
        Panel.IO,
        FilePath("DIR"),
        "The directory of ledger and state, for a DEST in an object store",
        Also(
            default="NAME.fetched",
            example="state",
            more="As DEST is called without --output. Containers grow there until they are sealed; "
            "with an empty one, a run goes on from what is in the store.",
        ),
    ] = default(None)
    samples: Annotated[
        int,
        Panel.IO,
        Whole(0, 10**9),
        "Most bodies in one tar; 0 = as many as --segment-size allows",
        Also(example="10000"),
    ] = 0

    warc_prefix: Annotated[
        str,
        Panel.IO,
        FilePrefix(),
        "What the names of WARCs begin with",
        Also(example="crawl-2026"),
    ] = WARC_PREFIX
    warc_header: Annotated[
        Takes[tuple[tuple[str, str], ...], FieldsGiven],
        Panel.IO,
        ArchiveFields(),
        "A field about the crawl, written at the beginning of each WARC; repeatable",
        Also(
            example="operator: me",
            more="Such as `operator`, `description` or `isPartOf`: readers know the names of DCMI.",
        ),
    ] = default(())

    @property
    def in_containers(self) -> bool:
        """Whether bodies go to containers."""
        return self.store != FILES
