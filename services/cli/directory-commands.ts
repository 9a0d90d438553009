// services/cli/directory-commands.ts: commands that work on files: verify a data directory, describe one file, make a snapshot.
// Results go to standard output, progress to standard error. Exit status: 0 all is well, 1 damage or failure, 2 refused.

import { BLOCK_DESCRIBERS } from "../../libs/block/index.ts";
import {
  cryptoRandom,
  describerOf,
  errorCode,
  errorText,
  type FileDescriber,
  type FileSystem,
  formatPart,
  NodeFileSystem,
  nodeClock,
  nodeProcesses,
} from "../../libs/env/index.ts";
import { InvalidError, UnavailableError } from "../../libs/model/index.ts";
import { type CommandSpec, command, formatSizeBytes } from "../../libs/runtime/index.ts";
import { snapshotStopped, verifyDirectory } from "../../libs/tsdb/index.ts";
import { WAL_DESCRIBERS } from "../../libs/wal/index.ts";
import { directoryFlags, snapshotFlags } from "./flags.ts";

/** Every kind of file that there is. */
export const FILE_DESCRIBERS: readonly FileDescriber[] = [...BLOCK_DESCRIBERS, ...WAL_DESCRIBERS];

/** Between two lines of progress. */
const PROGRESS_MS = 1000;

/** `verify`, `inspect` and `snapshot`. */
export function directoryCommands(): CommandSpec[] {
  const nothing = (): void => {};
  return [
    command(
      "verify",
      "Read every byte of a stopped storage, or of a snapshot, and name what is damaged.",
      directoryFlags,
      nothing,
      ({ dataDir }) => verify(dataDir),
    ),
    command(
      "inspect",
      "Say what is in a file of a data directory: offset, length, meaning.",
      {},
      nothing,
      (_, path) => inspect(path),
      {
        placeholder: "FILE",
        help: "A WAL segment, a block, a registry or tidemark.json.",
      },
    ),
    command(
      "snapshot",
      "Copy a storage as it is now, by hard links, into its folder snapshots.",
      snapshotFlags,
      nothing,
      snapshot,
    ),
  ];
}

async function verify(dataDir: string): Promise<void> {
  const startMs = nodeClock.monotonicMs();
  let toldMs = startMs;
  const report = await verifyDirectory({
    ...{ fs: new NodeFileSystem(), clock: nodeClock, processes: nodeProcesses, dataDir },
    onProgress: (path, done, total) => {
      if (nodeClock.monotonicMs() - toldMs < PROGRESS_MS) return;
      toldMs = nodeClock.monotonicMs();
      const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
      process.stderr.write(`${percent} % (${formatSizeBytes(done)} of ${formatSizeBytes(total)}): ${path}\n`);
    },
  });
  for (const line of report.damages) process.stdout.write(`damaged: ${line}\n`);
  for (const line of report.notes) process.stdout.write(`note: ${line}\n`);
  const seconds = ((nodeClock.monotonicMs() - startMs) / 1000).toFixed(1);
  const { damages, files, bytes } = report;
  const result = damages.length === 0 ? "all is whole" : `${damages.length} damaged`;
  process.stdout.write(`${dataDir}: ${result}: ${files} files, ${formatSizeBytes(bytes)} read in ${seconds} s\n`);
  process.exitCode = damages.length === 0 ? 0 : 1;
}

/** The lines that describe a file. Errors: InvalidError for one that is not there or not ours. */
export function* inspectLines(fs: FileSystem, path: string): Generator<string> {
  if (fs.stat(path)?.kind !== "file") throw new InvalidError(`cannot inspect ${path}: got no such file; want one`);
  const describer = describerOf(FILE_DESCRIBERS, fs, path);
  if (describer === undefined) {
    const kinds = FILE_DESCRIBERS.map(({ kind }) => kind).join(", ");
    throw new InvalidError(`cannot inspect ${path}: got a file that is none of ours; want one of: ${kinds}`);
  }
  yield `${path.slice(path.lastIndexOf("/") + 1)}: ${describer.kind}, ${fs.stat(path)?.sizeBytes} bytes`;
  for (const part of describer.describe(fs, path)) yield formatPart(part);
}

async function inspect(path: string): Promise<void> {
  let damaged = false;
  for (const line of inspectLines(new NodeFileSystem(), path)) {
    damaged ||= line.includes("  DAMAGED: ");
    // A pipe that is full lets us wait.
    if (!process.stdout.write(`${line}\n`)) await new Promise((resolve) => process.stdout.once("drain", resolve));
  }
  process.exitCode = damaged ? 1 : 0;
}

async function snapshot({ dataDir, url }: { readonly dataDir: string; readonly url: string }): Promise<void> {
  if (url !== "") {
    process.stdout.write(`${await askForSnapshot(url)}\n`);
    return;
  }
  const options = {
    fs: new NodeFileSystem(),
    clock: nodeClock,
    processes: nodeProcesses,
    random: cryptoRandom,
    dataDir,
  };
  process.stdout.write(`${await snapshotStopped(options)}\n`);
}

/** Asks a running storage for a snapshot; its name. Errors: InvalidError, UnavailableError. */
async function askForSnapshot(url: string): Promise<string> {
  let answer: Response;
  try {
    answer = await fetch(new URL("/api/v1/admin/tsdb/snapshot", url), { method: "POST" });
  } catch (error) {
    const got = errorCode((error as Error).cause) ?? errorText(error);
    throw new UnavailableError(
      `cannot ask ${url} for a snapshot: got ${got}; want a storage that listens there (--url)`,
    );
  }
  const text = await answer.text();
  if (answer.status === 404) {
    throw new InvalidError(`cannot ask ${url} for a snapshot: got 404; want a storage with --enable-admin-api`);
  }
  if (!answer.ok) throw new UnavailableError(`cannot make snapshot: got ${answer.status} ${text.trim()}; want 200`);
  return (JSON.parse(text) as { data: { name: string } }).data.name;
}
