// test/unit/insert/fuzz.test.ts: mutated requests of both versions. None crashes the insert or gives a 5xx, all books stay closed,
// and what the reply says is what storage has. Good series beside a bad one are kept. Seeds are fixed.
import { compressSync } from "snappy";
import { describe, expect, test } from "vitest";
import { nodeClock, SeededRandom } from "../../../libs/env/index.ts";
import type { BatchAck, IngestSession, IngestTarget } from "../../../libs/model/index.ts";
import { IngestHandler } from "../../../services/insert/index.ts";
import { makeStorages, startInsert, writtenCounts } from "./insert-harness.ts";
import {
  field,
  labels,
  messageV1,
  messageV2,
  type Pairs,
  type SeriesSpec,
  sample,
  V1_TYPE,
  V2_TYPE,
  varint,
} from "./remote-write.ts";
import { StorageTwin } from "./storage-twin.ts";

const T = 1_700_000_000_000;
const CASES = 100_000;

/** Stores nothing, but counts samples, and knows every id. */
class CountingTarget implements IngestTarget {
  readonly address = "counting:1";
  samples = 0;
  readonly identity = new StorageTwin("counting:1").identity;

  async connect(): Promise<IngestSession> {
    return {
      identity: this.identity,
      append: (batch): Promise<BatchAck> => {
        const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
        if (view.getUint32(4, true) !== batch.length) throw new Error("a batch's length is its own");
        this.samples += view.getUint32(12, true);
        return Promise.resolve({
          seq: view.getUint32(8, true),
          status: "stored",
          unknownRefs: new Uint32Array(0),
          rejections: [],
        });
      },
      appendMetadata: () => Promise.resolve(),
      appendSide: () => Promise.resolve({ rejections: [] }),
      closed: new Promise(() => {}),
      close: () => Promise.resolve(),
    };
  }
}

/** Requests that exercise every part of both messages. */
function corpus(version: 1 | 2): Buffer[] {
  const plain: SeriesSpec[] = Array.from({ length: 6 }, (_, i) => ({
    labels: labels("http_requests_total", { i: String(i), job: "j", instance: "a:1" }),
    samples: [[i, T]],
  }));
  const rich: SeriesSpec[] = [
    {
      labels: labels("a"),
      samples: [
        [1, T],
        [2, T + 1],
        [3, -5],
      ],
      exemplars: 1,
      metadata: [1, "help", "s"],
    },
    {
      labels: [
        ["z", "1"],
        ["__name__", "b"],
        ["e", ""],
      ],
      samples: [[Number.NaN, 0]],
      histograms: 1,
    },
    {
      labels: [
        ["__name__", "ü😀"],
        ["__proto__", "x".repeat(200)],
      ],
      samples: [[1, T]],
    },
    {
      labels: [
        ["a", "1"],
        ["a", "2"],
      ],
      samples: [[1, T]],
    },
    { labels: labels("empty") },
  ];
  const metadata = [{ type: 1, family: "a", help: "help", unit: "s" }];
  return version === 1
    ? [messageV1(plain), messageV1(rich, metadata), messageV1([], metadata), messageV1([...rich, ...plain])]
    : [messageV2(plain), messageV2(rich), messageV2([...plain, ...rich])];
}

const HOSTILE_BYTES = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x0b, 0x0c, 0x09, 0x10, 0x0d, 0x2a, 0x22];
const HOSTILE_PARTS = [
  varint(2 ** 32 - 1),
  varint(2n ** 63n),
  varint(2n ** 64n - 1n),
  Buffer.alloc(11, 0xff),
  field(1, Buffer.alloc(0)),
  field(5, Buffer.alloc(0)),
  field(2, sample(1, 2n ** 63n - 1n)),
  Buffer.alloc(40, 0x0b),
];

/** One to four changes: bytes, lengths, cuts, repeats, splices. */
function mutate(message: Buffer, others: readonly Buffer[], random: SeededRandom): Buffer {
  let out: Buffer = Buffer.from(message);
  for (let n = 1 + random.below(4); n > 0; n--) {
    const at = random.below(out.length + 1);
    const span = random.below(20);
    const cut = (insert: Buffer, drop = 0): Buffer =>
      Buffer.concat([out.subarray(0, at), insert, out.subarray(at + drop)]);
    switch (random.below(8)) {
      case 0:
        if (at < out.length) out[at] = random.below(256);
        break;
      case 1:
        if (at < out.length) out[at] = random.pick(HOSTILE_BYTES);
        break;
      case 2:
        if (at < out.length) out[at]! ^= 1 << random.below(8);
        break;
      case 3:
        out = cut(Buffer.alloc(0), span);
        break;
      case 4:
        out = cut(Buffer.from(random.bytes(span)));
        break;
      case 5:
        out = cut(random.pick(HOSTILE_PARTS));
        break;
      case 6:
        out = cut(out.subarray(at, at + span * 4));
        break;
      default: {
        const other = random.pick(others);
        const from = random.below(other.length);
        out = cut(other.subarray(from, from + span * 4), span);
      }
    }
  }
  return out;
}

describe("mutated requests", () => {
  test.each([1, 2] as const)("version %i: clear answers, exact counts", async (version) => {
    const target = new CountingTarget();
    const random = new SeededRandom(20_240_800 + version);
    const limits = { writeBodyMaxBytes: 1 << 20, writeDecodedMaxBytes: 1 << 20, seriesCacheMax: 20_000 };
    const insert = new IngestHandler({ targets: [target], random, clock: nodeClock, limits });
    await new Promise((resolve) => setImmediate(resolve));
    const messages = corpus(version);
    const contentType = version === 1 ? V1_TYPE : V2_TYPE;
    const statuses = new Map<number, number>();
    for (let i = 0; i < CASES / 2; i++) {
      const plain = mutate(random.pick(messages), messages, random);
      let body = compressSync(plain);
      // One in eight is damaged after compression.
      if (random.below(8) === 0) body = mutate(body, [body], random);
      const before = target.samples;
      const reply = await insert.write({ tenant: "default", contentType, contentEncoding: "snappy", body });
      statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
      if (reply.status !== 204 && reply.status !== 400 && reply.status !== 413) {
        expect.fail(`case ${i}: ${reply.status} ${reply.text}`);
      }
      if (version === 2 && writtenCounts(reply)[0] !== target.samples - before) {
        expect.fail(`case ${i}: ${target.samples - before} samples stored, reply says ${writtenCounts(reply)[0]}`);
      }
      if (reply.status === 400 && (reply.text === "" || reply.text.length > 20_000))
        expect.fail(`case ${i}: ${reply.text}`);
    }
    expect(insert.owners[0]!.queueBytes).toBe(0);
    // The mutations must neither all pass nor all fail.
    expect(statuses.get(204)).toBeGreaterThan(CASES / 200);
    expect(statuses.get(400)).toBeGreaterThan(CASES / 200);
    const good: SeriesSpec[] = [{ labels: labels("still_alive"), samples: [[1, T]] }];
    const last = compressSync(version === 1 ? messageV1(good) : messageV2(good));
    expect((await insert.write({ tenant: "default", contentType, contentEncoding: "snappy", body: last })).status).toBe(
      204,
    );
    await insert.close(0);
  });

  test("good neighbours of a bad series are kept, whatever is wrong with its labels", async () => {
    const random = new SeededRandom(20_240_803);
    const h = await startInsert(makeStorages(1));
    const text = (): Buffer => {
      const kind = random.below(5);
      if (kind === 0) return Buffer.from(random.bytes(random.below(12)));
      if (kind === 1) return Buffer.alloc(0);
      return Buffer.from(random.pick(["__name__", "a", "b", "__proto__", "ü", "x"]));
    };
    let refused = 0;
    for (let i = 0; i < 2_000; i++) {
      const pairs: Pairs = Array.from({ length: random.below(5) }, () => [text(), text()] as const);
      const good = (name: string): SeriesSpec => ({
        labels: labels(name, { g: String(i % 50) }),
        samples: [[i, T + i]],
      });
      const series = [good("before"), { labels: pairs, samples: [[1, T] as const] }, good("after")];
      const reply = await (i % 2 === 0 ? h.v1(series) : h.v2(series));
      expect([204, 400]).toContain(reply.status);
      if (reply.status === 400) refused++;
    }
    expect(refused).toBeGreaterThan(500);
    const ledger = Object.entries(h.storages[0]!.ledger());
    const kept = ledger.filter(([key]) => /__name__="(before|after)",g=/.test(key)).flatMap(([, samples]) => samples);
    expect(kept).toHaveLength(4_000);
    expect(new Set(kept.map(([time]) => time)).size).toBe(2_000);
  });
});
