"""Settings of how a list is read: its form, what comes along of it, what completes its URLs.

Declared as in `settings`, whose `Config` has them too.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from fetchpool.config.list_values import BaseUrl, Carried
from fetchpool.config.network_settings import NetworkSettings
from fetchpool.config.options import Also, Panel
from fetchpool.config.values import Choice
from fetchpool.model.reading import INPUT_FORMATS


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ListSettings(NetworkSettings):
    """What a list is, and what stands where in it."""

    input_format: Annotated[
        Literal[
            "auto", "lines", "csv", "tsv", "jsonl", "json", "parquet", "sitemap", "opml",
            "bookmarks", "aria2", "sums", "apt",
        ],
        Panel.IO,
        Choice("FORMAT", *INPUT_FORMATS),
        "What the lists are: auto, lines, csv, tsv, jsonl, json, parquet, sitemap and more",
        Also(
            more="`auto` looks at the first 200 lines that are neither blank nor comments; what it "
            "took a list for stands in the first line said. `csv` is a table with `,`, `;` or `|` "
            "between its cells. Packed lists (gzip, zstd, xz, bzip2) are unpacked whatever they "
            "are."
        ),
    ] = "auto"  # fmt: skip
    carry: Annotated[
        str,
        Panel.IO,
        Carried(),
        "Which other columns of a list its records have: all, none, or names A,B",
        Also(
            example="id,title",
            more="Numbers from 1 do for names. `all` leaves out those of the URL, the headers and "
            "the body. Lists that are no tables have no other columns.",
        ),
    ] = "all"
    default_scheme: Annotated[
        Literal["https", "http"] | None,
        Panel.IO,
        Choice("SCHEME", "https", "http"),
        "What a bare host in a list gets before it",
        Also(example="https"),
    ] = None
    base: Annotated[
        str | None,
        Panel.IO,
        BaseUrl(),
        "The URL that paths in a list are joined to, as a browser does",
        Also(example="https://example.org/data/"),
    ] = None
