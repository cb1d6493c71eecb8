"""Settings: what they are, what they accept, and where their values come from.

values, http_values, expressions   the kinds of value
forms                              names of outputs that promise what isn't written
options ──▶ settings               each setting, described once: `Config`
origins                            command line, environment, file ──▶ `Settings`
reference                          the settings as documentation
"""

from fetchpool.config.forms import (
    check_export,
    check_export_store,
    check_export_wacz,
    check_merge,
    check_report,
)
from fetchpool.config.nearness import nearest
from fetchpool.config.options import Option, Panel
from fetchpool.config.origins import Settings, load_settings, user_file
from fetchpool.config.settings import Config, check_output, options
from fetchpool.config.values import ConfigError

__all__ = [
    "Config",
    "ConfigError",
    "Option",
    "Panel",
    "Settings",
    "check_export",
    "check_export_store",
    "check_export_wacz",
    "check_merge",
    "check_output",
    "check_report",
    "load_settings",
    "nearest",
    "options",
    "user_file",
]
