// test/unit/tsdb/side-damage.test.ts: damaged files of side data: put aside as blocks are, never served and never removed; the rest is answered,
// with a warning over their times, for good.
import { describe, expect, test } from "vitest";
import { readWhole, SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import { exponentialLayout, type Leaf, type LeafResult, labelsFromRecord } from "../../../libs/model/index.ts";
import { NO_SIDE, type SideSeries } from "../../../libs/side/index.ts";
import { type Db, verifyDirectory } from "../../../libs/tsdb/index.ts";
import { DATA_DIR, HOUR, NOW, openDb, settled, TENANT } from "./db-fixture.ts";
import { appendSide } from "./side-fixture.ts";

const OPTIONS = { retentionMs: 100 * 24 * HOUR };
const H = labelsFromRecord({ __name__: "h", job: "j" });
const WARNING =
  /^incomplete: a damaged file was taken out of service; histograms, exemplars from \S+Z to \S+Z may be missing$/;

function histogramAt(timeMs: number): SideSeries {
  const layout = exponentialLayout(0, 0, [1, 2], []);
  const buckets = Float64Array.of(1, 4);
  const histogram = { layout, hint: 0 as const, count: 5, sum: 10, zeroCount: 0, buckets };
  const exemplars = [{ timeMs, value: 1, labels: ["trace_id", "a"] }];
  return { ...NO_SIDE, histograms: [{ timeMs, histogram }], exemplars };
}

const list = (fs: SimFileSystem, folder: string): string[] =>
  fs.stat(`${DATA_DIR}/${folder}`) === undefined ? [] : fs.list(`${DATA_DIR}/${folder}`);

/** Changes a bit of a file of side data. */
const flip = (fs: SimFileSystem, name: string, at: number): void => fs.flip(`${DATA_DIR}/side/${name}`, at, 16);

const CONTEXT = { tenant: TENANT, signal: new AbortController().signal, deadlineMs: 1e18, samplesMax: 1e9 };

function evaluate(db: Db, clock: SimClock, timeMs: number): Promise<LeafResult> {
  const leaf: Leaf = {
    matchers: [{ type: "=", name: "__name__", value: "h" }],
    grid: { startMs: timeMs, stepMs: 1, count: 1 },
    ...{ rollup: "last", rangeMs: 300_000, offsetMs: 0, args: [], dropName: false },
  };
  return settled(clock, db.queryable.evaluate(leaf, CONTEXT));
}

/** A directory with a file of yesterday and one of today; the first one's name. */
async function disk(): Promise<{ fs: SimFileSystem; old: string; sizeBytes: number }> {
  const fs = new SimFileSystem();
  const clock = new SimClock(NOW);
  const db = await openDb(fs, { ...OPTIONS, clock });
  await settled(clock, appendSide(db, [[H, histogramAt(NOW - 30 * HOUR)]]));
  await settled(clock, appendSide(db, [[H, histogramAt(NOW - HOUR)]]));
  await settled(clock, db.flush());
  await settled(clock, db.close());
  const [old] = list(fs, "side") as [string];
  return { fs, old, sizeBytes: readWhole(fs, `${DATA_DIR}/side/${old}`)!.length };
}

describe("a damaged file", () => {
  test("is put aside wherever a bit is wrong, when it is opened or read; the rest is answered with a warning", async () => {
    const { sizeBytes } = await disk();
    for (let at = 0; at < sizeBytes; at += 13) {
      const { fs, old } = await disk();
      flip(fs, old, at);
      const bytes = readWhole(fs, `${DATA_DIR}/side/${old}`);
      const problems: string[] = [];
      const clock = new SimClock(NOW);
      let db = await openDb(fs, { ...OPTIONS, clock, onProblem: (problem) => problems.push(problem) });
      for (let life = 0; life < 2; life++) {
        const found = await evaluate(db, clock, NOW - 30 * HOUR);
        expect([at, found.columns.length, found.warnings]).toEqual([at, 0, [expect.stringMatching(WARNING)]]);
        expect(db.queryable.lacking?.({ minMs: NOW - 31 * HOUR, maxMs: NOW - 29 * HOUR }).length).toBe(1);
        const rest = await evaluate(db, clock, NOW - HOUR);
        expect([rest.columns.length, rest.warnings]).toEqual([1, []]);
        expect(db.damagedBlocks).toEqual([old]);
        await clock.advance(10_000);
        expect([list(fs, "quarantine"), list(fs, "side").includes(old)]).toEqual([[old], false]);
        await settled(clock, db.close());
        db = await openDb(fs, { ...OPTIONS, clock });
      }
      expect(problems).toEqual([expect.stringContaining(`damaged file of histograms, not served any more: ${old}`)]);
      expect(readWhole(fs, `${DATA_DIR}/quarantine/${old}`)).toEqual(bytes);
      await settled(clock, db.close());
    }
  });

  test("is named by verify, before it is put aside and afterwards", async () => {
    const { fs, old } = await disk();
    flip(fs, old, 30);
    const clock = new SimClock(NOW);
    const processes = { pid: 99, host: "test", startOf: () => undefined };
    const verify = () => settled(clock, verifyDirectory({ fs, clock, processes, dataDir: DATA_DIR }));
    expect((await verify()).damages).toEqual([expect.stringContaining(`side/${old}: at `)]);
    const db = await openDb(fs, { ...OPTIONS, clock });
    await evaluate(db, clock, NOW - 30 * HOUR);
    await clock.advance(10_000);
    await settled(clock, db.close());
    const { damages, notes } = await verify();
    expect([damages, notes]).toEqual([[], [expect.stringContaining(`quarantine/${old}: in quarantine`)]]);
  });

  test("is not merged; one that a crash has left in both folders is not served", async () => {
    const { fs, old } = await disk();
    const clock = new SimClock(NOW);
    let db = await openDb(fs, { ...OPTIONS, clock });
    await settled(clock, appendSide(db, [[H, histogramAt(NOW - 31 * HOUR)]]));
    await settled(clock, db.flush());
    flip(fs, old, 30);
    await settled(clock, db.compact());
    await clock.advance(10_000);
    expect(list(fs, "quarantine")).toEqual([old]);
    const found = await evaluate(db, clock, NOW - 31 * HOUR);
    expect([found.columns.length, found.warnings.length]).toEqual([1, 1]);
    await settled(clock, db.close());
    fs.link(`${DATA_DIR}/quarantine/${old}`, `${DATA_DIR}/side/${old}`);
    db = await openDb(fs, { ...OPTIONS, clock });
    expect(db.damagedBlocks).toEqual([old]);
    await clock.advance(10_000);
    expect([list(fs, "side").includes(old), list(fs, "quarantine")]).toEqual([false, [old]]);
    await settled(clock, db.close());
  });
});
