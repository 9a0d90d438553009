// test/unit/rpc/contracts.test.ts: our hand-written encodings are protobuf's, errors and leaves cross whole, and peers
// of unlike versions or clusters are told apart.
import { Metadata, type ServiceError, type StatusObject, status } from "@grpc/grpc-js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AppError,
  CanceledError,
  CorruptionError,
  ExecutionError,
  InternalError,
  InvalidError,
  type Leaf,
  LimitError,
  type StorageIdentity,
  TimeoutError,
  UnavailableError,
} from "../../../libs/model/index.ts";
import { joinBytesMessage, splitBytesMessage } from "../../../libs/rpc/bytes-message.ts";
import { FailureLog } from "../../../libs/rpc/failure-log.ts";
import {
  AppendRequestBuilder,
  decodeAppendRequest,
  encodeMetadataRequest,
  splitBatches,
} from "../../../libs/rpc/ingest-codec.ts";
import { leafFromMessage, leafToMessage, notesFromMessage } from "../../../libs/rpc/leaf-codec.ts";
import { contracts } from "../../../libs/rpc/load.ts";
import type { LeafMessage } from "../../../libs/rpc/messages.ts";
import { ClusterPin, checkIdentity, negotiate, peerStatus } from "../../../libs/rpc/peer.ts";
import { errorOfFailure, errorOfStatus, failureOf, statusOfError } from "../../../libs/rpc/status.ts";
import { writeBatch } from "../../contract/ingest-batch.ts";

describe("messages of one bytes field", () => {
  test.each([0, 1, 127, 128, 300, 16_383, 16_384, 2_097_152])(
    "%i bytes as any protobuf encoder writes them",
    (length) => {
      const payload = Buffer.alloc(length, 7);
      const { serialize, deserialize } = contracts().appendRequest;
      const generic = serialize({ batches: payload, metadata: { seq: 5, entries: [] }, side: null });
      const rest = serialize({ metadata: { seq: 5, entries: [] } } as never);
      // An empty field need not be written; the generic encoder does when it is given.
      const expected = length === 0 ? generic.subarray(2) : generic;
      expect(Buffer.compare(joinBytesMessage(payload, rest), expected)).toBe(0);
      expect(deserialize(generic).batches.length).toBe(length);
      const split = splitBytesMessage(generic);
      expect(split === undefined ? 0 : split.payload.length).toBe(length);
    },
  );

  test("frames are plain protobuf to everyone else", () => {
    const { Series } = contracts().query;
    const { serialize, deserialize } = contracts().evaluateReply;
    const notes = [{ kind: "not_gauge", metric: "m", aggregated: true, count: 2 }];
    const summary = { seriesCount: 3, samplesRead: 4, warnings: ["w"], notes };
    const rest = { summary, call: 4e9, failure: null };
    const bytes = serialize({ frame: Buffer.from("frame"), ...rest });
    expect(bytes.toString("latin1").slice(0, 7)).toBe("\n\x05frame");
    expect(bytes.indexOf("\n\x00")).toBe(-1);
    expect(deserialize(bytes)).toEqual({ frame: Buffer.from("frame"), ...rest });
    const reversed = Buffer.concat([bytes.subarray(7), bytes.subarray(0, 7)]);
    expect(deserialize(reversed)).toEqual({ frame: Buffer.from("frame"), ...rest });
    expect(deserialize(bytes.subarray(7)).frame.length).toBe(0);
    expect(Series.responseDeserialize(Series.responseSerialize({ frame: Buffer.from("x") })).frame).toEqual(
      Buffer.from("x"),
    );
  });

  test("a builder of batches writes what the decoder reads", () => {
    const builder = new AppendRequestBuilder(100);
    const batches = [1, 2, 3].map((seq) =>
      writeBatch({ seq, refs: [1], timesMs: [seq], values: Float64Array.of(seq) }),
    );
    for (const batch of batches) builder.add(batch);
    expect(builder.byteLength).toBe(batches.reduce((n, b) => n + b.length, 0));
    const request = builder.take();
    expect(splitBatches(decodeAppendRequest(request).batches)).toEqual(batches);
    expect(splitBatches(contracts().appendRequest.deserialize(request).batches)).toEqual(batches);
    expect(builder.byteLength).toBe(0);
    builder.add(batches[0]!);
    expect(splitBatches(decodeAppendRequest(builder.take()).batches)).toEqual([batches[0]]);
  });

  test("fields that this version doesn't know are ignored, wherever they stand", () => {
    const batch = writeBatch({ seq: 1 });
    const builder = new AppendRequestBuilder(0);
    builder.add(batch);
    const known = builder.take();
    const field = (n: number): Buffer => Buffer.from([(((n << 3) | 2) & 127) | 128, (n << 3) >> 7, 3, 1, 2, 3]);
    for (const message of [Buffer.concat([known, field(99)]), Buffer.concat([field(99), known])]) {
      expect(splitBatches(decodeAppendRequest(message).batches)).toEqual([batch]);
    }
    const metadata = encodeMetadataRequest(9, []);
    expect(decodeAppendRequest(Buffer.concat([metadata, field(77)])).metadata).toEqual({ seq: 9, entries: [] });
  });

  test("damaged requests and batches are refused, never misread", () => {
    const one = writeBatch({ seq: 1, refs: [1], timesMs: [5], values: Float64Array.of(1) });
    const bytes = Buffer.concat([one, one]);
    for (let length = 1; length < bytes.length; length++) {
      if (length === one.length) continue;
      expect(() => splitBatches(bytes.subarray(0, length))).toThrow(InvalidError);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (random) => {
        try {
          splitBatches(decodeAppendRequest(Buffer.from(random)).batches);
        } catch (error) {
          if (!(error instanceof InvalidError)) throw error;
        }
      }),
      { seed: 3, numRuns: 50_000 },
    );
  });
});

const overWire = (error: unknown): AppError => {
  const sent = statusOfError(error);
  const headers = sent.metadata!.toHttp2Headers();
  const received = { ...sent, metadata: Metadata.fromHttp2Headers(headers as never) };
  return errorOfStatus(received as StatusObject as ServiceError, "host:1");
};

describe("errors", () => {
  test.each<readonly [AppError, status]>([
    [new InvalidError('cannot parse: got é; want "%20"\n'), status.INVALID_ARGUMENT],
    [new ExecutionError("many-to-many matching not allowed"), status.FAILED_PRECONDITION],
    [new LimitError("--x-max", "too much"), status.RESOURCE_EXHAUSTED],
    [new LimitError("--y-max", "too many", true), status.RESOURCE_EXHAUSTED],
    [new UnavailableError("later", 17.5), status.UNAVAILABLE],
    [new TimeoutError("late"), status.DEADLINE_EXCEEDED],
    [new CanceledError("gone"), status.CANCELLED],
    [new CorruptionError("damaged", "wal/000001", 2 ** 40), status.DATA_LOSS],
    [new InternalError("a bug"), status.INTERNAL],
  ])("%s crosses whole", (error, code) => {
    expect(statusOfError(error).code).toBe(code);
    for (const back of [overWire(error), errorOfFailure(failureOf(error))]) {
      expect(back.constructor).toBe(error.constructor);
      expect({ ...back, message: back.message }).toEqual({ ...error, message: error.message });
    }
  });

  test.each<readonly [string, unknown, string]>([
    ["a bug", new TypeError("x is undefined"), "internal"],
    ["not even an error", "oops", "internal"],
    ["an abort", new DOMException("This operation was aborted", "AbortError"), "canceled"],
    ["a lone surrogate", new InvalidError("a\uD800b"), "invalid"],
    ["an endless text", new InvalidError("é".repeat(1e6)), "invalid"],
    ["an empty text", new UnavailableError(""), "unavailable"],
  ])("%s", (_, error, reaction) => {
    const back = overWire(error);
    expect(back.reaction).toBe(reaction);
    expect(back.message.length).toBeLessThanOrEqual(8192);
    expect(() => encodeURI(statusOfError(error).details)).not.toThrow();
  });

  test.each<readonly [status, string]>([
    [status.UNAVAILABLE, "unavailable"],
    [status.INTERNAL, "unavailable"],
    [status.UNKNOWN, "unavailable"],
    [status.UNIMPLEMENTED, "unavailable"],
    [status.RESOURCE_EXHAUSTED, "unavailable"],
    [status.DEADLINE_EXCEEDED, "timeout"],
    [status.CANCELLED, "canceled"],
  ])("status %i without a word of ours is %s", (code, reaction) => {
    const error = errorOfStatus({ code, details: "x", metadata: new Metadata() } as ServiceError, "host:1");
    expect(error.reaction).toBe(reaction);
    expect(error.message).toContain("host:1");
  });

  test("a damaged failure is unavailable", () => {
    const metadata = new Metadata();
    metadata.set("tidemark-failure-bin", Buffer.from([0xff, 0xff]));
    expect(errorOfStatus({ code: 3, details: "", metadata } as ServiceError, "h").reaction).toBe("unavailable");
  });
});

test("notes cross, but for those of a newer version", () => {
  const known = { kind: "not_gauge", metric: "m", aggregated: true, count: 2 } as const;
  expect(notesFromMessage([known, { ...known, kind: "constructor" }, { ...known, kind: "newest" }])).toEqual([known]);
});

describe("leaves", () => {
  const leaf: Leaf = {
    matchers: [{ type: "!~", name: "a b", value: "x|𝒳" }],
    grid: { startMs: 1.7e12, stepMs: 15_000, count: 3 },
    rollup: "quantile_over_time",
    rangeMs: 2 ** 53,
    offsetMs: -5,
    args: [0.5, Float64Array.of(1, Number.NaN, -0), Number.NaN],
    dropName: true,
    useStarts: true,
    countsOnly: true,
    level: "1h",
    aggregation: { op: "avg", without: true, labels: ["le", ""] },
  };
  const LIMITS = { samplesMax: Number.POSITIVE_INFINITY, seriesMax: 7, bytesMax: 2 ** 40 };
  /** Through the encoded request. */
  const cross = (message: LeafMessage): LeafMessage => {
    const { serialize, deserialize } = contracts().evaluateRequest;
    return deserialize(serialize({ tenant: "t", ...LIMITS, leaf: message, call: 1, timeoutMs: 0, cancel: false }))
      .leaf!;
  };

  test("cross whole", () => {
    expect(leafFromMessage(cross(leafToMessage(leaf)))).toEqual(leaf);
    // Steps that stand still evaluate one time with several arguments.
    const still = { ...leaf, grid: { ...leaf.grid, stepMs: 0 } };
    expect(leafFromMessage(cross(leafToMessage(still)))).toEqual(still);
    const unaggregated: Leaf = { ...leaf, rollup: "rate", args: [] };
    const { aggregation: _, useStarts: _starts, countsOnly: _counts, level: _level, ...plain } = unaggregated;
    expect(leafFromMessage(cross(leafToMessage(plain)))).toEqual(plain);
  });

  test.each<readonly [string, Partial<LeafMessage>, string]>([
    ["a function of a newer version", { rollup: "newest_over_time" }, "unavailable"],
    ["a level of a newer version", { level: "1d" }, "unavailable"],
    ["a function named like a property", { rollup: "constructor" }, "unavailable"],
    [
      "an aggregation of a newer version",
      { aggregation: { op: "__proto__", without: false, labels: [] } },
      "unavailable",
    ],
    ["a matcher of a newer version", { matchers: [{ type: "~", name: "a", value: "" }] }, "unavailable"],
    ["no steps", { stepCount: 0 }, "invalid"],
    ["steps without end", { stepCount: 2 ** 32 - 1 }, "invalid"],
    ["a function without its arguments", { rollup: "quantile_over_time", arguments: [] }, "invalid"],
    ["an extended function without its range", { rollup: "rate_smoothed", arguments: [{ scalar: 1 }] }, "invalid"],
    ["steps backwards", { stepMs: -1 }, "invalid"],
    ["time that is no number", { startMs: Number.NaN }, "invalid"],
    ["an endless range", { rangeMs: Number.POSITIVE_INFINITY }, "invalid"],
    ["a column of another length", { arguments: [{ column: Buffer.alloc(8) }] }, "invalid"],
    ["an argument of no form", { arguments: [{}] }, "invalid"],
  ])("%s is refused", (_, change, reaction) => {
    const refuse = (): unknown => leafFromMessage(cross({ ...leafToMessage(leaf), ...change }));
    expect(refuse).toThrow(expect.objectContaining({ reaction }));
  });

  test("a request without a leaf is refused", () => {
    expect(() => leafFromMessage(null)).toThrow(InvalidError);
  });
});

describe("peers", () => {
  const identity: StorageIdentity = { clusterId: "c", nodeId: "n", hashSeed: new Uint8Array(16), shardCount: 64 };

  test.each<readonly [string, number[], number[], number | undefined]>([
    ["the same", [1, 1], [1, 1], 1],
    ["N and N + 1", [1, 2], [2, 3], 2],
    ["N + 1 and N", [2, 3], [1, 2], 2],
    ["one within the other", [1, 9], [3, 4], 4],
    ["too old", [3, 4], [1, 2], undefined],
    ["too new", [1, 2], [3, 4], undefined],
    ["nothing said", [1, 2], [0, 0], undefined],
  ])("versions: %s", (_, [a, b], [c, d], version) => {
    const meet = (): number => negotiate({ min: a!, max: b! }, { min: c!, max: d! }, "host:1");
    if (version !== undefined) expect(meet()).toBe(version);
    else expect(meet).toThrow(`cannot talk to host:1: got protocol versions ${c} to ${d}; want one of ${a} to ${b}`);
  });

  test.each<readonly [string, Partial<StorageIdentity>, string | undefined]>([
    ["another node of the cluster", { nodeId: "m" }, undefined],
    ["another cluster", { clusterId: "d" }, "cannot use storage at b:2: got cluster d; want cluster c as at a:1"],
    ["another seed", { hashSeed: new Uint8Array(16).fill(1) }, "got another hash seed; want its hash seed as at a:1"],
    ["other shards", { shardCount: 65 }, "got 65 shards; want 64 shards as at a:1"],
  ])("a pin meets %s", (_, change, message) => {
    const pin = new ClusterPin();
    pin.accept(identity, "a:1");
    const meet = (): void => pin.accept({ ...identity, ...change }, "b:2");
    if (message === undefined) expect(meet).not.toThrow();
    else expect(meet).toThrow(message);
    expect(pin.identity).toBe(identity);
  });

  test("a storage that says nothing of itself is none", () => {
    const reply = { identity: null, versions: null, epoch: 0 };
    expect(() => peerStatus(reply, { min: 1, max: 1 }, "a:1")).toThrow(UnavailableError);
  });

  test("an identity that can't travel is our own mistake", () => {
    for (const change of [{ clusterId: "" }, { nodeId: "a\nb" }, { clusterId: "é" }, { hashSeed: new Uint8Array(8) }]) {
      expect(() => checkIdentity({ ...identity, ...change })).toThrow(InternalError);
    }
    expect(() => checkIdentity(identity)).not.toThrow();
  });
});

test("failures are logged once per kind and ten seconds, with what was left out", () => {
  const lines: unknown[] = [];
  let nowMs = 0;
  const log = new FailureLog(
    { warn: (fields, message) => lines.push([message, fields.left_out, fields.reason]) },
    () => nowMs,
  );
  for (let i = 0; i < 1000; i++) log.write("append", "1.2.3.4", new InvalidError(`reason ${i}`));
  log.write("query", "1.2.3.4", "text");
  nowMs = 10_000;
  log.write("append", "1.2.3.4", new InvalidError("again"));
  expect(lines).toEqual([
    ["refused: append", 0, "reason 0"],
    ["refused: query", 0, "text"],
    ["refused: append", 999, "again"],
  ]);
  log.write("bug", "1.2.3.4", new TypeError("x is undefined"));
  expect(String((lines.at(-1) as unknown[])[2])).toMatch(/x is undefined\n +at .*contracts\.test/);
  for (let i = 0; i < 1000; i++) log.write(`kind ${i}`, "1.2.3.4", "x");
  expect(lines.length).toBeLessThan(110);
});
