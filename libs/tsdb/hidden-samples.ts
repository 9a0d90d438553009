// libs/tsdb/hidden-samples.ts: what deletions hide of one head. A deletion marks the samples that are there when it is executed, and none
// that come later: those of chunks by a range of times that ends at the last one it found, because a series' chunks only take newer ones;
// those of the late store by taking them out of it, into the mark, from where undoing puts them back.
// A head is cut in two parts: what is visible, and what undoing may still want, in *layers* in which no series has a time twice.
import { mergeColumns, planTimes, TimeRanges, takeSpans } from "../block/index.ts";

export interface HiddenColumn {
  readonly times: Float64Array;
  readonly values: Float64Array;
}

/** What one deletion hides of one series. */
interface Mark {
  readonly deletion: string;
  readonly minMs: number;
  readonly maxMs: number;
  /** Time of the last sample of the chunks in the range; -Infinity when they had none. */
  readonly lastMs: number;
  /** Taken out of the late store. */
  late: HiddenColumn;
}

const NOTHING: HiddenColumn = { times: new Float64Array(0), values: new Float64Array(0) };

export class HiddenSamples {
  /** By series: the deletions that hide something of it, in the order in which they were executed. */
  private readonly marks = new Map<number, Mark[]>();
  private readonly ranges = new Map<number, TimeRanges>();

  get isEmpty(): boolean {
    return this.marks.size === 0;
  }

  /** Series of which something is hidden, ascending. */
  get series(): number[] {
    return [...this.marks.keys()].sort((a, b) => a - b);
  }

  /** Whether a deletion hides anything here. */
  has(deletion: string): boolean {
    for (const marks of this.marks.values()) if (marks.some((mark) => mark.deletion === deletion)) return true;
    return false;
  }

  /** The series of which a deletion hides something. */
  seriesOf(deletion: string): number[] {
    const isHit = ([, marks]: readonly [number, readonly Mark[]]): boolean =>
      marks.some((mark) => mark.deletion === deletion);
    return [...this.marks].filter(isHit).map(([series]) => series);
  }

  /** Notes a deletion of what a series has in the range: chunks up to `lastMs`, and what was taken out of the late store. */
  add(series: number, mark: Omit<Mark, "late">, late: HiddenColumn): void {
    const marks = this.marks.get(series) ?? [];
    marks.push({ ...mark, late });
    this.replace(series, marks);
  }

  /** Whether samples that were taken out before lie in the range: a later deletion hides them, too. */
  hasTaken(series: number, minMs: number, maxMs: number): boolean {
    const marks = this.marks.get(series) ?? [];
    return marks.some(({ late }) => late.times.some((time) => time >= minMs && time <= maxMs));
  }

  /**
   * Ends a deletion. `giveBack` is called with what goes back to the late store. Samples that a later deletion found as well, when they were
   * hidden already, stay hidden by that one.
   */
  remove(deletion: string, giveBack: (series: number, column: HiddenColumn) => void): void {
    for (const [series, marks] of [...this.marks]) {
      const at = marks.findIndex((mark) => mark.deletion === deletion);
      if (at < 0) continue;
      const left = marks.filter((_, i) => i !== at);
      let rest = marks[at]!.late;
      for (const mark of left.slice(at)) {
        const spans = TimeRanges.of([[mark.minMs, mark.maxMs]]).spansOutside(rest.times);
        const inverse = inverseOf(spans, rest.times.length);
        mark.late = mergedColumn([mark.late, partOf(rest, inverse)]);
        rest = partOf(rest, spans);
      }
      this.replace(series, left);
      if (rest.times.length > 0) giveBack(series, rest);
    }
  }

  /** The times that are hidden of a series' chunks; undefined when nothing is. */
  ofChunks(series: number): TimeRanges | undefined {
    return this.ranges.get(series);
  }

  private replace(series: number, marks: Mark[]): void {
    if (marks.length === 0) {
      this.marks.delete(series);
      this.ranges.delete(series);
      return;
    }
    this.marks.set(series, marks);
    const ranges = marks.map(({ minMs, maxMs, lastMs }) => [minMs, Math.min(maxMs, lastMs)] as const);
    this.ranges.set(series, TimeRanges.of(ranges));
  }

  /** The times of all that was taken out of the late store, column by column. */
  lateTimes(): Float64Array[] {
    return [...this.marks.values()].flatMap((marks) => marks.map(({ late }) => late.times));
  }

  /** How many layers a series has. */
  layersOf(series: number): number {
    return this.marks.get(series)?.length ?? 0;
  }

  /**
   * The hidden samples of a series in a layer, without those that may go for good: layer 0 has those of its chunks, which are given, and what
   * its first deletion took out of the late store; layer n what its n-th did.
   */
  layer(series: number, layer: number, chunks: () => HiddenColumn, isDue: (deletion: string) => boolean): HiddenColumn {
    const marks = this.marks.get(series) ?? [];
    const mark = marks[layer];
    if (mark === undefined) return NOTHING;
    const late = isDue(mark.deletion) ? NOTHING : mark.late;
    if (layer > 0) return late;
    const all = chunks();
    const inRange = inverseOf(this.ranges.get(series)!.spansOutside(all.times), all.times.length);
    const hidden = partOf(all, inRange);
    const due = marks.filter(({ deletion }) => isDue(deletion));
    const gone = TimeRanges.of(due.map(({ minMs, maxMs, lastMs }) => [minMs, Math.min(maxMs, lastMs)] as const));
    return mergedColumn([partOf(hidden, gone.spansOutside(hidden.times)), late]);
  }

  /**
   * What must be said of a layer's samples of a series, so that each deletion hides there what it hid here. Only where there are several must
   * the range end where the samples did that the deletion found.
   */
  tombstonesOf(series: number, layer: number): { deletion: string; minMs: number; maxMs: number }[] {
    const marks = this.marks.get(series) ?? [];
    const isExact = layer > 0 || marks.length === 1;
    const lateMs = marks[0]?.late.times.at(-1) ?? Number.NEGATIVE_INFINITY;
    return marks
      .slice(layer)
      .map(({ deletion, minMs, maxMs, lastMs }) => {
        return { deletion, minMs, maxMs: isExact ? maxMs : Math.min(maxMs, Math.max(lastMs, lateMs)) };
      })
      .filter((tombstone) => tombstone.minMs <= tombstone.maxMs);
  }
}

/** The spans between these, over `length` places. */
function inverseOf(spans: readonly number[], length: number): number[] {
  const out: number[] = [];
  let from = 0;
  for (let i = 0; i < spans.length; i += 2) {
    if (spans[i]! > from) out.push(from, spans[i]!);
    from = spans[i + 1]!;
  }
  if (from < length) out.push(from, length);
  return out;
}

function partOf({ times, values }: HiddenColumn, spans: readonly number[]): HiddenColumn {
  return { times: takeSpans(times, spans), values: takeSpans(values, spans) };
}

function mergedColumn(columns: readonly HiddenColumn[]): HiddenColumn {
  const some = columns.filter(({ times }) => times.length > 0);
  const plan = planTimes(some.map(({ times }) => times));
  return {
    times: plan.times,
    values: mergeColumns(
      some.map(({ values }) => values),
      plan,
    ),
  };
}
