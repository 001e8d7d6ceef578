"""Writes the option table anew into README.md and docs/options.md, between their markers (make docs)."""

from __future__ import annotations

from pathlib import Path

from builder.options.docs import markdown

BEGIN, END = "<!-- options -->", "<!-- /options -->"
ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/options.md")


def with_table(page: str) -> str:
    """The page with the table of now between its markers; a page without markers stays as it is."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n\n{markdown()}\n{end}{after}" if begin and end else page


def main() -> None:
    """Rewrites the pages whose table is stale, and names them."""
    for name in PAGES:
        page = ROOT / name
        if not page.exists():
            continue
        old = page.read_text(encoding="utf-8")
        new = with_table(old)
        if new != old:
            page.write_text(new, encoding="utf-8")
            print(f"{name}: table written")


if __name__ == "__main__":
    main()
