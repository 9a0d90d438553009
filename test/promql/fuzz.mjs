// test/promql/fuzz.mjs: the command line of the differential fuzzer (make fuzz-promql): until it is stopped, or FUZZ_RUNS
// rounds long, each round with series and queries of its own seed. PROM_BIN names the Prometheus, FUZZ_SEED the first seed,
// FUZZ_COUNT the questions of a round. Prints every difference; ends with 1 when there was one.
import "../register.mjs";

const { askBoth } = await import("./fuzz.ts");
const { findPrometheus, Peer } = await import("./peer.ts");
const found = findPrometheus();
if (found === undefined) throw new Error("cannot fuzz: got no prometheus; want PROM_BIN or one on the PATH");
const rounds = Number(process.env.FUZZ_RUNS ?? Number.POSITIVE_INFINITY);
const first = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000);
const count = Number(process.env.FUZZ_COUNT ?? 2000);
console.log(`${found.command}, ${found.modern ? "version 3" : "an older version"}, seeds from ${first}`);
for (let round = 0; round < rounds; round++) {
  const seed = first + round;
  const modes = { delayedNames: seed % 2 === 1, starts: found.modern && seed % 4 >= 2 };
  const peer = await Peer.start(found, seed, modes);
  try {
    const { asked, answered, findings } = await askBoth(peer, seed, count);
    for (const { question, difference } of findings) {
      const { query, startMs, endMs, stepMs } = question;
      const at = [startMs, endMs].map((ms) => (ms - peer.baseMs) / 1000).join(" to ");
      console.log(`${query}\n  at ${at} s after the first scrape, step ${stepMs / 1000} s\n  ${difference}`);
    }
    const names = modes.delayedNames ? "names removed at the end" : "names removed at once";
    const starts = modes.starts ? ", start times used" : "";
    console.log(`seed ${seed}, ${names}${starts}: ${asked} asked, ${answered} with series, ${findings.length} differ`);
    if (findings.length > 0) process.exitCode = 1;
  } finally {
    await peer.stop();
  }
}
