#!/usr/bin/env python3
"""Checks that every dependency has a licence that ours (MIT OR Apache-2.0) can live with; prints those that have not."""
import json
import re
import subprocess
import sys

ALLOWED = {
    "MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "0BSD",
    "Unicode-3.0", "Unlicense", "CC0-1.0", "MIT-0", "BSL-1.0",
}


def permits(expression):
    """Whether a licence expression can be satisfied: one side of every OR, all sides of every AND."""
    text = expression.replace("/", " OR ").strip()
    while text.startswith("(") and text.endswith(")") and text.count("(") == 1:
        text = text[1:-1]
    depth, parts, start = 0, [], 0
    for word in re.finditer(r"\(|\)|\bAND\b", text):
        if word[0] == "(":
            depth += 1
        elif word[0] == ")":
            depth -= 1
        elif depth == 0:
            parts.append(text[start:word.start()])
            start = word.end()
    parts.append(text[start:])
    if len(parts) > 1:
        return all(permits(part) for part in parts)
    return any(choice.strip(" ()") in ALLOWED for choice in re.split(r"\bOR\b", text))


metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--locked"]))
bad = [f"{p['name']} {p['version']}: {p['license']}" for p in metadata["packages"] if not permits(p["license"] or "none")]
print("\n".join(bad) or f"{len(metadata['packages'])} packages, all under permissive licences")
sys.exit(1 if bad else 0)
