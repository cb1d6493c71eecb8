"""Renders `docs/options.md` from the settings."""

from __future__ import annotations

from fetchpool.config.options import Option, Panel
from fetchpool.config.settings import options

_HEAD = """\
# Options

<!-- Made by `python -m fetchpool.config > docs/options.md`; a test holds it to the code. -->

"""

RULES = """\
Every option of `fetchpool get` has four names. `--per-host 5` on the command line is
`FETCHPOOL_PER_HOST=5` in the environment, `per-host = 5` in a TOML file, and `Config(per_host=5)`
in Python (there the destination is an argument of `run()`, not part of `Config`). The command line
wins over the environment, the environment over the file, the file over the default.
`fetchpool config` shows every setting in force and where it came from; it takes the options of
`get` too.

- **File**: `--config FILE`, else the file that `FETCHPOOL_CONFIG` names, else `config.toml` in
  `fetchpool` in the user's configuration directory (`~/.config` on Linux). An empty name reads
  none. A file in the current directory is never read by itself. An unknown key is an error. Numbers
  and switches are TOML numbers and booleans; `header` is a list of `"Name: value"` or a table,
  `metrics-label` one of `"name=value"`; `retry-kinds`, `retry-on`, `no-retry-on` and `secret-param`
  are a text or a list; `netrc` and `save-cookies` are a path, or `true` for the usual one.
  Settings of some hosts stand in tables such as `[host."*.example.org"]`: see
  [hosts.md](hosts.md).
- **Environment**: switches are `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`. An empty
  variable counts as not set, except `FETCHPOOL_PROXY` (no proxy) and `FETCHPOOL_USER_AGENT` (no
  such header). `FETCHPOOL_HEADER` holds one header a line, `FETCHPOOL_SECRET_PARAM` one name,
  `FETCHPOOL_METRICS_LABEL` one label.
- **Switches** turned on in the environment or the file are turned off by `--no-…`: `--no-hash`,
  `--no-no-body`.
- **Headers**, secret parameters and labels are not combined from several places: the strongest
  place that gives any gives all.
- **Options that exclude each other** are an error when given in the same place; else the stronger
  place wins: `--fresh` overrides `once = true` in the file. Some pairs are an error in any place:
  `public-only` with `proxy` (but for `socks5://`), `method = "HEAD"` with `data` or `json`, and
  `user-agent` or `user` with a header of the same meaning.
- **Sizes**: K, M, G, T count in 1024, as do KiB, MiB, …; KB, MB, GB, TB in 1000 (as GNU coreutils
  read them). **Seconds** may have a fraction.
- A leading `~` in a path is expanded in the environment and the file, too.

```toml
# ~/.config/fetchpool/config.toml
limit = 50
per-host = 5
max-size = "200M"
hash = true
header = ["Authorization: Bearer …"]
```
"""
"""Where settings come from and how they are written, in Markdown."""


def render_reference() -> str:
    """Return the Markdown of `docs/options.md`: the rules, then a table for each panel."""
    parts = [_HEAD, RULES]
    for panel in Panel:
        rows = [option for option in options() if option.panel is panel]
        parts.append(f"\n## {panel}\n\n{render_table(rows)}")
    return "".join(parts)


def render_table(rows: list[Option]) -> str:
    """Return a Markdown table `| option | default | meaning |` of *rows*."""
    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    for option in rows:
        value = "" if option.is_switch else f" {option.kind.metavar}"
        flags = ", ".join(option.flags)
        meaning = f"{option.help}. {option.also.more}".strip()
        cells = [f"`{flags}{value}`", option.default_text or "-", meaning]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
