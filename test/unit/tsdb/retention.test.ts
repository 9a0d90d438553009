// test/unit/tsdb/retention.test.ts: tenants with a retention of their own, and a disk that is too small: what is past is not seen, not taken and
// leaves the disk; what is not, stays.
import { describe, expect, test } from "vitest";
import { SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import type { Leaf, QueryContext } from "../../../libs/model/index.ts";
import type { DbOptions } from "../../../libs/tsdb/index.ts";
import { Retention } from "../../../libs/tsdb/retention.ts";
import { contents, Feed, HOUR, type LabelRecord, lines, NOW, openDb, type Row } from "./db-fixture.ts";

const DAY = 24 * HOUR;
const series = (i: number): LabelRecord => ({ __name__: "m", i: `${i}`, instance: `host${i}`, job: "node" });
const always = { minMs: Number.NEGATIVE_INFINITY, maxMs: Number.POSITIVE_INFINITY };

async function settle<T>(clock: SimClock, work: Promise<T>): Promise<T> {
  let done = false;
  const mark = work.finally(() => {
    done = true;
  });
  mark.catch(() => undefined);
  for (let turn = 0; !done && turn < 5000; turn++) await clock.advance(1);
  return mark;
}

const contextOf = (tenant: string): QueryContext => ({
  ...{ tenant, signal: new AbortController().signal, deadlineMs: Number.POSITIVE_INFINITY, samplesMax: 1e9 },
});

const countsOf = (nowMs: number): Leaf => ({
  ...{ matchers: [{ type: "=", name: "__name__", value: "m" }], grid: { startMs: nowMs, stepMs: 0, count: 1 } },
  ...{ rollup: "count_over_time", rangeMs: 30 * DAY, offsetMs: 0, args: [], dropName: true },
});

describe("the retention of tenants", () => {
  const byTenant = new Map([
    ["short", 2 * DAY],
    ["long", 6 * DAY],
  ]);
  const OPTIONS: Partial<DbOptions> = { retentionMs: 4 * DAY, tenantRetentionMs: byTenant, headMemoryBytes: 4 << 20 };

  test.each<[string, ReadonlyMap<string, number>, string, number, number]>([
    // Where nobody keeps samples longer they go with their blocks, and are seen until then.
    ["one for all", new Map(), "a", Number.NEGATIVE_INFINITY, 900],
    ["a shorter one", new Map([["a", 40]]), "a", 960, 961],
    ["others beside it", new Map([["a", 40]]), "b", Number.NEGATIVE_INFINITY, 900],
    ["a longer one", new Map([["a", 400]]), "a", Number.NEGATIVE_INFINITY, 600],
    ["others beside that", new Map([["a", 400]]), "b", 900, 901],
    [
      "one for ever",
      new Map([["a", Number.POSITIVE_INFINITY]]),
      "a",
      Number.NEGATIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
    ],
  ])("floors and bounds: %s", (_name, own, tenant, floorMs, fromMs) => {
    const retention = new Retention({ defaultMs: 100, byTenant: own });
    expect([retention.floorMs(tenant, 1000), retention.writeFromMs(tenant, 1000)]).toEqual([floorMs, fromMs]);
    const floors = ["a", "b"].map((one) => retention.floorMs(one, 1000));
    expect(retention.highestFloorMs(1000)).toBe(Math.max(...floors));
    retention.cutoffMs = 970;
    expect([retention.floorMs(tenant, 1000), retention.writeFromMs(tenant, 1000)]).toEqual([970, 971]);
  });

  test("hides at once, refuses what is older with that bound, and is cut out by the next merge", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    const db = await openDb(fs, { ...OPTIONS, clock });
    const feed = new Feed(db);
    const tenants = ["short", "default", "long"] as const;
    const kept: Record<string, Row[]> = { short: [], default: [], long: [] };
    for (let hour = 0; hour < 5 * 24; hour += 3) {
      await clock.advance(3 * HOUR);
      const rows = [0, 1].map((i): Row => [series(i), clock.nowMs(), hour + i]);
      for (const tenant of tenants) {
        await feed.append(rows, tenant);
        kept[tenant]!.push(...rows);
      }
    }
    const within = (tenant: string, ms: number): string[] =>
      lines(kept[tenant]!.filter(([, time]) => time > clock.nowMs() - ms));
    const see = async (): Promise<void> => {
      expect(contents(db, [], "short")).toEqual(within("short", 2 * DAY));
      expect(contents(db, [], "default")).toEqual(within("default", 4 * DAY));
      expect(contents(db, [], "long")).toEqual(lines(kept.long!));
      for (const [tenant, days] of [
        ["short", 2],
        ["default", 4],
      ] as const) {
        const { columns } = await db.queryable.evaluate(countsOf(clock.nowMs()), contextOf(tenant));
        const wanted = within(tenant, days * DAY).length / 2;
        expect(columns.map(({ values }) => values[0])).toEqual([wanted, wanted]);
        const request = { matchers: countsOf(0).matchers, range: { minMs: 0, maxMs: clock.nowMs() } };
        let raw = 0;
        for await (const batch of db.queryable.rawSamples(request, contextOf(tenant))) {
          for (const { times } of batch) raw += times.length;
        }
        expect(raw).toBe(wanted * 2);
      }
    };
    await see();
    // Of the tenants' first days nothing but what is within their retention is on the disk any more.
    await settle(clock, db.compact());
    await see();
    const { samples } = db.report().blocks;
    expect(samples).toBeLessThan(kept.long!.length * 3 - 50);
    expect(samples).toBeGreaterThan(kept.long!.length + within("short", 2 * DAY).length);
    const late = async (tenant: string, ageMs: number) => {
      const { rejections } = await feed.append([[series(0), clock.nowMs() - ageMs, 1]], tenant);
      return rejections.map(({ reason, text }) => `${reason}: ${text.replace(/before .*?Z/, "before T")}`);
    };
    const told = (flag: string): string[] => [`too-old: too old sample: before T (now - ${flag})`];
    expect(await late("short", 2 * DAY)).toEqual(told("--tenant-retention short"));
    expect(await late("short", 2 * DAY - 1)).toEqual([]);
    expect(await late("default", 4 * DAY)).toEqual(told("--retention raw"));
    expect(await late("default", 3 * DAY)).toEqual([]);
    expect(await late("long", 6 * DAY + 1)).toEqual(told("--tenant-retention long"));
    expect(await late("long", 6 * DAY)).toEqual([]);
    // Whole blocks go when the longest is over.
    await clock.advance(7 * DAY);
    await settle(clock, db.flush());
    await settle(clock, db.compact());
    expect(db.report().blocks.samples).toBe(0);
    await db.close();
  });

  test("what is asked about the past alone has no answer", async () => {
    const clock = new SimClock(NOW);
    const db = await openDb(new SimFileSystem(), { ...OPTIONS, clock });
    const feed = new Feed(db);
    for (let t = 0; t < 30; t++) await feed.append([[series(0), NOW + t * 1000 - 60_000, t]], "short");
    await feed.append([[series(0), NOW - 45_500, 1]], "short");
    await clock.advance(3 * DAY);
    for (const ageMs of [0, 31_000, 45_500, 10 * DAY]) {
      const maxMs = NOW - ageMs;
      const { columns } = await db.queryable.evaluate(countsOf(maxMs), contextOf("short"));
      const range = { minMs: maxMs - 40_000, maxMs };
      expect([columns, await db.queryable.series([], range, 0, contextOf("short"))]).toEqual([[], []]);
      for (const { times } of db.export("short", [], range.minMs, maxMs)) expect(times.length).toBe(0);
    }
    await db.close();
  });

  test("a series whose samples are all past is not listed", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    const db = await openDb(fs, { ...OPTIONS, clock });
    const feed = new Feed(db);
    for (const tenant of ["short", "long"]) await feed.append([[series(0), NOW, 1]], tenant);
    await clock.advance(2 * DAY - 1);
    await feed.append([[series(1), clock.nowMs(), 1]], "short");
    const listed = (tenant: string) => db.queryable.labelValues("i", [], always, 0, contextOf(tenant));
    expect([await listed("short"), await listed("long")]).toEqual([["0", "1"], ["0"]]);
    await clock.advance(1);
    expect([await listed("short"), await listed("long")]).toEqual([["1"], ["0"]]);
    await db.close();
  });
});

describe("a disk that is too small", () => {
  test("loses the oldest blocks, whole; what is as old is neither seen nor taken, also after a restart", async () => {
    const fs = new SimFileSystem();
    const clock = new SimClock(NOW);
    const notices: string[] = [];
    const options: Partial<DbOptions> & { clock: SimClock } = {
      ...{ retentionMs: 300 * DAY, headMemoryBytes: 4 << 20, clock, onNotice: (notice) => notices.push(notice) },
    };
    let db = await openDb(fs, options);
    let feed = new Feed(db);
    const rows: Row[] = [];
    for (let day = 0; day < 6; day++) {
      await clock.advance(DAY / 4);
      for (let t = 0; t < 20; t++) {
        await clock.advance(HOUR / 2);
        const more = [0, 1, 2].map((i): Row => [series(i), clock.nowMs(), day + i + Math.sin(t)]);
        rows.push(...more);
        await feed.append(more);
      }
    }
    await settle(clock, db.flush());
    await settle(clock, db.compact());
    const { sizeBytes, count } = db.report().blocks;
    expect([db.report().cuts.shrunk, notices, db.report().cutoffMs]).toEqual([0, [], Number.NEGATIVE_INFINITY]);
    await db.close();

    const retentionBytes = Math.floor(sizeBytes / 2);
    db = await openDb(fs, { ...options, retentionBytes });
    feed = new Feed(db);
    expect(contents(db)).toEqual(lines(rows));
    await clock.advance(10_000);
    await settle(clock, db.compact());
    const after = db.report();
    expect(after.blocks.sizeBytes).toBeLessThanOrEqual(retentionBytes);
    expect(after.blocks.count).toBe(count - after.cuts.shrunk);
    expect([after.cuts.shrunk > 0, notices.length]).toEqual([true, 1]);
    expect(notices[0]).toMatch(/^dropped \d+ blocks of \d+ bytes, all up to \S+Z: --retention-size is met$/);
    const left = lines(rows.filter(([, time]) => time > after.cutoffMs));
    expect(left.length).toBeGreaterThan(0);
    expect(left.length).toBeLessThan(rows.length);
    expect(contents(db)).toEqual(left);
    const { rejections } = await feed.append([[series(0), after.cutoffMs, 1]]);
    expect(rejections).toMatchObject([
      { reason: "too-old", count: 1, text: expect.stringContaining("--retention-size") },
    ]);
    expect((await feed.append([[series(0), after.cutoffMs + 1, 1]])).rejections).toEqual([]);
    const more = lines([...rows.filter(([, time]) => time > after.cutoffMs), [series(0), after.cutoffMs + 1, 1]]);
    expect(contents(db)).toEqual(more);
    await db.close();

    // With room again: what was dropped does not come back in parts.
    db = await openDb(fs, options);
    expect([contents(db), db.report().cutoffMs]).toEqual([more, after.cutoffMs]);
    await db.close();
  });
});
