// libs/tsdb/windows.ts: the heads that take samples, by their times. The current one takes what is newer than the last boundary; the
// previous one, until it is cut into blocks, what came late for the window before; the past one whatever is older still.
//
//   times:   … past …  ] (fromMs of previous … previous … ] (fromMs … current …
//
// Invariants: every active head knows every series, by one number, and every session's references. A frozen head takes nothing any
// more; it is read until its samples are in blocks, then its memory serves the next window: zeroed, so that a process has the memory
// of two windows and not of every window it ever had.
import type { Clock } from "../env/index.ts";
import type { HeadDictionary } from "../kernel/index.ts";
import { type Hash64, InternalError, type RejectionReason, UnavailableError } from "../model/index.ts";
import { Head, type HeadAppend, headFullError } from "./head.ts";

/** Series that a head in preparation is given between two breaths, and bytes that are zeroed. */
const SERIES_PER_BREATH = 4096;
const BYTES_PER_BREATH = 4 << 20;
/** Emptied heads kept for the next windows. */
const EMPTY_MAX = 2;

export interface WindowsOptions {
  readonly clock: Clock;
  /** Memory of each head. */
  readonly memoryBytes: number;
  /** Whether an emptied head of that much touched memory is worth keeping; left out: yes. */
  readonly keepsIdle?: (bytes: number) => boolean;
  /** Series numbers are 0 … seriesEnd() − 1. */
  readonly seriesEnd: () => number;
  readonly homeOf: (series: number) => Hash64;
  /** Samples up to here are in blocks: the current head takes newer ones. */
  readonly fromMs: number;
  /** The heads have changed. */
  readonly onChange: () => void;
}

/** A head that takes no samples any more, with the times it was meant for: (fromMs, toMs]. */
export interface FrozenHead {
  readonly head: Head;
  readonly fromMs: number;
  readonly toMs: number;
}

export class Windows {
  private readonly options: WindowsOptions;
  private active: Head;
  private boundaryMs: number;
  private previous: { readonly head: Head; readonly fromMs: number } | undefined;
  private past: Head | undefined;
  private pastSinceMs = 0;
  private frozen: readonly FrozenHead[] = [];
  private spare: Head | undefined;
  private readonly empty: Head[] = [];
  private preparing: Promise<void> | undefined;
  private readonly dictionaries = new Set<WindowsDictionary>();

  /** Errors: InvalidError for a memory that is too small or too large. */
  constructor(options: WindowsOptions) {
    this.options = options;
    this.boundaryMs = options.fromMs;
    this.active = new Head({ memoryBytes: options.memoryBytes });
  }

  /** The head that takes the newest samples. */
  get current(): Head {
    return this.active;
  }

  /** Newer samples than this go to the current head. */
  get fromMs(): number {
    return this.boundaryMs;
  }

  /** Whether the window before the current one still takes samples. */
  get hasPrevious(): boolean {
    return this.previous !== undefined;
  }

  /** Whether freeze would give anything. */
  get hasOlder(): boolean {
    return this.previous !== undefined || this.past !== undefined;
  }

  /**
   * Whether what is older is worth a cut: a whole window, or a past head that has taken samples for so long. A cut of the past makes blocks of
   * all its days, so that a backfill is not to be cut into many.
   */
  isWorthCut(pastMs: number): boolean {
    if (this.previous !== undefined) return true;
    return this.past !== undefined && this.options.clock.monotonicMs() - this.pastSinceMs >= pastMs;
  }

  /** All heads with samples, oldest first, frozen ones included. */
  get heads(): readonly Head[] {
    const older = [this.past, this.previous?.head].filter((head) => head !== undefined);
    return [...this.frozen.map((one) => one.head), ...older, this.active];
  }

  /** Heads that take samples or will next; each must know each series. */
  private get complete(): Head[] {
    const spare = this.spare?.seriesCount === this.options.seriesEnd() ? this.spare : undefined;
    return [this.active, this.previous?.head, this.past, spare].filter((head) => head !== undefined);
  }

  /** Whether every head takes another series. */
  get hasSeriesRoom(): boolean {
    return this.complete.every((head) => head.hasSeriesRoom);
  }

  /** Bytes that all heads use. */
  get usedBytes(): number {
    let bytes = this.active.usedBytes + (this.previous?.head.usedBytes ?? 0) + (this.past?.usedBytes ?? 0);
    for (const { head } of this.frozen) bytes += head.usedBytes;
    return bytes + (this.spare?.usedBytes ?? 0);
  }

  /** Gives every head the next series, of a home. Returns its number, -1 when a head takes no more. */
  addSeries(homeHigh: number, homeLow: number): number {
    const heads = this.complete;
    if (heads.some((head) => !head.hasSeriesRoom)) return -1;
    const [first, ...others] = heads.map((head) => head.addSeries(homeHigh, homeLow));
    if (others.some((number) => number !== first)) {
      throw new InternalError(`invariant broken: heads number a series ${[first, ...others].join(", ")}`);
    }
    return first!;
  }

  /**
   * Gives the number of a series that is gone, and that no head has samples of, to one of another home. Returns false when a head takes no
   * more.
   */
  reuseSeries(number: number, homeHigh: number, homeLow: number): boolean {
    const heads = [this.active, this.previous?.head, this.past, this.spare].filter((head) => head !== undefined);
    if (this.complete.some((head) => !head.hasSeriesRoom)) return false;
    return heads.every((head) => number >= head.seriesCount || head.rehome(number, homeHigh, homeLow));
  }

  /** Whether any head that takes samples, or is to be cut, has some of a series. */
  hasSamples(series: number): boolean {
    return this.heads.some((head) => head.hasSamples(series));
  }

  /** Makes all references to these series unknown, in steps of well under a millisecond. */
  *forgetSeries(series: Uint32Array): Generator<void> {
    const gone = new Uint8Array(this.options.seriesEnd());
    for (const one of series) gone[one] = 1;
    const done = new Set<HeadDictionary>();
    // Heads and sessions may come meanwhile.
    for (;;) {
      const next = this.headDictionaries().find((one) => !done.has(one));
      if (next === undefined) return;
      yield* next.forgetSeries(gone);
      done.add(next);
    }
  }

  private headDictionaries(): HeadDictionary[] {
    return [...this.dictionaries].flatMap((dictionary) => dictionary.all());
  }

  /** References of a session; undefined when there is no memory for them. */
  makeDictionary(): WindowsDictionary | undefined {
    const dictionary = new WindowsDictionary((gone) => this.dictionaries.delete(gone));
    for (const head of [this.active, this.previous?.head, this.past]) {
      if (head !== undefined && !dictionary.join(head)) {
        dictionary.drop();
        return undefined;
      }
    }
    this.dictionaries.add(dictionary);
    return dictionary;
  }

  /**
   * Appends a batch, each sample to the head of its time. Samples outside [minMs, maxMs] are counted and left out. "full" also when an
   * older head can't be had: what the others took is stored then, and in the records. Errors: InvalidError for a malformed batch;
   * nothing is stored then.
   */
  append(batch: Uint8Array, dictionary: WindowsDictionary, minMs: number, maxMs: number): HeadAppend {
    const low = Math.max(minMs, this.boundaryMs + 1);
    const done = this.active.append(batch, dictionary.of(this.active), low, maxMs);
    if (done.tooOld === 0 || low === minMs) return done;
    const parts = [done];
    let rest = done.tooOld;
    // A clock that was set back may forbid what lies below the boundary.
    let belowMs = Math.min(this.boundaryMs, maxMs);
    if (this.previous !== undefined) {
      const { head, fromMs } = this.previous;
      const part = head.append(batch, dictionary.of(head), Math.max(minMs, fromMs + 1), belowMs);
      parts.push(part);
      rest = part.tooOld;
      belowMs = Math.min(fromMs, maxMs);
    }
    if (rest > 0 && minMs <= belowMs) {
      const past = this.openPastIfPossible();
      if (past === undefined) return { ...sumOf(parts, done.future, 0), status: "full" };
      const part = past.append(batch, dictionary.of(past), minMs, belowMs);
      parts.push(part);
      rest = part.tooOld;
    }
    return sumOf(parts, maxMs <= this.boundaryMs ? parts[1]!.future : done.future, rest);
  }

  /** Looks at a batch as append would, and stores nothing. Errors: InvalidError for a malformed batch. */
  check(batch: Uint8Array, dictionary: WindowsDictionary): void {
    this.active.check(batch, dictionary.of(this.active));
  }

  /**
   * Replays a samples record: newer samples into the current head, and, unless they are in blocks already, older ones into the past one.
   * Errors: as Head.replay. Returns the newest time it saw.
   */
  replay(record: Uint8Array, olderAreInBlocks: boolean): number {
    let results = this.active.replay(record, this.boundaryMs + 1, Number.POSITIVE_INFINITY);
    if (!olderAreInBlocks && results.some((result) => result.tooOld > 0)) {
      results = [...results, ...this.openPast().replay(record, Number.NEGATIVE_INFINITY, this.boundaryMs)];
    }
    return Math.max(...results.map((result) => result.newestMs));
  }

  /** Undefined when there is no memory for it. The samples of newer heads are stored by then, and must be logged. */
  private openPastIfPossible(): Head | undefined {
    try {
      return this.openPast();
    } catch (error) {
      if (error instanceof UnavailableError) return undefined;
      throw error;
    }
  }

  private openPast(): Head {
    if (this.past === undefined) {
      this.past = this.takeHead();
      this.pastSinceMs = this.options.clock.monotonicMs();
      this.options.onChange();
    }
    return this.past;
  }

  /** Prepares the head that the next window, or the past, will need, so that taking it costs nothing. */
  prepare(): Promise<void> {
    this.preparing ??= this.fillSpare().finally(() => {
      this.preparing = undefined;
    });
    return this.preparing;
  }

  private async fillSpare(): Promise<void> {
    const { clock, seriesEnd } = this.options;
    this.spare ??= this.emptyHead();
    const spare = this.spare;
    while (this.spare === spare && spare.seriesCount < seriesEnd()) {
      const to = Math.min(seriesEnd(), spare.seriesCount + SERIES_PER_BREATH);
      if (!this.addKnown(spare, to)) {
        this.spare = undefined;
        return;
      }
      await clock.sleep(0);
    }
  }

  private emptyHead(): Head {
    return this.empty.pop() ?? new Head({ memoryBytes: this.options.memoryBytes });
  }

  /** Adds the series of the catalogue up to `to`. Returns false when they don't fit. */
  private addKnown(head: Head, to: number): boolean {
    for (let series = head.seriesCount; series < to; series++) {
      const { high, low } = this.options.homeOf(series);
      if (head.addSeries(high, low) < 0) return false;
    }
    return true;
  }

  /** A head with all series and references. Errors: UnavailableError when they don't fit. */
  private takeHead(): Head {
    const head = this.spare ?? this.emptyHead();
    this.spare = undefined;
    if (!this.addKnown(head, this.options.seriesEnd())) throw headFullError();
    if ([...this.dictionaries].every((dictionary) => dictionary.join(head))) return head;
    for (const dictionary of this.dictionaries) dictionary.leave(head);
    throw headFullError();
  }

  /**
   * Ends the current window at `toMs`. The window before must have been frozen. Errors: UnavailableError when a head for the next one
   * can't be had; nothing has changed then.
   */
  endWindow(toMs: number): void {
    if (this.previous !== undefined) throw new InternalError("invariant broken: two windows wait to be cut");
    const next = this.takeHead();
    this.previous = { head: this.active, fromMs: this.boundaryMs };
    this.active = next;
    this.boundaryMs = toMs;
    this.options.onChange();
  }

  /** Freezes what is older than the current window. The past head first. */
  freeze(): readonly FrozenHead[] {
    const frozen: FrozenHead[] = [];
    const oldestMs = this.previous?.fromMs ?? this.boundaryMs;
    if (this.past !== undefined) frozen.push({ head: this.past, fromMs: Number.NEGATIVE_INFINITY, toMs: oldestMs });
    if (this.previous !== undefined) {
      frozen.push({ head: this.previous.head, fromMs: this.previous.fromMs, toMs: this.boundaryMs });
    }
    for (const { head } of frozen) for (const dictionary of this.dictionaries) dictionary.leave(head);
    this.past = undefined;
    this.previous = undefined;
    this.frozen = [...this.frozen, ...frozen];
    this.options.onChange();
    return frozen;
  }

  /** Forgets frozen heads whose samples are in blocks: they are in `heads` no more. */
  release(frozen: readonly FrozenHead[]): void {
    this.frozen = this.frozen.filter((one) => !frozen.includes(one));
    this.options.onChange();
  }

  /** Takes the memory of a head that nobody reads any more. */
  async recycle(head: Head): Promise<void> {
    // What is let go is given back when it is collected.
    if (this.empty.length >= EMPTY_MAX || this.options.keepsIdle?.(head.usedBytes) === false) return;
    for (const [from, to] of head.dirtyRanges) {
      for (let at = from; at < to; at += BYTES_PER_BREATH) {
        head.zero(at, Math.min(to, at + BYTES_PER_BREATH));
        await this.options.clock.sleep(0);
      }
    }
    head.reset();
    this.empty.push(head);
  }
}

/** A session's references, in every head that takes samples. */
export class WindowsDictionary {
  private readonly byHead = new Map<Head, HeadDictionary>();
  private readonly onDrop: (self: WindowsDictionary) => void;

  constructor(onDrop: (self: WindowsDictionary) => void) {
    this.onDrop = onDrop;
  }

  /** Brings the references known so far to another head. Returns false when its memory is full. */
  join(head: Head): boolean {
    const own = head.makeDictionary();
    if (own === undefined) return false;
    const [known] = this.byHead.values();
    this.byHead.set(head, own);
    return known === undefined || own.copyFrom(known);
  }

  /** Leaves a head that takes no more samples; others have the same references. */
  leave(head: Head): void {
    this.byHead.delete(head);
  }

  of(head: Head): HeadDictionary {
    return this.byHead.get(head)!;
  }

  /** Returns false when a reference is 2^22 or more, or a head has no memory for it. */
  set(ref: number, series: number): boolean {
    let done = true;
    for (const dictionary of this.byHead.values()) done = dictionary.set(ref, series) && done;
    return done;
  }

  all(): HeadDictionary[] {
    return [...this.byHead.values()];
  }

  /** Marks a reference whose samples are counted as refused and dropped. */
  refuse(ref: number, reason: Extract<RejectionReason, "series-limit" | "id-collision">): boolean {
    let done = true;
    for (const dictionary of this.byHead.values()) done = dictionary.refuse(ref, reason) && done;
    return done;
  }

  drop(): void {
    for (const dictionary of this.byHead.values()) dictionary.drop();
    this.byHead.clear();
    this.onDrop(this);
  }
}

/** What became of a batch that several heads took parts of. */
function sumOf(parts: readonly HeadAppend[], future: number, tooOld: number): HeadAppend {
  const total = (count: (part: HeadAppend) => number): number => parts.reduce((sum, part) => sum + count(part), 0);
  return {
    status: parts.find((part) => part.status !== "stored")?.status ?? "stored",
    unknownRefs: parts[0]!.unknownRefs,
    stored: total((part) => part.stored),
    late: total((part) => part.late),
    duplicates: total((part) => part.duplicates),
    outvoted: total((part) => part.outvoted),
    future,
    tooOld,
    refusedLimit: total((part) => part.refusedLimit),
    refusedCollision: total((part) => part.refusedCollision),
    newestMs: Math.max(...parts.map((part) => part.newestMs)),
    records: parts.flatMap((part) => part.records),
  };
}
