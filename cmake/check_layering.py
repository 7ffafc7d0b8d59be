"""Fails when a file of src/ includes a header of a module that its own module does not declare.

usage: check_layering.py SRC MODULE=DEP,DEP… …
"""

import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#include\s+"([^"]+)"', re.MULTILINE)


def main() -> int:
    source = pathlib.Path(sys.argv[1])
    declared: dict[str, set[str]] = {}
    for word in sys.argv[2:]:
        folder, _, dependencies = word.partition("=")
        declared.setdefault(folder, set()).update(d for d in dependencies.split(",") if d)
    # A dependency may be used through another: A -> B -> base lets A include base.
    def reach(module: str, seen: set[str]) -> set[str]:
        for dependency in declared.get(module, set()):
            if dependency not in seen:
                seen.add(dependency)
                reach(dependency, seen)
        return seen

    failures = []
    for path in sorted(source.rglob("*")):
        if path.suffix not in {".cc", ".h"}:
            continue
        module = next((f for f in sorted(declared, key=len, reverse=True)
                       if path.relative_to(source).as_posix().startswith(f + "/")), None)
        if module is None:
            failures.append(f"{path.relative_to(source)}: belongs to no declared module")
            continue
        allowed = reach(module, set()) | {module}
        allowed_folders = {("payload/native" if m == "payload_native" else m) for m in allowed}
        for header in INCLUDE.findall(path.read_text()):
            if header.startswith("trivet/"):
                continue
            if not any(header.startswith(folder + "/") for folder in allowed_folders):
                failures.append(
                    f"{path.relative_to(source)}: includes \"{header}\", but {module} depends on "
                    f"{', '.join(sorted(allowed - {module})) or 'nothing'} only")
    for failure in failures:
        print(f"layering: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
