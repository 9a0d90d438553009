// test/unit/tsdb/querier.test.ts: label names, label values, series and metadata over a storage against the reference twin.
import { describe, expect, test } from "vitest";
import { SeededRandom, SimFileSystem } from "../../../libs/env/index.ts";
import {
  labelsFromRecord,
  labelsKey,
  type Matcher,
  type MetadataEntry,
  type QueryContext,
  type TimeRange,
} from "../../../libs/model/index.ts";
import { type Db, METADATA_FAMILIES_MAX } from "../../../libs/tsdb/index.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { Feed, HOUR, type LabelRecord, NOW, openDb, type Row, TENANT, write } from "./db-fixture.ts";

const STALE = 0x7ff0000000000002n;
const context: QueryContext = {
  tenant: TENANT,
  signal: new AbortController().signal,
  deadlineMs: Number.POSITIVE_INFINITY,
  samplesMax: 1e9,
};
const ALWAYS: TimeRange = { minMs: Number.NEGATIVE_INFINITY, maxMs: Number.POSITIVE_INFINITY };

function randomLabels(random: SeededRandom): LabelRecord {
  const labels: Record<string, string> = { __name__: random.pick(["up", "ü", "x_total", "x_bucket"]) };
  for (const name of ["job", "instance", "𝒳", "zone", "__proto__", "le"]) {
    if (random.chance(0.5))
      Object.defineProperty(labels, name, { value: random.pick(["a", "b", "é", "9"]), enumerable: true });
  }
  return labels;
}

async function fill(seed: number): Promise<{ db: Db; twin: MemoryQueryable }> {
  const random = new SeededRandom(seed);
  const db = await openDb(undefined, { headMemoryBytes: 2 << 20 });
  const twin = new MemoryQueryable();
  const feed = new Feed(db);
  const all = Array.from({ length: 40 }, () => randomLabels(random));
  const times = Array.from({ length: 30 }, (_, i) => NOW - 5 * HOUR + i * 600_000);
  // Out of order now and then.
  if (random.chance(0.5)) times.sort(() => random.float() - 0.7);
  const lives = all.map(() => [random.below(30), random.below(30)].sort((a, b) => a - b) as [number, number]);
  for (const [at, time] of times.entries()) {
    const rows: Row[] = [];
    all.forEach((labels, i) => {
      if (at < lives[i]![0] || at > lives[i]![1] || random.chance(0.2)) return;
      const stale = random.chance(0.1);
      rows.push([labels, time, stale ? STALE : i]);
      twin.append(labelsFromRecord(labels), [{ timeMs: time, value: i, stale, histogram: false }]);
    });
    if (rows.length > 0) await feed.append(rows);
  }
  return { db, twin };
}

function randomSets(random: SeededRandom): Matcher[][] {
  const matcher = (): Matcher => ({
    type: random.pick(["=", "!=", "=~", "!~"] as const),
    name: random.pick(["__name__", "job", "instance", "𝒳", "zone", "__proto__", "none"]),
    value: random.pick(["", "a", "b|é", ".*", ".+", "up", "x_.*", "9"]),
  });
  return Array.from({ length: random.below(4) }, () => Array.from({ length: 1 + random.below(3) }, matcher));
}

function randomRange(random: SeededRandom): TimeRange {
  if (random.chance(0.3)) return ALWAYS;
  // Often exactly at samples, at either end.
  const at = NOW - 5 * HOUR + random.below(30) * 600_000;
  if (random.chance(0.3)) return random.chance(0.5) ? { minMs: at, maxMs: at + 1 } : { minMs: at - 1, maxMs: at };
  const minMs = NOW - 6 * HOUR + random.below(7 * HOUR);
  return { minMs, maxMs: minMs + random.pick([0, 1, 600_000, HOUR, 10 * HOUR]) };
}

describe("metadata of series agrees with the reference twin", () => {
  for (let seed = 1; seed <= 5; seed++) {
    test(`history ${seed}`, async () => {
      const { db, twin } = await fill(seed);
      const { queryable } = db;
      const random = new SeededRandom(seed + 100);
      let found = 0;
      for (let n = 0; n < 150; n++) {
        const sets = randomSets(random);
        const range = randomRange(random);
        const limit = random.pick([0, 0, 1, 3, 100]);
        const about = JSON.stringify({ sets, range, limit });
        const names = await queryable.labelNames(sets, range, limit, context);
        expect(names, about).toEqual(await twin.labelNames(sets, range, limit));
        for (const name of ["job", "__name__", "𝒳", "__proto__", "none"]) {
          const values = await queryable.labelValues(name, sets, range, limit, context);
          expect(values, about).toEqual(await twin.labelValues(name, sets, range, limit));
        }
        const got = (await queryable.series(sets, range, limit, context)).map(labelsKey);
        const all = (await twin.series(sets, range, 0)).map(labelsKey);
        // Which ones a limit leaves is not said.
        expect(got.length, about).toBe(limit > 0 ? Math.min(limit, all.length) : all.length);
        expect(new Set(got).size).toBe(got.length);
        expect(got.filter((key) => !all.includes(key))).toEqual([]);
        found += got.length;
      }
      expect(found).toBeGreaterThan(500);
      expect(await queryable.series([], ALWAYS, 0, { ...context, tenant: "other" })).toEqual([]);
      await db.close();
    });
  }
});

describe("statistics", () => {
  test.each([1, 2, 3])("are what counting the label sets gives, seed %i", async (seed) => {
    const { db, twin } = await fill(seed);
    for (const limit of [1, 2, 7, 1000]) {
      const { chunkCount, minMs, maxMs, ...counts } = await db.queryable.statistics(limit, context);
      const { chunkCount: _, minMs: __, maxMs: ___, ...want } = await twin.statistics(limit);
      expect(counts).toEqual(want);
      expect(chunkCount).toBeGreaterThanOrEqual(counts.seriesCount);
      expect(minMs).toBeGreaterThanOrEqual(NOW - 5 * HOUR);
      expect(maxMs).toBeLessThan(NOW);
      expect(minMs).toBeLessThan(maxMs);
    }
    await db.close();
  });
});

describe("metadata of metric families", () => {
  const entry = (family: string, help: string, tenant = TENANT): MetadataEntry => ({
    ...{ tenant, family, type: "counter", help, unit: "s" },
  });

  test("the newest entry of a family counts, by tenant, after a restart as well", async () => {
    const fs = new SimFileSystem();
    let db = await openDb(fs);
    const session = db.openSession();
    await session.appendMetadata([entry("a", "one"), entry("b", "é\n𝒳\0"), entry("a", "other's", "other")]);
    await session.appendMetadata([entry("a", "two"), entry("__proto__", "p")]);
    const long = "x".repeat(5000);
    await session.appendMetadata([entry("long", long)]);
    for (let life = 0; life < 2; life++) {
      const of = (family: string, tenant = TENANT) => db.queryable.metadata(family, { ...context, tenant });
      expect(await of("a")).toEqual([entry("a", "two")]);
      expect(await of("b")).toEqual([entry("b", "é\n𝒳\0")]);
      expect(await of("a", "other")).toEqual([entry("a", "other's", "other")]);
      expect(await of("none")).toEqual([]);
      expect((await of("")).map((one) => one.family).sort()).toEqual(["__proto__", "a", "b", "long"]);
      expect((await of("long"))[0]!.help).toBe(long.slice(0, 4096));
      await db.close();
      db = await openDb(fs);
    }
    await db.close();
  });

  test("the same again takes no place in the log", async () => {
    const fs = new SimFileSystem();
    const db = await openDb(fs);
    const session = db.openSession();
    await session.appendMetadata([entry("a", "one")]);
    const { walBytes } = db.report().counters;
    for (let i = 0; i < 5; i++) await session.appendMetadata([entry("a", "one")]);
    expect(db.report().counters.walBytes).toBe(walBytes);
    await db.close();
  });

  test("families beyond the limit are dropped and counted; known ones may still change", async () => {
    const db = await openDb(undefined, { walBufferBytes: 32 << 20 });
    const session = db.openSession();
    const many = Array.from({ length: METADATA_FAMILIES_MAX + 7 }, (_, i) => entry(`f${i}`, ""));
    await session.appendMetadata(many);
    expect(db.report().metadataDropped).toBe(7);
    await session.appendMetadata([entry("f1", "changed"), entry("f-new", "")]);
    expect(db.report().metadataDropped).toBe(8);
    expect(await db.queryable.metadata("f1", context)).toEqual([entry("f1", "changed")]);
    await db.close();
  });
});

test("series found by a range without samples of theirs are none", async () => {
  const db = await openDb();
  await write(db, [[{ __name__: "m" }, NOW - HOUR, 1]]);
  const within = (minMs: number, maxMs: number) => db.queryable.series([], { minMs, maxMs }, 0, context);
  expect((await within(NOW - HOUR, NOW - HOUR)).length).toBe(1);
  expect((await within(NOW - HOUR + 1, NOW)).length).toBe(0);
  expect((await within(NOW - 2 * HOUR, NOW - HOUR - 1)).length).toBe(0);
  await db.close();
});

test("names, values and series take no more than a query may", async () => {
  const db = await openDb();
  const rows = Array.from({ length: 300 }, (_, i): Row => [{ __name__: "m", pod: `pod-${i}` }, NOW - HOUR, i]);
  for (let from = 0; from < rows.length; from += 100) await write(db, rows.slice(from, from + 100));
  const small = { ...context, bytesMax: 5000 };
  const refused = /got more than 5000 bytes; want fewer, by matchers or a limit \(--query-bytes-max\)/;
  for (const range of [ALWAYS, { minMs: NOW - 2 * HOUR, maxMs: NOW }]) {
    expect(await db.queryable.labelNames([], range, 0, small)).toEqual(["__name__", "pod"]);
    await expect(db.queryable.labelValues("pod", [], range, 0, small)).rejects.toThrow(refused);
    await expect(db.queryable.series([], range, 0, small)).rejects.toThrow(refused);
    const some = [[{ type: "=~", name: "pod", value: "pod-1.?" } as const]];
    expect((await db.queryable.labelValues("pod", some, range, 0, small)).length).toBe(11);
    expect((await db.queryable.series(some, range, 0, small)).length).toBe(11);
    expect((await db.queryable.labelValues("pod", [], range, 0, context)).length).toBe(300);
  }
  await db.close();
});
