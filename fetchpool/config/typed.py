"""What a field of `Config` takes, beside what it keeps: for type checkers, which read annotations.

`Config(max_size="10M").max_size` is a number: `Takes[int, int | str]` tells a checker both, as a
descriptor does that is set with one type and got with another (PEP 681). There is none when the
program runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from typing import Generic, TypeAlias, TypeVar, overload

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
    SizeGiven: TypeAlias = int | str
    PathGiven: TypeAlias = str | PathLike[str] | None
    BodyGiven: TypeAlias = str | bytes | None
else:

    class Takes:
        """A field that takes one type and keeps another."""

        def __class_getitem__(cls, types: object) -> type[Takes]:
            return cls

    BodyGiven = FieldsGiven = NamesGiven = SizeGiven = PathGiven = None


def default(value: Any) -> Any:
    """Return *value*, the default of a field that `Takes`, as what a checker lets stand there."""
    return value
