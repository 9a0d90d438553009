// services/select/start-page.ts: the page at `/` until there is a web UI: state, example queries, where to point clients.
// One HTML document, no script, no asset from elsewhere; every inserted text is escaped.
import type { Route } from "../../libs/runtime/index.ts";

export interface StartPageState {
  readonly version: string;
  /** starting, ready or stopping. */
  readonly state: string;
  /** Rows of the state table: what, how much. */
  readonly facts: readonly (readonly [string, string])[];
  /** Whether writes are accepted on the same port. */
  readonly acceptsWrites: boolean;
}

const EXAMPLES: readonly (readonly [string, string])[] = [
  ["up", "Which targets are there?"],
  ["rate(tidemark_insert_samples_stored_total[1m])", "How many samples come in per second?"],
  ["tidemark_storage_series", "How many series are there?"],
  ["rate(process_cpu_seconds_total[1m])", "How much CPU does Tidemark itself use?"],
  ['count by (__name__) ({__name__!=""})', "Which metrics are there?"],
];

/** The route of the page. `current` is asked for the state each time. */
export function startPageRoute(current: () => StartPageState): Route {
  return {
    methods: ["GET", "HEAD"],
    pattern: "/",
    needsEngine: false,
    handle: (exchange) => {
      const origin = `http://${exchange.header("host") ?? "127.0.0.1:8428"}`;
      const security = ["Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"];
      return exchange.send(200, "text/html; charset=utf-8", Buffer.from(renderPage(current(), origin)), security);
    },
  };
}

/** Text as HTML text or attribute value. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

function renderPage({ version, state, facts, acceptsWrites }: StartPageState, origin: string): string {
  const rows = [["State", state] as const, ...facts]
    .map(([what, value]) => `<tr><th>${escapeHtml(what)}</th><td>${escapeHtml(value)}</td></tr>`)
    .join("\n");
  const examples = EXAMPLES.map(([query, question]) => {
    const href = `/api/v1/query?query=${encodeURIComponent(query)}`;
    return `<li>${escapeHtml(question)} <a href="${escapeHtml(href)}"><code>${escapeHtml(query)}</code></a></li>`;
  }).join("\n");
  const write = `# prometheus.yml\nremote_write:\n  - url: ${origin}/api/v1/write`;
  const writing = acceptsWrites ? `<h2>Write</h2>\n<pre>${escapeHtml(write)}</pre>` : "";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Tidemark</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; }
th { text-align: left; padding-right: 2rem; font-weight: normal; color: #57606a; }
pre, code { background: #f3f4f6; border-radius: 4px; }
pre { padding: .8rem; overflow-x: auto; }
code { padding: .1rem .3rem; }
a { color: #0b5cad; }
</style>
</head>
<body>
<h1>Tidemark ${escapeHtml(version)}</h1>
<table>
${rows}
</table>
<h2>Ask</h2>
<ul>
${examples}
</ul>
<p>In Grafana, add a data source of type Prometheus with the URL <code>${escapeHtml(origin)}</code>
(from inside Docker: <code>${escapeHtml(origin.replace(/\/\/(127\.0\.0\.1|localhost)/, "//host.docker.internal"))}</code>).</p>
${writing}
<h2>Look further</h2>
<p><a href="/metrics">Own metrics</a> · <a href="/-/healthy">Health</a> · <a href="/-/ready">Readiness</a> ·
<a href="/api/v1/status/buildinfo">Build</a> · <a href="/api/v1/label/__name__/values">Metric names</a> ·
README.md and ARCHITECTURE.md of the package explain the rest.</p>
</body>
</html>
`;
}
