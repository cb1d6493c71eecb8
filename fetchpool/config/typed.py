"""The types that a field of `Config` takes and keeps, for type checkers.

`Config(max_size="10M").max_size` is a number. `Takes[int, int | str]` says so, in the form of a
descriptor whose setter and getter have different types (PEP 681). At run time there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from typing import Generic, TypeAlias, TypeVar, overload

    from fetchpool.config.host_rules import HostRules
    from fetchpool.model.shards import Shard

    Kept = TypeVar("Kept", covariant=True)
    Given = TypeVar("Given", contravariant=True)

    class Takes(Generic[Kept, Given]):
        """A field that takes *Given* and keeps *Kept*."""

        @overload
        def __get__(self, owner: None, kind: Any = None) -> Any: ...
        @overload
        def __get__(self, owner: object, kind: Any = None) -> Kept: ...
        def __get__(self, owner: object, kind: Any = None) -> Any: ...
        def __set__(self, owner: object, value: Given) -> None: ...

    FieldsGiven: TypeAlias = Mapping[str, str] | Sequence[str | tuple[str, str]] | str
    NamesGiven: TypeAlias = Sequence[str] | str
    AgentsGiven: TypeAlias = Sequence[str] | str | None
    TriedAgainGiven: TypeAlias = Sequence[str | int] | str | int
    HostsGiven: TypeAlias = Mapping[str, Mapping[str, object]] | HostRules
    SizeGiven: TypeAlias = int | str
    PathGiven: TypeAlias = str | PathLike[str] | None
    OptionalPathGiven: TypeAlias = str | PathLike[str] | bool | None
    BodyGiven: TypeAlias = str | bytes | None
    ProxyGiven: TypeAlias = Sequence[str] | str | None
    ShardsGiven: TypeAlias = Sequence[Shard] | Shard | str
else:

    class Takes:
        """A field that takes one type and keeps another."""

        def __class_getitem__(cls, types: object) -> type[Takes]:
            return cls

    BodyGiven = ProxyGiven = FieldsGiven = NamesGiven = SizeGiven = PathGiven = None
    OptionalPathGiven = None
    AgentsGiven = HostsGiven = TriedAgainGiven = ShardsGiven = None


def default(value: Any) -> Any:
    """Return *value*, the default of a field that `Takes`, with a type that checkers accept."""
    return value
