// test/bench/main.mjs: `make bench`: the yard's scenarios, those of the disk, then the bench of each hot file. Arguments name scenarios.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { DISK_SCENARIOS, runDisk } from "./disk.mjs";
import { runYard, YARD_SCENARIOS } from "./yard.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const benches = readdirSync(here).filter((file) => file.endsWith(".bench.ts"));
const known = [...YARD_SCENARIOS, ...DISK_SCENARIOS, ...benches];
const names = process.argv.slice(2);
const unknown = names.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  console.error(`cannot bench ${unknown.join(", ")}; want some of ${known.join(" ")}`);
  process.exit(2);
}
const wanted = (all) => all.filter((name) => names.length === 0 || names.includes(name));

const cpu = /model name\s*: (.*)/.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1];
console.log(`node ${process.version}, ${cpu}`);
const failures = [...(await runYard(wanted(YARD_SCENARIOS))), ...(await runDisk(wanted(DISK_SCENARIOS)))];
for (const file of wanted(benches)) {
  console.log(`\n## ${file}`);
  const run = spawnSync(process.execPath, ["--expose-gc", "--import", `${here}../register.mjs`, here + file], {
    stdio: "inherit",
  });
  if (run.status !== 0) failures.push(file);
}
console.log(failures.length === 0 ? "\nall goals met" : `\nmissed: ${failures.join("; ")}`);
process.exitCode = failures.length === 0 ? 0 : 1;
