// test/promql/script-samples.ts: what a load command stores: floats, stale markers, histograms, start times; classic
// histograms as native ones too. Hints are those that Prometheus' storage gives back: a histogram is known not to
// follow a reset when it continues the chunk of the one before it; the first one of a chunk is unknown.
import {
  customLayout,
  type FloatHistogram,
  HINT_GAUGE,
  HINT_NOT_RESET,
  HINT_RESET,
  HINT_UNKNOWN,
  type Labels,
  labelsKey,
  labelValue,
  METRIC_NAME,
  sameNumbers,
  setLabel,
} from "../../libs/model/index.ts";
import { HistogramSequence, parseFloatGo, wasReset, withHint } from "../../libs/promql/index.ts";
import type { LoadCommand, ScriptSeries } from "./script.ts";

export interface StoredSample {
  readonly timeMs: number;
  readonly value: number;
  readonly stale: boolean;
  readonly histogram: FloatHistogram | undefined;
  /** 0: unknown. */
  readonly startMs: number;
}

export interface StoredSeries {
  readonly labels: Labels;
  readonly samples: readonly StoredSample[];
}

/** Everything that a load command stores. */
export function samplesOfLoad(command: LoadCommand): StoredSeries[] {
  const given = command.series.map((series) => samplesOf(series, command.stepMs));
  const all = command.withNhcb ? [...given, ...converted(given)] : given;
  return all.map(({ labels, samples }) => ({ labels, samples: asStored(samples) }));
}

function samplesOf({ labels, values, starts }: ScriptSeries, stepMs: number): StoredSeries {
  const sequence = new HistogramSequence();
  const samples: StoredSample[] = [];
  values.forEach((value, i) => {
    if (value.kind === "omitted" || value.kind === "start") return;
    const timeMs = i * stepMs;
    const start = starts?.[i];
    samples.push({
      timeMs,
      value: value.kind === "float" ? value.value : 0,
      stale: value.kind === "stale",
      histogram: value.kind === "histogram" ? sequence.at(value) : undefined,
      startMs: start?.kind === "start" ? timeMs + start.offsetMs : 0,
    });
  });
  return { labels, samples };
}

/** Samples with the hints that Prometheus' storage gives back. */
export function asStored(samples: readonly StoredSample[]): StoredSample[] {
  let previous: FloatHistogram | undefined;
  return samples.map((sample) => {
    const { histogram } = sample;
    if (histogram === undefined) {
      previous = undefined;
      return sample;
    }
    const continues = previous !== undefined && continuesChunk(histogram, previous);
    previous = histogram;
    const hint = histogram.hint === HINT_GAUGE ? HINT_GAUGE : continues ? HINT_NOT_RESET : HINT_UNKNOWN;
    return { ...sample, histogram: withHint(histogram, hint) };
  });
}

function continuesChunk(histogram: FloatHistogram, previous: FloatHistogram): boolean {
  if (histogram.hint === HINT_RESET || histogram.hint === HINT_GAUGE || previous.hint === HINT_GAUGE) return false;
  const a = histogram.layout;
  const b = previous.layout;
  const alike = a.schema === b.schema && a.zeroThreshold === b.zeroThreshold && sameNumbers(a.bounds, b.bounds);
  return alike && !wasReset(withHint(histogram, HINT_UNKNOWN), previous);
}

/** A classic histogram at one time. */
interface Classic {
  readonly counts: Map<number, number>;
  count: number | undefined;
  sum: number;
}

/** Native histograms with custom bounds out of series whose names end in _bucket, _count and _sum. */
function converted(given: readonly StoredSeries[]): StoredSeries[] {
  const found = new Map<string, { labels: Labels; byTime: Map<number, Classic> }>();
  for (const { labels, samples } of given) {
    const parts = /^(.*)_(bucket|count|sum)$/.exec(labelValue(labels, METRIC_NAME));
    if (parts === null) continue;
    const bound = parseFloatGo(labelValue(labels, "le"));
    if (parts[2] === "bucket" && (bound === undefined || Number.isNaN(bound))) continue;
    const base = setLabel(setLabel(labels, "le", ""), METRIC_NAME, parts[1]!);
    const entry = found.get(labelsKey(base)) ?? { labels: base, byTime: new Map<number, Classic>() };
    found.set(labelsKey(base), entry);
    for (const { timeMs, value, histogram } of samples) {
      if (histogram !== undefined) continue;
      const classic = entry.byTime.get(timeMs) ?? { counts: new Map<number, number>(), count: undefined, sum: 0 };
      entry.byTime.set(timeMs, classic);
      if (parts[2] === "bucket") classic.counts.set(bound!, classic.counts.get(bound!) ?? value);
      else if (parts[2] === "count") classic.count = value;
      else classic.sum = value;
    }
  }
  return [...found.values()].map(({ labels, byTime }) => ({
    labels,
    samples: [...byTime]
      .sort(([a], [b]) => a - b)
      .map(([timeMs, classic]) => ({
        timeMs,
        value: 0,
        stale: false,
        histogram: nativeOf(classic),
        startMs: 0,
      })),
  }));
}

function nativeOf({ counts, count, sum }: Classic): FloatHistogram {
  const bounds = [...counts.keys()].sort((a, b) => a - b);
  const total = count ?? (bounds.length > 0 ? counts.get(bounds.at(-1)!)! : 0);
  if (bounds.at(-1) !== Infinity) bounds.push(Infinity);
  const cumulative = bounds.map((bound) => counts.get(bound) ?? total);
  const own = cumulative.map((value, i) => value - (i === 0 ? 0 : cumulative[i - 1]!));
  if (own.some((value) => value < 0) || cumulative.at(-1) !== total) {
    throw new Error(
      `cannot convert classic histogram: got counts ${cumulative.join(" ")} of ${total}; want them to rise`,
    );
  }
  const populated = own.flatMap((value, i) => (value === 0 ? [] : [i]));
  return {
    layout: customLayout(bounds.slice(0, -1), populated),
    hint: HINT_UNKNOWN,
    count: total,
    sum,
    zeroCount: 0,
    buckets: Float64Array.from(populated, (i) => own[i]!),
  };
}
