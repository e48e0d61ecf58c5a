"""The look of the HTML report, in the colours of the project's pictures."""

from __future__ import annotations

from controller.plot.page import DARK_TONES, LIGHT_TONES

_NAMES = ("info", "warn", "good", "bad", "odd", "mute")


def _colours(page: dict[str, str], tones: tuple[str, ...]) -> str:
    named = {**page, **dict(zip(_NAMES, tones, strict=True))}
    return ":root{" + "".join(f"--{name}:{value};" for name, value in named.items()) + "}"


_LIGHT = {"ground": "#ffffff", "card": "#f6f8fa", "ink": "#1f2328", "muted": "#59636e", "line": "#d1d9e0"}
_DARK = {"ground": "#0d1117", "card": "#151b23", "ink": "#e6edf3", "muted": "#9198a1", "line": "#3d444d"}

_RULES = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:64rem;padding:1.5rem clamp(.75rem,3vw,2rem) 3rem;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;overflow-wrap:anywhere}
h1{font-size:1.75rem;line-height:1.2;margin:0}h2{font-size:1.2rem;margin:2.25rem 0 .75rem}
h3{font-size:1.05rem;margin:0}h3 span,header span{font-weight:400;color:var(--muted)}
header p{margin:.35rem 0;color:var(--muted)}header .summary{color:var(--ink);font-size:1.15rem;font-weight:600}
.quiet{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.count{color:var(--muted);font-weight:400}p{margin:.35rem 0}small,footer,.times{font-size:.875rem;color:var(--muted)}
code{font:.875rem ui-monospace,'DejaVu Sans Mono',monospace;color:var(--muted)}
.figures{display:grid;grid-template-columns:repeat(4,1fr);gap:.75rem;margin:1.25rem 0 0}
.figures div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.75rem 1rem}
.figures dt{color:var(--muted);font-size:.875rem}.figures dd{margin:0}.figures b{display:block;font-size:1.35rem}
.figures small{display:block;line-height:1.35}
article{background:var(--card);border:1px solid var(--line);border-left:.35rem solid var(--tone,var(--mute));
border-radius:.5rem;padding:.85rem 1rem;margin:.75rem 0}
article.person{--tone:var(--odd)}article.back{--tone:var(--bad)}article.arrived{--tone:var(--good)}
article.way{--tone:var(--info)}article.waits{--tone:var(--warn)}
.state strong{color:var(--tone,var(--ink))}
blockquote{margin:.5rem 0;padding:0}ul,ol{margin:.5rem 0;padding-left:1.25rem}
details{margin-top:.5rem}summary{cursor:pointer;color:var(--info);font-weight:600}
summary:focus-visible{outline:2px solid var(--info);outline-offset:2px}
details ol{list-style:none;padding:0;margin-bottom:0}details li{border-top:1px solid var(--line);padding:.6rem 0}
details li:last-child{padding-bottom:0}
details li p{margin:.15rem 0}time{font-variant-numeric:tabular-nums;color:var(--muted)}.same{color:var(--muted)}
.gate{display:grid;grid-template-columns:minmax(8rem,1fr) 240px minmax(10rem,1.4fr);gap:.25rem 1rem;align-items:center;
padding:.35rem 0}.gate p{margin:0}.gate .name b{color:var(--verdict,var(--muted))}
.gate .numbers,.gate .blank{font-size:.875rem;color:var(--muted);font-variant-numeric:tabular-nums}
.gate .numbers span{display:block}
.healthy{--verdict:var(--good)}.degraded{--verdict:var(--bad)}.blind,.shared{--verdict:var(--odd)}
.undecided{--verdict:var(--warn)}
svg{display:block;max-width:100%}svg text{font-size:10px;fill:var(--muted);font-family:inherit}
svg line{stroke:var(--line);stroke-width:1}svg .one{stroke:var(--muted);stroke-width:1.5}
svg .interval,svg .cap,svg .open{stroke:var(--verdict,var(--muted));stroke-width:2.5;fill:none}
svg .dot,svg .since{fill:var(--verdict,var(--muted))}svg .before{fill:var(--line)}
svg .later{fill:var(--card);stroke:var(--verdict,var(--muted));stroke-width:2}
svg .from{stroke:var(--verdict,var(--muted));stroke-width:1.5}svg .when{fill:var(--ink);font-weight:600}
.numbers i{font-style:normal;color:var(--verdict,var(--muted))}.numbers .harm{color:var(--ink)}
.stretched{width:100%;height:16px}.bar{fill:var(--mute)}.bar.arrived{fill:var(--good)}.bar.back{fill:var(--bad)}
.bar.person{fill:var(--odd)}.bar.way{fill:var(--info)}.bar.going{opacity:.45}
.glance{width:100%;border-collapse:collapse;font-size:.875rem}.glance th{text-align:left;font-weight:400}
.glance thead th{color:var(--muted)}
.glance td,.glance th{padding:.25rem .75rem .25rem 0;border-top:1px solid var(--line)}
.glance thead th{border-top:0}.glance td:nth-child(2){white-space:nowrap;color:var(--muted)}
.glance .wide{width:60%;padding-right:0}.ticks{display:flex;justify-content:space-between}
@media (max-width:52rem){.figures{grid-template-columns:repeat(2,1fr)}}
@media (max-width:42rem){.gate{grid-template-columns:1fr}.glance .wide{width:40%}.ticks span:nth-child(2){display:none}}
@media print{details:not([open])>*{display:block}article{break-inside:avoid}}
"""

STYLE = (
    _colours(_LIGHT, LIGHT_TONES)
    + f"@media (prefers-color-scheme:dark){{{_colours(_DARK, DARK_TONES)}}}"
    + "".join(_RULES.split("\n"))
)
