#pragma once

namespace fovea {

// The style sheet of report.html. The layout adapts from a desktop screen (two charts and two images per row)
// to a phone's (one); colours are variables, which dark mode overrides. The curves' are those of svg_chart.
inline constexpr const char* report_style = R"(
:root{--page:#f6f7f9;--card:#fff;--ink:#1b1f24;--muted:#626b78;--grid:#e1e4e9;--accent:#2563c9;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--page:#14171b;--card:#1d2126;--ink:#e6e8eb;--muted:#9aa3af;--grid:#343a42;
--accent:#6ea8fe;--curve-0:#6ea8fe;--curve-1:#ff922b;--curve-2:#69db7c;--curve-3:#da8ff0;--curve-4:#ffd43b;--curve-5:#4dd4df;
--curve-6:#ff8fb3;--curve-7:#adb5bd}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 16px 48px}
h1{font-size:1.75rem;line-height:1.25;margin:0 0 20px;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:36px 0 12px}
p{margin:0 0 12px;color:var(--muted);max-width:70ch}
.card{background:var(--card);border:1px solid var(--grid);border-radius:10px;padding:14px 16px}
.row{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));align-items:start}
.columns{columns:2 440px;column-gap:14px}
.columns>.card{break-inside:avoid;margin-bottom:14px}
dl{display:grid;gap:14px 20px;grid-template-columns:repeat(auto-fill,minmax(128px,1fr));margin:0}
dt{color:var(--muted);font-size:.82rem}
dd{margin:0;font-weight:600;overflow-wrap:anywhere}
svg{display:block;width:100%;max-width:620px;height:auto;margin:0 auto}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{padding:5px 8px;text-align:right;white-space:nowrap}
th{color:var(--muted);font-weight:500;border-bottom:1px solid var(--grid)}
tr+tr td{border-top:1px solid var(--grid)}
td:first-child,th:first-child{text-align:left;padding-left:0}
td.name{font-weight:600}
td.class{font-weight:600;white-space:normal;overflow-wrap:break-word;min-width:6.5em}
td.value{font-weight:600}
td.bar{width:26%;min-width:56px;padding-right:0}
td.bar i{display:block;height:8px;border-radius:4px;background:var(--accent);min-width:2px}
figure{margin:0}
figcaption{font-weight:600;font-size:.92rem;margin-bottom:8px;overflow-wrap:anywhere}
.pair{display:grid;gap:8px;grid-template-columns:1fr 1fr}
.pair img{display:block;width:100%;height:auto;border-radius:6px}
figure p{font-size:.88rem}
.single{display:block;max-width:100%;height:auto;border-radius:6px}
.confusion td:not(.class){text-align:center;min-width:3.2em}
.confusion th:not(:first-child){text-align:center}
.pair span{display:block;color:var(--muted);font-size:.8rem}
footer{margin-top:40px;color:var(--muted);font-size:.82rem}
@media (max-width:520px){h1{font-size:1.4rem}.card{padding:12px}.pair{grid-template-columns:1fr}td.bar,th.bar{display:none}
td.class{min-width:5em}table{font-size:.78rem}th,td{padding:5px 3px}}
)";

}  // namespace fovea
