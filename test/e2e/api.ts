// test/e2e/api.ts: asks a Prometheus-compatible API and compares two answers sample by sample.

export interface Sample {
  readonly metric: Record<string, string>;
  readonly value?: [number, string];
  readonly values?: [number, string][];
}

export interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly errorType?: string;
  readonly data?: { readonly resultType: string; readonly result: Sample[] | [number, string] };
}

/** One query at one time, or over a range. Times in seconds. */
export interface Question {
  readonly query: string;
  readonly time?: number;
  readonly start?: number;
  readonly end?: number;
  readonly step?: number;
}

export async function ask(base: string, q: Question): Promise<Answer> {
  const params = new URLSearchParams({ query: q.query });
  if (q.time !== undefined) params.set("time", String(q.time));
  else {
    params.set("start", String(q.start));
    params.set("end", String(q.end));
    params.set("step", String(q.step));
  }
  const path = q.time !== undefined ? "query" : "query_range";
  const response = await fetch(`${base}/api/v1/${path}`, { method: "POST", body: params });
  return (await response.json()) as Answer;
}

/** Writes a sample set in a form that can be compared by lines: sorted series, sorted labels. */
function flatten(answer: Answer): Map<string, [number, number][]> {
  const out = new Map<string, [number, number][]>();
  if (answer.status !== "success") throw new Error(`${answer.errorType}: ${answer.error}`);
  const { resultType, result } = answer.data!;
  if (resultType === "scalar" || resultType === "string") {
    const [time, value] = result as [number, string];
    out.set(resultType, [[time, parseValue(value)]]);
    return out;
  }
  for (const series of result as Sample[]) {
    const key = JSON.stringify(Object.entries(series.metric).sort(([a], [b]) => (a < b ? -1 : 1)));
    if (out.has(key)) throw new Error(`series twice: ${key}`);
    const points = series.values ?? [series.value!];
    out.set(
      key,
      points.map(([time, value]) => [time, parseValue(value)]),
    );
  }
  return out;
}

function parseValue(text: string): number {
  if (text === "+Inf") return Number.POSITIVE_INFINITY;
  if (text === "-Inf") return Number.NEGATIVE_INFINITY;
  return Number(text);
}

function closeEnough(a: number, b: number, relative: number): boolean {
  if (Object.is(a, b) || a === b) return true;
  if (Number.isNaN(a) || Number.isNaN(b)) return false;
  return Math.abs(a - b) <= relative * Math.max(Math.abs(a), Math.abs(b));
}

export interface Comparison {
  readonly points: number;
  /** Empty when the answers agree; else the first few differences. */
  readonly differences: string[];
}

/** Compares two answers: same series, same times, values within `relative`. */
export function compare(want: Answer, got: Answer, relative: number): Comparison {
  const differences: string[] = [];
  if (want.status !== got.status) {
    return {
      points: 0,
      differences: [`status ${want.status} ${want.error ?? ""} against ${got.status} ${got.error ?? ""}`],
    };
  }
  if (want.status !== "success")
    return { points: 0, differences: want.errorType === got.errorType ? [] : ["errorType"] };
  const a = flatten(want);
  const b = flatten(got);
  let points = 0;
  for (const [key, expected] of a) {
    const found = b.get(key);
    if (!found) {
      differences.push(`missing ${key}`);
      continue;
    }
    if (found.length !== expected.length) differences.push(`${key}: ${found.length} points; want ${expected.length}`);
    for (let i = 0; i < Math.min(found.length, expected.length); i++) {
      points++;
      if (found[i]![0] !== expected[i]![0]) differences.push(`${key}: time ${found[i]![0]}; want ${expected[i]![0]}`);
      else if (!closeEnough(expected[i]![1], found[i]![1], relative)) {
        differences.push(`${key} at ${found[i]![0]}: ${found[i]![1]}; want ${expected[i]![1]}`);
      }
    }
  }
  for (const key of b.keys()) if (!a.has(key)) differences.push(`extra ${key}`);
  return { points, differences: differences.slice(0, 5) };
}
