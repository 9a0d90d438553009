// test/crash/sim-piece-store.ts: the persistent index on the simulated disk, as level keeps it: a log of batches, each under a checksum and
// synced, that is read when it is opened. So a crash can hit it at any call; and the folder as a whole can be lost, be an older one, or know
// blocks that there are none of, as after a backup was put back.
import { crc32 } from "node:zlib";
import type { FileSystem, OpenFile } from "../../libs/env/index.ts";
import { MemoryPieceStore, type PieceStore, type PieceValue } from "../../libs/index/index.ts";

const HEAD_BYTES = 8;

type Batch = readonly [puts: readonly (readonly [string, string])[], removed: readonly string[]];

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));

export class SimPieceStore implements PieceStore {
  private readonly pieces = new MemoryPieceStore();
  private readonly file: OpenFile;
  private endBytes = 0;

  private constructor(file: OpenFile) {
    this.file = file;
  }

  /** Opens the index in a folder, or makes it. */
  static async open(fs: FileSystem, folder: string): Promise<SimPieceStore> {
    if (fs.stat(folder) === undefined) fs.makeDirectory(folder);
    const path = `${folder}/log`;
    const isNew = fs.stat(path) === undefined;
    const store = new SimPieceStore(fs.open(path, isNew ? "create" : "update"));
    if (isNew) fs.fsyncDir(folder, "index-name");
    else await store.read();
    return store;
  }

  /** What is whole; a torn batch at the end was never acknowledged. */
  private async read(): Promise<void> {
    const bytes = new Uint8Array(this.file.sizeBytes());
    this.file.read(bytes, 0);
    const view = new DataView(bytes.buffer);
    for (;;) {
      const bodyAt = this.endBytes + HEAD_BYTES;
      if (bodyAt > bytes.length) return;
      const body = bytes.subarray(bodyAt, bodyAt + view.getUint32(this.endBytes, true));
      if (body.length === 0 || crc32(body) !== view.getUint32(this.endBytes + 4, true)) return;
      const [puts, removed] = JSON.parse(new TextDecoder().decode(body)) as Batch;
      const values = puts.map(([key, value]) => ({ key: bytesOf(key), value: bytesOf(value) }));
      await this.pieces.write(values, removed.map(bytesOf));
      this.endBytes = bodyAt + body.length;
    }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.pieces.get(key);
  }

  async write(puts: readonly PieceValue[], removedPrefixes: readonly Uint8Array[] = []): Promise<void> {
    const batch: Batch = [puts.map(({ key, value }) => [hex(key), hex(value)]), removedPrefixes.map(hex)];
    const body = new TextEncoder().encode(JSON.stringify(batch));
    const bytes = new Uint8Array(HEAD_BYTES + body.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, body.length, true);
    view.setUint32(4, crc32(body), true);
    bytes.set(body, HEAD_BYTES);
    this.file.write(bytes, this.endBytes);
    this.file.fdatasync("index-batch");
    this.endBytes += bytes.length;
    await this.pieces.write(puts, removedPrefixes);
  }

  firstKey(from: Uint8Array): Promise<Uint8Array | undefined> {
    return this.pieces.firstKey(from);
  }

  async close(): Promise<void> {
    this.file.close();
  }
}
