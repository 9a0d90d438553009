// test/unit/rpc/leaf-stream.test.ts: the leaves of a connection share a stream: each ends on its own, in time, whatever
// becomes of the others; what a strange asker sends ends no more than its own stream.
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { Metadata } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import {
  CanceledError,
  ExecutionError,
  InvalidError,
  type Leaf,
  type LeafResult,
  LimitError,
  type QueryContext,
  TimeoutError,
  UnavailableError,
} from "../../../libs/model/index.ts";
import { LEAVES_MAX, openClient } from "../../../libs/rpc/channel.ts";
import { connectQuery, type RemoteQueryable, type StorageServer, serveStorage } from "../../../libs/rpc/index.ts";
import { leafToMessage } from "../../../libs/rpc/leaf-codec.ts";
import { contracts } from "../../../libs/rpc/load.ts";
import type { EvaluateReply, EvaluateRequest } from "../../../libs/rpc/messages.ts";
import { contextOf } from "../../contract/harness.ts";
import { MemoryEngine } from "../../contract/memory-engine.ts";
import { openProxy } from "./tcp-proxy.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A leaf that the storage below knows by its matcher. */
function leafOf(name: string): Leaf {
  return {
    matchers: [{ type: "=", name: "__name__", value: name }],
    grid: { startMs: 0, stepMs: 1000, count: 10 },
    rollup: "last",
    rangeMs: 1000,
    offsetMs: 0,
    args: [],
    dropName: false,
  };
}

const NOTHING: LeafResult = { columns: [], seriesCount: 0, samplesRead: 0, warnings: [] };

/** A storage whose leaves wait until they are answered here, and a client of it. */
class Stage {
  readonly running = new Map<string, (result: LeafResult | Error) => void>();
  readonly ended = new Map<string, unknown>();
  most = 0;
  server!: StorageServer;
  client!: RemoteQueryable;

  async open(options: Partial<Parameters<typeof serveStorage>[0]> = {}): Promise<this> {
    const memory = new MemoryEngine();
    const queryable = Object.assign(Object.create(memory.queryable) as typeof memory.queryable, {
      evaluate: (leaf: Leaf, context: QueryContext) => this.#evaluate(leaf.matchers[0]!.value, context),
    });
    const engine = { identity: memory.identity, openSession: () => memory.openSession(), queryable };
    this.server = await serveStorage({ engine, listen: "127.0.0.1:0", ...options });
    this.client = connectQuery(this.server.address);
    cleanups.push(() => this.server.close(), () => this.client.close()); // biome-ignore format: one line
    return this;
  }

  #evaluate(name: string, { signal }: QueryContext): Promise<LeafResult> {
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => {
        this.running.delete(name);
        this.ended.set(name, signal.reason);
        reject(signal.reason as Error);
      });
      this.running.set(name, (result) => {
        this.running.delete(name);
        if (result instanceof Error) reject(result);
        else resolve(result);
      });
      this.most = Math.max(this.most, this.running.size);
    });
  }

  /** Asks a leaf; settles with its answer or its error once it runs. */
  async ask(name: string, context: Partial<QueryContext> = {}): Promise<{ answer: Promise<unknown> }> {
    const answer = this.client.evaluate(leafOf(name), contextOf(context)).catch((error: unknown) => error);
    await until(() => this.running.has(name), `${name} runs`);
    return { answer };
  }

  answer(name: string, result: LeafResult | Error = NOTHING): void {
    this.running.get(name)!(result);
  }
}

const until = async (condition: () => boolean, what: string): Promise<void> => {
  for (let i = 0; i < 500 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition(), what).toBe(true);
};

const seriesCount = async (answer: Promise<unknown>): Promise<number> => ((await answer) as LeafResult).seriesCount;

describe("leaves side by side", () => {
  test("are answered in any order", async () => {
    const stage = await new Stage().open();
    const [a, b, c] = [await stage.ask("a"), await stage.ask("b"), await stage.ask("c")];
    stage.answer("c", { ...NOTHING, seriesCount: 3 });
    expect(await seriesCount(c.answer)).toBe(3);
    stage.answer("a", { ...NOTHING, seriesCount: 1 });
    expect(await seriesCount(a.answer)).toBe(1);
    stage.answer("b", { ...NOTHING, seriesCount: 2 });
    expect(await seriesCount(b.answer)).toBe(2);
  });

  test("one that is canceled stops at the storage, others go on", async () => {
    const stage = await new Stage().open();
    const aborter = new AbortController();
    const [a, b] = [await stage.ask("a", { signal: aborter.signal }), await stage.ask("b")];
    aborter.abort();
    expect(await a.answer).toBeInstanceOf(CanceledError);
    await until(() => stage.ended.has("a"), "the storage heard of it");
    expect(stage.ended.get("a")).toBeInstanceOf(CanceledError);
    expect([...stage.ended.keys()]).toEqual(["a"]);
    stage.answer("b", { ...NOTHING, seriesCount: 2 });
    expect(await seriesCount(b.answer)).toBe(2);
  });

  test("one that fails or is late ends alone", async () => {
    const stage = await new Stage().open();
    const [a, b] = [await stage.ask("a"), await stage.ask("b")];
    const late = await stage.ask("late", { deadlineMs: Date.now() + 300 });
    stage.answer("a", new ExecutionError("no"));
    expect(await a.answer).toEqual(new ExecutionError("no"));
    expect(await late.answer).toBeInstanceOf(TimeoutError);
    await until(() => stage.ended.has("late"), "the storage gave up");
    stage.answer("b", { ...NOTHING, seriesCount: 2 });
    expect(await seriesCount(b.answer)).toBe(2);
  });

  test("one whose answer is too much, or whose question is, ends alone", async () => {
    const stage = await new Stage().open();
    const values = Float64Array.from({ length: 1_000_000 }, (_, i) => Math.sqrt(i));
    const columns = [{ labels: ["a", "b"], values, present: null }];
    const [a, b] = [await stage.ask("a", { bytesMax: 1_000_000 }), await stage.ask("b")];
    stage.answer("a", { ...NOTHING, columns });
    expect(await a.answer).toBeInstanceOf(LimitError);
    const huge = { ...leafOf("huge"), args: [new Float64Array(5_000_000)] };
    await expect(stage.client.evaluate(huge, contextOf())).rejects.toThrow(InvalidError);
    // A single label of more than a message holds.
    const label = await stage.ask("label");
    stage.answer("label", {
      ...NOTHING,
      columns: [{ labels: ["a", "x".repeat(33 << 20)], values: Float64Array.of(1), present: null }],
    });
    expect(String(await label.answer)).toMatch(/cannot send answer: got a message of \d+ bytes/);
    stage.answer("b", { ...NOTHING, columns });
    expect(((await b.answer) as LeafResult).columns).toEqual(columns);
  }, 60_000);

  test("a small answer does not wait for the end of a big one", async () => {
    const stage = await new Stage().open();
    const values = Float64Array.from({ length: 60_000 }, (_, i) => Math.sqrt(i));
    const columns = Array.from({ length: 200 }, (_, i) => ({ labels: ["i", `${i}`], values, present: null }));
    const order: string[] = [];
    const [big, small] = [await stage.ask("big"), await stage.ask("small")];
    const done = [big.answer.then(() => order.push("big")), small.answer.then(() => order.push("small"))];
    stage.answer("big", { ...NOTHING, columns });
    stage.answer("small");
    await Promise.all(done);
    expect(order).toEqual(["small", "big"]);
  });

  test("more than may run at once wait", async () => {
    const stage = await new Stage().open();
    const names = Array.from({ length: LEAVES_MAX + 50 }, (_, i) => `n${i}`);
    const answers = names.map((name) => stage.client.evaluate(leafOf(name), contextOf()));
    await until(() => stage.running.size === LEAVES_MAX, "as many run as may");
    let open = names.length;
    const all = Promise.all(answers.map((answer) => answer.finally(() => open--)));
    await until(() => {
      for (const name of [...stage.running.keys()]) stage.answer(name);
      return open === 0;
    }, "all are answered");
    await all;
    expect(stage.most).toBe(LEAVES_MAX);
  });

  test("one that waits for others to end is canceled at once, and the next one has its turn", async () => {
    const stage = await new Stage().open();
    const answers = Array.from({ length: LEAVES_MAX }, (_, i) => stage.client.evaluate(leafOf(`n${i}`), contextOf()));
    await until(() => stage.running.size === LEAVES_MAX, "as many run as may");
    const controller = new AbortController();
    const canceled = stage.client.evaluate(leafOf("canceled"), { ...contextOf(), signal: controller.signal });
    const next = stage.client.evaluate(leafOf("next"), contextOf());
    controller.abort(new CanceledError("gone"));
    await expect(canceled).rejects.toThrow("gone");
    stage.answer("n0");
    await until(() => stage.running.has("next"), "the next one runs");
    for (const name of [...stage.running.keys()]) stage.answer(name);
    await Promise.all([...answers, next]);
    expect(stage.ended.has("canceled")).toBe(false);
  });
});

describe("the end of a stream", () => {
  test("a lost connection ends all of its leaves on both sides; the next one connects anew", async () => {
    const stage = await new Stage().open();
    const proxy = await openProxy(stage.server.address);
    const behind = connectQuery(proxy.address);
    cleanups.push(() => behind.close(), () => proxy.close()); // biome-ignore format: one line
    const answers = ["a", "b"].map((name) => behind.evaluate(leafOf(name), contextOf()).catch((e: unknown) => e));
    await until(() => stage.running.size === 2, "both run");
    proxy.cut();
    for (const answer of answers) expect(await answer).toBeInstanceOf(UnavailableError);
    await until(() => stage.ended.size === 2, "the storage gave up");
    let answer: Promise<LeafResult> | undefined;
    await until(() => {
      answer ??= behind.evaluate(leafOf("c"), contextOf());
      answer.catch(() => {
        answer = undefined;
      });
      return stage.running.has("c");
    }, "it is asked again");
    stage.answer("c", { ...NOTHING, seriesCount: 3 });
    expect((await answer!).seriesCount).toBe(3);
  });

  test("a stream on which nothing runs keeps no storage from stopping", async () => {
    const stage = await new Stage().open({ stopTimeoutMs: 1e9 });
    const { answer } = await stage.ask("a");
    stage.answer("a");
    await answer;
    await stage.server.close();
    await expect(stage.client.evaluate(leafOf("b"), contextOf())).rejects.toThrow(UnavailableError);
  });

  test("a client that closes has the answers it waits for, and takes no more leaves", async () => {
    const stage = await new Stage().open();
    const { answer } = await stage.ask("a");
    stage.client.close();
    await expect(stage.client.evaluate(leafOf("b"), contextOf())).rejects.toThrow(UnavailableError);
    stage.answer("a", { ...NOTHING, seriesCount: 1 });
    expect(await seriesCount(answer)).toBe(1);
  });
});

describe("strange askers", () => {
  /** A stream without our client: what it is answered, and how it ended. */
  const strange = (stage: Stage) => {
    const client = openClient(stage.server.address);
    const { path, requestSerialize, responseDeserialize } = contracts().query.Evaluate;
    const stream: ClientDuplexStream<Buffer, EvaluateReply> = client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      new Metadata(),
    );
    const replies: EvaluateReply[] = [];
    const ended: string[] = [];
    stream.on("data", (reply: EvaluateReply) => replies.push(reply));
    stream.on("error", (error) => ended.push(error.message));
    stream.on("end", () => ended.push("end"));
    cleanups.push(() => client.close(), () => stream.cancel()); // biome-ignore format: one line
    const write = (name: string, change: Partial<EvaluateRequest> = {}): void => {
      const limits = { tenant: "t", samplesMax: 0, seriesMax: 0, bytesMax: 0, timeoutMs: 0, cancel: false };
      const leaf = leafToMessage(leafOf(name));
      stream.write(contracts().evaluateRequest.serialize({ ...limits, leaf, call: 0, ...change }));
    };
    return { stream, replies, ended, write };
  };

  test("a deadline holds without a word from the asker", async () => {
    const stage = await new Stage().open();
    const { write, replies } = strange(stage);
    write("a", { call: 7, timeoutMs: 50 });
    await until(() => replies.length > 0, "an answer");
    expect([replies[0]!.call, replies[0]!.failure!.reaction]).toEqual([7, "timeout"]);
    expect(stage.ended.get("a")).toBeInstanceOf(TimeoutError);
  });

  test("no leaf, deadlines that are none, and cancellations of nothing harm nobody", async () => {
    const stage = await new Stage().open();
    const { write, replies } = strange(stage);
    write("", { call: 1, cancel: true });
    write("", { call: 2, leaf: null });
    await until(() => replies.length > 0, "an answer");
    expect([replies[0]!.call, replies[0]!.failure!.reaction]).toEqual([2, "invalid"]);
    for (const [i, timeoutMs] of [-5, Number.NaN, Number.POSITIVE_INFINITY, 1e300].entries()) {
      write(`d${i}`, { call: 10 + i, timeoutMs });
    }
    await until(() => stage.running.size === 4, "they run");
    expect(stage.ended.size).toBe(0);
  });

  test("a number that is in use ends the stream", async () => {
    const stage = await new Stage().open();
    const { write, ended } = strange(stage);
    write("a", { call: 5 });
    write("b", { call: 5 });
    await until(() => ended.length > 0, "it ended");
    expect(ended[0]).toMatch(/got call 5 while it runs/);
    expect(stage.ended.get("a")).toBeInstanceOf(InvalidError);
    const { answer } = await stage.ask("c");
    stage.answer("c");
    expect(await seriesCount(answer)).toBe(0);
  });

  test("more leaves than may run are refused, one by one", async () => {
    const stage = await new Stage().open();
    const { write, replies } = strange(stage);
    for (let i = 0; i < LEAVES_MAX + 3; i++) write(`n${i}`, { call: i });
    await until(() => replies.length === 3, "three are refused");
    expect(replies.map(({ call }) => call)).toEqual([LEAVES_MAX, LEAVES_MAX + 1, LEAVES_MAX + 2]);
    expect(replies.every(({ failure }) => failure!.reaction === "unavailable")).toBe(true);
    expect(stage.running.size).toBe(LEAVES_MAX);
  });

  test("a stream that is half-closed ends with the last answer", async () => {
    const stage = await new Stage().open();
    const { stream, write, replies, ended } = strange(stage);
    write("a", { call: 1 });
    stream.end();
    await until(() => stage.running.has("a"), "it runs");
    expect(ended).toEqual([]);
    stage.answer("a");
    await until(() => ended.length > 0, "it ended");
    expect(replies.map(({ call, summary }) => [call, summary !== null])).toEqual([[1, true]]);
    expect(ended).toEqual(["end"]);
  });
});
