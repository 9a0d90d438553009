// libs/tsdb/times-cache.ts: the decoded times of a head's groups, kept for the next query: times of ordinals never change, a group only
// gets more. A dashboard asks hundreds of targets for the same hours again and again; decoding and fresh memory for the times of a
// target cost more than its samples did.

/** Where times come from: a head's kernel. */
export interface TimesSource {
  groupLength(group: number): number;
  groupTimes(group: number, from: number, to: number): Float64Array;
}

interface Kept {
  /** With room for more. */
  readonly times: Float64Array;
  readonly count: number;
}

/** Room for times that come later, as a share of those that are there. */
const ROOM = 1 / 4;

/** The times of one head. What no longer fits is decoded each time. */
export class TimesCache {
  private readonly source: TimesSource;
  private readonly bytesMax: number;
  private readonly kept = new Map<number, Kept>();
  private bytes = 0;

  constructor(source: TimesSource, bytesMax: number) {
    this.source = source;
    this.bytesMax = bytesMax;
  }

  /** Bytes that are kept. */
  get sizeBytes(): number {
    return this.bytes;
  }

  /** The times of ordinals [from, to) of a group, which must be there; not to be written to. */
  read(group: number, from: number, to: number): Float64Array {
    const known = this.kept.get(group) ?? NONE;
    const { times, count } = to <= known.count ? known : this.extend(group, known);
    return to <= count ? times.subarray(from, to) : this.source.groupTimes(group, from, to);
  }

  clear(): void {
    this.kept.clear();
    this.bytes = 0;
  }

  /** Decodes what came since; `known` itself where there is no room for it. */
  private extend(group: number, known: Kept): Kept {
    const count = this.source.groupLength(group);
    let { times } = known;
    if (times.length < count) {
      const length = Math.ceil(count * (1 + ROOM));
      const more = 8 * (length - times.length);
      if (this.bytes + more > this.bytesMax) return known;
      this.bytes += more;
      times = new Float64Array(length);
      // Whoever reads the shorter array may go on.
      times.set(known.times.subarray(0, known.count));
    }
    times.set(this.source.groupTimes(group, known.count, count), known.count);
    const kept = { times, count };
    this.kept.set(group, kept);
    return kept;
  }
}

const NONE: Kept = { times: new Float64Array(0), count: 0 };
