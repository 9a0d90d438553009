// test/unit/select/json.test.ts: the bytes of answers, their chunks, hostile strings, and a slow twin that stringifies.
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatValue } from "../../../libs/kernel/number-format.ts";
import {
  customLayout,
  EMPTY_LABELS,
  exponentialLayout,
  type FloatHistogram,
  type Grid,
  labelsFromRecord,
  labelsToRecord,
  packHistograms,
  type StepColumn,
} from "../../../libs/model/index.ts";
import type { QueryValue } from "../../../libs/promql/index.ts";
import { CHUNK_BYTES } from "../../../services/select/byte-writer.ts";
import { renderData, renderError, renderList, renderResult } from "../../../services/select/json.ts";

const NOTHING = { warnings: [], infos: [] };

function text(chunks: Iterable<Uint8Array>): string {
  return Buffer.concat([...chunks]).toString();
}

function column(labels: Record<string, string>, values: readonly number[], present?: readonly number[]): StepColumn {
  return {
    labels: labelsFromRecord(labels),
    values: Float64Array.from(values),
    present: present === undefined ? null : Uint8Array.from(present),
  };
}

/** Buckets on both sides of zero, one of them empty; and custom bounds. */
const BOTH_SIDES: FloatHistogram = {
  layout: exponentialLayout(0, 0.25, [0, 1, 2], [0]),
  hint: 0,
  count: 6.5,
  sum: -1e21,
  zeroCount: 1,
  buckets: Float64Array.of(2, 0, 3, 0.5),
};
const CUSTOM: FloatHistogram = {
  layout: customLayout([1, 2.5], [0, 1, 2]),
  hint: 0,
  count: 6,
  sum: 9,
  zeroCount: 0,
  buckets: Float64Array.of(1, 2, 3),
};
const BOTH_SIDES_TEXT =
  '{"count":"6.5","sum":"-1e+21","buckets":[[1,"-1","-0.5","0.5"],[3,"-0.25","0.25","1"],[0,"0.5","1","2"],[0,"2","4","3"]]}';
const CUSTOM_TEXT = '{"count":"6","sum":"9","buckets":[[3,"-Inf","1","1"],[0,"1","2.5","2"],[0,"2.5","+Inf","3"]]}';
const EMPTY: FloatHistogram = { ...CUSTOM, count: 0, sum: 0, buckets: new Float64Array(3) };

const RESULTS: readonly (readonly [string, QueryValue, string])[] = [
  ["scalar", { type: "scalar", timeMs: 4000, value: 2 }, '{"resultType":"scalar","result":[4,"2"]}'],
  ["string", { type: "string", timeMs: 1500, value: 'a"b' }, '{"resultType":"string","result":[1.5,"a\\"b"]}'],
  ["empty vector", { type: "vector", timeMs: 0, columns: [] }, '{"resultType":"vector","result":[]}'],
  [
    "vector",
    { type: "vector", timeMs: 1435781451781, columns: [column({ __name__: "up", job: "a" }, [1]), column({}, [-0])] },
    '{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[1435781451.781,"1"]},{"metric":{},"value":[1435781451.781,"-0"]}]}',
  ],
  [
    "empty matrix",
    { type: "matrix", grid: { startMs: 0, stepMs: 1, count: 1 }, columns: [] },
    '{"resultType":"matrix","result":[]}',
  ],
  [
    "matrix with holes",
    {
      type: "matrix",
      grid: { startMs: 1000, stepMs: 500, count: 3 },
      columns: [column({ a: "1" }, [9, 2.5, Number.NaN], [0, 1, 1]), column({ a: "2" }, [1, 2, 3])],
    },
    '{"resultType":"matrix","result":[{"metric":{"a":"1"},"values":[[1.500,"2.5"],[2,"NaN"]]},{"metric":{"a":"2"},"values":[[1,"1"],[1.500,"2"],[2,"3"]]}]}',
  ],
  [
    "samples with times of their own",
    {
      type: "matrix",
      grid: { startMs: 0, stepMs: 0, count: 1 },
      columns: [
        { labels: EMPTY_LABELS, values: Float64Array.of(1, 2), present: null, times: Float64Array.of(5, 7000) },
      ],
    },
    '{"resultType":"matrix","result":[{"metric":{},"values":[[0.005,"1"],[7,"2"]]}]}',
  ],
  [
    "a histogram in a vector",
    {
      type: "vector",
      timeMs: 1000,
      columns: [{ ...column({ a: "1" }, [0]), histograms: packHistograms([BOTH_SIDES])! }],
    },
    `{"resultType":"vector","result":[{"metric":{"a":"1"},"histogram":[1,${BOTH_SIDES_TEXT}]}]}`,
  ],
  [
    "histograms among floats, and alone",
    {
      type: "matrix",
      grid: { startMs: 0, stepMs: 1000, count: 3 },
      columns: [
        { ...column({ a: "1" }, [0, 7, 0]), histograms: packHistograms([CUSTOM, undefined, BOTH_SIDES])! },
        { ...column({ a: "2" }, [0, 7, 0], [1, 0, 0]), histograms: packHistograms([EMPTY, undefined, CUSTOM])! },
      ],
    },
    `{"resultType":"matrix","result":[{"metric":{"a":"1"},"values":[[1,"7"]],"histograms":[[0,${CUSTOM_TEXT}],[2,${BOTH_SIDES_TEXT}]]},{"metric":{"a":"2"},"histograms":[[0,{"count":"0","sum":"0"}]]}]}`,
  ],
];

test.each(RESULTS)("%s", (_, value, data) => {
  expect(text(renderResult(value, "", NOTHING))).toBe(`{"status":"success","data":${data}}`);
});

test("stats, warnings and infos stand where Prometheus puts them", () => {
  const value: QueryValue = { type: "scalar", timeMs: 0, value: 1 };
  expect(text(renderResult(value, '{"a":1}', { warnings: ["w"], infos: ["i"] }))).toBe(
    '{"status":"success","data":{"resultType":"scalar","result":[0,"1"],"stats":{"a":1}},"warnings":["w"],"infos":["i"]}',
  );
});

test("more than ten warnings end in a count", () => {
  const warnings = Array.from({ length: 13 }, (_, i) => `w${i}`);
  const infos = Array.from({ length: 11 }, (_, i) => `i${i}`);
  const answer = JSON.parse(text(renderList([], { warnings, infos })));
  expect(answer.warnings).toEqual([...warnings.slice(0, 10), "3 more warning annotations omitted"]);
  expect(answer.infos).toEqual([...infos.slice(0, 10), "1 more info annotations omitted"]);
});

test("lists, data and errors", () => {
  expect(text(renderList([]))).toBe('{"status":"success","data":[]}');
  expect(text(renderList(["a", "b"]))).toBe('{"status":"success","data":["a","b"]}');
  expect(text(renderList([labelsFromRecord({ b: "2", a: "1" })]))).toBe(
    '{"status":"success","data":[{"a":"1","b":"2"}]}',
  );
  expect(Buffer.from(renderData({ a: [] })).toString()).toBe('{"status":"success","data":{"a":[]}}');
  expect(Buffer.from(renderError("bad_data", "no")).toString()).toBe(
    '{"status":"error","errorType":"bad_data","error":"no"}',
  );
});

/** Lone surrogates, which stand for bytes that are no UTF-8, become U+FFFD. */
function wellFormed(s: string): string {
  return s.replace(/[\ud800-\udfff]/gu, "\ufffd");
}

test("any label text survives", () => {
  const any = fc.array(fc.string({ unit: "binary", maxLength: 40 }), { maxLength: 20 });
  const check = (items: string[]): void => {
    expect(JSON.parse(text(renderList(items))).data).toEqual(items.map(wellFormed));
    const named = text(renderList(items.map((s) => [s, "1"])));
    expect(JSON.parse(named).data.map((one: object) => Object.keys(one)[0])).toEqual(items.map(wellFormed));
  };
  fc.assert(fc.property(any, check), { seed: 7, numRuns: 500 });
});

test("labels keep what other text has escaped", () => {
  const odd = '<&>\u2028\u2029\b\f\n\u0001\u007f\\b\\u2028"é\udcff';
  const escaped = '\\u003c\\u0026\\u003e\\u2028\\u2029\\u0008\\u000c\\n\\u0001\u007f\\\\b\\\\u2028\\"é\\ufffd';
  const label = '<&>\u2028\u2029\\u0008\\u000c\\n\\u0001\u007f\\\\b\\\\u2028\\"é\ufffd';
  expect(text(renderList([[odd, "1"]]))).toBe(`{"status":"success","data":[{"${label}":"1"}]}`);
  expect(text(renderList([odd], { warnings: [odd], infos: [] }))).toBe(
    `{"status":"success","data":["${escaped}"],"warnings":["${escaped}"]}`,
  );
  expect(Buffer.from(renderError(odd, "")).toString()).toBe(`{"status":"error","errorType":"${escaped}","error":""}`);
  expect(Buffer.from(renderData({ [odd]: 1 })).toString()).toBe(`{"status":"success","data":{"${escaped}":1}}`);
  const short = escaped.replace("u0008", "b").replace("u000c", "f");
  const answer = text(renderResult({ type: "string", timeMs: 0, value: odd }, "", NOTHING));
  expect(answer).toBe(`{"status":"success","data":{"resultType":"string","result":[0,"${short}"]}}`);
});

test("scalars never have an exponent, points do", () => {
  const shown = (value: QueryValue): string => text(renderResult(value, "", NOTHING)).slice(50);
  expect(shown({ type: "scalar", timeMs: 10, value: 1e22 })).toBe('"result":[0.01,"10000000000000000000000"]}}');
  expect(shown({ type: "scalar", timeMs: -1500, value: 1e-7 })).toBe('"result":[-1.5,"0.0000001"]}}');
  expect(shown({ type: "vector", timeMs: 10, columns: [column({}, [1e22])] })).toBe(
    '"result":[{"metric":{},"value":[0.010,"1e+22"]}]}}',
  );
});

test("a string longer than a chunk, after others", () => {
  const items = ["a", "x".repeat(3 * CHUNK_BYTES), "é".repeat(CHUNK_BYTES), "b"];
  expect(JSON.parse(text(renderList(items))).data).toEqual(items);
});

/** The slow twin of the matrix renderer: the same data as objects. */
function twinMatrix(grid: Grid, columns: readonly StepColumn[]): object[] {
  return columns.map(({ labels, values, present, times }) => {
    const points: [number, string][] = [];
    values.forEach((v, i) => {
      const timeMs = times === undefined ? grid.startMs + i * grid.stepMs : times[i]!;
      if (present?.[i] !== 0) points.push([timeMs / 1000, formatValue(v)]);
    });
    return { metric: { ...labelsToRecord(labels) }, values: points };
  });
}

test("large matrices come in chunks that together say what the twin says", () => {
  const count = 3000;
  const columns = Array.from({ length: 40 }, (_, s) => {
    const values = Array.from({ length: count }, (_, i) => (s % 3 === 0 ? i : (i * (s + 1)) / 7));
    const present = s % 2 === 0 ? undefined : values.map((_, i) => ((i * 7 + s) % 5 === 0 ? 0 : 1));
    return column({ __name__: "m", series: `${s}`, long: "l".repeat(s * 40) }, values, present);
  });
  const grid = { startMs: 1_700_000_000_123, stepMs: 15_000, count };
  const chunks = [...renderResult({ type: "matrix", grid, columns }, "", NOTHING)];
  expect(chunks.length).toBeGreaterThan(20);
  for (const chunk of chunks) expect(chunk.length).toBeLessThan(CHUNK_BYTES + 8192);
  expect(JSON.parse(text(chunks)).data.result).toEqual(twinMatrix(grid, columns));
});

test("any matrix is what the twin says", () => {
  const series = fc.record({
    labels: fc.dictionary(fc.string({ minLength: 1, maxLength: 8 }), fc.string({ minLength: 1, maxLength: 300 })),
    values: fc.array(fc.double(), { minLength: 30, maxLength: 30 }),
    present: fc.option(fc.array(fc.constantFrom(0, 1), { minLength: 30, maxLength: 30 })),
    ownTimes: fc.boolean(),
  });
  const start = fc.integer({ min: -5_000_000, max: 2 ** 50 });
  const check = (made: (typeof series extends fc.Arbitrary<infer T> ? T : never)[], startMs: number): void => {
    const grid = { startMs, stepMs: 777, count: 30 };
    const columns = made.map(({ labels, values, present, ownTimes }): StepColumn => {
      const one = column(labels, values, present ?? undefined);
      return ownTimes ? { ...one, present: null, times: Float64Array.from(values, (_, i) => startMs - i * 13) } : one;
    });
    const answer = text(renderResult({ type: "matrix", grid, columns }, "", NOTHING));
    expect(JSON.parse(answer).data.result).toEqual(twinMatrix(grid, columns));
  };
  fc.assert(fc.property(fc.array(series, { maxLength: 8 }), start, check), { seed: 11, numRuns: 300 });
});
