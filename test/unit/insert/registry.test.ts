// test/unit/insert/registry.test.ts: sids, keys and places of series, and how idle ones are forgotten, from the columns up to a
// running insert.
import { describe, expect, test } from "vitest";
import { SeededRandom } from "../../../libs/env/index.ts";
import { encodeSeriesKey, placeSeries } from "../../../libs/model/index.ts";
import { EPOCH_MS } from "../../../services/insert/intake.ts";
import { SeriesRegistry } from "../../../services/insert/registry.ts";
import { sipHash } from "../model/siphash-twin.ts";
import { makeStorages, startInsert } from "./insert-harness.ts";
import { labels, type SeriesSpec } from "./remote-write.ts";

const seed = Uint8Array.from({ length: 16 }, (_, i) => i);
const hash = (bytes: Uint8Array): Uint8Array => sipHash(seed, bytes, 16);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const keyOf = (i: number, pad = 0): Uint8Array =>
  encodeSeriesKey("t", ["__name__", "m", "i", String(i), ...(pad > 0 ? ["pad", "x".repeat(pad)] : [])]);

describe("SeriesRegistry", () => {
  test("interns each key once and answers with what follows from it", () => {
    const registry = new SeriesRegistry(hash, 64, new Uint16Array(10_001));
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 5_000; i++) expect(registry.intern(keyOf(i))).toBe(i + 1);
    }
    expect([registry.size, registry.room, registry.highestSid]).toEqual([5_000, 5_000, 5_000]);
    for (let i = 0; i < 5_000; i += 97) {
      const { shard, home, id, key } = registry.registration(i + 1, true);
      expect(hex(key)).toBe(hex(keyOf(i)));
      expect(hex(id)).toBe(hex(hash(keyOf(i))));
      expect({ shard, home }).toEqual(placeSeries(hash, keyOf(i), 64));
      expect(registry.registration(i + 1, false).key.length).toBe(0);
    }
  });

  test("puts the series of a target together when they are scattered, and leaves others as they are", () => {
    const registry = new SeriesRegistry(hash, 64, new Uint16Array(1000));
    const target = new Map<number, number>();
    for (let i = 0; i < 200; i++) {
      const job = ["__name__", `m${i}`, "instance", `host${(i * 7) % 5}`, "job", "node"];
      target.set(registry.intern(encodeSeriesKey("t", job)), (i * 7) % 5);
    }
    const changes = (sids: Iterable<number>): number => {
      const targets = [...sids].map((sid) => target.get(sid));
      return targets.filter((t, i) => i > 0 && t !== targets[i - 1]).length;
    };
    const scattered = Uint32Array.from(target.keys());
    const grouped = registry.byTarget(scattered);
    expect([changes(scattered), changes(grouped)]).toEqual([199, 4]);
    expect([...grouped].sort((a, b) => a - b)).toEqual([...scattered]);
    expect(registry.byTarget(grouped)).toBe(grouped);
    expect(registry.byTarget(scattered.subarray(0, 3))).toEqual(scattered.subarray(0, 3));
  });

  test("keeps its own copy of keys, long ones and those after them too", () => {
    const registry = new SeriesRegistry(hash, 64, new Uint16Array(100));
    const reused = keyOf(1);
    registry.intern(reused);
    reused.fill(0);
    const sizes = [10, 600_000, 600_000, 2_000_000, 10, 1 << 20, 3];
    const cheap = (bytes: Uint8Array): Uint8Array => hash(bytes.subarray(0, 40));
    const large = new SeriesRegistry(cheap, 64, new Uint16Array(100));
    const keys = sizes.map((size, i) => keyOf(i, size));
    const sids = keys.map((key) => large.intern(key));
    for (const [i, sid] of sids.entries()) expect(Buffer.compare(large.key(sid), keys[i]!)).toBe(0);
    large.release((sid) => sid % 2 === 0);
    sids.forEach((sid, i) => {
      expect(large.isLive(sid)).toBe(sid % 2 === 1);
      if (sid % 2 === 1) expect(Buffer.compare(large.key(sid), keys[i]!)).toBe(0);
    });
    expect(hex(registry.key(1))).toBe(hex(keyOf(1)));
  });

  test("an id that meets another key is refused, never merged", () => {
    const clash = (bytes: Uint8Array): Uint8Array => hash(bytes).fill(7);
    const registry = new SeriesRegistry(clash, 64, new Uint16Array(10));
    expect([registry.intern(keyOf(1)), registry.intern(keyOf(2)), registry.intern(keyOf(1))]).toEqual([1, -1, 1]);
    expect(registry.size).toBe(1);
  });

  test("a full registry says 0, and has room again once series are released", () => {
    const registry = new SeriesRegistry(hash, 64, new Uint16Array(4));
    expect([1, 2, 3, 4].map((i) => registry.intern(keyOf(i)))).toEqual([1, 2, 3, 0]);
    expect(registry.release((sid) => sid === 2)).toBe(1);
    expect([registry.isLive(2), registry.room]).toEqual([false, 1]);
    expect([registry.intern(keyOf(1)), registry.intern(keyOf(4)), registry.intern(keyOf(5))]).toEqual([1, 2, 0]);
  });

  test("agrees with a Map over random registering and releasing", () => {
    const random = new SeededRandom(3);
    const registry = new SeriesRegistry(hash, 256, new Uint16Array(301));
    let model = new Map<number, number>();
    for (let step = 0; step < 6_000; step++) {
      if (random.chance(0.004)) {
        const drop = new Set([...model.values()].filter(() => random.chance(0.6)));
        expect(registry.release((sid) => drop.has(sid))).toBe(drop.size);
        model = new Map([...model].filter(([, sid]) => !drop.has(sid)));
      }
      const i = random.below(600);
      const sid = registry.intern(keyOf(i));
      if (model.has(i)) expect(sid).toBe(model.get(i));
      else if (model.size === 300) expect(sid).toBe(0);
      else {
        expect(new Set(model.values()).has(sid)).toBe(false);
        model.set(i, sid);
      }
      expect(registry.size).toBe(model.size);
    }
    for (const [i, sid] of model) expect(hex(registry.key(sid))).toBe(hex(keyOf(i)));
  });
});

describe("an insert forgets what is idle", () => {
  const T = 1_700_000_000_000;
  const batch = (from: number, count: number, time: number): SeriesSpec[] =>
    Array.from({ length: count }, (_, i) => ({ labels: labels("m", { i: String(from + i) }), samples: [[1, time]] }));

  test("when it is full: idle ones first, and all goes on, each series once", async () => {
    const h = await startInsert(makeStorages(1), { limits: { seriesCacheMax: 1_000 } });
    expect((await h.v1(batch(0, 400, T))).status).toBe(204);
    await h.clock.advance(EPOCH_MS * 5);
    expect((await h.v1(batch(400, 400, T))).status).toBe(204);
    // Full: the first 400 have not been seen in this epoch, the others have.
    expect((await h.v1(batch(800, 400, T))).status).toBe(204);
    expect(h.insert.series).toMatchObject({ known: 800, registered: 1_200, forgotten: 400 });
    expect((await h.v1(batch(400, 800, T + 1))).status).toBe(204);
    expect((await h.v1(batch(0, 400, T + 1))).status).toBe(204);
    const ledger = h.storages[0]!.ledger();
    expect(Object.keys(ledger)).toHaveLength(1_200);
    for (const samples of Object.values(ledger)) expect(samples.map(([t]) => t)).toEqual([T, T + 1]);
  });

  test("when all are in use it forgets all, rather than refuse", async () => {
    const h = await startInsert(makeStorages(2), { limits: { seriesCacheMax: 500 } });
    for (let round = 0; round < 3; round++) {
      for (let from = 0; from < 2_000; from += 400) {
        expect((await h.v2(batch(from, 400, T + round))).status).toBe(204);
      }
    }
    const ledgers = h.storages.flatMap((s) => Object.values(s.ledger()));
    expect(ledgers).toHaveLength(2_000);
    for (const samples of ledgers) expect(samples).toHaveLength(3);
  });

  test("a request that fills it keeps those of its series that were known", async () => {
    const h = await startInsert(makeStorages(1), { limits: { seriesCacheMax: 500 } });
    expect((await h.v1(batch(0, 400, T))).status).toBe(204);
    expect((await h.v1([...batch(399, 1, T + 1), ...batch(400, 200, T + 1), ...batch(0, 100, T + 1)])).status).toBe(
      204,
    );
    const ledger = Object.entries(h.storages[0]!.ledger());
    expect(ledger).toHaveLength(600);
    for (const [key, samples] of ledger) {
      const i = Number(/i="(\d+)"/.exec(key)![1]);
      expect(samples.map(([t]) => t)).toEqual(i < 100 || i === 399 ? [T, T + 1] : i < 400 ? [T] : [T + 1]);
    }
  });

  test("a request with more series than can be known is refused with the flag's name", async () => {
    const h = await startInsert(makeStorages(1), { limits: { seriesCacheMax: 100 } });
    const reply = await h.v1(batch(0, 101, T));
    expect([reply.status, reply.text]).toEqual([400, expect.stringContaining("--series-cache-max")]);
    expect((await h.v1(batch(0, 100, T))).status).toBe(204);
  });

  test("a request with too many series that are new is refused with the flag's name; known ones don't count", async () => {
    const h = await startInsert(makeStorages(1), { limits: { writeSeriesMax: 100 } });
    const reply = await h.v1(batch(0, 101, T));
    expect([reply.status, reply.text]).toEqual([400, expect.stringContaining("--write-series-max")]);
    expect(h.storages[0]!.sampleCount).toBe(0);
    for (const from of [0, 100]) expect((await h.v1(batch(from, 100, T))).status).toBe(204);
    expect((await h.v1(batch(0, 200, T + 1))).status).toBe(204);
  });

  test("batches on their way survive their series being forgotten", async () => {
    const h = await startInsert(makeStorages(1), { limits: { seriesCacheMax: 100 } });
    await h.v1(batch(0, 100, T));
    h.storages[0]!.hold = true;
    const before = h.v1(batch(0, 100, T + 1));
    const after = h.v1(batch(100, 100, T + 2));
    await h.clock.advance(0);
    h.storages[0]!.release();
    expect([(await before).status, (await after).status]).toEqual([204, 204]);
    expect(h.storages[0]!.sampleCount).toBe(300);
  });

  test("over days of churn the known stay few, and none comes back under another's number", async () => {
    const h = await startInsert(makeStorages(1), { limits: { seriesCacheMax: 1_000 } });
    for (let hour = 0; hour < 72; hour++) {
      expect((await h.v1([...batch(0, 10, T + hour), ...batch(1_000 + hour * 40, 40, T + hour)])).status).toBe(204);
      await h.clock.advance(6 * EPOCH_MS);
    }
    expect(h.insert.series.known).toBeLessThanOrEqual(1_000);
    expect(h.insert.series.forgotten).toBeGreaterThan(1_000);
    const ledger = Object.entries(h.storages[0]!.ledger());
    expect(ledger).toHaveLength(10 + 72 * 40);
    for (const [key, samples] of ledger) {
      const i = Number(/i="(\d+)"/.exec(key)![1]);
      expect(samples).toHaveLength(i < 10 ? 72 : 1);
    }
  }, 20_000);

  test("tenants that write nothing good cost nothing", async () => {
    const h = await startInsert(makeStorages(1));
    for (let i = 0; i < 200; i++)
      expect((await h.v1([{ labels: [["a", "1"]], samples: [[1, T]] }], [], `t${i}`)).status).toBe(400);
    expect(h.insert.series.known).toBe(0);
  });
});
