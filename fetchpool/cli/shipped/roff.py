"""The Markdown that our help is written in, as the man(7) macros that groff and mandoc read."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\([^)]+\)")
_WIDTH = 76


def section(title: str) -> str:
    """Return the heading of a section."""
    return f".SH {escaped(title.upper())}\n"


def subsection(title: str) -> str:
    """Return the heading of a part of a section."""
    return f".SS {escaped(title)}\n"


def entry(term: str, text: str) -> str:
    """Return a term, ready-made roff, with Markdown *text* that explains it."""
    return f".TP\n{term}\n{_paragraph(text)}"


def bold(text: str) -> str:
    """Return *text*, which is to be typed as it stands."""
    return f"\\fB{escaped(text)}\\fR"


def italic(text: str) -> str:
    """Return *text*, which stands for something else."""
    return f"\\fI{escaped(text)}\\fR"


def verbatim(text: str) -> str:
    """Return *text* as an indented block of a fixed pitch, in a page that divides no words."""
    lines = "\n".join(_line(escaped(line)) for line in text.splitlines())
    return f".RS 4\n.EX\n{lines}\n.EE\n.nh\n.RE\n"  # groff's EE divides again


def blocks(markdown: str) -> str:
    """Return paragraphs, lists and blocks of code, to stand below a heading.

    Other Markdown isn't known here.
    """
    return "".join(_blocks(markdown)).removeprefix(".PP\n")


def _blocks(markdown: str) -> Iterator[str]:
    for part in re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL):
        if part.startswith("```"):
            yield ".PP\n" + verbatim("\n".join(part.splitlines()[1:-1]))
            continue
        for block in re.split(r"\n\n+", part.strip("\n")):
            items = re.split(r"^- ", block, flags=re.MULTILINE)
            if items[0].strip():
                yield f".PP\n{_paragraph(items[0])}"
            for item in items[1:]:
                yield f".IP \\(bu 2\n{_paragraph(item)}"


def _paragraph(text: str) -> str:
    words = " ".join(text.split())
    parts, last = [], 0
    for match in _INLINE.finditer(words):
        code, strong, link = match.groups()
        parts.append(escaped(words[last : match.start()]))
        parts.append(bold(code or strong) if link is None else escaped(link))
        last = match.end()
    parts.append(escaped(words[last:]))
    lines = textwrap.wrap("".join(parts), _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "".join(f"{_line(line)}\n" for line in lines)


def escaped(text: str) -> str:
    """Return *text* in ASCII, so that each character is shown as it is and may be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = text.replace("`", "\\(ga").replace("^", "\\(ha").replace("~", "\\(ti")
    return "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)


def _line(line: str) -> str:
    """Return *line* as text, though it may begin like a request."""
    return f"\\&{line}" if line.startswith((".", "'")) else line
