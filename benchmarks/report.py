"""What a run of the benchmark says: tables, and what was to be reached beside what was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Target:
    """A figure the project set itself."""

    at_least: float
    """`at most` where `less_is_better`."""
    aim: float | None = None
    unit: str = ""
    less_is_better: bool = False

    def verdict(self, value: float) -> str:
        """Return `aim reached`, `reached` or `not reached`."""
        if self.aim is not None and self._holds(value, self.aim):
            return "aim reached"
        return "reached" if self._holds(value, self.at_least) else "**not reached**"

    def _holds(self, value: float, bound: float) -> bool:
        return value <= bound if self.less_is_better else value >= bound

    def shown(self) -> tuple[str, str]:
        """Return both bounds as text."""
        sign = "≤" if self.less_is_better else "≥"
        aim = "–" if self.aim is None else f"{sign} {self.aim:g}{self.unit}"
        return f"{sign} {self.at_least:g}{self.unit}", aim


@dataclass(frozen=True)
class Judgement:
    """A target beside what was measured; no value: why there is none."""

    what: str
    against: str
    target: Target
    value: float | None
    why_none: str = ""

    def cells(self) -> list[str]:
        """Return the row of the table of targets."""
        least, aim = self.target.shown()
        if self.value is None:
            return [self.what, self.against, least, aim, "–", self.why_none or "not measured"]
        value = f"{self.value:.2f}{self.target.unit}"
        return [self.what, self.against, least, aim, value, self.target.verdict(self.value)]


@dataclass
class Table:
    """A table with a title."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def markdown(self) -> str:
        """Return it as Markdown, its columns aligned for a reader of the text."""
        lines = [[_cell(cell) for cell in row] for row in [self.columns, *self.rows]]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in lines
        ]
        text.insert(1, "| " + " | ".join("-" * width for width in widths))
        return "\n".join(f"{line.rstrip()} |" for line in text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


@dataclass
class Section:
    """One work item: what was done, what came of it."""

    key: str
    title: str
    about: str
    tables: list[Table] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    targets_in_tables: bool = False
    commands: dict[str, str] = field(default_factory=dict)
    """By tool, the first of each race."""

    def markdown(self) -> str:
        """Return the section as Markdown."""
        parts = [f"## {self.key}: {self.title}", self.about]
        for table in self.tables:
            parts += [f"**{table.title}**", table.markdown()]
        if self.judgements and not self.targets_in_tables:
            parts.append(judged(self.judgements).markdown())
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        if self.commands:
            block = "\n".join(f"# {name}\n{command}" for name, command in self.commands.items())
            parts.append(
                f"<details><summary>Commands</summary>\n\n```sh\n{block}\n```\n\n</details>"
            )
        return "\n\n".join(parts) + "\n"


def judged(judgements: Sequence[Judgement]) -> Table:
    """Return the table of what was to be reached."""
    columns = ("work", "against", "at least", "aim", "measured", "")
    return Table("Targets", columns, [judgement.cells() for judgement in judgements])


def ratio(peer: Sequence[float], ours: Sequence[float]) -> float:
    """Return the median of *peer*, seconds a URL, divided by that of *ours*."""
    return median(peer) / median(ours)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median, with the smallest and the largest where there are several."""
    middle = f"{median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def document(
    *,
    date: str,
    invocation: str,
    machine: Sequence[str],
    method: Sequence[str],
    versions: Mapping[str, str],
    missing: Mapping[str, str],
    sections: Sequence[Section],
    appendix: Mapping[str, str],
) -> str:
    """Return the whole report as Markdown."""
    judgements = [judgement for section in sections for judgement in section.judgements]
    parts = [
        "# Results",
        f"One run of `{invocation}`, {date}. Only ratios carry over to other machines: "
        "a peer's time divided by fetchpool's, above 1 fetchpool is ahead.",
        "\n".join(f"- {line}" for line in [*machine, *method]),
        Table("", ("tool", "version"), list(versions.items())).markdown(),
    ]
    if missing:
        listed = [f"- {name}: not found; `{how}`" for name, how in missing.items()]
        parts.append("Not measured:\n\n" + "\n".join(listed))
    if judgements:
        parts += ["## What was to be reached", judged(judgements).markdown()]
    parts += [section.markdown().rstrip() for section in sections]
    for name, text in appendix.items():
        parts.append(
            f"<details><summary>{name}</summary>\n\n```\n{text.rstrip()}\n```\n\n</details>"
        )
    return "\n\n".join(parts) + "\n"
