// libs/tsdb/side-windows.ts: the stores of side data, by time, beside the heads of samples (windows.ts): the current one takes what is
// newer than the last boundary, others what is older. They are frozen and cut with the heads, at the same boundaries of the WAL.
// A store needs no preparation and no copy of the catalogue: where there is no side data, there is none of this either.
import {
  type HiddenRange,
  mergeSide,
  NO_SIDE,
  type NumberedSide,
  partOfSide,
  type SideSeries,
  SideStore,
} from "../side/index.ts";

/** What became of side data that was put. */
export interface SideAppend {
  /** What must be logged. */
  readonly stored: readonly NumberedSide[];
  readonly duplicates: number;
  readonly outvoted: number;
}

export class SideWindows {
  private current = new SideStore();
  private boundaryMs: number;
  /** What takes what is not newer than the boundary, oldest first; the last one does. */
  private older: SideStore[] = [];
  private frozen: readonly SideStore[] = [];

  /** @param fromMs what is newer goes to the current store */
  constructor(fromMs: number) {
    this.boundaryMs = fromMs;
  }

  /** All stores with data. */
  get stores(): readonly SideStore[] {
    return [...this.frozen, ...this.older, this.current].filter((store) => !store.isEmpty);
  }

  /** Whether any store has something of a series. */
  knows(series: number): boolean {
    const has = (store: SideStore): boolean => store.has(series);
    return has(this.current) || this.older.some(has) || this.frozen.some(has);
  }

  /** Hides what there is of a series in a range. Returns whether there was anything, hidden by another deletion or not. */
  hide(series: number, range: HiddenRange): boolean {
    return this.stores.map((store) => store.hide(series, range)).includes(true);
  }

  /** Shows again what a deletion has hidden, but for what others hide as well. */
  unhide(deletion: string): void {
    for (const store of this.stores) store.unhide(deletion);
  }

  /** Whether a deletion hides anything here. */
  hides(deletion: string): boolean {
    return this.stores.some(({ hidden }) => hidden.hides(deletion));
  }

  /** Whether freeze would give anything. */
  get hasOlder(): boolean {
    return this.older.some((store) => !store.isEmpty);
  }

  get sizeBytes(): number {
    return this.stores.reduce((sum, store) => sum + store.sizeBytes, 0);
  }

  /** Puts side data, each part into the store of its time. */
  append(parts: readonly NumberedSide[]): SideAppend {
    const stored: NumberedSide[] = [];
    let duplicates = 0;
    let outvoted = 0;
    for (const { series, side } of parts) {
      const news: SideSeries[] = [];
      const [older, newer] = splitAt(side, this.boundaryMs);
      for (const [part, store] of [
        [older, () => this.olderStore()],
        [newer, () => this.current],
      ] as const) {
        if (part === NO_SIDE) continue;
        const put = store().put(series, part);
        duplicates += put.duplicates;
        outvoted += put.outvoted;
        news.push(put.stored);
      }
      const whole = mergeSide(news);
      if (whole !== NO_SIDE) stored.push({ series, side: whole });
    }
    return { stored, duplicates, outvoted };
  }

  /** Puts what the WAL holds; what is not newer than the boundary may be in files already. */
  replay(parts: readonly NumberedSide[], olderIsInFiles: boolean): void {
    for (const { series, side } of parts) {
      const [older, newer] = splitAt(side, this.boundaryMs);
      if (newer !== NO_SIDE) this.current.put(series, newer);
      if (older !== NO_SIDE && !olderIsInFiles) this.olderStore().put(series, older);
    }
  }

  private olderStore(): SideStore {
    const last = this.older.at(-1);
    if (last !== undefined) return last;
    const store = new SideStore();
    this.older.push(store);
    return store;
  }

  /** Ends the current window at `toMs`. */
  endWindow(toMs: number): void {
    if (!this.current.isEmpty) this.older.push(this.current);
    this.current = new SideStore();
    this.boundaryMs = toMs;
  }

  /** What is older than the current window takes nothing any more; it is read until `release`. */
  freeze(): readonly SideStore[] {
    const frozen = this.older.filter((store) => !store.isEmpty);
    this.older = [];
    this.frozen = [...this.frozen, ...frozen];
    return frozen;
  }

  /** Freezes all there is; the window goes on with an empty store. */
  freezeAll(): readonly SideStore[] {
    if (!this.current.isEmpty) this.older.push(this.current);
    this.current = new SideStore();
    return this.freeze();
  }

  /** Frozen stores that could not be written: the next cut takes them along. */
  thaw(frozen: readonly SideStore[]): void {
    this.release(frozen);
    this.older = [...frozen, ...this.older];
  }

  /** Forgets frozen stores whose data is in files. */
  release(frozen: readonly SideStore[]): void {
    this.frozen = this.frozen.filter((store) => !frozen.includes(store));
  }
}

/** The parts of side data up to a time, and after it. NO_SIDE where there is nothing. */
function splitAt(side: SideSeries, timeMs: number): readonly [SideSeries, SideSeries] {
  const part = (keeps: (timeMs: number) => boolean): SideSeries => mergeSide([partOfSide(side, keeps)]);
  return [part((time) => time <= timeMs), part((time) => time > timeMs)];
}
