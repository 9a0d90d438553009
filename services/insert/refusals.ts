// services/insert/refusals.ts: what of a request is not stored, why, and how the client is told: exact counts, a few examples.
import type { RejectionReason } from "../../libs/model/index.ts";
import type { LabelFault } from "./canonical.ts";

/** Every reason for which a part of a well-formed request is refused; also the label of the metric. */
export type RefusalReason =
  | LabelFault
  | RejectionReason
  | "refs" // 2.0: label references to no symbol, or an odd number of them
  | "no-data" // 2.0: neither samples nor histograms
  | "time" // beyond ±2^53 ms
  | "exemplar" // its labels
  | "native-histogram" // its fields contradict each other
  | "metadata";

/** What a refused thing is called, one and many. */
const KINDS = {
  sample: ["sample", "samples"],
  series: ["series without data", "series without data"],
  exemplar: ["exemplar", "exemplars"],
  histogram: ["native histogram", "native histograms"],
  metadata: ["metadata entry", "metadata entries"],
} as const;

export type RefusedKind = keyof typeof KINDS;

const EXAMPLES_MAX = 10;

/** Collects the refusals of one request. */
export class Refusals {
  /** How many things of each kind are refused. */
  readonly counts: { [kind in RefusedKind]: number } = {
    sample: 0,
    series: 0,
    exemplar: 0,
    histogram: 0,
    metadata: 0,
  };
  readonly byReason = new Map<RefusalReason, number>();
  private readonly examples: string[] = [];
  private unshown = 0;

  get isEmpty(): boolean {
    return this.byReason.size === 0;
  }

  /** Whether another example would be shown; making its text can be saved otherwise. */
  get wantsExample(): boolean {
    return this.examples.length < EXAMPLES_MAX;
  }

  /** Counts `count` things of a kind. `example` is one sentence without a full stop; only the first few are kept. */
  add(kind: RefusedKind, count: number, reason: RefusalReason, example: string): void {
    this.counts[kind] += count;
    this.byReason.set(reason, (this.byReason.get(reason) ?? 0) + count);
    if (this.wantsExample) this.examples.push(`${amount(count, kind)}: ${example}`);
    else this.unshown++;
  }

  /** The body of the 400: a line of counts, then a line per example. */
  text(stored: StoredCounts): string {
    const parts: string[] = [];
    for (const kind of Object.keys(KINDS) as RefusedKind[]) {
      if (this.counts[kind] > 0) parts.push(amount(this.counts[kind], kind));
    }
    const lines = [
      `cannot store ${parts.join(", ")}: got what is listed below; want it corrected or left out; ${storedText(stored)} stored`,
      ...this.examples,
    ];
    if (this.unshown > 0) lines.push(`and ${this.unshown} more like these`);
    return lines.join("\n");
  }
}

/** What of a request is stored. */
export interface StoredCounts {
  readonly samples: number;
  readonly histograms: number;
  readonly exemplars: number;
}

function storedText({ samples, histograms, exemplars }: StoredCounts): string {
  const parts = [amount(samples, "sample")];
  if (histograms > 0) parts.push(amount(histograms, "histogram"));
  if (exemplars > 0) parts.push(amount(exemplars, "exemplar"));
  return parts.join(", ");
}

function amount(count: number, kind: RefusedKind): string {
  return `${count} ${KINDS[kind][count === 1 ? 0 : 1]}`;
}
