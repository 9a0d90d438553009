// libs/tsdb/side-data.ts: all side data of a storage: stores in memory, and files.
import type { SidePart, SideSeries, SideStore } from "../side/index.ts";
import { SideWindows } from "./side-windows.ts";
import type { StoredSide } from "./stored-side.ts";

/** Something that holds side data of series. */
export interface SideSource {
  /** Whether any series may have something of a sort in [lowMs, highMs]. */
  overlaps(part: SidePart, lowMs: number, highMs: number): boolean;
  /** It as a reader sees it from now on. */
  capture(): SideView;
}

/** A source as it was when a reader began: it stays open until `release`, and a deletion that is executed meanwhile is not seen. */
export interface SideView {
  /** Of files: finds out which series there are, before the others are asked. */
  load?(): void;
  /** The series that may have something of a sort in [lowMs, highMs], by their numbers. */
  seriesWith(part: SidePart, lowMs: number, highMs: number): Iterable<number>;
  /** What a query of [lowMs, highMs] needs of a series, as relevantSide says. */
  read(series: number, lowMs: number, highMs: number): SideSeries;
  release(): void;
}

export class SideData {
  readonly windows: SideWindows;
  /** What may wait in memory for files. */
  readonly bytesMax: number;
  /** The live files. */
  files: readonly StoredSide[] = [];
  /** Files that are live no more, and that queries may still read. */
  private leaving: readonly StoredSide[] = [];

  constructor(fromMs: number, bytesMax: number) {
    this.windows = new SideWindows(fromMs);
    this.bytesMax = bytesMax;
  }

  get isFull(): boolean {
    return this.windows.sizeBytes >= this.bytesMax;
  }

  /** Whether anything in memory knows a series by its number: another series that got the number would be given its side data. */
  knows(series: number): boolean {
    if (this.windows.knows(series) || this.files.some((file) => file.knows(series))) return true;
    this.leaving = this.leaving.filter((file) => file.isInUse);
    return this.leaving.some((file) => file.knows(series));
  }

  /** Notes that files are live no more. */
  leave(files: readonly StoredSide[]): void {
    this.leaving = [...this.leaving, ...files];
  }

  /** Whether a deletion hides anything here. */
  hides(deletion: string): boolean {
    const inFiles = this.files.some(({ tombstones }) => tombstones.some((one) => one.deletion === deletion));
    return inFiles || this.windows.hides(deletion);
  }

  report(): { readonly memoryBytes: number; readonly files: number; readonly sizeBytes: number } {
    const sizeBytes = this.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    return { memoryBytes: this.windows.sizeBytes, files: this.files.length, sizeBytes };
  }

  /** Whether it is time to make room, before the window ends. */
  get isCrowded(): boolean {
    return this.windows.sizeBytes >= this.bytesMax / 2;
  }

  /** Everything there is, as it is now. */
  get sources(): readonly SideSource[] {
    return [...this.windows.stores, ...this.files];
  }

  /** From now on files hold what frozen stores held. */
  adopt(files: readonly StoredSide[], frozen: readonly SideStore[]): void {
    this.files = [...this.files, ...files];
    this.windows.release(frozen);
  }
}
