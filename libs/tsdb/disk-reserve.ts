// libs/tsdb/disk-reserve.ts: room that is kept free on the disk, so that cuts, merges and deletions still work when it fills up: below
// it no writes are taken, by themselves again when there is room. Looked at now and then, and whenever much was written.
import type { DiskSpace, FileSystem } from "../env/index.ts";
import { UnavailableError } from "../model/index.ts";

/** Bytes, or a share (0 to 1) of the disk. */
export type Reserve = { readonly bytes: number } | { readonly share: number };

/** Writes come back when this much more than the reserve is free: they don't flicker. */
const RETURN_SHARE = 0.05;
/** Bytes written between two looks, at most. */
const LOOK_BYTES = 64 * 2 ** 20;
const RETRY_S = 10;

export class DiskReserve {
  private readonly fs: FileSystem;
  private readonly dataDir: string;
  private readonly reserve: Reserve;
  private space: DiskSpace = { freeBytes: Number.POSITIVE_INFINITY, sizeBytes: Number.POSITIVE_INFINITY };
  private writtenBytes = 0;
  private text: string | undefined;

  constructor(fs: FileSystem, dataDir: string, reserve: Reserve) {
    this.fs = fs;
    this.dataDir = dataDir;
    this.reserve = reserve;
    this.look();
  }

  /** Bytes that are to stay free. */
  get bytes(): number {
    if ("bytes" in this.reserve) return this.reserve.bytes;
    return this.space.sizeBytes === Number.POSITIVE_INFINITY ? 0 : this.space.sizeBytes * this.reserve.share;
  }

  /** Bytes that were free when it was last looked at. */
  get freeBytes(): number {
    return this.space.freeBytes;
  }

  /** What may be written without touching the reserve. */
  get spareBytes(): number {
    return Math.max(0, this.space.freeBytes - this.bytes);
  }

  /** Why no writes are taken, a sentence; undefined while they are. */
  get refusal(): string | undefined {
    return this.text;
  }

  /** Errors: UnavailableError while too little room is left. */
  check(): void {
    if (this.text !== undefined) throw new UnavailableError(this.text, RETRY_S);
  }

  /** Notes what was written. */
  wrote(bytes: number): void {
    this.writtenBytes += bytes;
    if (this.writtenBytes >= LOOK_BYTES) this.look();
  }

  /** Looks at the disk. One that doesn't answer is taken for what it was. */
  look(): void {
    this.writtenBytes = 0;
    try {
      this.space = this.fs.space(this.dataDir);
    } catch {
      return;
    }
    const { freeBytes } = this.space;
    const wanted = Math.ceil(this.bytes * (this.text === undefined ? 1 : 1 + RETURN_SHARE));
    this.text =
      freeBytes >= wanted
        ? undefined
        : `cannot take writes: got ${mib(freeBytes)} MiB free on the disk of ${this.dataDir}; ` +
          `want ${mib(wanted)} MiB (--disk-reserve): writes come back by themselves then, queries go on`;
  }
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
