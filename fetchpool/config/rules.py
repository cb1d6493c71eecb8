"""Which settings can't be combined, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetchpool.config.options import is_set
from fetchpool.config.values import ConfigError

if TYPE_CHECKING:
    from fetchpool.config.settings import Config

RIVALS = (
    (("keepalive", "force_close"), "a connection that is closed after every request is never idle"),
    (("ipv4", "ipv6"), "each means that family alone"),
    (("retry_failed", "once", "fresh"), "each keeps something else of the earlier run"),
    (("retry_kinds", "once", "fresh"), "it chooses among what --retry-failed fetches"),
    (("fresh", "add"), "one keeps nothing, the other what is there"),
)
"""Settings of which one at most may be set, and why.

The command line settles a dispute with the file (see `origins`); here they are of equal weight.
"""


def check_together(config: Config) -> None:
    """Raise `ConfigError` where settings that are each fine can't be combined."""
    for names, reason in RIVALS:
        claims = [f"--{name}".replace("_", "-") for name in names if is_set(getattr(config, name))]
        if len(claims) > 1:
            raise ConfigError(
                f"{claims[0]} can't be combined with {claims[1]}: {reason}. Drop one of them."
            )
    if config.retry_kinds and not config.retry_failed:
        raise ConfigError(
            "--retry-kinds says which failures --retry-failed means: add --retry-failed, or drop it"
        )
    if config.metrics_label and not config.metrics_file:
        raise ConfigError(
            "--metrics-label is for the metrics of --metrics-file: add --metrics-file, or drop it"
        )
    if config.public_only and config.proxy:
        raise ConfigError(
            "--public-only can't be combined with --proxy: a proxy looks addresses up by itself, "
            "so nothing here could hold the promise. Drop one of them."
        )
    if config.user_agent is not None and any(n.lower() == "user-agent" for n, _ in config.header):
        raise ConfigError(
            "--user-agent and --header 'User-Agent: …' say the same thing twice: drop one of them"
        )
