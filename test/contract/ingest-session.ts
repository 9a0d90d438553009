// test/contract/ingest-session.ts: what every IngestTarget promises, in this process and over the network alike.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { InvalidError, labelsFromRecord, UnavailableError, writeStale } from "../../libs/model/index.ts";
import { bits, contextOf, type OpenStorage, rawSamples, type StorageHarness, TENANT } from "./harness.ts";
import { byId, type Registration, register, rows, writeBatch } from "./ingest-batch.ts";

const NO_REFS = new Uint32Array(0);
const stored = (seq: number) => ({ seq, status: "stored", unknownRefs: NO_REFS, rejections: [] });

/** Runs the suite on storages that `open` makes. */
export function ingestSessionContract(name: string, open: OpenStorage): void {
  describe(`ingest session: ${name}`, () => {
    let storage: StorageHarness;
    let now: number;

    beforeEach(async () => {
      storage = await open();
      now = storage.nowMs;
    });
    afterEach(() => storage.close());

    const connect = () => storage.target.connect();
    type Session = Awaited<ReturnType<typeof connect>>;
    const series = (session: Session, ref: number, metric: string, i = ref): Registration =>
      register(
        session.identity,
        ref,
        TENANT,
        labelsFromRecord({ __name__: metric, i: `${i}`, job: "j", instance: "h" }),
      );
    const line = (i: number, agoMs: number, value: number): string =>
      `{i=${i},instance=h,job=j} ${-agoMs} ${bits(value)}`;

    test("names the storage", async () => {
      const { identity } = await connect();
      expect(identity.clusterId).not.toBe("");
      expect(identity.nodeId).not.toBe("");
      expect(identity.hashSeed.length).toBe(16);
      expect(identity.shardCount).toBeGreaterThan(0);
    });

    test("stores a batch and remembers its references", async () => {
      const session = await connect();
      const registrations = [series(session, 1, "m"), series(session, 2, "m")];
      const first = rows([[1, now - 2000, 1.5], [2, now - 2000, -0]]); // biome-ignore format: one row per sample
      expect(await session.append(writeBatch({ seq: 7, registrations, ...first }))).toEqual(stored(7));
      const second = rows([[2, now - 1000, Number.POSITIVE_INFINITY], [1, now, 5e-324]]); // biome-ignore format: rows
      expect(await session.append(writeBatch({ seq: 8, ...second }))).toEqual(stored(8));
      await session.close();
      expect(await rawSamples(storage, "m")).toEqual(
        [line(1, 2000, 1.5), line(1, 0, 5e-324), line(2, 2000, -0), line(2, 1000, Number.POSITIVE_INFINITY)].sort(),
      );
    });

    test("keeps the bits of every NaN but drops nothing else", async () => {
      const session = await connect();
      const values = new Float64Array(4);
      const words = new Uint32Array(values.buffer);
      words.set([1, 0x7ff80000, 0xdeadbeef, 0xfff00123, 0, 0x7ff80000]);
      writeStale(values, 3);
      const batch = writeBatch({
        seq: 1,
        registrations: [series(session, 1, "m")],
        refs: [1, 1, 1, 1],
        timesMs: [now - 3, now - 2, now - 1, now],
        values,
      });
      expect(await session.append(batch)).toEqual(stored(1));
      const kept = (await rawSamples(storage, "m")).map((text) => text.split(" ").at(-1));
      expect(kept.sort()).toEqual(["7ff8000000000000", "7ff8000000000001", "fff00123deadbeef"]);
    });

    test("refuses a batch with unknown references whole, and names them", async () => {
      const session = await connect();
      const registrations = [series(session, 1, "m")];
      const mixed = rows([[1, now, 1], [5, now, 5], [9, now, 9]]); // biome-ignore format: one row per sample
      const ack = await session.append(writeBatch({ seq: 3, registrations, ...mixed }));
      expect({ ...ack, unknownRefs: [...ack.unknownRefs].sort() }).toEqual({
        seq: 3,
        status: "unknown-refs",
        unknownRefs: [5, 9],
        rejections: [],
      });
      expect(await rawSamples(storage, "m")).toEqual([]);
      const again = [1, 5, 9].map((ref) => series(session, ref, "m"));
      expect(await session.append(writeBatch({ seq: 4, registrations: again, ...mixed }))).toEqual(stored(4));
      expect(await rawSamples(storage, "m")).toEqual([line(1, 0, 1), line(5, 0, 5), line(9, 0, 9)]);
    });

    test("takes ids without labels for series it knows only", async () => {
      const first = await connect();
      const known = series(first, 1, "m");
      await first.append(writeBatch({ seq: 1, registrations: [known], ...rows([[1, now - 1, 1]]) }));
      await first.close();
      const second = await connect();
      const ids = [{ ...byId(known), ref: 30 }, byId(series(second, 40, "m"))];
      const both = rows([[30, now, 30], [40, now, 40]]); // biome-ignore format: one row per sample
      const refused = await second.append(writeBatch({ seq: 1, registrations: ids, ...both }));
      expect([refused.status, [...refused.unknownRefs]]).toEqual(["unknown-refs", [40]]);
      const only = writeBatch({ seq: 2, registrations: [ids[0]!], ...rows([[30, now, 30]]) });
      expect(await second.append(only)).toEqual(stored(2));
      expect(await rawSamples(storage, "m")).toEqual([line(1, 0, 30), line(1, 1, 1)].sort());
    });

    test("gives each session a dictionary of its own", async () => {
      const [a, b] = [await connect(), await connect()];
      await a.append(writeBatch({ seq: 1, registrations: [series(a, 1, "m", 10)], ...rows([[1, now, 1]]) }));
      expect((await b.append(writeBatch({ seq: 1, ...rows([[1, now, 2]]) }))).status).toBe("unknown-refs");
      await b.append(writeBatch({ seq: 2, registrations: [series(b, 1, "m", 20)], ...rows([[1, now, 2]]) }));
      await a.append(writeBatch({ seq: 2, ...rows([[1, now - 1, 3]]) }));
      expect(await rawSamples(storage, "m")).toEqual([line(10, 0, 1), line(10, 1, 3), line(20, 0, 2)].sort());
    });

    test("stores the same sample once", async () => {
      const session = await connect();
      const batch = (seq: number) =>
        writeBatch({ seq, registrations: [series(session, 1, "m")], ...rows([[1, now, 1]]) });
      expect(await session.append(batch(1))).toEqual(stored(1));
      expect(await session.append(batch(2))).toEqual(stored(2));
      expect(await rawSamples(storage, "m")).toEqual([line(1, 0, 1)]);
    });

    test("accepts samples in any order of time", async () => {
      const session = await connect();
      const mixed = rows([[1, now - 5, 5], [1, now - 9, 9], [1, now, 0], [1, now - 7, 7]]); // biome-ignore format: rows
      await session.append(writeBatch({ seq: 1, registrations: [series(session, 1, "m")], ...mixed }));
      expect(await rawSamples(storage, "m")).toEqual(
        [line(1, 9, 9), line(1, 7, 7), line(1, 5, 5), line(1, 0, 0)].sort(),
      );
    });

    test("counts what is too far in the future and keeps the rest", async () => {
      const session = await connect();
      const mixed = rows([[1, now + 86_400_000, 1], [1, now, 2], [1, now + 86_400_001, 3]]); // biome-ignore format: rows
      const ack = await session.append(writeBatch({ seq: 1, registrations: [series(session, 1, "m")], ...mixed }));
      expect(ack.status).toBe("stored");
      expect(ack.rejections.map(({ reason, count }) => ({ reason, count }))).toEqual([{ reason: "future", count: 2 }]);
      expect(ack.rejections[0]!.text).not.toBe("");
      expect(await rawSamples(storage, "m")).toEqual([line(1, 0, 2)]);
    });

    test("refuses a malformed batch and goes on", async () => {
      const session = await connect();
      const good = writeBatch({ seq: 1, registrations: [series(session, 1, "m")], ...rows([[1, now, 1]]) });
      const lying = good.slice();
      lying[12] = 2; // two samples, it says
      await expect(session.append(lying)).rejects.toThrow(InvalidError);
      const foreign = good.slice();
      foreign[0] = 0;
      await expect(session.append(foreign)).rejects.toThrow(InvalidError);
      await expect(session.append(good.slice(0, 20))).rejects.toThrow(InvalidError);
      expect((await session.append(writeBatch({ seq: 2, ...rows([[1, now, 1]]) }))).status).toBe("unknown-refs");
      expect(await session.append(good)).toEqual(stored(1));
    });

    test("is done with a batch's memory when append returns", async () => {
      const session = await connect();
      const batch = writeBatch({ seq: 1, registrations: [series(session, 1, "m")], ...rows([[1, now, 1]]) });
      const another = writeBatch({ seq: 2, ...rows([[1, now - 1, 2]]) });
      const acks = [session.append(batch), session.append(another)];
      batch.fill(0xff);
      another.fill(0xff);
      expect(await Promise.all(acks)).toEqual([stored(1), stored(2)]);
      expect(await rawSamples(storage, "m")).toEqual([line(1, 0, 1), line(1, 1, 2)].sort());
    });

    test("applies pipelined batches in order", async () => {
      const session = await connect();
      const count = 300;
      const acks = Array.from({ length: count }, (_, i) => {
        // Each batch uses a reference that the one before it defined.
        const registrations = [series(session, i + 1, "m")];
        const samples = i === 0 ? rows([[1, now, 0]]) : rows([[i, now - i, i], [i + 1, now, 0]]); // biome-ignore format: rows
        return session.append(writeBatch({ seq: i, registrations, ...samples }));
      });
      expect((await Promise.all(acks)).map((a) => [a.seq, a.status])).toEqual(acks.map((_, i) => [i, "stored"]));
      expect((await rawSamples(storage, "m")).length).toBe(2 * count - 1);
    });

    test("keeps metadata", async () => {
      const session = await connect();
      const entry = { tenant: TENANT, family: "m", type: "counter", help: 'Größe\nin "m"', unit: "meters" } as const;
      await session.appendMetadata([entry, { ...entry, family: "n", type: "gaugehistogram", help: "" }]);
      expect(await storage.queryable.metadata("m", contextOf())).toEqual([entry]);
      expect((await storage.queryable.metadata("", contextOf())).map((e) => e.family).sort()).toEqual(["m", "n"]);
      expect(await storage.queryable.metadata("", contextOf({ tenant: "other" }))).toEqual([]);
    });

    test("takes nothing after close", async () => {
      const session = await connect();
      const pending = session.append(
        writeBatch({ seq: 1, registrations: [series(session, 1, "m")], ...rows([[1, now, 1]]) }),
      );
      const closed = session.close();
      expect(await pending).toEqual(stored(1));
      await closed;
      await session.close();
      await expect(session.append(writeBatch({ seq: 2 }))).rejects.toThrow(UnavailableError);
      await expect(session.appendMetadata([])).rejects.toThrow(UnavailableError);
      await expect(session.appendSide(new Uint8Array(0))).rejects.toThrow(UnavailableError);
    });
  });
}
