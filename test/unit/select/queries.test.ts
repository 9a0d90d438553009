// test/unit/select/queries.test.ts: running and slow queries: shown, stopped, logged; traces; limits by their names.
import { type IncomingMessage, request } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { labelsFromRecord, type Queryable, type QueryContext } from "../../../libs/model/index.ts";
import { fanOut, type QueryRecord } from "../../../services/select/index.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { openSelect, type SelectServer } from "./select-server.ts";

const T = 1_700_000_000;

/** "stuck" tenants' queries end with their signal only, those of "slow" take 30 ms, those of "held" wait for release(). */
class TestStorage extends MemoryQueryable {
  running = 0;
  release: () => void = () => undefined;
  readonly #released = new Promise<void>((resolve) => {
    this.release = resolve;
  });
  contexts: QueryContext[] = [];

  override async evaluate(...args: Parameters<Queryable["evaluate"]>): ReturnType<Queryable["evaluate"]> {
    const [, context] = args;
    this.contexts.push(context);
    this.running++;
    try {
      if (context.tenant === "held") await this.#released;
      if (context.tenant === "slow") await new Promise((resolve) => setTimeout(resolve, 30));
      if (context.tenant.startsWith("stuck")) {
        await new Promise((_, reject) => context.signal.addEventListener("abort", () => reject(context.signal.reason)));
      }
      return await super.evaluate(...args);
    } finally {
      this.running--;
    }
  }
}

function storageOf(series: number): TestStorage {
  const storage = new TestStorage();
  for (let s = 0; s < series; s++) {
    const samples = Array.from({ length: 100 }, (_, i) => ({
      ...{ timeMs: (T + i * 15) * 1000, value: i * (s + 1), stale: false, histogram: false },
    }));
    storage.append(labelsFromRecord({ __name__: "m", job: `job-${s % 2}`, s: `${s}` }), samples);
  }
  return storage;
}

let open: SelectServer | undefined;
afterEach(async () => {
  await open?.close();
  open = undefined;
});

const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  for (let i = 0; i < 2000 && !(await condition()); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(await condition()).toBe(true);
};

interface Shown {
  readonly running: QueryRecord[];
  readonly slowest: QueryRecord[];
}
const shown = async (select: SelectServer, headers: Record<string, string> = {}): Promise<Shown> =>
  (await select.json("/api/v1/status/queries", headers)).data as Shown;

describe("status/queries", () => {
  test("shows what runs and what was slowest, with what it took", async () => {
    const storage = storageOf(4);
    const select = await openSelect({ queryable: () => storage });
    open = select;
    const query = "sum by (job) (rate(m[1m])) + 1";
    const path = `/api/v1/query_range?query=${encodeURIComponent(query)}&start=${T}&end=${T + 600}&step=60`;
    const headers = { "X-Scope-OrgID": "held", "User-Agent": "Grafana/11.2", "X-Grafana-User": "ada" };
    const asked = select.ask(path, { headers });
    await until(() => storage.running === 1);
    const [running] = (await shown(select)).running;
    expect(running).toMatchObject({ id: "1", state: "running", kind: "range", tenant: "held", query });
    expect(running!.caller).toBe("127.0.0.1 user ada Grafana/11.2");
    expect(running!.plan.split("\n")).toEqual(["operators +", "  leaf: sum by (job) of rate m [1m]", "  number 1"]);
    storage.release();
    expect((await asked).status).toBe(200);
    const { running: none, slowest } = await shown(select);
    expect(none).toEqual([]);
    expect(slowest).toEqual([
      {
        ...running,
        state: "done",
        durationSeconds: slowest[0]!.durationSeconds,
        samples: 400,
        series: 4,
        bytes: expect.any(Number),
        peakBytes: expect.any(Number),
      },
    ]);
    expect(slowest[0]!.bytes).toBeGreaterThan(2 * 11 * 8 - 1);
    expect(new Date(slowest[0]!.start).getTime()).toBeGreaterThan(Date.now() - 60_000);
  });

  test("keeps the 100 slowest, slowest first; failed ones say why", async () => {
    const select = await openSelect({ queryable: () => storageOf(1) });
    open = select;
    await select.ask(`/api/v1/query?query=${encodeURIComponent("label_replace(m, 'job', '$1', 's', '(')")}`);
    for (let i = 0; i < 120; i++) await select.ask(`/api/v1/query?query=${i}`);
    await select.ask(`/api/v1/query?query=m&time=${T}`, { headers: { "X-Scope-OrgID": "slow" } });
    const { slowest } = await shown(select);
    expect(slowest.length).toBe(100);
    expect(slowest.map((q) => q.durationSeconds)).toEqual(slowest.map((q) => q.durationSeconds).sort((a, b) => b - a));
    expect(slowest.some((q) => q.tenant === "slow")).toBe(true);
    const failed = slowest.find((q) => q.state === "failed");
    if (failed !== undefined) expect(failed.error).toContain("(");
  });

  test("DELETE stops one; its client hears of it, and the storage", async () => {
    const storage = storageOf(1);
    const select = await openSelect({ queryable: () => storage });
    open = select;
    const asked = select.ask(`/api/v1/query?query=m`, { headers: { "X-Scope-OrgID": "stuck" } });
    await until(() => storage.running === 1);
    const [{ id }] = (await shown(select)).running as [QueryRecord];
    const wrong = await select.ask(`/api/v1/status/queries/99`, { method: "DELETE" });
    expect([wrong.status, wrong.body.toString()]).toEqual([404, expect.stringContaining("cannot stop query")]);
    expect((await select.ask(`/api/v1/status/queries/${id}`, { method: "DELETE" })).status).toBe(204);
    const { status, body } = await asked;
    expect([status, JSON.parse(body.toString())]).toEqual([
      499,
      { status: "error", errorType: "canceled", error: `query was canceled: it was stopped as query ${id}` },
    ]);
    await until(() => storage.running === 0);
    expect((await shown(select)).slowest[0]).toMatchObject({ id, state: "failed" });
  });

  test("who names a tenant sees and stops its queries only", async () => {
    const storage = storageOf(1);
    const select = await openSelect({ queryable: () => storage });
    open = select;
    const aborter = new AbortController();
    const asked = ["stuck-a", "stuck-b"].map((tenant) =>
      select
        .ask(`/api/v1/query?query=m`, { headers: { "X-Scope-OrgID": tenant }, signal: aborter.signal })
        .catch(() => undefined),
    );
    await until(() => storage.running === 2);
    const all = (await shown(select)).running;
    expect(all.map((q) => q.tenant).sort()).toEqual(["stuck-a", "stuck-b"]);
    expect((await shown(select, { "X-Scope-OrgID": "stuck-a" })).running.map((q) => q.tenant)).toEqual(["stuck-a"]);
    const below = (await select.json("/select/stuck-b/prometheus/api/v1/status/queries")).data as Shown;
    expect(below.running.map((q) => q.tenant)).toEqual(["stuck-b"]);
    const ofB = all.find((q) => q.tenant === "stuck-b")!.id;
    const foreign = await select.ask(`/select/stuck-a/prometheus/api/v1/status/queries/${ofB}`, { method: "DELETE" });
    expect([foreign.status, storage.running]).toEqual([404, 2]);
    aborter.abort();
    await Promise.all(asked);
    await until(() => storage.running === 0);
  });
});

describe("slow queries", () => {
  test("are told once each, with everything; fast ones are not", async () => {
    const slow: QueryRecord[] = [];
    const select = await openSelect({ queryable: () => storageOf(2), slowMs: 20, onSlow: (q) => slow.push(q) });
    open = select;
    await select.ask(`/api/v1/query?query=m&time=${T}`, { headers: { "X-Scope-OrgID": "slow" } });
    expect(slow).toMatchObject([
      { tenant: "slow", query: "m", kind: "instant", state: "done", samples: 200, series: 2 },
    ]);
    expect(select.api.readings().tidemark_queries_slow_total).toBe(1);
    await select.ask(`/api/v1/query?query=1`);
    expect(slow.length).toBeLessThanOrEqual(2);
  });
});

interface Traced {
  readonly data: unknown;
  readonly trace?: TraceShown;
}
interface TraceShown {
  readonly node: string;
  readonly durationMs: number;
  readonly series: number;
  readonly points: number;
  readonly bytes: number;
  readonly samples?: number;
  readonly storages?: {
    storage: string;
    durationMs: number;
    seriesCount: number;
    samplesRead: number;
    bytes: number;
  }[];
  readonly children: TraceShown[];
}

describe("trace=1", () => {
  const two = () => fanOut([{ name: "a:1", queryable: storageOf(4) }, { name: "b:2", queryable: new MemoryQueryable() }]); // biome-ignore format: a line

  test("shows the plan with times, series, samples and bytes, per storage for leaves", async () => {
    const queryable = two();
    const select = await openSelect({ queryable: () => queryable });
    open = select;
    const query = encodeURIComponent("topk(1, max_over_time(m[1m])) / on (job) sum by (job) (m)");
    const path = `/api/v1/query_range?query=${query}&start=${T}&end=${T + 600}&step=60`;
    const plain = (await select.json(path)) as unknown as Traced;
    const { data, trace } = (await select.json(`${path}&trace=1`)) as unknown as Traced;
    expect(plain.trace).toBeUndefined();
    expect(data).toEqual(plain.data);
    const flat = (node: TraceShown, depth = 0): string[] => [
      `${" ".repeat(depth)}${node.node} ${node.series} ${node.points} ${node.bytes} ${node.samples ?? "-"}`,
      ...node.children.flatMap((child) => flat(child, depth + 1)),
    ];
    expect(flat(trace!)).toEqual([
      "operators / 2 22 176 -",
      " topk 2 22 176 -",
      "  number 1 0 11 88 -",
      "  leaf: max_over_time m [1m] 4 44 352 400",
      " leaf: sum by (job) of m [5m] 2 22 176 400",
    ]);
    const all: TraceShown[] = [trace!];
    for (let i = 0; i < all.length; i++) all.push(...all[i]!.children);
    for (const { durationMs } of all) expect(durationMs).toBeGreaterThanOrEqual(0);
    const leaf = all.find((node) => node.node.startsWith("leaf: sum"))!;
    expect(
      leaf.storages!.map(({ storage, seriesCount, samplesRead }) => [storage, seriesCount, samplesRead]).sort(),
    ).toEqual([
      ["a:1", 4, 400],
      ["b:2", 0, 0],
    ]);
    expect(leaf.storages!.find((s) => s.storage === "a:1")!.bytes).toBeGreaterThan(0);
  });

  test.each(["m[1m]", "max_over_time(m[5m:1m])", "m[5m:1m]", "1", "absent_over_time(m[1m])", '"s"', "m @ 1700000000"])(
    "of %s",
    async (query) => {
      const queryable = two();
      const select = await openSelect({ queryable: () => queryable });
      open = select;
      const { trace } = (await select.json(
        `/api/v1/query?query=${encodeURIComponent(query)}&time=${T + 60}&trace=1`,
      )) as unknown as Traced;
      expect(trace!.node).not.toBe("");
      const text = JSON.stringify(trace);
      expect(text.includes('"samples":')).toBe(query.includes("m"));
      expect(text.includes('"storages":')).toBe(query.includes("m"));
    },
  );
});

describe("limits stop queries with their names", () => {
  const range = (query: string, steps = 10): string =>
    `/api/v1/query_range?query=${encodeURIComponent(query)}&start=${T}&end=${T + steps}&step=1`;

  test.each([
    ["query-samples-max", { samplesMax: 300 }, range("m"), 422, "--query-samples-max"],
    ["query-series-max", { seriesMax: 3 }, range("m"), 422, "--query-series-max"],
    ["query-series-max", { seriesMax: 7 }, range("m + rate(m[1m])"), 422, "got 8 series; want at most 7"],
    ["query-bytes-max", { bytesMax: 1000 }, range("m", 100), 422, "--query-bytes-max"],
    [
      "query-bytes-max",
      { bytesMax: 100_000 },
      range("group_left_explosion or count_over_time(vector(1)[1d:1s])"),
      422,
      "--query-bytes-max",
    ],
    ["query-steps-max", { stepsMax: 20 }, range("m", 21), 400, "exceeded maximum resolution of 20 points"],
    ["query-queue-max", { concurrency: 1, queueMax: 0 }, range("m"), 429, "--query-queue-max"],
    ["query-timeout", { timeoutMs: 50 }, "/select/stuck/prometheus/api/v1/query?query=m", 503, "(--query-timeout)"],
  ] as const)("%s", async (limit, limits, path, status, text) => {
    const storage = storageOf(4);
    const select = await openSelect({ queryable: () => storage, ...limits });
    open = select;
    const aborter = new AbortController();
    if (limit === "query-queue-max") {
      void select
        .ask("/api/v1/query?query=m", { headers: { "X-Scope-OrgID": "stuck" }, signal: aborter.signal })
        .catch(() => undefined);
      await until(() => storage.running === 1);
    }
    const answer = await select.ask(path);
    expect([answer.status, answer.body.toString()]).toEqual([status, expect.stringContaining(text)]);
    expect(select.api.readings().tidemark_query_limits_total).toEqual([{ labels: { limit }, value: 1 }]);
    aborter.abort();
    await until(() => storage.running === 0);
    const { tidemark_queries_running: running, tidemark_queries_waiting: waiting } = select.api.readings();
    expect([running, waiting]).toEqual([0, 0]);
  });

  test("query-answers-max: long answers beside those that clients do not read are refused, short ones and the first are not", async () => {
    const storage = storageOf(20);
    const select = await openSelect({ queryable: () => storage, answersMax: 1000 });
    open = select;
    const held = () => select.api.readings().tidemark_query_answers_bytes as number;
    // More than the sockets on both sides take: some 20 MB.
    const copies = Array.from({ length: 40 }, (_, i) => `label_replace(m, "x", "${i}", "", "")`);
    const long = range(`1 + (${copies.join(" or ")})`, 1780);
    const reader = request({ ...select.server.address, path: long });
    const response = new Promise<IncomingMessage>((resolve) => reader.once("response", resolve));
    reader.end();
    (await response).pause();
    await until(() => held() > 1000);
    const refused = await select.ask(long);
    expect([refused.status, refused.body.toString()]).toEqual([429, expect.stringContaining("--query-answers-max")]);
    expect(select.api.readings().tidemark_query_limits_total).toEqual([
      { labels: { limit: "query-answers-max" }, value: 1 },
    ]);
    expect((await select.ask(range("m"))).status).toBe(200);
    let bytes = 0;
    (await response).on("data", (part: Buffer) => {
      bytes += part.length;
    });
    (await response).resume();
    await until(() => held() === 0);
    await until(() => reader.closed);
    expect(bytes).toBeGreaterThan(10e6);
    const again = await select.ask(long);
    expect([again.status, again.body.length, held()]).toEqual([200, bytes, 0]);
    // A client that hangs up holds nothing.
    const leaving = request({ ...select.server.address, path: long });
    leaving.once("response", (answer) => {
      answer.pause();
      void until(() => held() > 0).then(() => leaving.destroy());
    });
    leaving.on("error", () => undefined).end();
    await until(() => leaving.destroyed);
    await until(() => held() === 0);
  });

  test("every storage hears the limits", async () => {
    const storage = storageOf(1);
    const select = await openSelect({ queryable: () => storage, seriesMax: 5, bytesMax: 6000, samplesMax: 700 });
    open = select;
    await select.ask(`/api/v1/query?query=m&time=${T}`);
    expect(storage.contexts).toMatchObject([{ seriesMax: 5, bytesMax: 6000, samplesMax: 700 }]);
  });
});
