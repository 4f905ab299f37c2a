"""The HTML that a report is made of: one page, its style inside, nothing loaded from anywhere, no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_STYLE = """
:root{--ink:#1f2328;--soft:#59636e;--line:#d8dee4;--ground:#fff;--card:#f6f8fa;--accent:#0072b2;
--good:0,114,178;--bad:213,94,0;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#30363d;--ground:#0d1117;
--card:#161b22;--accent:#56b4e9;--good:86,180,233;--bad:230,130,50}}
*{box-sizing:border-box}html{scroll-behavior:smooth}
body{margin:0 auto;max-width:1180px;padding:28px 24px 80px;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1,h2,h3,p,li,dd,figcaption{overflow-wrap:anywhere}
h1{font-size:28px;line-height:1.2;margin:0 0 6px}h2{font-size:21px;margin:52px 0 10px;padding-top:14px;
border-top:1px solid var(--line)}h3{font-size:15px;margin:26px 0 8px}p{margin:6px 0 12px;max-width:80ch}
.soft,figcaption,caption{color:var(--soft)}a{color:var(--accent)}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin:18px 0 0;font-size:14px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));gap:10px;margin:20px 0}
.facts div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px}
.facts b{display:block;font-size:17px;overflow-wrap:anywhere}.facts span{color:var(--soft);font-size:13px}
.scroll{overflow-x:auto;margin:8px 0 18px}table{border-collapse:collapse;font-size:14px;
font-variant-numeric:tabular-nums}caption{text-align:left;padding-bottom:6px}
th,td{padding:5px 12px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left;padding-left:4px}
thead th{color:var(--soft);font-weight:600;vertical-align:top}thead small{font-weight:400}
td small{color:var(--soft);display:block}td.best{font-weight:700}tr.mine td:first-child{font-weight:700}
figure{margin:0}.crops{display:grid;gap:10px;margin:8px 0 22px}
.crops img{width:100%;display:block;image-rendering:pixelated;border-radius:4px;background:var(--card);
outline:1px solid var(--line)}
figcaption{font-size:13px;padding-top:3px}figcaption b{color:var(--ink);font-weight:600}
svg{max-width:100%;height:auto}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(430px,100%),1fr));gap:20px;
align-items:start}
code{font:13px ui-monospace,"DejaVu Sans Mono",monospace;background:var(--card);padding:1px 5px;border-radius:4px}
pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px;overflow-x:auto;
font:13px/1.5 ui-monospace,"DejaVu Sans Mono",monospace}dl{display:grid;grid-template-columns:max-content 1fr;
gap:4px 18px;font-size:14px}dt{font-weight:600}dd{margin:0;color:var(--soft)}ul{padding-left:20px}
@media(max-width:620px){body{padding:20px 14px 60px}.crops{grid-template-columns:1fr 1fr!important}
thead th:first-child{white-space:normal;min-width:110px}th,td{padding:5px 8px}dl{grid-template-columns:1fr}
dd{margin-bottom:6px}}
@media print{body{max-width:none}h2{break-after:avoid}.crops,table{break-inside:avoid}}
"""


def document(title: str, body: Sequence[str]) -> str:
    """A whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def links(pairs: Sequence[tuple[str, str]]) -> str:
    """A line of links to anchors of the page: (anchor, text) each."""
    inner = "".join(f'<a href="#{escape(anchor)}">{escape(text)}</a>' for anchor, text in pairs)
    return f"<nav>{inner}</nav>"


def side_by_side(charts: Sequence[str]) -> str:
    """Charts beside each other where there is room."""
    return '<div class="pair">' + "".join(f"<figure>{chart}</figure>" for chart in charts) + "</div>"


def heading(level: int, text: str, anchor: str = "") -> str:
    place = f' id="{escape(anchor)}"' if anchor else ""
    return f"<h{level}{place}>{escape(text)}</h{level}>"


def paragraph(text: str, soft: bool = False) -> str:
    return f"<p{_class('soft' if soft else '')}>{escape(text)}</p>"


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Small cards: a figure and what it is."""
    cards = "".join(f"<div><b>{escape(value)}</b><span>{escape(what)}</span></div>" for value, what in pairs)
    return f'<div class="facts">{cards}</div>'


def cell(text: str, note: str = "", best: bool = False, tint: float = 0.0) -> str:
    """A table's cell. note: a second, smaller line. tint: -1 (bad) to 1 (good) for its ground."""
    style = ""
    if abs(tint) > 0.02:
        colour = "good" if tint > 0 else "bad"
        style = f' style="background:rgba(var(--{colour}),{0.45 * min(1.0, abs(tint)):.2f})"'
    small = f"<small>{escape(note)}</small>" if note else ""
    return f"<td{_class('best' if best else '')}{style}>{escape(text)}{small}</td>"


def table(head: Sequence[tuple[str, str]], rows: Sequence[tuple[str, bool, Sequence[str]]]) -> str:
    """head: titles with units, the first over the rows' names. rows: name, whether it is to stand out, cells."""
    titles = "".join(
        f"<th>{escape(title)}{f'<br><small>{escape(unit)}</small>' if unit else ''}</th>"
        for title, unit in head
    )
    lines = "".join(
        f"<tr{_class('mine' if mine else '')}><td>{escape(name)}</td>{''.join(cells)}</tr>"
        for name, mine, cells in rows
    )
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>'


def crop_row(pictures: Sequence[tuple[str, str, str]], columns: int) -> str:
    """Pictures side by side: (address, bold caption, further caption) each."""
    figures = "".join(
        f'<figure><img src="{address}" alt="{escape(name)}"><figcaption><b>{escape(name)}</b> {escape(note)}'
        "</figcaption></figure>"
        for address, name, note in pictures
    )
    return f'<div class="crops" style="grid-template-columns:repeat({columns},minmax(0,1fr))">{figures}</div>'


def listed(lines: Sequence[str], most: int = 200) -> str:
    """A list; what is beyond `most` is counted."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines[:most])
    more = f"<li>… and {len(lines) - most} more</li>" if len(lines) > most else ""
    return f"<ul>{items}{more}</ul>"


def definitions(pairs: Sequence[tuple[str, str]]) -> str:
    return (
        "<dl>" + "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in pairs) + "</dl>"
    )
