// test/e2e/http-table.test.ts: the query API over HTTP, request by request, of `tidemark all` with data; beside a cluster and a
// real Prometheus with the same data: answers are equal but for those that http-table.ts names.
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { load, presentMinute, type Served, serveAll, serveCluster, worldSeries } from "./api-world.ts";
import { PARAMETER_REQUESTS } from "./http-parameters.ts";
import { OTHERWISE, type Row, TABLE } from "./http-table.ts";
import { findEqualPrometheus, type RealPrometheus, startPrometheus } from "./real-prometheus.ts";

const ERROR_TYPES: Readonly<Record<number, string>> = { 400: "bad_data", 422: "execution", 500: "unavailable" };
const FORM = { "content-type": "application/x-www-form-urlencoded" };

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly body: string;
}

let tidemark: Served;
let endS = 0;

beforeAll(async () => {
  tidemark = await serveAll();
  endS = presentMinute();
  await load(tidemark.url, worldSeries(endS));
});
afterAll(() => tidemark?.stop());

/** Sends the path as it stands, which fetch would not. */
function ask(base: string, row: Row): Promise<Answer> {
  const [, method, path, form] = /^(\w+) ([^|]*)(?:\|(.*))?$/.exec(row[0])!;
  const at = (text: string) => text.replaceAll("{E}", `${endS}`).replaceAll("{S}", `${endS - 1200}`);
  const { hostname, port } = new URL(base);
  const options = {
    host: hostname,
    port,
    method: method!,
    path: `/api/v1/${at(path!)}`,
    headers: form === undefined ? {} : FORM,
  };
  return new Promise((resolve, reject) => {
    const outgoing = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const { statusCode, headers } = response;
        resolve({ status: statusCode!, type: headers["content-type"], body: Buffer.concat(chunks).toString() });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(at(form ?? ""));
  });
}

/** Which of several groups that do not match is named first is left open. */
function anyGroup(text: string): string {
  return text.replaceAll(/host-\d/g, "host-N").replaceAll(/(?<=job="|code=")\w+/g, "N");
}

test.each(TABLE.map((row): [string, Row] => [row[0], row]))("%s", async (_, row) => {
  const [, status, text] = row;
  const got = await ask(tidemark.url, row);
  expect([got.status, anyGroup(got.body)].slice(0, status === got.status ? 1 : 2)).toEqual([status]);
  if (status === 204) {
    expect([got.body, got.type]).toEqual(["", undefined]);
  } else if (status === 404 || status === 405) {
    expect([got.body, got.type]).toEqual([text, "text/plain; charset=utf-8"]);
  } else {
    expect(got.type).toBe("application/json");
    const { status: word, errorType, error } = JSON.parse(got.body) as Record<string, string>;
    if (status === 200) expect(word).toBe("success");
    else expect([word, errorType, anyGroup(error!)]).toEqual(["error", ERROR_TYPES[status], anyGroup(text!)]);
  }
});

test("no parameter of any form is our fault", async () => {
  expect(PARAMETER_REQUESTS.length).toBeGreaterThan(700);
  for (const name of PARAMETER_REQUESTS) expect((await ask(tidemark.url, [name, 0])).status, name).toBeLessThan(500);
});

test("the table is long, and what differs is in it", () => {
  expect(TABLE.length).toBeGreaterThan(250);
  expect(TABLE.filter(([, status]) => status >= 400).length).toBeGreaterThan(120);
  expect(new Set(TABLE.map(([name]) => name)).size).toBe(TABLE.length);
  for (const name of OTHERWISE.keys()) expect(TABLE.some((row) => row[0] === name)).toBe(true);
});

/** The requests that two servers answer otherwise. */
async function differences(
  got: string,
  want: string,
  rows: readonly Row[],
  isLeftOut: (name: string) => boolean = () => false,
): Promise<string[]> {
  const unlike: string[] = [];
  for (const row of rows) {
    if (isLeftOut(row[0])) continue;
    const [one, other] = await Promise.all([ask(got, row), ask(want, row)]);
    const [ours, theirs] = [comparable(one, row[0]), comparable(other, row[0])];
    if (ours !== theirs) unlike.push(`${row[0]}\n  got  ${ours}\n  want ${theirs}`);
  }
  return unlike;
}

test("a cluster gives the same answers", async () => {
  const cluster = await serveCluster();
  try {
    await load(cluster.writes, worldSeries(endS));
    const ownReasons = new Set(["about the process", "the present", "order of equal counts"]);
    expect(
      await differences(cluster.url, tidemark.url, TABLE, (name) => ownReasons.has(OTHERWISE.get(name) ?? "")),
    ).toEqual([]);
  } finally {
    await cluster.stop();
  }
});

const command = findEqualPrometheus();

describe.skipIf(command === undefined)("beside a real Prometheus 3", () => {
  let prometheus: RealPrometheus;
  beforeAll(async () => {
    prometheus = await startPrometheus(command!);
    await load(prometheus.url, worldSeries(endS));
  });
  afterAll(() => prometheus?.stop());

  test("every answer is equal", async () => {
    expect(await differences(tidemark.url, prometheus.url, TABLE, (name) => OTHERWISE.has(name))).toEqual([]);
  });

  test("every parameter in every form", async () => {
    const rows = PARAMETER_REQUESTS.map((name): Row => [name, 0]);
    expect(await differences(tidemark.url, prometheus.url, rows)).toEqual([]);
  });
});

/** The answer with the keys of objects in order, and vectors, whose order is open unless a query sorts them, too. */
function comparable({ status, type, body }: Answer, row: string): string {
  if (type !== "application/json") return JSON.stringify([status, type, body]);
  const answer = JSON.parse(body) as {
    error?: string;
    data?: {
      headStats?: { chunkCount?: number };
      resultType?: string;
      result?: unknown[];
      stats?: { timings?: object; samples: { peakSamples?: number } };
    };
  };
  // How long it took, and what was held meanwhile, is each one's own.
  delete answer.data?.stats?.timings;
  delete answer.data?.stats?.samples.peakSamples;
  // Prometheus cuts chunks where a window of two hours ends, which may lie within the world.
  delete answer.data?.headStats?.chunkCount;
  if (answer.error !== undefined) answer.error = anyGroup(answer.error);
  if (answer.data?.resultType === "vector" && !row.includes("sort")) {
    answer.data.result = answer.data
      .result!.map(ordered)
      .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }
  // Of equal counts either may come first.
  if (row.includes("status/tsdb")) return JSON.stringify([status, type, sortedLists(ordered(answer))]);
  return JSON.stringify([status, type, ordered(answer)]);
}

function sortedLists(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((one) => JSON.stringify(one)).sort();
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, sortedLists(one)]));
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, one]) => [key, ordered(one)]));
}
