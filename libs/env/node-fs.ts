// libs/env/node-fs.ts: the real file system, by node:fs' synchronous calls.
// To be used where blocking is meant: in a worker, or while a process starts. Buffers may lie in shared memory.
import fs from "node:fs";
import { promisify } from "node:util";
import type { DiskSpace, FileStat, FileSystem, OpenFile, OpenMode } from "./fs.ts";

const FLAGS: Readonly<Record<OpenMode, string>> = { read: "r", update: "r+", create: "wx+" };

const datasync = promisify(fs.fdatasync);
const sync = promisify(fs.fsync);

class NodeFile implements OpenFile {
  readonly path: string;
  private readonly descriptor: number;

  constructor(path: string, mode: OpenMode) {
    this.path = path;
    this.descriptor = fs.openSync(path, FLAGS[mode], 0o640);
  }

  read(into: Uint8Array, offset: number): number {
    let done = 0;
    while (done < into.length) {
      const count = fs.readSync(this.descriptor, into, done, into.length - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  write(bytes: Uint8Array, offset: number): void {
    // A short write is not an error of the call: the next call says why (no space, most often).
    let done = 0;
    while (done < bytes.length) {
      done += fs.writeSync(this.descriptor, bytes, done, bytes.length - done, offset + done);
    }
  }

  truncate(sizeBytes: number): void {
    fs.ftruncateSync(this.descriptor, sizeBytes);
  }

  sizeBytes(): number {
    return fs.fstatSync(this.descriptor).size;
  }

  fdatasync(_site: string): void {
    fs.fdatasyncSync(this.descriptor);
  }

  fdatasyncSoon(_site: string): Promise<void> {
    return datasync(this.descriptor);
  }

  close(): void {
    fs.closeSync(this.descriptor);
  }
}

export class NodeFileSystem implements FileSystem {
  open(path: string, mode: OpenMode): OpenFile {
    return new NodeFile(path, mode);
  }

  stat(path: string): FileStat | undefined {
    const found = fs.statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return undefined;
    const kind = found.isFile() ? "file" : found.isDirectory() ? "directory" : "other";
    return { kind, sizeBytes: found.size, modifiedMs: found.mtimeMs };
  }

  list(folder: string): string[] {
    return fs.readdirSync(folder).sort();
  }

  makeDirectory(path: string): void {
    fs.mkdirSync(path, 0o750);
  }

  rename(from: string, to: string): void {
    fs.renameSync(from, to);
  }

  link(from: string, to: string): void {
    fs.linkSync(from, to);
  }

  unlink(path: string): void {
    fs.unlinkSync(path);
  }

  removeDirectory(path: string): void {
    fs.rmdirSync(path);
  }

  space(folder: string): DiskSpace {
    const { bavail, blocks, bsize } = fs.statfsSync(folder);
    return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
  }

  fsyncDir(folder: string, _site: string): void {
    const descriptor = fs.openSync(folder, "r");
    try {
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
  }

  async fsyncDirSoon(folder: string, _site: string): Promise<void> {
    const descriptor = fs.openSync(folder, "r");
    try {
      await sync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
  }
}
