// test/unit/select/remote-read.test.ts: remote read over a real server and an in-memory storage: both forms, hints, limits, hostile bodies.
import { request } from "node:http";
import fc from "fast-check";
import { compressSync, uncompressSync } from "snappy";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  exponentialLayout,
  type FloatHistogram,
  labelsFromRecord,
  packHistograms,
  type QueryContext,
  type RawColumn,
  type RawRequest,
} from "../../../libs/model/index.ts";
import { ReadFrames } from "../../../services/select/read-frames.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { type AskedQuery, decodeFrames, decodeSamples, type ReadSeries, readBody } from "./read-decoder.ts";
import { openSelect, type SelectServer } from "./select-server.ts";

const T = 1_700_000_000_000;
const STALE = "7ff0000000000002";
const HISTOGRAM: FloatHistogram = {
  layout: exponentialLayout(3, 0.5, [1, 2, 9], [-4]),
  hint: 1,
  count: 10,
  sum: 2.5,
  zeroCount: 1,
  buckets: Float64Array.of(1, 2, 3, 4),
};

/** Knows one tenant; "gone" fails after some batches, "stuck" never goes on, "big" has too much, "native" has histograms. */
class TestStorage extends MemoryQueryable {
  stopped = 0;

  override async *rawSamples(raw: RawRequest, context?: QueryContext): AsyncGenerator<RawColumn[], void, void> {
    try {
      if (context?.tenant === "native") {
        const column = { labels: ["__name__", "h"], times: Float64Array.of(T, T + 1), values: Float64Array.of(0, 2) };
        yield [{ ...column, present: null, histograms: packHistograms([HISTOGRAM, undefined])! }];
        return;
      }
      if (context?.tenant === "big") {
        const times = Float64Array.from({ length: 200_001 }, (_, i) => T + i);
        yield [{ labels: ["n", "big"], times, values: times, present: null }];
        return;
      }
      if (context?.tenant === "gone" || context?.tenant === "stuck") {
        const times = Float64Array.from({ length: 8000 }, (_, i) => T + i * 997 + (i % 7));
        for (let n = 0; n < 20; n++) {
          yield [{ labels: ["n", `${n + 10}`], times, values: times.map((t) => Math.sin(t)), present: null }];
        }
        if (context.tenant === "gone") throw new TypeError("x is not a function");
        await new Promise((_, reject) => context.signal.addEventListener("abort", () => reject(context.signal.reason)));
      }
      yield* super.rawSamples(raw);
    } finally {
      this.stopped++;
    }
  }
}

const storage = new TestStorage();
let select: SelectServer;

beforeAll(async () => {
  for (const job of ["b", "a", "é"]) {
    const samples = Array.from({ length: 300 }, (_, i) => ({
      timeMs: T + i * 15_000,
      value: job === "b" ? i : i / 7,
      stale: i === 299,
      histogram: false,
    }));
    storage.append(labelsFromRecord({ __name__: "m", job }), samples);
  }
  const limits = { timeoutMs: 2000, concurrency: 2, queueMax: 0, readSamplesMax: 200_000, readBytesMax: 30_000 };
  select = await openSelect({ queryable: () => storage, ...limits });
});
afterAll(() => select.close());

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
  /** Whether the answer came to its end. */
  readonly complete: boolean;
}

function post(body: Uint8Array, tenant = "default", path = "/api/v1/read"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { "X-Scope-OrgID": tenant, "Content-Encoding": "snappy", "Accept-Encoding": "snappy, gzip" };
    const outgoing = request({ ...select.server.address, method: "POST", path, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", () => undefined);
      response.on("close", () => {
        const whole = Buffer.concat(chunks);
        resolve({
          ...{ status: response.statusCode!, headers: response.headers, body: whole, complete: response.complete },
        });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

const query = (overrides: Partial<AskedQuery> = {}): AskedQuery => ({
  startTimestampMs: T,
  endTimestampMs: T + 30_000,
  matchers: [{ type: 0, name: "__name__", value: "m" }],
  ...overrides,
});

async function read(queries: readonly AskedQuery[], types: number[]): Promise<ReadSeries[]> {
  const { status, body, headers, complete } = await post(readBody(queries, types));
  expect([status, complete], body.toString()).toEqual([200, true]);
  if (types.find((type) => type < 2) !== 1) {
    expect([headers["content-type"], headers["content-encoding"]]).toEqual(["application/x-protobuf", "snappy"]);
    return decodeSamples(body);
  }
  expect(headers["content-type"]).toBe("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
  expect(headers["content-encoding"]).toBeUndefined();
  return decodeFrames(body);
}

const hexOf = (value: number): string => new BigUint64Array(Float64Array.of(value).buffer)[0]!.toString(16);

describe.each([
  ["samples", [] as number[]],
  ["samples, asked for", [0, 1]],
  ["chunks", [1, 0]],
  ["chunks, after what nobody knows", [7, 1]],
])("%s", (_, types) => {
  test("of series in order, both ends of the range inclusive", async () => {
    const got = await read([query()], types);
    expect(got.map(({ labels }) => labels)).toEqual(["a", "b", "é"].map((job) => `__name__=m,job=${job}`));
    expect(got[1]!.samples).toEqual([0, 1, 2].map((i) => `${T + i * 15_000}:${hexOf(i)}`));
    expect(got[0]!.samples).toEqual([0, 1, 2].map((i) => `${T + i * 15_000}:${hexOf(i / 7)}`));
  });

  test("stale markers come with their bits", async () => {
    const body = readBody([query({ startTimestampMs: T + 299 * 15_000, endTimestampMs: T + 1e9 })], types);
    const answer = await post(body);
    if (answer.headers["content-encoding"] === undefined) {
      expect(decodeFrames(answer.body)[0]!.samples).toEqual([`${T + 299 * 15_000}:${STALE}`]);
    } else {
      // Decoders that give numbers may change the bits of a NaN.
      const message = uncompressSync(answer.body, { asBuffer: true }) as Buffer;
      expect(message.includes(Buffer.from("0902000000000000f07f", "hex"))).toBe(false);
      expect(message.includes(Buffer.from("09020000000000f07f", "hex"))).toBe(true);
    }
  });

  test("every matcher", async () => {
    const jobs = async (type: number, value: string): Promise<string[]> =>
      (await read([query({ matchers: [{ type, name: "job", value }] })], types)).map((s) => s.labels.slice(-1));
    expect(await jobs(0, "a")).toEqual(["a"]);
    expect(await jobs(1, "a")).toEqual(["b", "é"]);
    expect(await jobs(2, "a|é")).toEqual(["a", "é"]);
    expect(await jobs(3, "a|é")).toEqual(["b"]);
    expect(await jobs(0, "none")).toEqual([]);
  });

  test("a result for each query", async () => {
    const got = await read(
      [query({ endTimestampMs: T }), query({ matchers: [], endTimestampMs: T + 1 }), query({ endTimestampMs: T - 1 })],
      types,
    );
    expect(got.map((s) => s.query)).toEqual([0, 0, 0, 1, 1, 1]);
  });

  test("hints narrow the range; the hint `series` asks for labels alone", async () => {
    const hints = { startMs: T + 15_000, endMs: T + 15_000, stepMs: 1000, func: "rate" };
    expect((await read([query({ hints })], types)).map((s) => s.samples.length)).toEqual([1, 1, 1]);
    expect((await read([query({ hints: { func: "rate" } })], types)).map((s) => s.samples.length)).toEqual([3, 3, 3]);
    expect((await read([query({ hints: { func: "series" } })], types)).map((s) => s.samples.length)).toEqual([0, 0, 0]);
  });

  test("samples beyond the limit are refused with its name", async () => {
    const { status, body } = await post(readBody([query()], types), "big");
    expect([status, body.toString()]).toEqual([422, expect.stringContaining("--read-samples-max")]);
  });
});

describe("a streamed answer", () => {
  test("that fails after it began breaks off, and no frame is half", async () => {
    const { status, complete, body } = await post(readBody([query()], [1]), "gone");
    expect([status, complete]).toEqual([200, false]);
    expect(body.length).toBeGreaterThan(10_000);
    expect(() => decodeFrames(body)).not.toThrow("checksum");
  });

  test("that takes too long breaks off and lets the storage go", async () => {
    const before = storage.stopped;
    const { status, complete } = await post(readBody([query()], [1]), "stuck");
    expect([status, complete]).toEqual([200, false]);
    expect(storage.stopped).toBe(before + 1);
  });

  test("is among the queries that run, with its selectors and samples", async () => {
    const asked = post(readBody([query(), query()], [1]), "stuck");
    interface Shown {
      readonly data: { readonly running: readonly Record<string, unknown>[] };
    }
    const running = async (): Promise<readonly Record<string, unknown>[]> =>
      ((await select.json("/api/v1/status/queries")) as unknown as Shown).data.running;
    let shown = await running();
    for (let i = 0; i < 100 && shown[0]?.samples !== 160_000; i++) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      shown = await running();
    }
    const text = 'chunks: {__name__="m"} {__name__="m"}';
    expect(shown).toMatchObject([{ kind: "read", tenant: "stuck", query: text, samples: 160_000 }]);
    await select.ask(`/api/v1/status/queries/${shown[0]!.id}`, { method: "DELETE" });
    expect((await asked).complete).toBe(false);
  });

  test("ends the work when its client goes", async () => {
    const before = storage.stopped;
    await new Promise<void>((resolve) => {
      const headers = { "X-Scope-OrgID": "stuck" };
      const outgoing = request(
        { ...select.server.address, method: "POST", path: "/api/v1/read", headers },
        (response) => {
          response.once("data", () => outgoing.destroy());
          response.on("error", () => undefined);
          response.on("close", () => resolve());
        },
      );
      outgoing.on("error", () => undefined);
      outgoing.end(readBody([query()], [1]));
    });
    for (let i = 0; i < 100 && storage.stopped === before; i++) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(storage.stopped).toBe(before + 1);
  });

  test("cuts long series into frames below the limit", () => {
    const times = Float64Array.from({ length: 20_000 }, (_, i) => T + i * 1000 + (i % 3));
    const values = times.map((t) => Math.sin(t));
    const frames = new ReadFrames(3, 10_000);
    const labels = ["__name__", "m"];
    const parts: Uint8Array[] = [];
    for (let from = 0; from < times.length; from += 8160) {
      const [t, v] = [times.subarray(from, from + 8160), values.subarray(from, from + 8160)];
      parts.push(...frames.add({ labels, times: t, values: v, present: null }));
    }
    parts.push(...frames.finish());
    expect(parts.length).toBeGreaterThan(10);
    const [series, ...none] = decodeFrames(Buffer.concat(parts), 10_000);
    expect(none).toEqual([]);
    expect(series).toEqual({
      query: 3,
      labels: "__name__=m",
      samples: Array.from(times, (t, i) => `${t}:${hexOf(values[i]!)}`),
    });
  });

  test("has native histograms in chunks of their own, floats beside them; as samples they come too", async () => {
    const streamed = await post(readBody([query()], [1]), "native");
    const { count, zeroCount, sum, buckets } = HISTOGRAM;
    const numbers = Array.from(new BigUint64Array(Float64Array.of(count, zeroCount, sum, ...buckets).buffer)).join(" ");
    expect(decodeFrames(streamed.body)).toEqual([
      { query: 0, labels: "__name__=h", samples: [`${T} h1 ${numbers}`, `${T + 1}:${hexOf(2)}`] },
    ]);
    const sampled = await post(readBody([query()], [0]), "native");
    expect(sampled.status).toBe(200);
    expect(decodeSamples(sampled.body)).toEqual([
      { query: 0, labels: "__name__=h", samples: [`${T + 1}:${hexOf(2)}`] },
    ]);
  });
});

describe("requests", () => {
  test("below a tenant's path", async () => {
    const { status } = await post(readBody([query()], [1]), "x", "/select/t1/prometheus/api/v1/read");
    expect(status).toBe(200);
  });

  test("whose answer would be too long as samples are told of the other form", async () => {
    const all = query({ endTimestampMs: T + 1e9 });
    expect((await post(readBody([all], [0]))).status).toBe(200);
    const { status, body } = await post(readBody([all, all], [0]));
    expect([status, body.toString()]).toEqual([422, expect.stringContaining("--read-bytes-max")]);
    expect((await post(readBody([all, all], [1]))).status).toBe(200);
  });

  test.each<readonly [string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(0), /no snappy block/],
    ["no snappy", Buffer.from("hello, this is no snappy block"), /snappy block|bytes; want/],
    ["a bomb", Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0]), /got 4294967295 bytes; want at most 1048576/],
    ["no end of the length", new Uint8Array(9).fill(255), /no snappy block/],
    ["no message", compressSync(Buffer.from([0x0a, 0x7f, 1])), /damaged message/],
    [
      "a type of matcher that is none",
      readBody([query({ matchers: [{ type: 9, name: "a", value: "b" }] })]),
      /got type 9/,
    ],
    ["a wrong regex", readBody([query({ matchers: [{ type: 2, name: "a", value: "(" }] })]), /\(/],
    [
      "too much of regexes together",
      readBody(
        Array.from({ length: 20 }, (_, i) => {
          return query({ matchers: [{ type: 2, name: "a", value: `${i}.*${"x".repeat(4000)}` }] });
        }),
      ),
      /65536 characters of regular expressions/,
    ],
    ["no form that we have", readBody([query()], [5]), /got accepted response types 5; want SAMPLES/],
    ["too many queries", readBody(new Array(1001).fill(query())), /got 1001 queries/],
  ])("%s: 400", async (_, body, message) => {
    const answer = await post(body);
    expect([answer.status, answer.body.toString()]).toEqual([400, expect.stringMatching(message)]);
  });

  test("of any bytes are answered", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), fc.boolean(), async (bytes, packed) => {
        const { status } = await post(packed ? compressSync(Buffer.from(bytes)) : bytes);
        expect([200, 400, 422]).toContain(status);
      }),
      { seed: 2, numRuns: 200 },
    );
  });
});
