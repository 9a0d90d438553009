// test/unit/insert/owner-queue.test.ts: connections, dictionaries, backpressure and mixed outcomes, on a simulated clock.
import { describe, expect, test } from "vitest";
import { InvalidError, UnavailableError } from "../../../libs/model/index.ts";
import { type Harness, header, makeStorages, startInsert, writtenCounts } from "./insert-harness.ts";
import { labels, type SeriesSpec } from "./remote-write.ts";
import { StorageTwin } from "./storage-twin.ts";

const T = 1_700_000_000_000;

function seriesOf(count: number, time = T, name = "m"): SeriesSpec[] {
  return Array.from({ length: count }, (_, i) => ({ labels: labels(name, { i: String(i) }), samples: [[i, time]] }));
}

/** Registrations per batch, as [with labels, by id only]. */
function registrations(storage: StorageTwin): [number, number][] {
  return storage.batches.map((b) => {
    const withLabels = b.registrations.filter((r) => r.key !== undefined).length;
    return [withLabels, b.registrations.length - withLabels];
  });
}

/** Lets everything that can run without time passing, run. */
const settle = (h: Harness): Promise<void> => h.clock.advance(0);

describe("labels travel once", () => {
  test("references are dense, registered once, in a batch of their own request", async () => {
    const h = await startInsert(makeStorages(1));
    await h.v1(seriesOf(5));
    await h.v1(seriesOf(8, T + 1));
    await h.v1(seriesOf(8, T + 2));
    const [storage] = h.storages;
    expect(registrations(storage!)).toEqual([
      [5, 0],
      [3, 0],
      [0, 0],
    ]);
    expect(storage!.batches.flatMap((b) => b.registrations.map((r) => r.ref))).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(storage!.batches.map((b) => b.seq)).toEqual([0, 1, 2]);
    // Eight neighbours of one time: one run, so 32 bytes of header, a handful of run, eight values.
    expect(storage!.batches[2]!.bytes).toBeLessThan(32 + 10 + 64);
  });

  test("after a reconnect ids alone, as the series come", async () => {
    const h = await startInsert(makeStorages(1));
    const [storage] = h.storages;
    await h.v1(seriesOf(6));
    storage!.cutConnections();
    await h.clock.advance(1_000);
    await h.v1(seriesOf(4, T + 1));
    await h.v1(seriesOf(6, T + 2));
    expect(registrations(storage!)).toEqual([
      [6, 0],
      [0, 4],
      [0, 2],
    ]);
    expect(storage!.sampleCount).toBe(16);
    expect(h.insert.owners[0]).toMatchObject({ connections: 2, relabelled: 0 });
  });

  test("labels again for the ids that the owner does not know, once, in the same order", async () => {
    const h = await startInsert(makeStorages(1));
    const [storage] = h.storages;
    await h.v1(seriesOf(6));
    const lost = [...storage!.series.keys()].slice(0, 2);
    storage!.cutConnections();
    for (const id of lost) storage!.series.delete(id);
    await h.clock.advance(1_000);
    expect((await h.v1(seriesOf(6, T + 1))).status).toBe(204);
    expect(registrations(storage!)).toEqual([
      [6, 0],
      [0, 6],
      [2, 4],
    ]);
    expect(h.insert.owners[0]!.relabelled).toBe(1);
    expect(
      Object.values(storage!.ledger())
        .map((s) => s.length)
        .sort(),
    ).toEqual([1, 1, 2, 2, 2, 2]);
  });

  test("batches behind one that fails get their labels too", async () => {
    const h = await startInsert(makeStorages(1));
    const [storage] = h.storages;
    await h.v1(seriesOf(3));
    storage!.cutConnections();
    storage!.series.clear();
    await h.clock.advance(1_000);
    // All three are on their way before the first answer.
    storage!.hold = true;
    const writes = [1, 2, 3].map((i) => h.v1(seriesOf(3, T + i)));
    await settle(h);
    storage!.release();
    await settle(h);
    expect((await Promise.all(writes)).map((r) => r.status)).toEqual([204, 204, 204]);
    expect(storage!.sampleCount).toBe(9);
  });

  test("a batch that a storage failed to store leaves nothing behind that the next one could not mend", async () => {
    const h = await startInsert(makeStorages(1));
    const [storage] = h.storages;
    storage!.failures.push(new UnavailableError("out of memory", 7));
    const failed = await h.v1(seriesOf(3));
    expect([failed.status, failed.text, header(failed, "Retry-After")]).toEqual([503, "out of memory", "7"]);
    expect((await h.v1(seriesOf(3))).status).toBe(204);
    expect(registrations(storage!)).toEqual([
      [3, 0],
      [0, 0],
      [3, 0],
    ]);
    expect(h.insert.owners[0]!.connections).toBe(1);
  });

  test("an owner that answers labels with unknown references is connected anew", async () => {
    const h = await startInsert(makeStorages(1));
    const [storage] = h.storages;
    await h.v1(seriesOf(1));
    const session = storage!.sessions[0]!;
    session.append = async (batch) => {
      const seq = new DataView(batch.buffer, batch.byteOffset).getUint32(8, true);
      return { seq, status: "unknown-refs", unknownRefs: Uint32Array.of(1), rejections: [] };
    };
    const reply = await h.v1(seriesOf(1, T + 1));
    expect([reply.status, header(reply, "Retry-After")]).toEqual([503, "1"]);
    await h.clock.advance(1_000);
    expect((await h.v1(seriesOf(1, T + 1))).status).toBe(204);
  });

  test("a batch called malformed is our fault: 500, and a new dictionary", async () => {
    const h = await startInsert(makeStorages(1));
    const [storage] = h.storages;
    storage!.failures.push(new InvalidError("cannot read batch: got nonsense; want sense"));
    const reply = await h.v1(seriesOf(1));
    expect([reply.status, reply.text]).toEqual([500, expect.stringContaining("got nonsense")]);
    await h.clock.advance(1_000);
    expect((await h.v1(seriesOf(1))).status).toBe(204);
    expect(storage!.connects).toBe(2);
  });

  test("a full dictionary is replaced while writes go on", async () => {
    const h = await startInsert(makeStorages(1), { limits: { dictionaryMaxBytes: 12 * 100 } });
    const [storage] = h.storages;
    for (let i = 0; i < 10; i++) {
      storage!.hold = i === 2;
      const write = h.v1(seriesOf(40, T + i, `m${i}`));
      await h.clock.advance(200);
      if (i === 2) {
        // The first session still owes an answer when the next one takes over.
        expect(storage!.sessions.map((s) => s.isOpen)).toEqual([true, true]);
        storage!.release();
        await settle(h);
      }
      expect((await write).status).toBe(204);
      await settle(h);
    }
    expect(storage!.sampleCount).toBe(400);
    expect(storage!.connects).toBeGreaterThanOrEqual(3);
    expect(storage!.sessions.filter((s) => s.isOpen)).toHaveLength(1);
    for (const b of storage!.batches) for (const r of b.registrations) expect(r.ref).toBeLessThanOrEqual(120);
  });
});

describe("restarts", () => {
  test("two inserts, both restarted: every series once, whoever wrote it", async () => {
    const storages = makeStorages(2);
    for (let run = 0; run < 2; run++) {
      const inserts = [await startInsert(storages), await startInsert(storages)];
      for (const [i, h] of inserts.entries()) {
        const reply = await (i === 0 ? h.v1(seriesOf(50, T + run)) : h.v2(seriesOf(50, T + 10 + run)));
        expect(reply.status).toBe(204);
        h.insert.close(0);
      }
    }
    expect(storages.map((s) => s.series.size).reduce((a, b) => a + b)).toBe(50);
    const all = storages.flatMap((s) => Object.values(s.ledger()));
    for (const samples of all) expect(samples.map(([t]) => t - T)).toEqual([0, 1, 10, 11]);
  });

  test("a storage that comes back empty under a new node id gets labels and metadata again", async () => {
    const h = await startInsert(makeStorages(1));
    const [storage] = h.storages;
    const metadata = [{ type: 1, family: "m", help: "h", unit: "" }];
    await h.v1(seriesOf(2), metadata);
    storage!.identity = { ...storage!.identity, nodeId: "a new node" };
    storage!.series.clear();
    storage!.metadata.length = 0;
    storage!.cutConnections();
    await h.clock.advance(1_000);
    await h.v1(seriesOf(2, T + 1), metadata);
    expect(registrations(storage!)).toEqual([
      [2, 0],
      [2, 0],
    ]);
    expect(storage!.metadata).toHaveLength(1);
  });
});

describe("unavailable is 503 with Retry-After, never 4xx", () => {
  test("before any storage answered", async () => {
    const storages = makeStorages(2);
    for (const s of storages) s.refuseConnect = "connection refused";
    const h = await startInsert(storages);
    expect(h.insert.isReady).toBe(false);
    const reply = await h.v2(seriesOf(1));
    expect([reply.status, header(reply, "Retry-After"), ...writtenCounts(reply)]).toEqual([503, "1", 0, 0, 0]);
    expect(reply.text).toBe(
      "cannot store samples: got no storage yet (storage-0:8400: connection refused; storage-1:8400: connection refused); want one connected",
    );
    for (const s of storages) s.refuseConnect = undefined;
    await h.clock.advance(10_000);
    expect(h.insert.isReady).toBe(true);
    expect((await h.v2(seriesOf(1))).status).toBe(204);
  });

  test("pauses between attempts grow to five seconds", async () => {
    const [storage] = makeStorages(1);
    storage!.refuseConnect = "no";
    const h = await startInsert([storage!]);
    await h.clock.advance(60_000);
    expect(storage!.connects).toBeGreaterThanOrEqual(14);
    expect(storage!.connects).toBeLessThanOrEqual(32);
    storage!.refuseConnect = undefined;
    await h.clock.advance(5_000);
    expect(h.insert.isReady).toBe(true);
  });

  test("a storage that dies soon, but has stored something, is found again at once every time", async () => {
    const h = await startInsert(makeStorages(1));
    for (let i = 0; i < 10; i++) {
      expect((await h.v1(seriesOf(1, T + i))).status).toBe(204);
      h.storages[0]!.cutConnections();
      await h.clock.advance(50);
    }
  });

  test("an owner away: the other owners' samples are stored, the request is 503, and again is idempotent", async () => {
    const h = await startInsert(makeStorages(2));
    const [away, there] = h.storages;
    await h.v1(seriesOf(100));
    const own = away!.sampleCount;
    away!.refuseConnect = "down";
    away!.cutConnections();
    await settle(h);
    const reply = await h.v2(seriesOf(100, T + 1));
    expect([reply.status, header(reply, "Retry-After"), writtenCounts(reply)[0]]).toEqual([503, "1", 100 - own]);
    expect(reply.text).toContain("storage-0:8400");
    expect(there!.sampleCount).toBe(2 * (100 - own));
    away!.refuseConnect = undefined;
    await h.clock.advance(10_000);
    expect((await h.v2(seriesOf(100, T + 1))).status).toBe(204);
    expect([away!.sampleCount, there!.sampleCount]).toEqual([2 * own, 2 * (100 - own)]);
  });

  test("a request that does not concern the absent owner is stored", async () => {
    const h = await startInsert(makeStorages(2));
    const [away, there] = h.storages;
    await h.v1(seriesOf(40));
    const mine = Object.keys(there!.ledger()).map((key) => /i="(\d+)"/.exec(key)![1]!);
    away!.refuseConnect = "down";
    away!.cutConnections();
    await settle(h);
    const some = mine.slice(0, 5).map((i): SeriesSpec => ({ labels: labels("m", { i }), samples: [[1, T + 1]] }));
    expect((await h.v1(some)).status).toBe(204);
  });

  test("bad series in a request that is 503: the client comes again and then hears of them", async () => {
    const h = await startInsert(makeStorages(1));
    const series = [...seriesOf(2), { labels: [["a", "1"]] as const, samples: [[1, T]] as const }];
    h.storages[0]!.failures.push(new UnavailableError("busy"));
    expect((await h.v1(series)).status).toBe(503);
    expect((await h.v1(series)).status).toBe(400);
  });

  test("an owner that acknowledges nothing is given up", async () => {
    for (const announcesEnd of [true, false]) {
      const [storage] = makeStorages(1);
      storage!.announcesEnd = announcesEnd;
      const h = await startInsert([storage!], { ackTimeoutMs: 3_000 });
      storage!.hold = true;
      const write = h.v1(seriesOf(2), [{ type: 1, family: "m", help: "h", unit: "" }]);
      await h.clock.advance(4_000);
      const reply = await write;
      expect([reply.status, reply.text]).toEqual([503, expect.stringContaining("it acknowledged nothing for 3000 ms")]);
      expect(h.insert.owners[0]!.queueBytes).toBe(0);
      storage!.hold = false;
      await h.clock.advance(1_000);
      expect((await h.v1(seriesOf(2))).status).toBe(204);
    }
  });

  test("slow acknowledgements are no silence", async () => {
    const h = await startInsert(makeStorages(1), { ackTimeoutMs: 3_000 });
    for (let i = 0; i < 5; i++) {
      h.storages[0]!.hold = true;
      const write = h.v1(seriesOf(2, T + i));
      await h.clock.advance(2_500);
      h.storages[0]!.release();
      expect((await write).status).toBe(204);
    }
    expect(h.insert.owners[0]!.connections).toBe(1);
  });

  test("a storage that takes connections and drops them is not hammered", async () => {
    const [storage] = makeStorages(1);
    const h = await startInsert([storage!]);
    for (let i = 0; i < 600; i++) {
      storage!.cutConnections();
      await h.clock.advance(100);
    }
    expect(storage!.connects).toBeLessThan(40);
    await h.clock.advance(10_000);
    expect(h.insert.isReady).toBe(true);
    storage!.cutConnections();
    await h.clock.advance(5_000);
    expect(h.insert.isReady).toBe(true);
  });

  test("sessions that have ended before they are used are replaced until one lasts", async () => {
    const [storage] = makeStorages(1);
    const connect = storage!.connect.bind(storage!);
    storage!.connect = async () => {
      const session = await connect();
      if (storage!.connects < 5) storage!.cutConnections();
      return session;
    };
    const h = await startInsert([storage!]);
    await h.clock.advance(10_000);
    expect([storage!.connects, h.insert.isReady]).toEqual([5, true]);
    expect((await h.v1(seriesOf(1))).status).toBe(204);
  });

  test("connections cut with writes on their way: all 503, all books closed", async () => {
    for (const announcesEnd of [true, false]) {
      const [storage] = makeStorages(1);
      storage!.announcesEnd = announcesEnd;
      const h = await startInsert([storage!]);
      storage!.hold = true;
      const writes = [0, 1, 2].map((i) => h.v1(seriesOf(3, T + i)));
      await settle(h);
      storage!.cutConnections();
      for (const reply of await Promise.all(writes)) expect(reply.status).toBe(503);
      expect(h.insert.owners[0]!.queueBytes).toBe(0);
      storage!.hold = false;
      await h.clock.advance(1_000);
      for (let i = 0; i < 3; i++) expect((await h.v1(seriesOf(3, T + i))).status).toBe(204);
      expect(storage!.sampleCount).toBe(9);
    }
  });

  test("a connection that takes forever is not waited for, and closed when it comes after all", async () => {
    const [storage] = makeStorages(1);
    const connect = storage!.connect.bind(storage!);
    let open: () => void = () => {};
    const stuck = new Promise<void>((resolve) => {
      open = resolve;
    });
    storage!.connect = () => stuck.then(connect);
    const h = await startInsert([storage!]);
    await h.clock.advance(9_000);
    expect(h.insert.owners[0]!.reason).toBe("not connected yet");
    storage!.connect = connect;
    await h.clock.advance(1_000);
    expect(h.insert.owners[0]!.reason).toBe("no answer within 10000 ms");
    await h.clock.advance(1_000);
    expect(h.insert.isReady).toBe(true);
    open();
    await settle(h);
    expect(storage!.sessions.map((s) => s.isOpen)).toEqual([true, false]);
  });
});

describe("order and backpressure", () => {
  test("batches are handed over at once and in order, whether or not others are unacknowledged", async () => {
    const h = await startInsert(makeStorages(1));
    const [storage] = h.storages;
    await h.v1(seriesOf(10));
    storage!.hold = true;
    const writes = [1, 2, 3, 4].map((i) => h.v1(seriesOf(10, T + i)));
    await settle(h);
    expect(storage!.batches.map((b) => b.seq)).toEqual([0, 1, 2, 3, 4]);
    storage!.release();
    for (const reply of await Promise.all(writes)) expect(reply.status).toBe(204);
  });

  test("a full queue is 503 until acknowledgements free it; memory stays bounded", async () => {
    const h = await startInsert(makeStorages(1), { limits: { ownerQueueMaxBytes: 100_000 } });
    const [storage] = h.storages;
    await h.v1(seriesOf(500));
    storage!.hold = true;
    const writes = Array.from({ length: 120 }, (_, i) => h.v1(seriesOf(500, T + 1 + i)));
    await settle(h);
    expect(h.insert.owners[0]!.queueBytes).toBeLessThanOrEqual(100_000);
    expect(h.insert.owners[0]!.queueBytes).toBeGreaterThan(80_000);
    storage!.release();
    const replies = await Promise.all(writes);
    const full = replies.filter((r) => r.status === 503);
    expect(replies.length - full.length).toBeGreaterThan(10);
    expect(full.length).toBeGreaterThan(10);
    expect(full[0]!.text).toContain("--owner-queue-max");
    expect(header(full[0]!, "Retry-After")).toBe("1");
    expect(h.insert.owners[0]!.refused).toBe(full.length);
    expect((await h.v1(seriesOf(500, T + 999))).status).toBe(204);
  });

  test("one request larger than the limit passes when nothing waits", async () => {
    const h = await startInsert(makeStorages(1), { limits: { ownerQueueMaxBytes: 1_000 } });
    expect((await h.v1(seriesOf(500))).status).toBe(204);
  });

  const LARGE = { limits: { writeDecodedMaxBytes: 16 << 20, writeBodyMaxBytes: 16 << 20 } };
  const BATCH_BYTES_MAX = 256 * 1024;

  test("many new series are split into batches of bounded registrations", async () => {
    const h = await startInsert(makeStorages(1), LARGE);
    const long = "v".repeat(6_000);
    const series = Array.from({ length: 150 }, (_, i): SeriesSpec => {
      return { labels: labels("m", { i: String(i), long }), samples: [[i, T]] };
    });
    expect((await h.v1(series)).status).toBe(204);
    const [storage] = h.storages;
    expect(storage!.batches.length).toBeGreaterThan(5);
    for (const b of storage!.batches) expect(b.bytes).toBeLessThan(BATCH_BYTES_MAX);
    expect(storage!.sampleCount).toBe(150);
    // All of them unknown after a reconnect: the labels of a batch of ids take several batches.
    storage!.cutConnections();
    storage!.series.clear();
    storage!.batches.length = 0;
    await h.clock.advance(1_000);
    storage!.hold = true;
    const writes = [1, 2].map((i) => h.v1(series.map((s) => ({ ...s, samples: [[i, T + i]] as const }))));
    await settle(h);
    storage!.release();
    expect((await Promise.all(writes)).map((r) => r.status)).toEqual([204, 204]);
    for (const b of storage!.batches) expect(b.bytes).toBeLessThan(BATCH_BYTES_MAX);
    expect(storage!.batches.filter((b) => b.samples.length === 0).length).toBeGreaterThan(5);
    expect(storage!.sampleCount).toBe(300);
    expect(h.insert.owners[0]!.queueBytes).toBe(0);
  });

  test("registrations that go ahead and fail take their batch with them", async () => {
    const h = await startInsert(makeStorages(1), LARGE);
    const [storage] = h.storages;
    const long = "v".repeat(60_000);
    const series = [1, 2].map((i): SeriesSpec => ({ labels: labels("m", { i: String(i), long }), samples: [[i, T]] }));
    for (const one of series) expect((await h.v1([one])).status).toBe(204);
    storage!.cutConnections();
    storage!.series.clear();
    await h.clock.advance(1_000);
    const append = storage!.sessions[0]!.append.bind(storage!.sessions[0]!);
    let answers = 0;
    storage!.sessions[0]!.append = (batch) => {
      answers++;
      return answers === 1 ? append(batch) : Promise.reject(new UnavailableError("full"));
    };
    const three = [...series, { labels: labels("m", { i: "3", long: `${long}x` }), samples: [[3, T]] as const }];
    expect((await h.v1(three)).status).toBe(503);
    expect(h.insert.owners[0]!.queueBytes).toBe(0);
    storage!.sessions[0]!.append = append;
    expect((await h.v1(three)).status).toBe(204);
    expect(storage!.sampleCount).toBe(3);
  });

  test("many samples are split too, of many series and of one", async () => {
    for (const [count, each] of [
      [30, 1_000],
      [3, 10_000],
    ] as const) {
      const h = await startInsert(makeStorages(2), LARGE);
      const series = Array.from(
        { length: count },
        (_, s): SeriesSpec => ({
          labels: labels("m", { s: String(s) }),
          samples: Array.from(
            { length: each },
            (_, i) => [i % 7 === 0 ? Number.NaN : i, T - 5 * ((i * 7919) % each)] as const,
          ),
        }),
      );
      for (let again = 0; again < 2; again++) {
        const reply = await h.v2(series);
        expect([reply.status, writtenCounts(reply)[0]]).toEqual([204, 30_000]);
      }
      const ledgers = h.storages.map((s) => s.ledger());
      for (const s of h.storages) for (const b of s.batches) expect(b.samples.length).toBeLessThanOrEqual(4_096);
      const whole = Object.assign({}, ...ledgers) as (typeof ledgers)[0];
      expect(Object.keys(whole)).toHaveLength(count);
      series.forEach(({ samples }, s) => {
        const want = samples!.map(([v, t]): [number, number] => [Number(t), v]).sort(([a], [b]) => a - b);
        expect(whole[`default{__name__="m",s="${s}"}`]).toEqual(want);
      });
    }
  });

  test("metadata of many families is split", async () => {
    const h = await startInsert(makeStorages(1), LARGE);
    const metadata = Array.from({ length: 1_700 }, (_, i) => ({
      type: 1,
      family: `f${i}`,
      help: "h".repeat(99),
      unit: "",
    }));
    const { appendMetadata } = h.storages[0]!.sessions[0]!;
    const sizes: number[] = [];
    h.storages[0]!.sessions[0]!.appendMetadata = function (entries) {
      sizes.push(entries.length);
      return appendMetadata.call(this, entries);
    };
    expect((await h.v1([], metadata)).status).toBe(204);
    expect(sizes.reduce((a, b) => a + b)).toBe(1_700);
    expect(sizes.length).toBeGreaterThan(2);
  });
});

describe("who may be an owner", () => {
  test.each<[string, (s: StorageTwin) => void, string]>([
    [
      "another cluster",
      (s) => {
        s.identity = { ...s.identity, clusterId: "other" };
      },
      "got cluster other; want tidemark-",
    ],
    [
      "another seed",
      (s) => {
        s.identity = { ...s.identity, hashSeed: new Uint8Array(16) };
      },
      "got another hash seed",
    ],
    [
      "another shard count",
      (s) => {
        s.identity = { ...s.identity, shardCount: 256 };
      },
      "got 256 shards; want 64",
    ],
    [
      "the same node twice",
      (s) => {
        s.identity = { ...s.identity, nodeId: "node of storage-0:8400" };
      },
      "which is also storage-0:8400",
    ],
  ])("%s is kept away until it agrees", async (_, change, why) => {
    const storages = makeStorages(2);
    const good = storages[1]!.identity;
    change(storages[1]!);
    const h = await startInsert(storages);
    expect(h.insert.owners.map((o) => o.state)).toEqual(["connected", "away"]);
    expect(h.insert.owners[1]!.reason).toContain(why);
    const reply = await h.v1(seriesOf(50));
    expect([reply.status, storages[1]!.batches.length]).toEqual([503, 0]);
    storages[1]!.identity = good;
    await h.clock.advance(10_000);
    expect((await h.v1(seriesOf(50))).status).toBe(204);
  });

  test("an impossible list is refused at the start", async () => {
    await expect(startInsert([])).rejects.toThrow(InvalidError);
    await expect(startInsert([new StorageTwin("a:1"), new StorageTwin("a:1")])).rejects.toThrow("a:1 twice");
  });
});

test("close waits for what is on its way, then refuses", async () => {
  const h = await startInsert(makeStorages(1));
  h.storages[0]!.hold = true;
  const write = h.v1(seriesOf(2));
  await settle(h);
  const closing = h.insert.close(5_000);
  await h.clock.advance(100);
  expect((await h.v1(seriesOf(2, T + 1))).status).toBe(503);
  h.storages[0]!.release();
  await h.clock.advance(100);
  await closing;
  expect((await write).status).toBe(204);
  const late = await h.v1(seriesOf(1));
  expect([late.status, late.text]).toEqual([503, expect.stringContaining("shutting down")]);
  expect(h.storages[0]!.sessions.map((s) => s.isOpen)).toEqual([false]);
  await h.clock.advance(60_000);
  expect(h.storages[0]!.connects).toBe(1);
});
