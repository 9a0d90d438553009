// test/promql/main.ts: runs all *.test scripts of some directories and tells what passed.
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Engine } from "../../libs/promql/index.ts";
import { type EvalOutcome, executeScript, type ScriptStorage } from "./execute.ts";
import { parseScript } from "./script.ts";

/** The outcomes of one script file. */
export interface ScriptReport {
  readonly file: string;
  readonly outcomes: readonly EvalOutcome[];
}

/** Runs every script of the directories, on storages that `open` makes. Errors: those of reading a directory. */
export async function runScripts(
  directories: readonly string[],
  open?: () => ScriptStorage,
  wanted: (name: string) => boolean = () => true,
): Promise<ScriptReport[]> {
  const reports: ScriptReport[] = [];
  for (const directory of directories) {
    for (const name of readdirSync(directory).sort()) {
      if (!name.endsWith(".test") || !wanted(name)) continue;
      const file = join(directory, name);
      reports.push({ file, outcomes: await runScript(file, open) });
    }
  }
  return reports;
}

async function runScript(file: string, open?: () => ScriptStorage): Promise<EvalOutcome[]> {
  const engine = new Engine({ now: () => 0, delayedNameRemoval: true, useStartTimestamps: true });
  return await executeScript(parseScript(readFileSync(file, "utf8")), engine, open);
}

/** Passed and total evals. */
export function tally(outcomes: readonly EvalOutcome[]): { passed: number; total: number } {
  return { passed: outcomes.filter((o) => o.failure === undefined).length, total: outcomes.length };
}

/** One line per file, every failure when `verbose`, and the last line `N passed, N failed`. */
export function describe(reports: readonly ScriptReport[], verbose: boolean): string {
  const lines: string[] = [];
  for (const { file, outcomes } of reports) {
    const { passed, total } = tally(outcomes);
    const floats = tally(outcomes.filter((o) => !o.native));
    const native = total === floats.total ? "" : `   without native histograms ${floats.passed} / ${floats.total}`;
    lines.push(`${basename(file).padEnd(28)} ${String(passed).padStart(4)} / ${String(total).padEnd(4)}${native}`);
    for (const { line, expr, failure } of verbose ? outcomes : []) {
      if (failure !== undefined) lines.push(`  line ${line}: ${expr}\n    ${failure}`);
    }
  }
  const all = reports.flatMap((report) => report.outcomes);
  const { passed, total } = tally(all);
  const floats = tally(all.filter((o) => !o.native));
  lines.push(`evals that use no native histogram: ${floats.passed} of ${floats.total}`);
  lines.push(`${passed} passed, ${total - passed} failed`);
  return lines.join("\n");
}
