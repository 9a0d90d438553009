// test/unit/tsdb/session.test.ts: what a storage makes of batches: limits and bounds with exact counts, references, ids that collide,
// batches that fail, a full WAL buffer, and samples in every order.
import { describe, expect, test } from "vitest";
import { SimClock, SimFileSystem } from "../../../libs/env/index.ts";
import {
  type BatchAck,
  encodeSeriesKey,
  type IngestSession,
  InvalidError,
  labelsFromRecord,
  UnavailableError,
} from "../../../libs/model/index.ts";
import type { Db } from "../../../libs/tsdb/index.ts";
import { type Registration, register, rows, writeBatch } from "../../contract/ingest-batch.ts";
import {
  batchOf,
  contents,
  Feed,
  HOUR,
  line,
  lines,
  NOW,
  openDb,
  type Row,
  reopened,
  SEGMENT,
  TENANT,
  write,
} from "./db-fixture.ts";

const series = (i: number | string) => ({ __name__: "m", i: `${i}`, job: "j", instance: "h" });
const STALE = 0x7ff0000000000002n;

const refusals = (ack: BatchAck): [string, number][] => ack.rejections.map(({ reason, count }) => [reason, count]);

describe("bounds of time", () => {
  const retentionMs = 24 * HOUR;
  const maxFutureMs = HOUR / 6;

  test.each<[string, number, string | undefined]>([
    ["the oldest that is taken", -retentionMs, undefined],
    ["a ms older", -retentionMs - 1, "too-old"],
    ["the newest that is taken", maxFutureMs, undefined],
    ["a ms newer", maxFutureMs + 1, "future"],
    ["the least time", -(2 ** 53) - NOW, "too-old"],
    ["the greatest time", 2 ** 53 - NOW, "future"],
  ])("%s", async (_, after, reason) => {
    const db = await openDb();
    const good: Row = [series(1), NOW, 1];
    const ack = await write(db, [[series(0), NOW + after, 7], good]);
    expect([ack.status, refusals(ack)]).toEqual(["stored", reason === undefined ? [] : [[reason, 1]]]);
    expect(contents(db)).toEqual(lines(reason === undefined ? [[series(0), NOW + after, 7], good] : [good]));
    await db.close();
  });

  test("the texts name the bound and its flag", async () => {
    const db = await openDb();
    const ack = await write(db, [
      [series(0), NOW - 2 * retentionMs, 1],
      [series(1), NOW + 2 * maxFutureMs, 1],
      [series(2), NOW + 2 * maxFutureMs, 1],
    ]);
    expect(ack.rejections).toEqual([
      { reason: "future", count: 2, text: `out of bounds: later than ${new Date(NOW + maxFutureMs).toISOString()} (now + --max-future)` },
      { reason: "too-old", count: 1, text: `too old sample: before ${new Date(NOW - retentionMs).toISOString()} (now - --retention raw)` },
    ]); // biome-ignore format: one refusal per line
    await db.close();
  });

  test("move with the clock", async () => {
    const clock = new SimClock(NOW);
    const db = await openDb(undefined, { clock });
    expect(refusals(await write(db, [[series(0), NOW + HOUR, 1]]))).toEqual([["future", 1]]);
    await clock.advance(HOUR);
    expect(refusals(await write(db, [[series(0), NOW + HOUR, 1]]))).toEqual([]);
    await db.close();
  });
});

describe("the series limit", () => {
  test("refuses new series only, with counts and the flag's name; after a restart as well", async () => {
    const fs = new SimFileSystem();
    const options = { seriesMax: 3 };
    let db = await openDb(fs, options);
    const known = [0, 1, 2].map((i): Row => [series(i), NOW, i]);
    expect((await write(db, known)).rejections).toEqual([]);
    for (let life = 0; life < 2; life++) {
      const feed = new Feed(db);
      const time = NOW + 1 + life;
      for (let again = 0; again < 2; again++) {
        const mixed = [0, 9, 1, 8, 9].map((i): Row => [series(i), time, 5]);
        const ack = await feed.append(mixed);
        expect(ack.rejections).toEqual([
          { reason: "series-limit", count: 3, text: "series limit: got 3 series; want at most 3 (--series-max)" },
        ]);
      }
      known.push([series(0), time, 5], [series(1), time, 5]);
      expect(contents(db)).toEqual(lines(known));
      expect(db.report().seriesCount).toBe(3);
      await db.close();
      db = await openDb(fs, options);
      expect(contents(db)).toEqual(lines(known));
    }
    expect(db.report().counters.samplesSeriesLimit).toBe(0);
    await db.close();
  });

  test("that memory sets refuses likewise, and names that flag", async () => {
    const db = await openDb(undefined, { seriesMax: 1e9 });
    const feed = new Feed(db);
    let refused = 0;
    for (let from = 0; from < 3000; from += 50) {
      const ack = await feed.append(Array.from({ length: 50 }, (_, i): Row => [series(from + i), NOW, 1]));
      for (const { reason, count, text } of ack.rejections) {
        expect([reason, text.endsWith("no memory for more (--head-memory)")]).toEqual(["series-limit", true]);
        refused += count;
      }
    }
    const { seriesCount } = db.report();
    expect(seriesCount).toBeGreaterThan(100);
    expect([refused, contents(db).length]).toEqual([3000 - seriesCount, seriesCount]);
    await db.close();
  });
});

describe("the limit of tenants", () => {
  test("refuses the series of a tenant too many; what came before and after it keeps its place", async () => {
    const fs = new SimFileSystem();
    const options = { headMemoryBytes: 128 << 20, seriesMax: 1e6, walBufferBytes: 32 << 20 };
    const db = await openDb(fs, options);
    const session = db.openSession();
    let ref = 0;
    const registration = (tenant: string, i: number): Registration => {
      const id = new Uint8Array(16);
      new DataView(id.buffer).setUint32(0, ++ref);
      return { ref, shard: 0, home: new Uint8Array(8), id, key: encodeSeriesKey(tenant, ["__name__", `m${i}`]) };
    };
    const append = (registrations: Registration[]): Promise<BatchAck> =>
      session.append(
        writeBatch({ seq: 1, registrations, ...rows(registrations.map((one) => [one.ref, NOW, one.ref] as const)) }),
      );
    const tenants = 65_536;
    for (let from = 0; from < tenants; from += 4096) {
      const batch = Array.from({ length: 4096 }, (_, i) => registration(`t${from + i}`, 0));
      expect((await append(batch)).rejections).toEqual([]);
    }
    for (let again = 0; again < 3; again++) {
      const mixed = [
        registration("t5", 3 * again + 1),
        registration("one too many", again),
        registration("t9", 3 * again + 2),
      ];
      const text = "series limit: got 65536 tenants; want no more";
      expect((await append(mixed)).rejections).toEqual([{ reason: "series-limit", count: 1, text }]);
    }
    const check = (one: Db): void => {
      for (const [tenant, first] of [
        ["t5", 1],
        ["t9", 2],
      ] as const) {
        const found = [...one.export(tenant, [])].map(({ labels, values }) => `${labels[1]} ${[...values]}`);
        const later = [0, 1, 2].map((again) => `m${3 * again + first} ${tenants + 3 * again + (first === 1 ? 1 : 3)}`);
        expect(found).toEqual([`m0 ${Number(tenant.slice(1)) + 1}`, ...later]);
      }
      expect([...one.export("one too many", [])]).toEqual([]);
    };
    check(db);
    await db.close();
    const next = await openDb(fs, options);
    check(next);
    await next.close();
  });
});

describe("ids", () => {
  /** The registration of series `i` with the id of series `of`. */
  const withIdOf = (session: IngestSession, ref: number, i: number, of: number): Registration => ({
    ...register(session.identity, ref, TENANT, labelsFromRecord(series(i))),
    id: register(session.identity, ref, TENANT, labelsFromRecord(series(of))).id,
  });

  test("an id that meets other labels is refused and counted; the series that has it goes on", async () => {
    const fs = new SimFileSystem();
    const db = await openDb(fs);
    await write(db, [[series(0), NOW, 1]]);
    const session = db.openSession();
    const registrations = [
      withIdOf(session, 1, 7, 0),
      register(session.identity, 2, TENANT, labelsFromRecord(series(0))),
      register(session.identity, 3, "other", labelsFromRecord(series(0))),
      { ...register(session.identity, 4, TENANT, labelsFromRecord(series(0))), ref: 4 },
      withIdOf(session, 5, 20, 21),
      withIdOf(session, 6, 22, 21),
    ];
    const samples = rows([1, 2, 3, 4, 5, 6].map((ref) => [ref, NOW + ref, ref] as const));
    const ack = await session.append(writeBatch({ seq: 1, registrations, ...samples }));
    expect([ack.status, refusals(ack)]).toEqual(["stored", [["id-collision", 2]]]);
    const again = await session.append(writeBatch({ seq: 2, ...rows([[1, NOW + 9, 9], [2, NOW + 9, 9]]) })); // biome-ignore format: rows
    expect(refusals(again)).toEqual([["id-collision", 1]]);
    const mine: Row[] = [
      [series(0), NOW, 1],
      [series(0), NOW + 2, 2],
      [series(0), NOW + 4, 4],
      [series(0), NOW + 9, 9],
      [series(20), NOW + 5, 5],
    ];
    expect(contents(db)).toEqual(lines(mine));
    expect(contents(db, [], "other")).toEqual([line([series(0), NOW + 3, 3])]);
    expect(await reopened(db, fs)).toEqual(lines(mine));
  });

  test("unknown references, each named once: nothing is stored, nothing is logged", async () => {
    const fs = new SimFileSystem();
    const db = await openDb(fs);
    const session = db.openSession();
    await session.append(batchOf(session, [[series(1), NOW, 1]]));
    const before = fs.stat(SEGMENT(1))!.sizeBytes;
    const many = [1, 50, 50, 4_194_303, 4_194_304, 4_294_967_294, 2].map((ref) => [ref, NOW + 1, 1] as const);
    const ack = await session.append(writeBatch({ seq: 9, ...rows(many) }));
    expect([ack.seq, ack.status, [...ack.unknownRefs].sort((a, b) => a - b)]).toEqual([
      9,
      "unknown-refs",
      [2, 50, 4_194_303, 4_194_304, 4_294_967_294],
    ]);
    expect(contents(db)).toEqual([line([series(1), NOW, 1])]);
    expect(fs.stat(SEGMENT(1))!.sizeBytes).toBe(before);
    await db.close();
  });
});

describe("malformed batches", () => {
  test.each<[string, (batch: Uint8Array) => void]>([
    ["a run that does not end", (batch) => batch.fill(0x80, batch.length - 4, batch.length - 3)],
    ["the last registration's key", (batch) => batch.fill(0xff, 32 + 36, 32 + 37)],
    ["the second registration's shard", (batch) => batch.fill(0xff, 36, 40)],
  ])("a batch that fails because of %s defines no reference and no series", async (_, spoil) => {
    const db = await openDb();
    const session = db.openSession();
    const good = batchOf(session, [[series(1), NOW, 1]], 5);
    const bad = good.slice();
    spoil(bad);
    await expect(session.append(bad)).rejects.toThrow(InvalidError);
    expect(db.report().seriesCount).toBe(0);
    const ack = await session.append(writeBatch({ seq: 2, ...rows([[5, NOW, 1]]) }));
    expect([ack.status, [...ack.unknownRefs]]).toEqual(["unknown-refs", [5]]);
    expect((await session.append(good)).status).toBe("stored");
    await db.close();
  });
});

describe("a WAL buffer that is nearly full", () => {
  test("refuses a batch before anything of it is stored, or takes it whole: what a retry was told is durable", async () => {
    const outcomes = new Set<string>();
    const options = { headMemoryBytes: 2 << 20 };
    const buffer = 1 << 20;
    // Neighbours in the batch are far apart in the log, where late samples of one time take most bytes for theirs in the batch.
    const scattered = Array.from({ length: 800 }, (_, i) => (i * 151) % 800);
    for (let left = 2000; left < 26_000; left += 1000) {
      const fs = new SimFileSystem();
      const db = await openDb(fs, options);
      const feed = new Feed(db);
      const ascending = [...scattered].sort((a, b) => a - b);
      for (let from = 0; from < 800; from += 100) {
        await write(
          db,
          ascending.slice(from, from + 100).map((i): Row => [series(i), NOW, i]),
        );
        await feed.append(scattered.slice(from, from + 100).map((i): Row => [series(i), NOW, i]));
      }
      const late = scattered.map((i): Row => [series(i), NOW - 1000, i]);
      // Nothing of this is on disk yet when the late batch comes.
      const waiting: Promise<unknown>[] = [];
      // An entry is taken when eight times its text has room.
      for (const length of [4000, 400, 10]) {
        while (db.report().wal.waitingBytes < buffer - left - 9 * length - 4000) {
          const family = `f${waiting.length}`;
          const entry = { tenant: TENANT, family, type: "gauge", help: "x".repeat(length), unit: "" } as const;
          waiting.push(feed.session.appendMetadata([entry]));
        }
      }
      const first = await feed.append(late).catch((error: unknown) => error);
      if (first instanceof Error) expect(first).toBeInstanceOf(UnavailableError);
      outcomes.add(first instanceof Error ? "refused" : "taken");
      await Promise.all(waiting);
      expect(waiting.length).toBeLessThan(2000);
      expect((await feed.append(late)).status).toBe("stored");
      const found = new Set(await reopened(db, fs, options));
      expect(late.filter((row) => !found.has(line(row))).length, `${left} bytes left`).toBe(0);
    }
    expect([...outcomes].sort()).toEqual(["refused", "taken"]);
  }, 60_000);
});

describe("order", () => {
  function permutations<T>(items: readonly T[]): T[][] {
    if (items.length === 0) return [[]];
    return items.flatMap((item, i) => permutations(items.filter((_, k) => k !== i)).map((rest) => [item, ...rest]));
  }

  test.each<[string, readonly (readonly [number, number | bigint])[], number]>([
    ["six times", [0, 1, 2, 3, 4, 5].map((i) => [i * 10, i] as const), 6],
    [
      "equal times: the greater number wins",
      [
        [0, 1],
        [0, 3],
        [0, 2],
        [10, -1],
        [10, 0],
        [20, 9],
      ],
      3,
    ],
    [
      "numbers, NaNs, stale markers",
      [
        [0, STALE],
        [0, 0x7ff8000000000000n],
        [0, 0x7ff8000000000009n],
        [10, STALE],
        [10, -5],
        [20, STALE],
      ],
      3,
    ],
    [
      "zeros and infinities",
      [
        [0, 0],
        [0, -0],
        [0, STALE],
        [10, Number.NEGATIVE_INFINITY],
        [10, 5],
        [10, Number.POSITIVE_INFINITY],
      ],
      2,
    ],
    [
      "the same again",
      [
        [0, 1],
        [0, 1],
        [10, 2],
        [10, 2],
        [20, STALE],
        [20, STALE],
      ],
      3,
    ],
  ])(
    "every order of %s gives the same, at the edges of frames and chunks, and after a restart",
    async (_, six, distinct) => {
      const orders = permutations([0, 1, 2, 3, 4, 5]);
      expect(orders.length).toBe(720);
      for (const prefix of [0, 13, 15, 127]) {
        const fs = new SimFileSystem();
        const options = { headMemoryBytes: 8 << 20 };
        const db = await openDb(fs, options);
        const feed = new Feed(db);
        for (let n = prefix; n > 0; n--) await feed.append(orders.map((_, p): Row => [series(p), NOW - 1000 * n, n]));
        for (let k = 0; k < 6; k++) {
          await feed.append(orders.map((order, p): Row => [series(p), NOW + six[order[k]!]![0], six[order[k]!]![1]]));
        }
        const check = (one: Db): void => {
          const shapes = new Set<string>();
          for (const { times, values } of one.export(TENANT, [])) {
            shapes.add(`${times.join()} ${new BigUint64Array(values.buffer, 0, values.length).join()}`);
            expect(times.length).toBe(prefix + distinct);
          }
          expect(shapes.size).toBe(1);
        };
        check(db);
        await db.close();
        const next = await openDb(fs, options);
        check(next);
        await next.close();
      }
    },
  );
});
