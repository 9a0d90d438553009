// test/unit/kernel/batch.test.ts: batches of the kernel against the twin's encoder and reader, routing, registrations, ranges of rows.
import { compressSync } from "snappy";
import { describe, expect, test } from "vitest";
import { HASH_KEY_BYTES, IngestKernel, type SeriesRegistration } from "../../../libs/kernel/index.ts";
import { BATCH } from "../../../libs/kernel/ingest-layout.ts";
import { type BatchSample, decodeBatch, encodeBatch } from "../../../libs/kernel/twin/batch.ts";
import { orderSamples } from "../../../libs/kernel/twin/order.ts";
import { GuardedKernel, SMALL } from "./guarded-kernel.ts";
import { below } from "./odd-messages.ts";
import { makeRequests, seeded } from "./scrape-requests.ts";
import { encodeV1 } from "./write-messages.ts";

const RUNS = Number(process.env.FUZZ_RUNS ?? 3000);

test("kernel and twin write the same bytes for random rows, references and owners; no canary changes", () => {
  const random = seeded(21);
  const guarded = new GuardedKernel({ ...SMALL, batchBytes: 32 + 27 * SMALL.samples + 100 });
  const { bytes, batch } = guarded;
  const refs = new Uint32Array(bytes.buffer, batch[BATCH.refs]!, SMALL.sids);
  const shards = new Uint16Array(bytes.buffer, batch[BATCH.shards]!, SMALL.sids);
  const ownedAt = batch[BATCH.owned]!;
  for (let i = 0; i < SMALL.sids; i++) shards[i] = below(random, 256);
  for (let run = 0; run < RUNS; run++) {
    const single = random() < 0.3;
    const rows = below(random, 40);
    const message = encodeV1(
      Array.from({ length: rows }, (_, i) => ({
        labels: [["__name__", `m${i}`]],
        samples: Array.from({ length: random() < 0.8 ? 1 : 1 + below(random, 4) }, (): [number, number] => [
          random() < 0.8 ? 1_750_000_000_000 : Math.round((random() - 0.5) * 2 ** 54),
          random() < 0.5 ? below(random, 5) : random(),
        ]),
      })),
    );
    expect(guarded.walk(message, 1)).toBe(0);
    for (let i = 0; i < 256; i++) bytes[ownedAt + i] = random() < 0.5 ? 1 : 0;
    batch[BATCH.owned] = single ? 0 : ownedAt;
    batch[BATCH.seq] = run;
    batch[BATCH.from] = random() < 0.8 ? 0 : below(random, 50);
    batch[BATCH.to] = random() < 0.8 ? 0xffff_ffff : below(random, 50);
    const spread = random() < 0.5;
    const lacking = random() < 0.2;
    const samples: BatchSample[] = [];
    const missing: number[] = [];
    const walked = guarded.walked(1);
    const nextRef = 1 + below(random, 1000);
    for (let i = 0; i < rows; i++) {
      const sid = random() < 0.1 ? 0 : spread ? 1 + below(random, SMALL.sids - 1) : i + 1;
      guarded.setSid(i, sid);
      if (refs[sid] === 0 || !spread) refs[sid] = spread && random() < 0.5 ? below(random, 2 ** 32) : nextRef + i;
      if (lacking && random() < 0.2) refs[sid] = 0;
    }
    for (let i = batch[BATCH.from]!; i < Math.min(rows, batch[BATCH.to]!); i++) {
      const { sid } = guarded.row(i);
      if (sid === 0 || (!single && bytes[ownedAt + shards[sid]!] === 0)) continue;
      if (refs[sid] === 0) missing.push(sid);
      walked.series[i]!.times.forEach((time, s) => {
        samples.push({ ref: refs[sid]!, time, bits: walked.series[i]!.bits[s]! });
      });
    }
    const registrationBytes = below(random, 100);
    batch[BATCH.registrationBytes] = 0;
    const got = guarded.encode();
    expect([...new Uint32Array(bytes.buffer, batch[BATCH.missing]!, batch[BATCH.missingCount])]).toEqual(missing);
    const want = encodeBatch({ seq: run, registrations: [], samples: orderSamples(samples) });
    if (missing.length > 0 || samples.length === 0) expect(got).toBe(0);
    else {
      expect(Buffer.compare(got as Uint8Array, want)).toBe(0);
      expect(batch[BATCH.samples]).toBe(samples.length);
      // With registrations in front, runs and values only move.
      batch[BATCH.registrationBytes] = registrationBytes;
      const moved = guarded.encode() as Uint8Array;
      expect(Buffer.compare(moved.subarray(32 + registrationBytes), want.subarray(32))).toBe(0);
    }
    guarded.check();
    refs.fill(0);
  }
});

test("a batch that does not fit is refused before a byte is written", () => {
  const guarded = new GuardedKernel({ ...SMALL, batchBytes: 32 + 27 * 3 });
  const rows = (n: number) =>
    encodeV1(Array.from({ length: n }, (_, i) => ({ labels: [["a", `${i}`]], samples: [[1, 1]] })));
  const refs = new Uint32Array(guarded.bytes.buffer, guarded.batch[BATCH.refs]!, SMALL.sids);
  refs.fill(5);
  guarded.batch[BATCH.owned] = 0;
  for (const [n, code] of [
    [3, undefined],
    [4, -50],
  ] as const) {
    guarded.walk(rows(n), 1);
    for (let i = 0; i < n; i++) guarded.setSid(i, i + 1);
    const got = guarded.encode();
    expect(typeof got === "number" ? got : undefined).toBe(code);
    guarded.check();
  }
});

describe("BatchWriter", () => {
  const newKernel = () =>
    new IngestKernel({
      hashKey: new Uint8Array(HASH_KEY_BYTES),
      formBytesMax: 1 << 22,
      seriesMax: 10_000,
      registrationBytesMax: 4096,
    });
  const registrationOf = (sid: number): SeriesRegistration => ({
    shard: sid % 7,
    home: { low: sid, high: 0xffff_0000 + sid },
    id: new Uint8Array(16).fill(sid),
    key: new Uint8Array(sid % 3).fill(sid),
  });
  const body = makeRequests({ targets: 1, scrapes: 1, samplesPerRequest: 40, version: 1 })[0]!.body;

  test("registers what is missing once, then sends references alone", () => {
    const kernel = newKernel();
    const dictionary = kernel.openDictionary();
    for (const round of [0, 1]) {
      const view = kernel.decode(body, 1, 1);
      for (let row = 0; row < view.seriesCount; row++) view.setSid(row, row === 3 ? 0 : row === 5 ? 1 : row + 1);
      const missing = kernel.batch.begin(dictionary, 70 + round);
      expect(missing).toBe(round === 0 ? 39 : 0);
      for (let i = 0; i < missing; i++) {
        const sid = kernel.batch.missing[i]!;
        if (dictionary.refs[sid] === 0) expect(kernel.batch.register(sid, registrationOf(sid))).toBe(true);
      }
      const batch = decodeBatch(kernel.batch.finish()!.slice());
      expect(kernel.batch.sampleCount).toBe(39);
      expect(batch.seq).toBe(70 + round);
      expect(batch.registrations.length).toBe(round === 0 ? 38 : 0);
      for (const r of batch.registrations) {
        const sid = r.id[0]!;
        expect(r).toMatchObject({ ref: dictionary.refs[sid], shard: sid % 7, key: registrationOf(sid).key });
        expect(r.home).toBe((BigInt(0xffff_0000 + sid) << 32n) | BigInt(sid));
      }
      expect(batch.samples.map((s) => s.ref)).toEqual(
        Array.from({ length: 40 }, (_, row) => row)
          .filter((row) => row !== 3)
          .map((row) => dictionary.refs[row === 5 ? 1 : row + 1]!),
      );
    }
    expect(dictionary.count).toBe(38);
  });

  test("each owner gets the samples of its shards, and no sample is lost or doubled", () => {
    const kernel = newKernel();
    const owners = [[0, 1, 2], [3], [4, 5, 6], [2, 5]].map((shards) => {
      const dictionary = kernel.openDictionary();
      dictionary.ownShards(shards);
      return { shards, dictionary };
    });
    const view = kernel.decode(body, 1, 1);
    for (let row = 0; row < view.seriesCount; row++) {
      view.setSid(row, row + 1);
      kernel.shards[row + 1] = (row + 1) % 7;
    }
    for (const { shards, dictionary } of owners) {
      for (const sid of kernel.batch.missing.slice(0, kernel.batch.begin(dictionary, 1)))
        kernel.batch.register(sid, registrationOf(sid));
      const batch = decodeBatch(kernel.batch.finish()!.slice());
      const rows = Array.from({ length: 40 }, (_, row) => row).filter((row) => shards.includes((row + 1) % 7));
      expect(batch.registrations.map((r) => r.id[0])).toEqual(rows.map((row) => row + 1));
      expect(batch.samples.map((s) => s.bits)).toEqual(
        rows.map((row) => new BigUint64Array(view.values.slice(row, row + 1).buffer)[0]),
      );
    }
    owners[0]!.dictionary.ownShards([]);
    expect(kernel.batch.begin(owners[0]!.dictionary, 1)).toBe(0);
    expect(kernel.batch.finish()).toBeUndefined();
  });

  test("registrations beyond the room are refused; fewer rows fit", () => {
    const kernel = newKernel();
    const dictionary = kernel.openDictionary();
    const view = kernel.decode(body, 1, 1);
    for (let row = 0; row < view.seriesCount; row++) view.setSid(row, row + 1);
    const big = (sid: number) => ({ ...registrationOf(sid), key: new Uint8Array(1000) });
    expect(kernel.batch.begin(dictionary, 1)).toBe(40);
    expect([1, 2, 3, 4].map((sid) => kernel.batch.register(sid, big(sid)))).toEqual([true, true, true, false]);
    expect(() => kernel.batch.finish()).toThrow("37 series without a reference");
    dictionary.reset();
    const counts: number[] = [];
    for (let from = 0; from < 40; from += 3) {
      const missing = kernel.batch.begin(dictionary, 1, from, from + 3);
      for (let i = 0; i < missing; i++) expect(kernel.batch.register(kernel.batch.missing[i]!, big(1))).toBe(true);
      counts.push(decodeBatch(kernel.batch.finish()!.slice()).samples.length);
    }
    expect(counts).toEqual([...new Array(13).fill(3), 1]);
  });

  test("dictionaries are handed out empty, and come back", () => {
    const kernel = new IngestKernel({
      hashKey: new Uint8Array(HASH_KEY_BYTES),
      formBytesMax: 4096,
      dictionariesMax: 2,
    });
    const first = kernel.openDictionary();
    first.add(17);
    first.ownShards([3]);
    kernel.openDictionary();
    expect(() => kernel.openDictionary()).toThrow("2 in use");
    kernel.closeDictionary(first);
    const again = kernel.openDictionary();
    expect([again.refs[17], again.count, again.ownedAddress]).toEqual([0, 0, 0]);
  });
});

test("the twin's reader refuses counts and lengths that do not add up", () => {
  const good = encodeBatch({
    seq: 1,
    registrations: [{ ref: 1, shard: 2, home: 3n, id: new Uint8Array(16), key: Uint8Array.of(1, 2) }],
    samples: [1, 2, 5].map((ref) => ({ ref, time: 7, bits: 9n })),
  });
  expect(encodeBatch(decodeBatch(good))).toEqual(good);
  for (let at = 0; at < good.length; at++) {
    expect(() => decodeBatch(good.slice(0, at))).toThrow("cannot read batch");
  }
  for (const at of [0, 4, 12, 16, 20, 24, 28, 32 + 32]) {
    const bad = good.slice();
    bad[at] = bad[at]! + 1;
    expect(() => decodeBatch(bad)).toThrow("cannot read batch");
  }
  expect(compressSync(Buffer.from(good)).length).toBeGreaterThan(0);
});
