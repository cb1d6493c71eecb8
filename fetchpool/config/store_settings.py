"""Settings of where bodies go: a file each, or containers that hold many.

Declared as in `settings`, whose `Config` has them too.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from fetchpool.config.list_settings import ListSettings
from fetchpool.config.options import Also, Panel
from fetchpool.config.values import Choice, Whole

FILES = "files"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StoreSettings(ListSettings):
    """What becomes of bodies."""

    store: Annotated[
        Literal["files", "tar"],
        Panel.IO,
        Choice("KIND", "files", "tar"),
        "How bodies lie in DEST: a file each, or in containers: tar",
        Also(
            example="tar",
            more="A record says where its body is: `path` of a file; of a container `container`, "
            "`offset` and `length`.",
        ),
    ] = "files"
    samples: Annotated[
        int,
        Panel.IO,
        Whole(0, 10**9),
        "Most bodies in one tar; 0 = as many as --segment-size allows",
        Also(example="10000"),
    ] = 0

    @property
    def in_containers(self) -> bool:
        """Whether bodies go to containers."""
        return self.store != FILES
