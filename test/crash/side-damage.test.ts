// test/crash/side-damage.test.ts: every bit of a file of histograms flipped, through the whole storage: what is served is what was written, and
// where something is missing the file is named, by an error or in the log. Floats of the same series are never touched by it.
import { expect, test } from "vitest";
import { readWhole, removeTree, SimClock, SimFileSystem } from "../../libs/env/index.ts";
import { CorruptionError, exponentialLayout, labelsFromRecord, type QueryContext } from "../../libs/model/index.ts";
import { Engine } from "../../libs/promql/index.ts";
import {
  contents,
  DATA_DIR,
  HOUR,
  line,
  NOW,
  openDb,
  type Row,
  settled,
  TENANT,
  write,
} from "../unit/tsdb/db-fixture.ts";
import { appendSide } from "../unit/tsdb/side-fixture.ts";

const FOLDER = `${DATA_DIR}/side`;
const QUARANTINE = `${DATA_DIR}/quarantine`;
const LABELS = { __name__: "m" };
const ROW: Row = [LABELS, NOW - HOUR - 15_000, 3];
const TIMES = [NOW - HOUR, NOW - HOUR + 15_000];

async function disk(): Promise<SimFileSystem> {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const db = await openDb(fs, { clock, shardCount: 1 });
  const layout = exponentialLayout(0, 0, [1, 2], []);
  const histograms = TIMES.map((timeMs, k) => {
    const parts = { layout, hint: 0 as const, count: 4 + k, sum: 9, zeroCount: 1 };
    return { timeMs, histogram: { ...parts, buckets: Float64Array.of(1, 2 + k) } };
  });
  await write(db, [ROW]);
  await appendSide(db, [[labelsFromRecord(LABELS), { histograms, exemplars: [], starts: [] }]]);
  await settled(clock, db.flush());
  await settled(clock, db.close());
  return fs;
}

/** What the storage shows of the histograms: the answer, or the error that names what is damaged; and what it has logged. */
async function look(fs: SimFileSystem): Promise<{ answer: string; told: string }> {
  const clock = new SimClock(NOW);
  const problems: string[] = [];
  const db = await openDb(fs, { clock, shardCount: 1, onProblem: (problem) => problems.push(problem) });
  const context: QueryContext = {
    ...{ tenant: TENANT, signal: new AbortController().signal },
    ...{ deadlineMs: Number.POSITIVE_INFINITY, samplesMax: 1e9 },
  };
  const engine = new Engine({ now: () => NOW });
  const ask = async (query: string): Promise<string> => {
    const { value, warnings } = await engine.range(db.queryable, query, TIMES[0]!, TIMES[1]!, 15_000, context);
    if (value.type !== "matrix") throw new Error("no matrix");
    problems.push(...warnings);
    return value.columns.map(({ values, present }) => `${values.join()} ${present?.join() ?? "all"}`).join("; ");
  };
  try {
    const answers: string[] = [];
    for (const query of ["histogram_count(m)", "histogram_sum(m)", "histogram_quantile(0.5, m)"]) {
      const asked = ask(query);
      answers.push(
        await settled(clock, asked).catch((error: unknown) => {
          expect(error).toBeInstanceOf(CorruptionError);
          problems.push(nameOf(error as CorruptionError));
          return "";
        }),
      );
    }
    // Floats are whole, as far as the export is not stopped by the damage that it names.
    try {
      expect(contents(db)).toEqual([line(ROW)]);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      problems.push(nameOf(error));
    }
    return { answer: answers.join(" | "), told: problems.join("\n") };
  } finally {
    await settled(clock, db.close());
  }
}

const nameOf = ({ message, path }: CorruptionError): string => `${message} (${path})`;

test("every bit of a small file of histograms: never served, and named", { timeout: 240_000 }, async () => {
  const fs = await disk();
  const [name] = fs.list(FOLDER).filter((name) => name.endsWith(".tms")) as [string];
  expect(fs.list(FOLDER)).toEqual([name]);
  const path = `${FOLDER}/${name}`;
  const whole = await look(fs);
  expect(whole.answer).toContain("4,5");
  expect(whole.told).toBe("");
  const bytes = readWhole(fs, path)!;
  for (let offset = 0; offset < bytes.length; offset++) {
    for (let bit = 0; bit < 8; bit++) {
      // As it was written, wherever damage has brought it.
      removeTree(fs, QUARANTINE);
      if (fs.stat(path) !== undefined) fs.unlink(path);
      const file = fs.open(path, "create");
      file.write(bytes, 0);
      file.close();
      fs.flip(path, offset, 1 << bit);
      const { answer, told } = await look(fs);
      const at = `byte ${offset}, bit ${bit}: ${answer}`;
      expect(told, at).toContain(name);
      for (const part of answer.split(" | ")) expect(["", ...whole.answer.split(" | ")], at).toContain(part);
    }
  }
});
