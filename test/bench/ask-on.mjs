// test/bench/ask-on.mjs: asks a server heavy range queries, two at a time, one after another, until it is told to stop; then says how many.
//   node ask-on.mjs BASE startMs endMs
const [, , base, startMs, endMs] = process.argv;
const QUERIES = [
  'count by (__name__) ({job="node_exporter"})',
  "sum by (instance) (rate(node_cpu_seconds_total[5m]))",
  'sum by (__name__) ({__name__=~"node_.*_total"})',
  "max by (instance) (max_over_time(node_load1[30m]))",
];
const range = `start=${startMs / 1000}&end=${endMs / 1000}&step=60`;
let asked = 0;
let goesOn = true;
process.on("SIGTERM", () => {
  goesOn = false;
});

async function askOn(first) {
  for (let i = first; goesOn; i++) {
    const query = encodeURIComponent(QUERIES[i % QUERIES.length]);
    const answer = await fetch(`${base}/api/v1/query_range?query=${query}&${range}`);
    const { data, error } = await answer.json();
    if (error !== undefined || data.result.length === 0) throw new Error(`cannot ask: got ${error ?? "no series"}`);
    asked++;
  }
}

await Promise.all([askOn(0), askOn(2)]);
console.log(asked);
