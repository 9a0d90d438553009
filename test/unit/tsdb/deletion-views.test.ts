// test/unit/tsdb/deletion-views.test.ts: whoever reads while deletions are made, undone and applied, while heads are cut and blocks merged, sees
// all to the end what was there when he began; late samples, histograms, exemplars and start times included. Samples that come meanwhile he may see.
import { expect, test } from "vitest";
import { SeededRandom, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { exponentialLayout, labelsFromRecord, labelsToRecord } from "../../../libs/model/index.ts";
import { NO_SIDE, type SideSeries } from "../../../libs/side/index.ts";
import type { ExportedSeries } from "../../../libs/tsdb/export.ts";
import type { Db } from "../../../libs/tsdb/index.ts";
import { Feed, HOUR, type LabelRecord, NOW, openDb, type Row, settled, TENANT } from "./db-fixture.ts";
import { appendSide } from "./side-fixture.ts";

const MINUTE = 60_000;
const SERIES = 6;
const SEEDS = Number(process.env.FUZZ_RUNS ?? 12);
const named = (i: number): LabelRecord => ({ __name__: "m", instance: "host", job: "node", i: `${i}` });

function sideAt(kind: number, timeMs: number): SideSeries {
  const layout = exponentialLayout(0, 0, [1, 2], []);
  const histogram = { layout, hint: 0 as const, count: 3, sum: 6, zeroCount: 0, buckets: Float64Array.of(1, 2) };
  if (kind === 0) return { ...NO_SIDE, histograms: [{ timeMs, histogram }] };
  if (kind === 1) return { ...NO_SIDE, exemplars: [{ timeMs, value: 1, labels: ["trace_id", "a"] }] };
  return { ...NO_SIDE, starts: [{ timeMs, startMs: NOW - 9 * HOUR }] };
}

/** One line for each thing that a series has. */
function linesOf({ labels, times, values, side }: ExportedSeries): string[] {
  const { i } = labelsToRecord(labels);
  const sides = (["histograms", "exemplars", "starts"] as const).flatMap((part) => {
    return side[part].map(({ timeMs }) => `${i} ${part} ${timeMs - NOW}`);
  });
  return [...Array.from(times).map((time, k) => `${i} float ${time - NOW} ${values[k]}`), ...sides];
}

const all = (db: Db): string[] => [...db.export(TENANT, [])].flatMap(linesOf).sort();

/** Somebody who has read the first series and takes his time for the others. */
class Reader {
  readonly expected: readonly string[];
  /** What was written since he began. */
  readonly later = new Set<string>();
  private readonly rest: Iterator<ExportedSeries>;
  private readonly read: string[] = [];

  constructor(db: Db) {
    this.expected = all(db);
    this.rest = db.export(TENANT, [])[Symbol.iterator]();
    const { value, done } = this.rest.next();
    if (done !== true) this.read.push(...linesOf(value));
  }

  finish(): void {
    for (let next = this.rest.next(); next.done !== true; next = this.rest.next()) {
      this.read.push(...linesOf(next.value));
    }
    const known = new Set(this.expected);
    expect(this.read.filter((one) => known.has(one) || !this.later.has(one)).sort()).toEqual(this.expected);
  }
}

test.each(Array.from({ length: SEEDS }, (_, i) => i + 1))("seed %i", { timeout: 60_000 }, async (seed) => {
  const random = new SeededRandom(seed);
  const clock = new SimClock(NOW);
  const fs = new SimFileSystem();
  const db = await openDb(fs, { clock, random, retentionMs: 30 * 24 * HOUR, headMemoryBytes: 4 << 20 });
  const feed = new Feed(db);
  const readers = new Set<Reader>();
  const ids: string[] = [];
  let newestMs = NOW - 6 * HOUR;
  /** Times that nothing was written at yet. */
  let offsetMs = 0;
  const wrote = (line: string): void => {
    for (const reader of readers) reader.later.add(line);
  };
  const writeFloats = async (): Promise<void> => {
    offsetMs++;
    const isLate = random.chance(0.4);
    const from = isLate ? newestMs - random.below(3 * HOUR) : newestMs;
    const rows = Array.from({ length: 40 }, (_, k): Row => {
      return [named(k % SERIES), from + (k + 1) * MINUTE + offsetMs, random.below(100)];
    });
    if (!isLate) newestMs = from + 40 * MINUTE;
    for (const [{ i }, time, value] of rows) wrote(`${i} float ${time - NOW} ${value}`);
    await settled(clock, feed.append(rows));
  };
  const writeSide = async (): Promise<void> => {
    offsetMs++;
    const parts = Array.from({ length: 6 }, (_, k) => {
      const kind = random.below(3);
      const time = NOW - 6 * HOUR + random.below(6 * 60) * MINUTE + offsetMs;
      wrote(`${k} ${["histograms", "exemplars", "starts"][kind]} ${time - NOW}`);
      return [labelsFromRecord(named(k)), sideAt(kind, time)] as const;
    });
    await settled(clock, appendSide(db, parts));
  };
  const remove = async (): Promise<void> => {
    const id = (ids.length + 1).toString(16).padStart(16, "0");
    const minMs = NOW - random.below(7 * HOUR);
    const maxMs = minMs + random.below(4 * HOUR);
    const sets = [[{ type: "=~", name: "i", value: random.chance(0.5) ? ".*" : `${random.below(SERIES)}|1` } as const]];
    const made = await settled(
      clock,
      db.deletable.deleteSeries({ id, tenant: TENANT, minMs, maxMs, sets, selectors: ["{}"] }),
    );
    if (made !== undefined) ids.push(id);
  };
  const undo = async (): Promise<void> => {
    const open = await db.deletable.deletions(TENANT);
    if (open.length > 0) await settled(clock, db.deletable.undelete(TENANT, open[random.below(open.length)]!.id));
  };
  for (let step = 0; step < 40; step++) {
    const kind = random.below(12);
    if (kind < 3) await writeFloats();
    else if (kind < 5) await writeSide();
    else if (kind < 8) await remove();
    else if (kind < 10) await undo();
    else if (kind === 10) await settled(clock, random.chance(0.7) ? db.flush() : db.compact());
    else await settled(clock, db.deletable.cleanTombstones());
    if (random.chance(0.5)) readers.add(new Reader(db));
    for (const reader of readers) {
      if (!random.chance(0.2)) continue;
      readers.delete(reader);
      reader.finish();
    }
  }
  for (const reader of readers) reader.finish();
  expect(ids.length).toBeGreaterThan(0);
  await settled(clock, db.close());
});
