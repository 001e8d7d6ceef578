"""Pieces of HTML that try to run, to load, or to lead away; and a notebook that has them wherever it can have text."""

from __future__ import annotations

from typing import Any

import nbformat

HOSTILE = [
    "<script>{do}</script>",
    "<SCRIPT SRC={url}></SCRIPT>",
    "<scr<script>ipt>{do}</scr</script>ipt>",
    "<img src=x onerror={do}>",
    "<img src={url}/pixel.png><img srcset='{url}/set.png 1x'><picture><source srcset={url}><img></picture>",
    "<img src='data:text/html,<script>{do}</script>'>",
    "<body onload={do}><div onmouseover={do} onfocus={do} tabindex=1 autofocus>x</div>",
    "<a href='javascript:{do}'>x</a><a href='data:text/html,<script>{do}</script>'>y</a><a href=' jAva&#10;script:{do}'>z</a>",
    "<a href='&#106;avascript:{do}'>x</a><a href='vbscript:{do}'>y</a><a ping={url} href='#'>p</a>",
    "<svg onload={do}><script>{do}</script><image href={url}/svg.png /><a xlink:href='javascript:{do}'>x</a></svg>",
    "<svg><animate onbegin={do} attributeName=x dur=1s /><foreignObject><iframe src={url}></iframe></foreignObject></svg>",
    "<svg><style>@import url({url}/s.css);</style></svg>",
    "<iframe src={url}></iframe><iframe srcdoc='<script>parent.{do}</script>'></iframe><object data={url}></object><embed src={url}>",
    "<meta http-equiv=refresh content='0;url={url}/refresh'><base href={url}><link rel=stylesheet href={url}/l.css>",
    "<link rel=preload as=image href={url}/pre.png><link rel=dns-prefetch href={url}>",
    "<style>@import url({url}/i.css); body{{background:url({url}/b.png)}}</style><div style='background:url({url}/d.png)'>x</div>",
    "<style>@font-face{{font-family:f;src:url({url}/f.woff)}} *{{font-family:f}}</style>",
    "<style>x{{}}</style/><img src=x onerror={do}><style>p{{color:red}}<!--</style><script>{do}</script>",
    "<div style='background:\\75rl({url}/e.png); width:expression({do}); position:fixed; inset:0'>cover</div>",
    "<form action={url}><input name=q autofocus onfocus={do}><button formaction={url}>go</button></form>",
    "<video src={url}/v.mp4 autoplay onloadstart={do}><source src={url}/v2.mp4 onerror={do}></video><audio src={url}/a.mp3></audio>",
    "<math><mtext><table><mglyph><style><img src=x onerror={do}></style></mglyph></table></mtext></math>",
    "<math href='javascript:{do}'>x</math><math><maction actiontype='statusline#{url}'>x</maction></math>",
    "<noscript><p title='</noscript><img src=x onerror={do}>'></noscript>",
    "<template><script>{do}</script></template><textarea></textarea><script>{do}</script>",
    "<details open ontoggle={do}>x</details><marquee onstart={do}>x</marquee><select onfocus={do} autofocus></select>",
    "<table background={url}/t.png><tr><td background={url}/c.png>x</table>",
    "</section></main></body></html><script>{do}</script>",
    "--><script>{do}</script><!--<img title='--><script>{do}</script>'>",
    "<p class='nb-banner nb-failure' id='nb-cell-0'>imitates the page</p>",
    "$\\text{{<script>{do}</script>}}$ $\\href{{javascript:{do}}}{{x}}$ $$<img src=x onerror={do}>$$",
    '<span title="$x$<img src=x onerror={do}>">a $ b</span>$" onmouseover="{do}$',
    "![x](javascript:{do}) [y](javascript:{do}) ![z]({url}/md.png) <javascript:{do}> [r]: javascript:{do}",
    "```html\n<script>{do}</script>\n```\n```mermaid\n<img src=x onerror={do}>\n```",
    "\x1b[31m<script>{do}</script>\x1b[0m\x1b]8;;javascript:{do}\x07link\x1b]8;;\x07",
]


def payloads(do: str = "alert(1)", url: str = "https://evil.example") -> list[str]:
    """The corpus, with what a script would do and an address that must never be asked."""
    return [text.format(do=do, url=url) for text in HOSTILE]


def book(texts: list[str]) -> dict[str, Any]:
    """A notebook with each text in Markdown, in all kinds of outputs, in metadata and in attachments."""
    v4 = nbformat.v4
    cells = []
    for text in texts:
        told = v4.new_markdown_cell(
            f"a ![i](attachment:{text}) b\n\n{text}", metadata={"tags": [text.replace(",", ";")]}
        )
        told["attachments"] = {text: {text: text}, "x.png": {"image/png": text}}
        bundles = [
            {"text/html": text, "text/plain": "t"},
            {"text/markdown": text},
            {"text/latex": f"${text}$"},
            {"text/plain": text},
            {"image/svg+xml": f'<svg xmlns="http://www.w3.org/2000/svg">{text}</svg>'},
            {"image/svg+xml": text},
            {"image/png": text, "text/plain": text},
            {"application/javascript": text},
            {"application/json": {"a": text}},
            {"application/vnd.jupyter.widget-view+json": {"model_id": text}, "text/plain": text},
            {"application/vnd.plotly.v1+json": {"data": text}, "text/html": text},
            {text: text},
        ]
        outputs = [v4.new_output("display_data", data, metadata={"filenames": {"image/png": text}, "image/png": {"alt": text, "width": text}, "text/html": {"isolated": True}}) for data in bundles]  # fmt: skip
        outputs += [
            v4.new_output("stream", name="stdout", text=text),
            v4.new_output("stream", name="stderr", text=text),
            v4.new_output("error", ename=text, evalue=text, traceback=[text, f"\x1b[31m{text}"]),
            v4.new_output("error", ename=text, evalue=text, traceback=[]),
        ]
        cells += [
            told,
            v4.new_code_cell(
                text,
                outputs=outputs,
                metadata={"tags": [text.replace(",", ";")], "name": "n" + text.replace("\n", " ")},
            ),
        ]
        cells.append(v4.new_raw_cell(text, metadata={"raw_mimetype": "text/html"}))
    papermill = {"parameters": {text: text for text in texts}, "duration": 1.0}
    spec = {"name": texts[0], "display_name": texts[0]}
    return {"cells": cells, "metadata": {"title": texts[0], "kernelspec": spec, "papermill": papermill}}
