// libs/wal/repeat.ts: repeats metadata and registrations at the head of a new segment, a block at a time, so that older segments
// may go. All at once would stall the event loop at a million series; so each of the segment's first groups carries one block. The
// older segments still hold everything meanwhile.
// A round begins with a new segment, when none is running and it is earned: by as many bytes appended since the last round began as
// that one took, or by rotations, each of which earns a quarter of a round. Bytes that repetition writes itself earn nothing, so
// it never takes more than half of the WAL and the owner's rotations make it, and never feeds itself; and however little is
// logged, one of four rotations moves `registeredFrom` on. Whoever wants the older segments gone can have a round unearned.
import { RECORD, type RecordType } from "./record.ts";
import { compressRegistrations, RegistrationBody } from "./registration.ts";

/** A block ends at either: some 150 KB as a rule, well under a millisecond to encode. */
const BLOCK_SERIES = 1000;
const BLOCK_BYTES = 256 * 1024;
/** So many rotations earn a round whatever was logged. */
const ROUND_ROTATIONS = 4;

/** The series that are registered, by number. */
export interface RegistrationSource {
  /** Series numbers are 0 … seriesEnd − 1. */
  readonly seriesEnd: number;
  /** Adds the entry of `series` to `body`, or nothing when the number is not in use. */
  addTo(body: RegistrationBody, series: number): void;
}

/** The metadata that is known, by place: an entry that changes keeps its place. */
export interface MetadataSource {
  /** Places are 0 … metadataEnd − 1. */
  readonly metadataEnd: number;
  /**
   * The body of a metadata record with the entries from place `from` on as they are now, one at least, and the place after
   * the last. It fits into an empty group: some 100 KB unless a single entry is longer.
   */
  repeatMetadata(from: number): { readonly body: Uint8Array; readonly end: number };
}

export interface RepeatedBlock {
  readonly type: RecordType;
  /** Empty when its series numbers are not in use. */
  readonly body: Uint8Array;
}

export class Repeater {
  private readonly registrations: RegistrationSource;
  private readonly metadata: MetadataSource;
  private readonly entries = new RegistrationBody();
  /** What of the round is still to be written: metadata first. */
  private metadataFrom = 0;
  private metadataEnd = 0;
  private from = 0;
  private end = 0;
  private blockEnd = 0;
  /** Of the round that runs or ran last. */
  private segment = 0;
  private position = Number.NEGATIVE_INFINITY;
  private roundBytes = 0;
  /** Since that round began. */
  private rotations = 0;
  private completeFrom: number;
  private isWanted = false;

  /** `completeFrom`: the first segment that was replayed. What the sources know, they know from there. */
  constructor(registrations: RegistrationSource, metadata: MetadataSource, completeFrom: number) {
    this.registrations = registrations;
    this.metadata = metadata;
    this.completeFrom = completeFrom;
  }

  /** Whether no round is running. */
  get done(): boolean {
    return this.metadataFrom >= this.metadataEnd && this.from >= this.end;
  }

  /** This segment and its successors hold the registration of every series and all metadata. */
  get registeredFrom(): number {
    return this.completeFrom;
  }

  /** The segment of the round that runs or ran last; 0 before the first. */
  get roundSegment(): number {
    return this.segment;
  }

  /** The next segment begins a round, earned or not. */
  want(): void {
    this.isWanted = true;
  }

  /** A segment has begun, because a rotation was asked for or because the one before was full; `position` is the log position reached. */
  newSegment(segment: number, position: number, rotated: boolean): void {
    if (rotated) this.rotations++;
    const earned = position - this.position + (this.rotations * this.roundBytes) / ROUND_ROTATIONS;
    if (!this.done || (earned < this.roundBytes && !this.isWanted)) return;
    this.isWanted = false;
    this.segment = segment;
    this.position = position;
    this.roundBytes = 0;
    this.rotations = 0;
    this.metadataFrom = 0;
    this.metadataEnd = this.metadata.metadataEnd;
    this.from = 0;
    this.end = this.registrations.seriesEnd;
    // There may be nothing to repeat.
    this.committed();
  }

  /** The next block as it is now: to be asked for again when it is not put into this very group. */
  block(): RepeatedBlock {
    if (this.metadataFrom < this.metadataEnd) {
      const { body, end } = this.metadata.repeatMetadata(this.metadataFrom);
      this.blockEnd = end;
      return { type: RECORD.metadata, body };
    }
    this.entries.clear();
    let series = this.from;
    const last = Math.min(this.from + BLOCK_SERIES, this.end);
    while (series < last && this.entries.sizeBytes < BLOCK_BYTES) this.registrations.addTo(this.entries, series++);
    this.blockEnd = series;
    const body = this.entries.sizeBytes === 0 ? new Uint8Array(0) : compressRegistrations(this.entries.body());
    return { type: RECORD.repeatedRegistrations, body };
  }

  /** The block, of `sizeBytes` in the log, is in a group. */
  advance(sizeBytes: number): void {
    if (this.metadataFrom < this.metadataEnd) this.metadataFrom = this.blockEnd;
    else this.from = this.blockEnd;
    this.roundBytes += sizeBytes;
  }

  /** A group is durable. */
  committed(): void {
    if (this.done && this.segment > 0) this.completeFrom = this.segment;
  }
}
