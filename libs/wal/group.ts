// libs/wal/group.ts: the records that will be written and synced together, laid out as they will lie in the segment.
// Registrations lie in the group twice, before and after its other records: one flipped bit orphans nobody's samples.
import { frameBytes, get32, HEADER_BYTES, openFrame, RECORD, type RecordType } from "./record.ts";
import { wholeSectors } from "./segment.ts";

export class Group {
  /** Which of the committer's buffers it lies in. */
  readonly index: number;
  /** Log position of its end; known once it is closed. */
  end = Number.POSITIVE_INFINITY;
  /** Settles when the group is durable, or never will be. */
  readonly durable: Promise<void>;
  /** How many wait for `durable`. */
  writers = 0;
  /** Newest time of its samples. */
  newestMs = Number.NEGATIVE_INFINITY;
  resolve!: () => void;
  reject!: (error: Error) => void;
  private readonly bytes: Uint8Array;
  private readonly registrationsAt: number[] = [];
  private used = 0;
  private recordCount = 0;
  /** Bytes that the second copies will take. */
  private copyBytes = 0;

  constructor(index: number, bytes: Uint8Array) {
    this.index = index;
    this.bytes = bytes;
    this.durable = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // A group that nobody waits for may fail without bringing the process down: `Wal.failed` reports it.
    this.durable.catch(() => undefined);
  }

  get sizeBytes(): number {
    return this.used;
  }

  get records(): number {
    return this.recordCount;
  }

  /** Whether frames of `bytes` in all still fit. */
  hasRoom(bytes: number): boolean {
    return wholeSectors(this.used + this.copyBytes + bytes) <= this.bytes.length;
  }

  /** Adds a record; there must be room, for registrations twice. */
  add(type: RecordType, parts: readonly Uint8Array[], bodyBytes: number): void {
    const at = this.used;
    openFrame(this.bytes, at, type, bodyBytes);
    let to = at + HEADER_BYTES;
    for (const part of parts) {
      this.bytes.set(part, to);
      to += part.length;
    }
    this.used += frameBytes(bodyBytes);
    this.recordCount++;
    if (type !== RECORD.registrations) return;
    this.registrationsAt.push(at);
    this.copyBytes += frameBytes(bodyBytes);
  }

  /** Adds the second copies; `end` is the log position the group reaches. */
  close(end: number): void {
    this.end = end;
    for (const at of this.registrationsAt) {
      const frame = frameBytes(get32(this.bytes, at + 4));
      this.bytes.copyWithin(this.used, at, at + frame);
      this.used += frame;
    }
    this.copyBytes = 0;
  }
}
