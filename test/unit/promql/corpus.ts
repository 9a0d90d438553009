// test/unit/promql/corpus.ts: the queries and series lines of Prometheus' own test scripts, read where they are.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, shared } from "../../needs.ts";

const FOLDER = shared("promqltest");
const OWN_FOLDER = join(ROOT, "test/promql");
export const CORPUS_MISSING = FOLDER === undefined;

const INSTANT = /^eval(?:_(?:fail|warn|ordered|info))?\s+instant\s+at\s+.+?\s+(.+)$/;
const RANGE = /^eval(?:_(?:fail|warn|info))?\s+range\s+from\s+.+\s+to\s+.+\s+step\s+.+?\s+(.+)$/;

/** Files and their lines, trimmed. */
export function corpusFiles(folder = FOLDER!): { readonly name: string; readonly lines: string[] }[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(".test"));
  return names.map((name) => {
    const lines = readFileSync(join(folder, name), "utf8").split("\n");
    return { name, lines: lines.map((line) => line.trim()) };
  });
}

/** Every expression that a script evaluates. */
export function corpusQueries(): string[] {
  return queriesBelow(FOLDER!);
}

/** Likewise, of our own scripts. */
export function ownQueries(): string[] {
  return queriesBelow(OWN_FOLDER);
}

function queriesBelow(folder: string): string[] {
  const queries: string[] = [];
  for (const { lines } of corpusFiles(folder)) {
    for (const line of lines) {
      const query = (INSTANT.exec(line) ?? RANGE.exec(line))?.[1];
      if (query !== undefined) queries.push(query);
    }
  }
  return queries;
}

/** Every series line below a load or an eval. */
export function corpusSeries(): string[] {
  const series: string[] = [];
  for (const { lines } of corpusFiles()) {
    let inside = false;
    for (const line of lines) {
      if (line === "" || line.startsWith("#")) inside = false;
      else if (/^(?:load|eval)/.test(line)) inside = true;
      else if (inside && !/^(?:expect|expected_fail)/.test(line) && !/^[-+\d.]|^(?:NaN|Inf)/i.test(line))
        series.push(line);
    }
  }
  return series;
}
