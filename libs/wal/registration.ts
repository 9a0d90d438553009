// libs/wal/registration.ts: the body of a registrations record: which series a number stands for.
// Layout: FORMAT.md, "Registrations". After the number an entry is that of the ingest batch, so that its bytes can be taken over.
import { compressSync, uncompressSync } from "snappy";
import { InternalError } from "../model/index.ts";

const FIXED_BYTES = 36;
const ID_BYTES = 16;
/** Series numbers are dense; one beyond this is damage, not a series. */
export const SERIES_END_MAX = 2 ** 28;
/** A decompressed block is bounded before it is allocated. */
const BLOCK_BYTES_MAX = 64 * 2 ** 20;

/** Collects entries into one record body; reused from record to record. */
export class RegistrationBody {
  private bytes = new Uint8Array(4096);
  private view = new DataView(this.bytes.buffer);
  private used = 0;

  get sizeBytes(): number {
    return this.used;
  }

  /** `home` is a u64, `id` has 16 bytes, `key` is a series key (libs/kernel/FORMAT.md). */
  add(series: number, shard: number, home: bigint, id: Uint8Array, key: Uint8Array): void {
    if (id.length !== ID_BYTES)
      throw new InternalError(`cannot register a series: got a ${id.length}-byte id; want 16`);
    const at = this.used;
    this.used += FIXED_BYTES + key.length;
    if (this.used > this.bytes.length) this.grow();
    this.view.setUint32(at, series, true);
    this.view.setUint32(at + 4, shard, true);
    this.view.setBigUint64(at + 8, home, true);
    this.bytes.set(id, at + 16);
    this.view.setUint32(at + 32, key.length, true);
    this.bytes.set(key, at + FIXED_BYTES);
  }

  /** The entries so far; valid until the next `add` or `clear`. */
  body(): Uint8Array {
    return this.bytes.subarray(0, this.used);
  }

  clear(): void {
    this.used = 0;
  }

  private grow(): void {
    const longer = new Uint8Array(Math.max(this.bytes.length * 2, this.used));
    longer.set(this.bytes);
    this.bytes = longer;
    this.view = new DataView(longer.buffer);
  }
}

/** One entry of a record body; the object is reused, its bytes are valid during the call that receives it. */
export class Registration {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  series = 0;
  shard = 0;
  /** Where the u64 `home` and the 16-byte id lie in `bytes`. */
  homeAt = 0;
  idAt = 0;
  keyAt = 0;
  /** Where the entry begins and ends. */
  at = 0;
  end = 0;

  constructor(body: Uint8Array) {
    this.bytes = body;
    this.view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  }

  get home(): bigint {
    return this.view.getBigUint64(this.homeAt, true);
  }

  get id(): Uint8Array {
    return this.bytes.subarray(this.idAt, this.idAt + ID_BYTES);
  }

  get key(): Uint8Array {
    return this.bytes.subarray(this.keyAt, this.end);
  }

  /** Moves to the next entry: false at the end, "malformed" when what is left is not an entry. */
  next(): boolean | "malformed" {
    return this.moveTo(this.end);
  }

  /** Moves to the entry that begins at `at`, as `next`. */
  moveTo(at: number): boolean | "malformed" {
    const left = this.bytes.length - at;
    if (left === 0) return false;
    if (left < FIXED_BYTES) return "malformed";
    this.series = this.view.getUint32(at, true);
    this.shard = this.view.getUint32(at + 4, true);
    this.homeAt = at + 8;
    this.idAt = at + 16;
    const keyBytes = this.view.getUint32(at + 32, true);
    this.keyAt = at + FIXED_BYTES;
    if (this.series >= SERIES_END_MAX || keyBytes > left - FIXED_BYTES) return "malformed";
    this.at = at;
    this.end = this.keyAt + keyBytes;
    return true;
  }
}

/** A repeated-registrations body: snappy block format. */
export function compressRegistrations(body: Uint8Array): Uint8Array {
  return compressSync(body, { copyOutputData: true });
}

/** The entries of a repeated-registrations body, or undefined when it is not one. */
export function decompressRegistrations(body: Uint8Array): Uint8Array | undefined {
  const length = declaredLength(body);
  if (length === undefined || length > BLOCK_BYTES_MAX) return undefined;
  try {
    const plain = uncompressSync(body, { asBuffer: true, copyOutputData: true });
    return typeof plain === "string" ? undefined : plain;
  } catch {
    return undefined;
  }
}

/** The uncompressed length a snappy block begins with. */
function declaredLength(body: Uint8Array): number | undefined {
  let value = 0;
  for (let i = 0; i < Math.min(5, body.length); i++) {
    value += (body[i]! & 127) * 2 ** (7 * i);
    if (body[i]! < 128) return value;
  }
  return undefined;
}
