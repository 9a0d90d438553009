// libs/index/piece-store.ts: where pieces lie: bytes by keys, in level or, for simulations, in memory.
// It is a cache: what is missing or damaged is made again from the blocks. Every value is checked when it is read.

export interface PieceValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Errors of all methods: those of the store; what was asked for is not done then. */
export interface PieceStore {
  /** At most some microseconds unless the disk has to be asked. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** Removes all keys with these prefixes, then puts the values; all of it or nothing, durably. */
  write(puts: readonly PieceValue[], removedPrefixes?: readonly Uint8Array[]): Promise<void>;
  /** The first key at or after one; undefined when there is none. */
  firstKey(from: Uint8Array): Promise<Uint8Array | undefined>;
  /** Makes a store that refuses to write, because the disk once did, write again. Left out: it does so by itself. */
  recover?(): Promise<void>;
  close(): Promise<void>;
}

const nameOf = (key: Uint8Array): string => Buffer.from(key).toString("hex");

/** Pieces in memory. */
export class MemoryPieceStore implements PieceStore {
  /** By hex digits of their keys. */
  readonly values = new Map<string, Uint8Array>();

  get(key: Uint8Array): Uint8Array | undefined {
    return this.values.get(nameOf(key));
  }

  async write(puts: readonly PieceValue[], removedPrefixes: readonly Uint8Array[] = []): Promise<void> {
    const prefixes = removedPrefixes.map(nameOf);
    for (const name of this.values.keys()) {
      if (prefixes.some((prefix) => name.startsWith(prefix))) this.values.delete(name);
    }
    for (const { key, value } of puts) this.put(key, value);
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.values.set(nameOf(key), value);
  }

  async firstKey(from: Uint8Array): Promise<Uint8Array | undefined> {
    const low = nameOf(from);
    let first: string | undefined;
    for (const name of this.values.keys()) if (name >= low && (first === undefined || name < first)) first = name;
    return first === undefined ? undefined : Uint8Array.from(Buffer.from(first, "hex"));
  }

  async close(): Promise<void> {}
}
