// test/crash/rows-damage.test.ts: bits of a small block of rows flipped, at every byte of it, through the whole storage: rows that are damaged
// are named, put aside and never served. While there are samples these answer; where they have expired an answer lacks what was lost, and says so.
import { describe, expect, test } from "vitest";
import { readWhole, removeTree, SimClock, SimFileSystem } from "../../libs/env/index.ts";
import type { QueryContext } from "../../libs/model/index.ts";
import { Engine } from "../../libs/promql/index.ts";
import type { DbOptions } from "../../libs/tsdb/index.ts";
import { DATA_DIR, HOUR, openDb, type Row, settled, TENANT, write } from "../unit/tsdb/db-fixture.ts";

const DAY = 24 * HOUR;
const MINUTE = 60_000;
const END = 19_700 * DAY;
const FOLDER = `${DATA_DIR}/blocks`;
const REGISTRY = `${FOLDER}/registry.json`;
const QUARANTINE = `${DATA_DIR}/quarantine`;
/** Together they read most of what rows have. */
const QUERIES = ["sum", "count", "min", "max", "first", "last"].map((name) => `${name}_over_time(m[1h])`);
const OPTIONS: Partial<DbOptions> = {
  ...{ shardCount: 1, retentionMs: 3 * DAY, rowRetentionMs: { "1m": 3 * DAY, "1h": 30 * DAY } },
};

async function disk(nowMs: number): Promise<SimFileSystem> {
  const fs = new SimFileSystem();
  let clock = new SimClock(END + 2 * HOUR);
  let db = await openDb(fs, { ...OPTIONS, clock });
  const rows: Row[] = [];
  for (let time = END - 3 * HOUR; time <= END; time += MINUTE) {
    const minute = time / MINUTE;
    rows.push([{ __name__: "m" }, time, (minute * minute) % 50_021]);
  }
  await write(db, rows);
  await settled(clock, db.flush());
  await settled(clock, db.compact());
  await settled(clock, db.close());
  clock = new SimClock(nowMs);
  db = await openDb(fs, { ...OPTIONS, clock });
  await settled(clock, db.compact());
  await settled(clock, db.close());
  return fs;
}

interface Look {
  readonly answer: string;
  readonly warnings: readonly string[];
  readonly told: string;
}

async function look(fs: SimFileSystem, nowMs: number): Promise<Look> {
  const clock = new SimClock(nowMs);
  const problems: string[] = [];
  const db = await openDb(fs, { ...OPTIONS, clock, onProblem: (problem) => problems.push(problem) });
  const context: QueryContext = {
    ...{ tenant: TENANT, signal: new AbortController().signal },
    ...{ deadlineMs: Number.POSITIVE_INFINITY, samplesMax: 1e9 },
  };
  const answers: string[] = [];
  const told: string[] = [];
  for (const query of QUERIES) {
    const engine = new Engine({ now: () => nowMs });
    const asked = engine.range(db.queryable, query, END - 3 * HOUR, END, HOUR, context);
    const { value, warnings } = await settled(clock, asked);
    if (value.type !== "matrix") throw new Error("no matrix");
    answers.push(value.columns.map(({ values, present }) => `${values.join()} ${present?.join() ?? "all"}`).join("; "));
    told.push(...warnings);
  }
  await settled(clock, db.close());
  return { answer: answers.join(" | "), warnings: told, told: problems.join("\n") };
}

describe("a damaged block of rows", () => {
  test.each([
    ["beside its samples", END + 5 * HOUR],
    ["whose samples have expired", END + 4 * DAY],
  ])("%s", { timeout: 120_000 }, async (name, nowMs) => {
    const fs = await disk(nowMs);
    const files = fs.list(FOLDER).filter((file) => file.startsWith("1h-"));
    expect(files.length).toBe(1);
    const [file] = files as [string];
    const path = `${FOLDER}/${file}`;
    const whole = await look(fs, nowMs);
    expect({ ...whole, answer: "" }).toEqual({ answer: "", warnings: [], told: "" });
    expect(whole.answer).not.toBe("");
    const bytes = readWhole(fs, path)!;
    let lacking = 0;
    let unread = 0;
    const registry = readWhole(fs, REGISTRY)!;
    const put = (to: string, content: Uint8Array): void => {
      if (fs.stat(to) !== undefined) fs.unlink(to);
      const file = fs.open(to, "create");
      file.write(content, 0);
      file.close();
    };
    for (let offset = 0; offset < bytes.length; offset++) {
      removeTree(fs, QUARANTINE);
      put(path, bytes);
      put(REGISTRY, registry);
      fs.flip(path, offset, 1 << (offset % 8));
      const { answer, warnings, told } = await look(fs, nowMs);
      const at = `${name}, byte ${offset}`;
      if (told === "") {
        // Nobody has read it; verify.test.ts and damage.test.ts do.
        unread++;
        expect({ answer, warnings }, at).toEqual({ answer: whole.answer, warnings: [] });
        continue;
      }
      expect(told, at).toContain(file);
      expect(fs.list(QUARANTINE), at).toContain(file);
      if (nowMs < END + DAY) expect({ answer, warnings }, at).toEqual({ answer: whole.answer, warnings: [] });
      else if (answer !== whole.answer) {
        lacking++;
        // What was answered before the damage was met is right.
        const right = whole.answer.split(" | ");
        expect(
          answer.split(" | ").every((part, q) => part === "" || part === right[q]),
          at,
        ).toBe(true);
        expect(warnings.join(), at).toContain("incomplete: a damaged block was taken out of service");
      }
    }
    expect(unread).toBeLessThan(bytes.length / 3);
    if (nowMs > END + DAY) expect(lacking).toBeGreaterThan(bytes.length / 2);
  });
});
