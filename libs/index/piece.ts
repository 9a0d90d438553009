// libs/index/piece.ts: a piece of the persistent index: which series of one tenant in one block carry a label pair. Written once, never changed.
// FORMAT.md, "Pieces". Pairs are sorted by name and value and cut into chunks of some kilobytes, front-coded and packed together: a level
// entry for each pair would cost more in keys than in postings, because most pairs belong to one series.
import { compareUtf8 } from "../model/index.ts";
import { createBitmap } from "./bitmap.ts";
import { PieceSink } from "./piece-bytes.ts";
import { BITMAP_FROM } from "./postings.ts";

/** A chunk is closed when it has so many bytes, before it is packed. */
export const CHUNK_BYTES = 16 << 10;
/** Only so many chunks may be one: a piece this small is its directory alone. */
const INLINE_CHUNKS = 1;

const encoder = new TextEncoder();

/** Label pairs of series, each pair with a number, each series as a list of numbers. */
export interface PairRows {
  /** Pairs of the i-th series: pairs[starts[i]] … pairs[starts[i + 1] − 1], by name. */
  readonly starts: Uint32Array;
  readonly pairs: Uint32Array;
  /** By pair number. */
  readonly names: readonly string[];
  readonly values: readonly string[];
}

class GrowingWords {
  words = new Uint32Array(4096);
  length = 0;

  push(word: number): void {
    if (this.length === this.words.length) {
      const grown = new Uint32Array(this.words.length * 2);
      grown.set(this.words);
      this.words = grown;
    }
    this.words[this.length++] = word;
  }
}

/** Collects a tenant's series of a block, in the order of their places, and makes the piece. */
export class PieceBuilder {
  private readonly numbers = new Map<string, Map<string, number>>();
  private readonly names: string[] = [];
  private readonly values: string[] = [];
  /** What series carry which pair, as it comes. */
  private readonly pairs = new GrowingWords();
  private readonly places = new GrowingWords();

  /** Adds the series [from, to) of the rows; the first of them has this place, greater than all before. */
  add(rows: PairRows, from: number, to: number, place: number): void {
    const own = new Int32Array(rows.names.length).fill(-1);
    for (let i = from; i < to; i++) {
      for (let k = rows.starts[i]!; k < rows.starts[i + 1]!; k++) {
        const pair = rows.pairs[k]!;
        if (own[pair]! < 0) own[pair] = this.numberOf(rows.names[pair]!, rows.values[pair]!);
        this.pairs.push(own[pair]!);
        this.places.push(place + i - from);
      }
    }
  }

  private numberOf(name: string, value: string): number {
    let values = this.numbers.get(name);
    if (values === undefined) {
      values = new Map();
      this.numbers.set(name, values);
    }
    let number = values.get(value);
    if (number === undefined) {
      number = this.names.length;
      this.names.push(name);
      this.values.push(value);
      values.set(value, number);
    }
    return number;
  }

  /** The piece: its directory, then its chunks. */
  finish(): Uint8Array[] {
    const { starts, places } = this.byPair();
    const names = [...this.numbers.keys()].sort(compareUtf8);
    const writer = new ChunkWriter();
    const directory = new PieceSink();
    directory.uvarint(names.length);
    for (const [n, name] of names.entries()) {
      const values = this.numbers.get(name)!;
      directory.blob(encoder.encode(name));
      directory.uvarint(values.size);
      for (const [value, pair] of [...values].sort((a, b) => compareUtf8(a[0], b[0]))) {
        writer.add(n, value, places.subarray(starts[pair]!, starts[pair + 1]!));
      }
    }
    const { chunks, firsts } = writer.finish();
    directory.uvarint(chunks.length);
    for (const { name, value } of firsts) {
      directory.uvarint(name);
      directory.blob(encoder.encode(value));
    }
    if (chunks.length > INLINE_CHUNKS) return [directory.taken(), ...chunks];
    for (const chunk of chunks) directory.raw(chunk);
    return [directory.taken()];
  }

  /** Postings of all pairs, one after another: a counting sort keeps the places ascending. */
  private byPair(): { starts: Uint32Array; places: Uint32Array } {
    const starts = new Uint32Array(this.names.length + 1);
    const { words, length } = this.pairs;
    for (let i = 0; i < length; i++) starts[words[i]! + 1]!++;
    for (let p = 0; p < this.names.length; p++) starts[p + 1]! += starts[p]!;
    const next = starts.slice();
    const places = new Uint32Array(length);
    for (let i = 0; i < length; i++) places[next[words[i]!]!++] = this.places.words[i]!;
    return { starts, places };
  }
}

/** Writes entries in order; a section for each name in a chunk. */
class ChunkWriter {
  private readonly chunks: Uint8Array[] = [];
  private readonly firsts: { name: number; value: string }[] = [];
  private chunk = new PieceSink();
  private section = new PieceSink();
  private name = -1;
  private entries = 0;
  private before: Uint8Array = new Uint8Array(0);

  add(name: number, value: string, places: Uint32Array): void {
    if (this.chunk.length + this.section.length >= CHUNK_BYTES) this.closeChunk();
    else if (name !== this.name) this.closeSection();
    if (this.chunk.length + this.section.length === 0) this.firsts.push({ name, value });
    this.name = name;
    const text = encoder.encode(value);
    let shared = 0;
    while (shared < this.before.length && shared < text.length && this.before[shared] === text[shared]) shared++;
    this.section.uvarint(shared);
    this.section.blob(text.subarray(shared));
    this.before = text;
    this.entries++;
    this.section.uvarint(places.length);
    if (places.length < BITMAP_FROM) {
      let last = -1;
      for (const place of places) {
        this.section.uvarint(place - last - 1);
        last = place;
      }
      return;
    }
    const bitmap = createBitmap(places);
    bitmap.runOptimize();
    this.section.blob(bitmap.serialize("portable"));
    bitmap.dispose();
  }

  finish(): { chunks: readonly Uint8Array[]; firsts: readonly { name: number; value: string }[] } {
    this.closeChunk();
    return { chunks: this.chunks, firsts: this.firsts };
  }

  private closeSection(): void {
    if (this.entries === 0) return;
    this.chunk.uvarint(this.name);
    this.chunk.uvarint(this.entries);
    this.chunk.blob(this.section.taken());
    this.section = new PieceSink();
    this.entries = 0;
    this.before = new Uint8Array(0);
  }

  private closeChunk(): void {
    this.closeSection();
    if (this.chunk.length === 0) return;
    this.chunks.push(this.chunk.taken());
    this.chunk = new PieceSink();
  }
}
