// libs/wal/repeat.ts: repeats the registrations at the head of a new segment, a block at a time.
// All at once would stall the event loop at a million series; so each of the segment's first groups carries one block. The older
// segments still hold everything meanwhile. A round that is longer than what is logged meanwhile is not begun at every segment:
// repetition never takes more than half of the WAL, and never feeds itself.
import { compressRegistrations, RegistrationBody } from "./registration.ts";

/** A block ends at either: some 150 KB as a rule, well under a millisecond to encode. */
const BLOCK_SERIES = 1000;
const BLOCK_BYTES = 256 * 1024;

/** The series that are registered, by number. */
export interface RegistrationSource {
  /** Series numbers are 0 … seriesEnd − 1. */
  readonly seriesEnd: number;
  /** Adds the entry of `series` to `body`, or nothing when the number is not in use. */
  addTo(body: RegistrationBody, series: number): void;
}

export class Repeater {
  private readonly source: RegistrationSource;
  private readonly entries = new RegistrationBody();
  private from = 0;
  private blockEnd = 0;
  private end = 0;
  /** Of the round that runs or ran last. */
  private segment = 0;
  private position = Number.NEGATIVE_INFINITY;
  private roundBytes = 0;
  private completeFrom: number;

  /** `completeFrom`: the first segment of a WAL that is new; 0 for one that was found. */
  constructor(source: RegistrationSource, completeFrom: number) {
    this.source = source;
    this.completeFrom = completeFrom;
  }

  /** Whether no round is running. */
  get done(): boolean {
    return this.from >= this.end;
  }

  /** This segment and its successors hold the registration of every series; 0 while that is not known of any. */
  get registeredFrom(): number {
    return this.completeFrom;
  }

  /** A segment has begun; `position` is the log position reached. */
  newSegment(segment: number, position: number): void {
    if (!this.done || position - this.position < this.roundBytes) return;
    this.segment = segment;
    this.position = position;
    this.roundBytes = 0;
    this.from = 0;
    this.end = this.source.seriesEnd;
  }

  /** The next block's body; the same again until `advance`. Empty when its numbers are not in use. */
  block(): Uint8Array {
    this.entries.clear();
    let series = this.from;
    const last = Math.min(this.from + BLOCK_SERIES, this.end);
    while (series < last && this.entries.sizeBytes < BLOCK_BYTES) this.source.addTo(this.entries, series++);
    this.blockEnd = series;
    return this.entries.sizeBytes === 0 ? new Uint8Array(0) : compressRegistrations(this.entries.body());
  }

  /** The block, of `sizeBytes` in the log, is in a group. */
  advance(sizeBytes: number): void {
    this.from = this.blockEnd;
    this.roundBytes += sizeBytes;
  }

  /** A group is durable. */
  committed(): void {
    if (this.done && this.segment > 0) this.completeFrom = this.segment;
  }
}
