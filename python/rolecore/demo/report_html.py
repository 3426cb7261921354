"""The demo's report: one HTML file with inline SVG, no script, nothing loaded from anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecore.demo.replay import Evidence, Replay
    from rolecore.demo.verdicts import Verdict

# Charts are drawn for a phone's width and scale up, so that their text never gets smaller than it is here.
_WIDTH = 360
_LEFT = 38
_RIGHT = 8
_TOP = 14
_PLOT_HEIGHT = 150
_MOST_CHARTS = 4
_THIN = 4

_STYLE = """
:root{color-scheme:light dark;--bg:#f7f6f2;--card:#fff;--ink:#1c211f;--soft:#5d6662;--line:#dcdcd4;--pale:#c9d6cf;
--ours:#0d7a5a;--mid:#7cb8a1;--other:#c2691c;--good:#0d7a5a;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--bg:#121614;--card:#1b211e;--ink:#e9ece9;--soft:#9aa5a0;--line:#313a36;
--pale:#3d4a44;--ours:#3ecf9a;--mid:#2b7f63;--other:#e8964a;--good:#3ecf9a;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:66rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .3rem;letter-spacing:-.01em}
h2{font-size:1.1rem;margin:2.2rem 0 .7rem}
p{margin:.3rem 0;color:var(--soft)}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr))}
.card{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:.9rem 1rem;margin:0}
.big{font-size:2rem;font-weight:650;line-height:1.1;color:var(--ink);font-variant-numeric:tabular-nums}
ul{list-style:none;margin:0;padding:0}
.verdicts li{display:grid;grid-template-columns:1.6rem 1fr;padding:.5rem 0;border-top:1px solid var(--line)}
.verdicts li:first-child{border-top:0}
.mark{font-weight:700}.ok .mark{color:var(--good)}.fail .mark,.fail .claim{color:var(--bad)}
small{color:var(--soft);font-size:.84rem;display:block}
figcaption{font-weight:600;margin-bottom:.4rem}figcaption small{font-weight:400}
svg{display:block;width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}svg .value{fill:var(--ink);font-weight:600}
.said{fill:var(--pale)}.ours{fill:var(--ours)}.mid{fill:var(--mid)}.other{fill:var(--other)}
.rule{stroke:var(--line);stroke-width:1}.limit{stroke:var(--other);stroke-width:1.5;stroke-dasharray:4 3}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.84rem;color:var(--soft);margin-top:.5rem}
.key i{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-right:.4em}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{text-align:right;padding:.4rem .6rem;white-space:nowrap;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left;padding-left:0}
tr:last-child td{border-bottom:0}
"""


@dataclass(frozen=True)
class Report:
    """What the page shows."""

    build: str
    replays: Sequence[Replay]
    evidence: Sequence[Evidence]
    memory_lines: Sequence[str]
    verdicts: Sequence[Verdict]
    columns: Sequence[str]
    cells: Sequence[Sequence[str]]
    turn_columns: Sequence[str]
    turn_cells: Sequence[Sequence[str]]


def page(report: Report) -> str:
    """Return the whole page."""
    parts = [
        f"<h1>rolecore demo</h1><p>{escape(report.build)}</p>",
        _headline(report),
        "<h2>Verdicts</h2>",
        "<p>Each was checked in the same run, by a slow plain-Python oracle or from outside.</p>",
        _verdicts(report.verdicts),
    ]
    charts = [_evidence_chart(report.evidence)] if report.evidence else []
    charts += map(_window_chart, _charted(report.replays))
    if charts:
        parts += ["<h2>What was kept, what was sent</h2>", f'<div class="grid">{"".join(charts)}</div>']
    if report.cells:
        parts += ["<h2>All replays</h2>", _table(report.columns, report.cells)]
    if report.turn_cells:
        parts += ["<h2>Turns with a model server</h2>", _table(report.turn_columns, report.turn_cells)]
    if report.memory_lines:
        lines = "".join(f"<li>{escape(line)}</li>" for line in report.memory_lines)
        parts += ["<h2>Memory</h2>", f'<ul class="card">{lines}</ul>']
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>rolecore demo</title><style>{_STYLE}</style>"
    )
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}\n</main></body></html>\n'


def _headline(report: Report) -> str:
    tiles = []
    if report.replays:
        best = max(report.replays, key=lambda row: row.saved_share)
        text = f"of the tokens saved: {best.name}, budget {best.budget_tokens:,}"
        tiles.append((f"{best.saved_share:.0%}", text))
        slowest = max(row.median_us for row in report.replays)
        tiles.append((f"{slowest:,.0f} \N{MICRO SIGN}s", "a fit, median of the slowest replay"))
    if report.evidence:
        row = report.evidence[0]
        ours, newest = row.share(row.with_query), row.share(row.newest_first)
        text = f"of the evidence kept at {row.budget_tokens:,} tokens; newest-first keeps {newest:.0%}"
        tiles.append((f"{ours:.0%}", text))
    cards = "".join(f'<div class="card"><div class="big">{big}</div><p>{escape(text)}</p></div>' for big, text in tiles)
    return f'<div class="grid" style="margin-top:1.2rem">{cards}</div>'


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    rows = [
        f'<li class="{"ok" if verdict.holds else "fail"}"><span class="mark">{"✓" if verdict.holds else "✗"}</span>'
        f'<span><span class="claim">{escape(verdict.claim)}</span><small>{escape(verdict.check)}</small></span></li>'
        for verdict in verdicts
    ]
    return f'<ul class="card verdicts">{"".join(rows)}</ul>'


def _charted(replays: Sequence[Replay]) -> list[Replay]:
    """The tightest budget of each chat, fitted with a query."""
    tightest: dict[str, Replay] = {}
    for row in replays:
        known = tightest.get(row.name)
        if row.has_query and row.window_tokens and (known is None or row.budget_tokens < known.budget_tokens):
            tightest[row.name] = row
    return list(tightest.values())[:_MOST_CHARTS]


def _window_chart(row: Replay) -> str:
    """Bars a request: what had been said, and before it what was sent."""
    top = max(*row.history_tokens, row.budget_tokens)
    step = (_WIDTH - _LEFT - _RIGHT) / len(row.history_tokens)
    # Thin bars touch: gaps of less than a pixel would only shimmer.
    bar = step * 0.82 if step > _THIN else step
    base = _TOP + _PLOT_HEIGHT

    def at(tokens: float) -> float:
        return base - tokens / top * _PLOT_HEIGHT

    def column(kind: str, i: int, tokens: int) -> str:
        x, y = _LEFT + i * step, at(tokens)
        return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{bar:.1f}" height="{base - y:.1f}"/>'

    def rule(kind: str, tokens: int) -> str:
        y = at(tokens)
        return f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'

    marks = []
    for i, (said, sent) in enumerate(zip(row.history_tokens, row.window_tokens, strict=True)):
        title = f"<title>request {i + 1}: {said:,} tokens said, {sent:,} sent</title>"
        marks.append(f"<g>{title}{column('said', i, said)}{column('ours', i, sent)}</g>")
    ticks = "".join(
        f'{rule("rule", t)}<text x="{_LEFT - 5}" y="{at(t) + 4:.1f}" text-anchor="end">{_short(t)}</text>'
        for t in _ticks(top)
    )
    svg = (
        f'<svg viewBox="0 0 {_WIDTH} {base + 20}" role="img" aria-label="tokens per request, {escape(row.name)}">'
        f"{ticks}{''.join(marks)}{rule('limit', row.budget_tokens)}"
        f'<text class="value" x="{_LEFT + 4}" y="{at(row.budget_tokens) - 5:.1f}">budget {row.budget_tokens:,}</text>'
        f'<text x="{_LEFT}" y="{base + 15}">first request</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{base + 15}" text-anchor="end">request {len(row.history_tokens)}</text></svg>'
    )
    totals = f"{row.tokens_in:,} in all, {row.tokens_kept:,} sent"
    caption = f"Tokens per request: {escape(row.name)} <small>{totals}</small>"
    return _figure(caption, svg, (("pale", "said so far"), ("ours", "sent")))


def _evidence_chart(rows: Sequence[Evidence]) -> str:
    """Horizontal bars, three a budget."""
    bar, gap, head = 15, 4, 20
    group = head + 3 * (bar + gap) + 8
    span = _WIDTH - _RIGHT - 38
    parts = []
    for i, row in enumerate(rows):
        y = i * group
        parts.append(f'<text class="value" x="0" y="{y + 13}">budget {row.budget_tokens:,}</text>')
        counts = (("ours", row.with_query), ("mid", row.without_query), ("other", row.newest_first))
        for k, (kind, found) in enumerate(counts):
            share, top = row.share(found), y + head + k * (bar + gap)
            parts.append(
                f'<rect class="said" opacity=".35" x="0" y="{top}" width="{span}" height="{bar}" rx="3"/>'
                f'<rect class="{kind}" x="0" y="{top}" width="{share * span:.1f}" height="{bar}" rx="3"/>'
                f'<text class="value" x="{_WIDTH}" y="{top + 12}" text-anchor="end">{share:.0%}</text>'
            )
    svg = f'<svg viewBox="0 0 {_WIDTH} {len(rows) * group - 8}" role="img" aria-label="evidence">{"".join(parts)}</svg>'
    caption = f"Evidence kept <small>of {rows[0].asked} messages that answer a question</small>"
    keys = (("ours", "fit with the question"), ("mid", "fit without"), ("other", "newest-first"))
    return _figure(caption, svg, keys)


def _figure(caption: str, svg: str, keys: Sequence[tuple[str, str]]) -> str:
    shown = "".join(f'<span><i style="background:var(--{colour})"></i>{text}</span>' for colour, text in keys)
    return f'<figure class="card"><figcaption>{caption}</figcaption>{svg}<div class="key">{shown}</div></figure>'


def _table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    return f'<div class="card scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _ticks(top: int) -> list[int]:
    """Three to six round numbers from 0 up to `top`."""
    step = 10 ** len(str(top))
    while top / step < 3:  # noqa: PLR2004  at least three steps
        step = step // 2 if str(step)[0] != "5" else step * 2 // 5
        if step < 1:
            return [0, top]
    return list(range(0, top + 1, step))


def _short(tokens: int) -> str:
    return f"{tokens / 1000:g}k" if tokens >= 1000 else str(tokens)  # noqa: PLR2004  a thousand
