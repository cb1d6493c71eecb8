"""File, standard input, argument, iterable → requests with their line numbers, off the event loop.

open_sources ─▶ Sources.batches ──thread──▶ Reader.next_batch ─▶ pool ─Codec.pack─▶ spill
requests_from(iterable) ──────────────────▶ Reader | AsyncReader   ◀──unpack────┘
"""

from fetchpool.sources.codec import Codec
from fetchpool.sources.counter import RequestCounter
from fetchpool.sources.errors import InputError, SourceReadError
from fetchpool.sources.fetched import MOST_BYTES, FetchedSitemaps
from fetchpool.sources.lines import MAX_LINE, Batch
from fetchpool.sources.lists import Sources, open_sources
from fetchpool.sources.reader import AsyncReader, Reader, RequestReader, requests_from

__all__ = [
    "MAX_LINE",
    "MOST_BYTES",
    "AsyncReader",
    "Batch",
    "Codec",
    "FetchedSitemaps",
    "InputError",
    "Reader",
    "RequestCounter",
    "RequestReader",
    "SourceReadError",
    "Sources",
    "open_sources",
    "requests_from",
]
