"""Turns the comments of a header, as the house style has them, into Doxygen's: what it is given on stdout.

`//` in front of a declaration becomes `///`, behind one `///<`; a comment of C likewise. The head of a
file becomes the text of its \\file. Lines keep their numbers, so that warnings name the right ones.
"""

from __future__ import annotations

import pathlib
import re
import sys

# Behind code: two spaces and the comment. Not in a string, not the continuation of one behind code.
BEHIND = re.compile(r"^(?P<code>\s*\S.*?)\s{1,2}(?P<mark>//|/\*)(?P<text> .*)$")
NOT_WORDS = ("NOLINT", "clang-format", "----", "---")


def is_words(text: str) -> bool:
    return not text.strip().startswith(NOT_WORDS)


def in_front(line: str, in_head: bool) -> str:
    """A line that is only a comment."""
    margin, _, text = line.partition("//")
    if not is_words(text):
        return ""
    return f"{margin}//!{text}" if in_head else f"{margin}///{text}"


def transform(text: str, name: str) -> str:
    lines = []
    in_head = True
    column_of_last = None  # where the comment behind the previous line's code begins
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped.startswith("//"):
            continues = column_of_last is not None and line.index("//") == column_of_last
            head = f"//! \\file {name}\n" if in_head and not lines else ""
            lines.append(line.replace("//", "///<", 1) if continues else
                         (head + in_front(line, in_head)))
            continue
        if in_head and stripped:
            in_head = False
        column_of_last = None
        if stripped.startswith("/*") and is_words(stripped[2:]):
            line = line.replace("/*", "/**", 1)
        elif (found := BEHIND.match(line)) and is_words(found["text"]) and "#" not in found["code"][:1]:
            column_of_last = line.index(found["mark"] + found["text"])
            mark = "///<" if found["mark"] == "//" else "/**<"
            line = line[:column_of_last] + mark + found["text"]
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    path = pathlib.Path(sys.argv[1])
    sys.stdout.write(transform(path.read_text(), "/".join(path.parts[-2:])))


main()
