"""Where bodies go, a file a kind, and `open_sink`, which says what kind a `Config` means.

    no store at all      memory      returns each body to the program (the library)
    --no-body            null        drops it
    DEST                 directory   a file each
    --store tar          tar         samples of WebDataset, in tars
    --store warc         warc        whole messages, in WARCs
    --store parquet      parquet     rows of Parquet files, with their records
    --store sqlite       sqlite      rows of a database, with their records
    DEST s3://…          objects     an object each

What all of them are is said in `model.bodies`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetchpool.output.sinks.memory import MemoryStore
from fetchpool.output.sinks.null import NullStore
from fetchpool.output.sinks.place import Place

if TYPE_CHECKING:
    from fetchpool.config import Config
    from fetchpool.model.bodies import Sink

__all__ = ["Place", "open_sink"]


def open_sink(config: Config, place: Place | None = None) -> Sink:
    """Return the sink that *config* means, opened in *place*; None: nothing stays on disk.

    Each process of a run has its own: with several, that of the parent stores nothing, but gets
    `append`, `sync` and `recover`. Raises `StoreError`.
    """
    if config.no_body:
        return NullStore()
    if place is None:
        return MemoryStore()
    match config.store:
        case "tar":
            from fetchpool.output.sinks.tar import TarSink

            return TarSink(config, place)
        case "warc":
            from fetchpool.output.sinks.warc import WarcSink

            return WarcSink(config, place)
        case "parquet":
            from fetchpool.output.sinks.parquet import ParquetSink

            return ParquetSink(config, place)
        case "sqlite":
            from fetchpool.output.sinks.sqlite import SqliteSink

            return SqliteSink(config, place)
    if place.layout.remote is not None:
        from fetchpool.output.sinks.objects import ObjectsSink

        return ObjectsSink(config, place)
    return _open_files(config, place)


def _open_files(config: Config, place: Place) -> Sink:
    from fetchpool.model.disposition import suggested_filename
    from fetchpool.output.ledger.checkpoint import boot_id
    from fetchpool.output.sinks.directory import DirectoryStore  # a library may do without

    return DirectoryStore(
        place.layout.dest,
        is_foreign=place.is_foreign,
        durability=config.durability,
        directories=place.directories,
        filename_of=suggested_filename if config.content_disposition else None,
        boot=boot_id(),
        mtime=config.mtime,
        private=place.layout.private,
    )
