"""Writes man pages, compressed, and shell completions to a directory, for cmake/TrivetInstall.cmake.

usage: make_documents.py DIRECTORY TRIVET PAGE…
"""

import gzip
import pathlib
import subprocess
import sys

COMPLETIONS = {"bash": "trivet", "zsh": "_trivet", "fish": "trivet.fish"}


def write(path: pathlib.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def main() -> None:
    directory, trivet = pathlib.Path(sys.argv[1]), sys.argv[2]
    for name in sys.argv[3:]:
        page = pathlib.Path(name)
        # Without a time, so that the same sources make the same files.
        write(directory / "man" / f"man{page.suffix[1:]}" / f"{page.name}.gz",
              gzip.compress(page.read_bytes(), mtime=0))
    for shell, name in COMPLETIONS.items():
        result = subprocess.run([trivet, "completion", shell], stdout=subprocess.PIPE, check=True)
        write(directory / shell / name, result.stdout)
    write(directory / "stamp", b"")


main()
