// test/bench/main.mjs: `make bench`: the yard's scenarios, then the bench of each hot file. Arguments name scenarios.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runYard } from "./yard.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const names = process.argv.slice(2);
const failures = await runYard(names.length > 0 ? names : ["small", "main", "many", "shuffled"]);
for (const file of readdirSync(here)
  .filter((f) => f.endsWith(".bench.ts"))
  .sort()) {
  console.log(`\n## ${file}`);
  const run = spawnSync(process.execPath, ["--expose-gc", "--import", `${here}../register.mjs`, here + file], {
    stdio: "inherit",
  });
  if (run.status !== 0) failures.push(file);
}
console.log(failures.length === 0 ? "\nall goals met" : `\nmissed: ${failures.join("; ")}`);
process.exitCode = failures.length === 0 ? 0 : 1;
