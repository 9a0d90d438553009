// test/unit/rpc/query-network.test.ts: queries over loopback: big answers, deadlines, hang-ups, failures, wrong peers.
import { afterEach, describe, expect, test } from "vitest";
import {
  AppError,
  CanceledError,
  CorruptionError,
  ExecutionError,
  exponentialLayout,
  histogramsOf,
  type Leaf,
  type LeafResult,
  LimitError,
  packHistograms,
  type Queryable,
  type QueryContext,
  TimeoutError,
  UnavailableError,
} from "../../../libs/model/index.ts";
import {
  ClusterPin,
  connectQuery,
  type RemoteQueryable,
  type StorageServer,
  serveStorage,
} from "../../../libs/rpc/index.ts";
import { contextOf } from "../../contract/harness.ts";
import { MemoryEngine } from "../../contract/memory-engine.ts";
import { openProxy } from "./tcp-proxy.ts";

const LEAF: Leaf = {
  matchers: [],
  grid: { startMs: 0, stepMs: 1000, count: 10 },
  rollup: "last",
  rangeMs: 1000,
  offsetMs: 0,
  args: [],
  dropName: false,
};

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Evaluate = (leaf: Leaf, context: QueryContext) => Promise<LeafResult>;

/** A storage whose answers are given, and a client of it. */
async function storageOf(
  answers: Partial<Queryable> & { evaluate?: Evaluate },
  options: Partial<Parameters<typeof serveStorage>[0]> = {},
): Promise<{ server: StorageServer; client: RemoteQueryable }> {
  const memory = new MemoryEngine();
  const q = memory.queryable;
  const queryable: Queryable = {
    evaluate: (...args) => q.evaluate(...args),
    rawSamples: (...args) => q.rawSamples(...args),
    labelNames: (...args) => q.labelNames(...args),
    labelValues: (...args) => q.labelValues(...args),
    series: (...args) => q.series(...args),
    metadata: (...args) => q.metadata(...args),
    exemplars: (...args) => q.exemplars(...args),
    statistics: (...args) => q.statistics(...args),
    ...answers,
  };
  const engine = { identity: memory.identity, openSession: () => memory.openSession(), queryable };
  const server = await serveStorage({ engine, listen: "127.0.0.1:0", stopTimeoutMs: 2_000, ...options });
  const client = connectQuery(server.address);
  cleanups.push(() => server.close(), () => client.close()); // biome-ignore format: one line
  return { server, client };
}

const until = async (condition: () => boolean, what: string): Promise<void> => {
  for (let i = 0; i < 500 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition(), what).toBe(true);
};

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

describe("answers", () => {
  test("of any size arrive whole and in order", async () => {
    const columns = Array.from({ length: 3_000 }, (_, i) => ({
      labels: ["__name__", "m", "i", `${i}`],
      values: Float64Array.from({ length: 100 }, (_, step) => i + step / 128),
      present: null,
    }));
    const result = { columns, seriesCount: 7e9, samplesRead: 9e15, warnings: ["one", "two: é"] };
    const { client } = await storageOf({ evaluate: async () => result });
    expect(await client.evaluate(LEAF, contextOf())).toEqual({ ...result, bytes: expect.any(Number) });
  });

  test("with histograms, states and notes", async () => {
    const histogram = {
      layout: exponentialLayout(3, 0.5, [1, 2, 9], [4]),
      hint: 3,
      count: 10,
      sum: -2.5,
      zeroCount: 1,
      buckets: Float64Array.of(1, 2, 3, 4),
    } as const;
    const columns = Array.from({ length: 2_000 }, (_, i) => ({
      labels: ["i", `${i}`],
      values: Float64Array.of(0, i, 0),
      present: null,
      histograms: packHistograms([{ ...histogram, sum: i }, undefined, histogram])!,
      states: Uint8Array.of(4, 0, 8),
    }));
    const notes = [{ kind: "not_counter", metric: "m", aggregated: false, count: 1 }] as const;
    const result = { columns, seriesCount: 1, samplesRead: 1, warnings: [], notes };
    const { client } = await storageOf({ evaluate: async () => result });
    const got = await client.evaluate({ ...LEAF, useStarts: true, countsOnly: true }, contextOf());
    expect(got.notes).toEqual(notes);
    expect(got.columns.length).toBe(2_000);
    for (const [i, column] of got.columns.entries()) {
      expect(histogramsOf(column.histograms!)).toEqual([{ ...histogram, sum: i }, undefined, histogram]);
      expect(column.states).toEqual(Uint8Array.of(4, 0, 8));
    }
  });

  test("of a great many label values too", async () => {
    const values = Array.from({ length: 300_000 }, (_, i) => `value-${i}`);
    const { client } = await storageOf({ labelValues: async () => values });
    const got = await client.labelValues("i", [], { minMs: 0, maxMs: 1 }, 0, contextOf());
    expect(got.length).toBe(values.length);
    expect(got.every((v, i) => v === values[i])).toBe(true);
  });

  test("carry every part of the question", async () => {
    const asked: unknown[] = [];
    const record =
      <T>(answer: T) =>
      (...args: unknown[]): Promise<T> => {
        asked.push(args.slice(0, -1), { ...(args.at(-1) as QueryContext), signal: null, deadlineMs: null });
        return Promise.resolve(answer);
      };
    const { client } = await storageOf({
      evaluate: record({ columns: [], seriesCount: 0, samplesRead: 0, warnings: [] }) as Evaluate,
      labelNames: record(["a"]),
      labelValues: record(["b"]),
      series: record([["a", "b"]]),
      metadata: record([]),
    });
    const sets = [[{ type: "=~", name: "a", value: "b|c" }], []] as const;
    const range = { minMs: Number.NEGATIVE_INFINITY, maxMs: 5.5 };
    const c = contextOf({ tenant: "t-1", samplesMax: 12 });
    await client.evaluate(LEAF, c);
    await client.labelNames(sets, range, 3, c);
    await client.labelValues("n", sets, range, 0, c);
    await client.series([], range, 1, c);
    await client.metadata("f", c);
    const context = { tenant: "t-1", signal: null, deadlineMs: null, samplesMax: 12 };
    const unlimited = { ...context, samplesMax: Number.POSITIVE_INFINITY };
    expect(asked).toEqual([
      [LEAF], context,
      [sets, expect.objectContaining(range), 3], context,
      ["n", sets, expect.objectContaining(range), 0], context,
      [[], expect.objectContaining(range), 1], context,
      ["f"], unlimited,
    ]); // biome-ignore format: a question and its context per line
  });

  test("beyond the asker's memory are a limit", async () => {
    const columns = [
      { labels: ["a", "b"], values: Float64Array.from({ length: 10_000 }, (_, i) => Math.sqrt(i)), present: null },
    ];
    const { server } = await storageOf({
      evaluate: async () => ({ columns, seriesCount: 1, samplesRead: 1, warnings: [] }),
    });
    const client = connectQuery(server.address, { answerBytesMax: 50_000 });
    cleanups.push(() => client.close());
    await expect(client.evaluate(LEAF, contextOf())).rejects.toThrow(LimitError);
  });

  test.each<readonly [AppError]>([
    [new ExecutionError("vector cannot contain metrics with the same labelset")],
    [
      new LimitError(
        "--query-max-samples",
        "query processing would load too many samples into memory in query execution",
      ),
    ],
    [new UnavailableError("later", 5)],
    [new CorruptionError("cannot read block: got a wrong checksum; want 12", "blocks/1", 4096)],
  ])("that fail do so as in one process: %s", async (thrown) => {
    const { client } = await storageOf({ evaluate: () => Promise.reject(thrown) });
    const error = (await client.evaluate(LEAF, contextOf()).catch((e: unknown) => e)) as AppError;
    expect(error.constructor).toBe(thrown.constructor);
    expect({ ...error, message: error.message }).toEqual({ ...thrown, message: thrown.message });
  });

  test("many at once share a connection and a signal", async () => {
    const { client } = await storageOf({});
    const warnings: Error[] = [];
    const listen = (warning: Error): unknown => warnings.push(warning);
    process.on("warning", listen);
    const context = contextOf();
    const all = Array.from({ length: 200 }, () => client.evaluate(LEAF, context));
    expect((await Promise.all(all)).every((r) => r.columns.length === 0)).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listen);
    expect(warnings).toEqual([]);
  });
});

describe("ends", () => {
  test("a caller that hangs up aborts the work", async () => {
    let reason: unknown;
    let started = false;
    const { client } = await storageOf({
      evaluate: (_, { signal }) => {
        started = true;
        signal.addEventListener("abort", () => {
          reason = signal.reason;
        });
        return aborted(signal);
      },
    });
    const aborter = new AbortController();
    const asked = client.evaluate(LEAF, contextOf({ signal: aborter.signal })).catch((e: unknown) => e);
    await until(() => started, "the query runs");
    aborter.abort();
    expect(await asked).toBeInstanceOf(CanceledError);
    await until(() => reason !== undefined, "the storage heard of it");
    expect(reason).toBeInstanceOf(CanceledError);
  });

  test("an abort says why when it has a reason of ours", async () => {
    const { client } = await storageOf({ evaluate: (_, { signal }) => aborted(signal) });
    const aborter = new AbortController();
    const asked = client.evaluate(LEAF, contextOf({ signal: aborter.signal })).catch((e: unknown) => e);
    setTimeout(() => aborter.abort(new TimeoutError("query timed out in expression evaluation")), 50);
    expect(await asked).toEqual(new TimeoutError("query timed out in expression evaluation"));
  });

  test("a lost connection aborts the work and is unavailable", async () => {
    let running = false;
    const { server } = await storageOf({
      evaluate: (_, { signal }) => {
        running = true;
        return aborted(signal).finally(() => {
          running = false;
        });
      },
    });
    const proxy = await openProxy(server.address);
    const client = connectQuery(proxy.address);
    cleanups.push(() => client.close(), () => proxy.close()); // biome-ignore format: one line
    const asked = client.evaluate(LEAF, contextOf()).catch((e: unknown) => e);
    await until(() => running, "the query runs");
    proxy.cut();
    await until(() => !running, "the storage gave up");
    expect(await asked).toBeInstanceOf(UnavailableError);
  });

  test("a deadline passes on both sides", async () => {
    let deadlineMs = 0;
    let reason: unknown;
    const { client } = await storageOf({
      evaluate: (_, context) => {
        deadlineMs = context.deadlineMs;
        context.signal.addEventListener("abort", () => {
          reason = context.signal.reason;
        });
        return aborted(context.signal);
      },
    });
    const at = Date.now() + 300;
    await expect(client.evaluate(LEAF, contextOf({ deadlineMs: at }))).rejects.toThrow(TimeoutError);
    expect(Date.now()).toBeLessThan(at + 5_000);
    expect(Math.abs(deadlineMs - at)).toBeLessThan(1_500);
    await until(() => reason !== undefined, "the storage gave up");
    expect(reason).toBeInstanceOf(AppError);
  });

  test("no deadline is none, and one in years is no timer overflow", async () => {
    const deadlines: number[] = [];
    const { client } = await storageOf({
      evaluate: async (_, { deadlineMs }) => {
        deadlines.push(deadlineMs);
        return { columns: [], seriesCount: 0, samplesRead: 0, warnings: [] };
      },
    });
    await client.evaluate(LEAF, contextOf({ deadlineMs: Number.POSITIVE_INFINITY }));
    await client.evaluate(LEAF, contextOf({ deadlineMs: Date.now() + 1e13 }));
    expect(deadlines[0]).toBe(Number.POSITIVE_INFINITY);
    expect(deadlines[1]! - Date.now()).toBeGreaterThan(80_000_000);
  });

  test("a slow reader does not make the storage buffer an answer", async () => {
    let encoded = 0;
    const values = Float64Array.from({ length: 60_000 }, (_, i) => Math.sqrt(i));
    // Columns are encoded one after the other as the caller takes them.
    const columns = Array.from({ length: 400 }, (_, i) => ({
      labels: ["i", `${i}`],
      get values() {
        encoded = Math.max(encoded, i);
        return values;
      },
      present: null,
    }));
    const { client } = await storageOf({
      evaluate: async () => ({ columns, seriesCount: 1, samplesRead: 1, warnings: [] }),
    });
    await client.status(contextOf());
    const aborter = new AbortController();
    const asked = client.evaluate(LEAF, contextOf({ signal: aborter.signal })).catch((e: unknown) => e);
    // 192 MB in all; canceled soon, the rest is never made.
    await until(() => encoded > 0, "it began");
    aborter.abort();
    await asked;
    const atAbort = encoded;
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(encoded).toBeLessThan(atAbort + 60);
    expect(encoded).toBeLessThan(399);
  });

  describe("of raw samples", () => {
    const RAW = { matchers: [], range: { minMs: 0, maxMs: 1 } };
    /** A storage with an endless series, which tells how far it was asked and whether it was let go. */
    const endless = async () => {
      const state = { batches: 0, ended: false };
      const times = Float64Array.from({ length: 8000 }, (_, i) => i);
      const values = times.map(Math.sqrt);
      const { client, server } = await storageOf({
        rawSamples: async function* (_, { signal }) {
          try {
            for (;;) {
              signal.throwIfAborted();
              state.batches++;
              yield [{ labels: ["a", "b"], times, values, present: null }];
              await new Promise((resolve) => setImmediate(resolve));
            }
          } finally {
            state.ended = true;
          }
        },
      });
      return { state, client, server };
    };

    test("come no faster than they are read; a reader that stops ends the work", async () => {
      const { state, client } = await endless();
      const stream = client.rawSamples(RAW, contextOf());
      expect((await stream.next()).value![0]!.times.length).toBe(8000);
      let before = -1;
      await until(() => {
        const still = state.batches === before;
        before = state.batches;
        return still;
      }, "the storage waits");
      // 128 KiB each: what the windows, the buffers of either side and one message hold.
      expect(state.batches).toBeLessThan(400);
      await stream.return();
      await until(() => state.ended, "the storage heard of it");
    });

    test("an abort and a deadline end them", async () => {
      const { state, client } = await endless();
      const aborter = new AbortController();
      const stream = client.rawSamples(RAW, contextOf({ signal: aborter.signal }));
      await stream.next();
      aborter.abort();
      await expect(drain(stream)).rejects.toThrow(CanceledError);
      await until(() => state.ended, "the storage heard of it");
      const late = client.rawSamples(RAW, contextOf({ deadlineMs: Date.now() + 200 }));
      await expect(drain(late)).rejects.toThrow(TimeoutError);
    });

    test("a storage that fails, or goes, in the middle is no end", async () => {
      const column = { labels: ["a", "b"], times: Float64Array.of(1), values: Float64Array.of(2), present: null };
      const { client } = await storageOf({
        rawSamples: async function* () {
          yield [column];
          throw new LimitError("read-samples-max", "too many", false);
        },
      });
      const stream = client.rawSamples(RAW, contextOf());
      expect((await stream.next()).value).toEqual([column]);
      await expect(stream.next()).rejects.toThrow(LimitError);
      const { server, client: other } = await endless();
      const proxy = await openProxy(server.address);
      const behind = connectQuery(proxy.address);
      cleanups.push(() => other.close(), () => behind.close(), () => proxy.close()); // biome-ignore format: one line
      const cut = behind.rawSamples(RAW, contextOf());
      await cut.next();
      proxy.cut();
      await expect(drain(cut)).rejects.toThrow(UnavailableError);
    });

    test("a batch of many labels is several messages, and whole", async () => {
      const columns = Array.from({ length: 1000 }, (_, i) => ({
        labels: ["name", `${i}`.padEnd(2000, "x")],
        times: Float64Array.of(i, i + 1),
        values: Float64Array.of(i, -i),
        present: null,
      }));
      const { client } = await storageOf({
        rawSamples: async function* () {
          yield columns;
          yield columns.slice(0, 1);
        },
      });
      const got = [];
      for await (const batch of client.rawSamples(RAW, contextOf())) got.push(batch);
      expect(got).toEqual([columns, columns.slice(0, 1)]);
    });
  });

  test("a storage that stops answers what runs and refuses the rest", async () => {
    let finish: (() => void) | undefined;
    const { server, client } = await storageOf({
      evaluate: () =>
        new Promise((resolve) => {
          finish = () => resolve({ columns: [], seriesCount: 5, samplesRead: 0, warnings: [] });
        }),
    });
    const running = client.evaluate(LEAF, contextOf());
    await until(() => finish !== undefined, "it runs");
    const closed = server.close();
    await expect(client.labelNames([], { minMs: 0, maxMs: 1 }, 0, contextOf())).rejects.toThrow(UnavailableError);
    finish!();
    expect((await running).seriesCount).toBe(5);
    await closed;
    await expect(client.evaluate(LEAF, contextOf())).rejects.toThrow(UnavailableError);
  });

  test("a storage that comes back is found again", async () => {
    const { server, client } = await storageOf({});
    await client.evaluate(LEAF, contextOf());
    await server.close();
    await expect(client.evaluate(LEAF, contextOf())).rejects.toThrow(server.address);
    await serveStorageAt(server.address);
    let answered = false;
    for (let i = 0; i < 100 && !answered; i++) {
      answered = await client.evaluate(LEAF, contextOf()).then(() => true, () => false); // biome-ignore format: one line
      if (!answered) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(answered).toBe(true);
  });
});

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream) await new Promise((resolve) => setImmediate(resolve));
}

async function serveStorageAt(listen: string): Promise<void> {
  const server = await serveStorage({ engine: new MemoryEngine(), listen });
  cleanups.push(() => server.close());
}

describe("wrong peers", () => {
  test("a storage of another cluster is refused before it is asked", async () => {
    const pin = new ClusterPin();
    const { server } = await storageOf({});
    const a = connectQuery(server.address, { pin });
    await a.evaluate(LEAF, contextOf());
    const foreign = await serveStorage({
      engine: new MemoryEngine({ identity: { clusterId: "cluster-b" } }),
      listen: "127.0.0.1:0",
    });
    const b = connectQuery(foreign.address, { pin });
    cleanups.push(() => a.close(), () => b.close(), () => foreign.close()); // biome-ignore format: one line
    await expect(b.evaluate(LEAF, contextOf())).rejects.toThrow(/got cluster cluster-b; want cluster cluster-a/);
  });

  test("a storage that was replaced by one of another cluster refuses the call", async () => {
    const { server, client } = await storageOf({});
    await client.evaluate(LEAF, contextOf());
    await server.close();
    const foreign = await serveStorage({
      engine: new MemoryEngine({ identity: { clusterId: "cluster-b" } }),
      listen: server.address,
    });
    cleanups.push(() => foreign.close());
    let message = "";
    for (let i = 0; i < 100 && !message.includes("cluster-b"); i++) {
      message = await client.evaluate(LEAF, contextOf()).then(() => "an answer", (e: Error) => e.message); // biome-ignore format: one line
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(message).toMatch(/got a call for cluster "cluster-a"; want cluster cluster-b/);
  });

  test("no shared version is refused in words", async () => {
    const { server } = await storageOf({}, { versions: { min: 2, max: 3 } });
    const client = connectQuery(server.address);
    cleanups.push(() => client.close());
    await expect(client.evaluate(LEAF, contextOf())).rejects.toThrow(
      /got protocol versions 2 to 3; want one of 1 to 1/,
    );
  });

  test("status says who it is", async () => {
    const { client } = await storageOf({}, { epoch: () => 9 });
    const { identity, version, epoch } = await client.status(contextOf());
    expect([identity.clusterId, identity.nodeId, version, epoch]).toEqual(["cluster-a", "node-0", 1, 9]);
  });
});
