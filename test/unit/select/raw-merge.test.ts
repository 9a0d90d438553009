// test/unit/select/raw-merge.test.ts: streams of raw samples become one, in the order of labels, whatever each has and however it is cut.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareLabels, type Labels, labelsKey, type RawColumn } from "../../../libs/model/index.ts";
import { mergeRawStreams, type RawStream } from "../../../services/select/raw-merge.ts";

interface Series {
  readonly labels: Labels;
  readonly times: number[];
}

/** A stream of the series in order; columns and batches are cut after so many samples and columns. */
async function* streamOf(series: readonly Series[], columnSamples: number, batchColumns: number): RawStream {
  let batch: RawColumn[] = [];
  for (const { labels, times } of [...series].sort((a, b) => compareLabels(a.labels, b.labels))) {
    for (let from = 0; from < times.length; from += columnSamples) {
      const part = Float64Array.from(times.slice(from, from + columnSamples));
      batch.push({ labels, times: part, values: part.map((t) => 2 * t), present: null });
      if (batch.length < batchColumns) continue;
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

async function collect(stream: RawStream): Promise<[string, number[]][]> {
  const out: [string, number[]][] = [];
  for await (const batch of stream) {
    for (const { labels, times, values } of batch) {
      expect([...values]).toEqual([...times].map((t) => 2 * t));
      if (out.at(-1)?.[0] !== labelsKey(labels)) out.push([labelsKey(labels), []]);
      out.at(-1)![1].push(...times);
    }
  }
  return out;
}

const times = fc.uniqueArray(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 20 });
const name = fc.constantFrom("a", "b", "c", "é", "\u{1D4B3}", "￿");
const storage = fc.record({
  series: fc.uniqueArray(fc.record({ name, times }), { selector: (s) => s.name }),
  columnSamples: fc.integer({ min: 1, max: 9 }),
  batchColumns: fc.integer({ min: 1, max: 4 }),
});

describe("merged streams", () => {
  test("are the sorted union", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(storage, { minLength: 1, maxLength: 4 }), async (storages) => {
        const streams = storages.map(({ series, columnSamples, batchColumns }) => {
          const own = series.map((s) => ({
            labels: ["name", s.name],
            times: [...s.times].sort((a, b) => a - b),
          }));
          return streamOf(own, columnSamples, batchColumns);
        });
        const union = new Map<string, Set<number>>();
        for (const { series } of storages) {
          for (const s of series) {
            const known = union.get(s.name) ?? new Set();
            union.set(s.name, known);
            for (const t of s.times) known.add(t);
          }
        }
        const want = [...union]
          .sort(([a], [b]) => compareLabels(["name", a], ["name", b]))
          .map(([n, set]) => [labelsKey(["name", n]), [...set].sort((a, b) => a - b)]);
        expect(await collect(mergeRawStreams(streams))).toEqual(want);
      }),
      { seed: 5, numRuns: 300 },
    );
  });

  test("fail with the first failure", async () => {
    async function* failing(): RawStream {
      yield [{ labels: ["a", "b"], times: Float64Array.of(1), values: Float64Array.of(2), present: null }];
      throw new Error("gone");
    }
    const fine = streamOf([{ labels: ["a", "z"], times: [1] }], 1, 1);
    await expect(collect(mergeRawStreams([fine, failing()]))).rejects.toThrow("gone");
  });
});
