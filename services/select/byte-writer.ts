// services/select/byte-writer.ts: a growing list of byte chunks that text is written into.
// Label strings and points pass through here. A chunk that is handed out is never written again, because a socket
// may still be sending it.
import { goJson, labelJson } from "./json-text.ts";

/** Chunks are at least this large once they are handed out, except the last. */
export const CHUNK_BYTES = 64 * 1024;
/** Most answers are small: they should not cost the memory of a whole chunk. */
const FIRST_BYTES = 4 * 1024;
/** Room above CHUNK_BYTES, so that small pieces need no copy at a chunk's end. */
const SLACK_BYTES = 1024;

export class ByteWriter {
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  at = 0;

  /** Whether the chunk should be taken before more is written. */
  get isFull(): boolean {
    return this.at >= CHUNK_BYTES;
  }

  /** What was written since the last call; a new chunk begins. */
  take(): Uint8Array {
    const chunk = this.bytes.subarray(0, this.at);
    this.bytes = NOTHING;
    this.at = 0;
    return chunk;
  }

  /** Makes sure that `size` bytes fit after `at`. A chunk outgrows its usual size only by a single long string. */
  reserve(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    const usual = this.bytes.length === 0 ? CHUNK_BYTES + SLACK_BYTES : 4 * this.bytes.length;
    const capped = Math.min(usual, CHUNK_BYTES + SLACK_BYTES);
    const larger = Buffer.allocUnsafeSlow(Math.max(capped, this.at + size + SLACK_BYTES));
    larger.set(this.bytes.subarray(0, this.at));
    this.bytes = larger;
  }

  /** Whether so many bytes more still belong into this chunk. Room for them is to be reserved all the same. */
  hasRoom(size: number): boolean {
    return this.at + size <= CHUNK_BYTES + SLACK_BYTES;
  }

  /** Rendered bytes, from `from` on. */
  put(bytes: Uint8Array, from: number): void {
    const { length } = bytes;
    this.reserve(length);
    this.bytes.set(from === 0 ? bytes : bytes.subarray(from), this.at);
    this.at += length - from;
  }

  /** Text known to be ASCII. */
  ascii(text: string): void {
    const { length } = text;
    this.reserve(length);
    const { bytes, at } = this;
    for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
    this.at = at + length;
  }

  /** A name or value of a series' labels as a JSON string with its quotes. */
  label(text: string): void {
    if (!this.#plain(text, false)) this.raw(labelJson(text));
  }

  /** Any other text as a JSON string. */
  text(text: string): void {
    if (!this.#plain(text, true)) this.raw(goJson(text));
  }

  /** Writes a text without anything to escape; false for another, of which nothing is kept. */
  #plain(text: string, escapesMarkup: boolean): boolean {
    const { length } = text;
    this.reserve(length + 2);
    const { bytes, at } = this;
    bytes[at] = 34;
    for (let i = 0; i < length; i++) {
      const c = text.charCodeAt(i);
      if (c < 32 || c > 126 || c === 34 || c === 92) return false;
      if (escapesMarkup && (c === 38 || c === 60 || c === 62)) return false;
      bytes[at + 1 + i] = c;
    }
    bytes[at + 1 + length] = 34;
    this.at = at + length + 2;
    return true;
  }

  /** Text as it stands. */
  raw(text: string): void {
    this.reserve(text.length * 3);
    this.at += this.bytes.write(text, this.at, "utf8");
  }
}

const NOTHING = Buffer.alloc(0);
