// libs/block/registry-file.ts: the bytes of the registry of live blocks. FORMAT.md, "Registry".
// One JSON object, an entry a line. Its last line is the checksum of all bytes before that line, so any changed bit is seen.
import { crc32 } from "node:zlib";
import { errorText } from "../env/index.ts";
import { CorruptionError, type Deletion, InvalidError } from "../model/index.ts";
import { type BlockEntry, fileNameOf } from "./block-entry.ts";
import { LEVELS } from "./footer.ts";
import { decodePlaces, type Tombstone } from "./tombstone.ts";

const FORMAT = "tidemark block registry";
/** Written for what needs it, 1 for all else: a release that knows no deletions must not open a directory that has some. */
const DELETIONS_VERSION = 2;
/** With tombstones of side files: a release that knows none would show what they hide. */
export const REGISTRY_VERSION = 3;
const CHECKSUM_LINE = /^ {2}"checksum": "([0-9a-f]{8})"\n\}\n$/;
const CHECKSUM_LINE_BYTES = '  "checksum": "00000000"\n}\n'.length;

/** The directory that a registry belongs to. */
export interface RegistryIdentity {
  /** 16 bytes. */
  readonly directoryId: Uint8Array;
  /** 16 bytes. */
  readonly hashSeed: Uint8Array;
  readonly shardCount: number;
}

/** What the blocks make up for: every sample with a time up to `maxMs` in WAL segments below `segment` is in them. */
export interface WalCoverage {
  readonly maxMs: number;
  readonly segment: number;
}

/** A deletion whose tombstones blocks have. */
export type DeletionEntry = Deletion;

/** The deletions that blocks know. */
export interface RegistryDeletions {
  /** The number of the last deletion, or undoing of one, that the tombstones say; 0 before the first. */
  readonly last: number;
  /** Those that hide samples, and perhaps some that do no more. */
  readonly open: readonly DeletionEntry[];
}

export const NO_DELETIONS: RegistryDeletions = Object.freeze({ last: 0, open: Object.freeze([]) });

/** What deletions hide of a file of side data (libs/side), whose series it has so many of. */
export interface SideTombstones {
  readonly file: string;
  readonly series: number;
  readonly tombstones: readonly Tombstone[];
}

export interface RegistryState {
  readonly covered: WalCoverage;
  /** The first segment of the WAL that is kept. */
  readonly walFrom: number;
  readonly deletions: RegistryDeletions;
  /** Samples up to here were dropped, in all shards, because there was no room for them; -Infinity when none were. */
  readonly cutoffMs: number;
  /** Of files of side data; those that are not there any more mean nothing. */
  readonly side: readonly SideTombstones[];
  readonly blocks: readonly BlockEntry[];
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Lines of entries, which never change: a registry of many blocks is mostly the one before. */
const lines = new WeakMap<BlockEntry, string>();

function lineOf(entry: BlockEntry): string {
  let line = lines.get(entry);
  if (line === undefined) {
    const { file, id, shard, level, minMs, maxMs, series, samples, sizeBytes, tombstones } = entry;
    const hidden = tombstones === undefined ? {} : { tombstones: tombstones.map(tombstoneRow) };
    line = `    ${JSON.stringify({ file, id, shard, level, minMs, maxMs, series, samples, sizeBytes, ...hidden })}`;
    lines.set(entry, line);
  }
  return line;
}

const tombstoneRow = ({ deletion, minMs, maxMs, places }: Tombstone): Tombstone => ({
  ...{ deletion, minMs, maxMs, places },
});

const deletionRow = ({ id, tenant, selectors, minMs, maxMs, madeMs, series }: DeletionEntry): DeletionEntry => ({
  ...{ id, tenant, selectors, minMs, maxMs, madeMs, series },
});

/** Entries that are whole, for so many shards; likewise. */
const wholeEntries = new WeakMap<BlockEntry, number>();

export function encodeRegistry(state: RegistryState, identity: RegistryIdentity): Uint8Array {
  const { covered, walFrom, deletions, cutoffMs, side, blocks } = state;
  const hasCutoff = cutoffMs > Number.NEGATIVE_INFINITY;
  const isPlain = deletions.last === 0 && !hasCutoff;
  const beside = side.map(({ file, series, tombstones }) => ({
    file,
    series,
    tombstones: tombstones.map(tombstoneRow),
  }));
  const fields = {
    format: FORMAT,
    version: isPlain ? 1 : beside.length === 0 ? DELETIONS_VERSION : REGISTRY_VERSION,
    directoryId: hex(identity.directoryId),
    hashSeed: hex(identity.hashSeed),
    shardCount: identity.shardCount,
    covered: { maxMs: covered.maxMs, segment: covered.segment },
    walFrom,
    ...(isPlain ? {} : { deletions: { last: deletions.last, open: deletions.open.map(deletionRow) } }),
    ...(hasCutoff ? { cutoffMs } : {}),
    ...(beside.length === 0 ? {} : { side: beside }),
  };
  const head = Object.entries(fields).map(([name, value]) => `  "${name}": ${JSON.stringify(value)},\n`);
  const list = blocks.length === 0 ? "[]" : `[\n${blocks.map(lineOf).join(",\n")}\n  ]`;
  const body = Buffer.from(`{\n${head.join("")}  "blocks": ${list},\n`);
  const checksum = crc32(body).toString(16).padStart(8, "0");
  return Buffer.concat([body, Buffer.from(`  "checksum": "${checksum}"\n}\n`)]);
}

function damaged(path: string, got: string, offset = 0): CorruptionError {
  return new CorruptionError(
    `cannot open ${path}: got ${got}; want the list of live blocks as it was written: restore the blocks folder from a backup, ` +
      "and leave its files as they are until then",
    path,
    offset,
  );
}

/** Errors: CorruptionError for anything but what encodeRegistry wrote; InvalidError for a later version, or another directory's. */
export function decodeRegistry(path: string, bytes: Uint8Array, identity: RegistryIdentity): RegistryState {
  const end = bytes.length - CHECKSUM_LINE_BYTES;
  if (end < 0) throw damaged(path, `${bytes.length} bytes`);
  const tail = Buffer.from(bytes.subarray(end)).toString("latin1");
  const written = CHECKSUM_LINE.exec(tail)?.[1];
  if (written === undefined) throw damaged(path, "no checksum at the end", end);
  const checksum = crc32(bytes.subarray(0, end)).toString(16).padStart(8, "0");
  if (checksum !== written)
    throw damaged(path, `checksum ${checksum} where ${written} is noted: a damaged or edited file`);
  const fields = parseObject(path, bytes);
  if (fields.format !== FORMAT) throw damaged(path, "another format");
  // The checksum is right: what is unknown now is not damage but a later release's.
  if (![1, DELETIONS_VERSION, REGISTRY_VERSION].includes(fields.version as number)) {
    throw new InvalidError(
      `cannot open ${path}: got version ${fields.version}; want at most ${REGISTRY_VERSION}: start the release that wrote it, or a newer one`,
    );
  }
  checkOwner(path, "directory id", fields.directoryId, hex(identity.directoryId));
  checkOwner(path, "hash seed", fields.hashSeed, hex(identity.hashSeed));
  checkOwner(path, "shard count", fields.shardCount, identity.shardCount);
  const covered = fields.covered as WalCoverage;
  const blocks = fields.blocks as BlockEntry[];
  const deletions = (fields.deletions as RegistryDeletions | undefined) ?? NO_DELETIONS;
  const cutoffMs = (fields.cutoffMs as number | undefined) ?? Number.NEGATIVE_INFINITY;
  const walFrom = fields.walFrom as number;
  const side = (fields.side as SideTombstones[] | undefined) ?? [];
  const state = { covered: Object.freeze({ ...covered }), walFrom, deletions, cutoffMs, side, blocks };
  const fault = faultOf(state, identity.shardCount);
  if (fault !== undefined) throw damaged(path, fault);
  return { ...state, blocks: Object.freeze(blocks.map((entry) => Object.freeze(entry))) };
}

function parseObject(path: string, bytes: Uint8Array): Record<string, unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  } catch (error) {
    throw damaged(path, errorText(error));
  }
}

function checkOwner(path: string, what: string, found: unknown, wanted: string | number): void {
  if (found === wanted) return;
  throw new InvalidError(
    `cannot open ${path}: got ${what} ${found}; want ${wanted}: blocks of another directory can't be put here as files`,
  );
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isTime = (value: unknown): boolean => Number.isInteger(value) && Math.abs(value as number) <= 2 ** 53;

/** What contradicts the meaning of a registry; undefined when nothing does. */
export function faultOf(state: RegistryState, shardCount: number): string | undefined {
  const { covered, walFrom, deletions, cutoffMs, side, blocks } = state;
  if (cutoffMs !== Number.NEGATIVE_INFINITY && !isTime(cutoffMs)) return `a cut-off at ${cutoffMs}`;
  if (!isTime(covered?.maxMs) || !isCount(covered.segment)) return "no coverage of the WAL";
  if (!isCount(walFrom) || walFrom > covered.segment) {
    return `a WAL that is kept from segment ${walFrom} on, with blocks in place of those below ${covered.segment}`;
  }
  if (!Array.isArray(blocks)) return "no list of blocks";
  if (!isCount(deletions?.last) || !Array.isArray(deletions.open)) return "no list of deletions";
  const known = new Set<string>();
  for (const deletion of deletions.open as readonly (DeletionEntry | null)[]) {
    if (deletion === null || !isDeletion(deletion)) return `the deletion ${JSON.stringify(deletion)}`;
    known.add(deletion.id);
  }
  if (!Array.isArray(side)) return "no list of what is hidden of side files";
  for (const entry of side as readonly (SideTombstones | null)[]) {
    const { file, series, tombstones } = entry ?? {};
    const isWhole = typeof file === "string" && isCount(series) && Array.isArray(tombstones);
    if (!isWhole || !tombstones.every((tombstone) => isTombstone(tombstone, series!, known))) {
      return `what is hidden of the side file ${JSON.stringify(entry)}`;
    }
  }
  const files = new Set<string>();
  const ids = new Set<string>();
  for (const entry of blocks as readonly (BlockEntry | null)[]) {
    if (entry === null || !isEntry(entry, shardCount)) return `the block ${JSON.stringify(entry)}`;
    const stray = entry.tombstones?.find((tombstone) => !isTombstone(tombstone, entry.series, known));
    if (stray !== undefined) return `the tombstone ${JSON.stringify(stray)} of ${entry.file}`;
    files.add(entry.file);
    ids.add(entry.id);
  }
  if (files.size < blocks.length || ids.size < blocks.length) return "a block twice";
  return undefined;
}

function isDeletion({ id, tenant, selectors, minMs, maxMs, madeMs, series }: DeletionEntry): boolean {
  return (
    /^[0-9a-f]{16}$/.test(id) &&
    typeof tenant === "string" &&
    Array.isArray(selectors) &&
    selectors.every((text) => typeof text === "string") &&
    [minMs, maxMs, madeMs].every(isTime) &&
    isCount(series)
  );
}

function isTombstone({ deletion, minMs, maxMs, places }: Tombstone, series: number, known: Set<string>): boolean {
  const isNamed = known.has(deletion) && typeof places === "string";
  return isNamed && isTime(minMs) && isTime(maxMs) && decodePlaces(places, series) !== undefined;
}

function isEntry(entry: BlockEntry, shardCount: number): boolean {
  if (wholeEntries.get(entry) === shardCount) return true;
  const isWhole = hasMeaning(entry, shardCount);
  if (isWhole && Object.isFrozen(entry)) wholeEntries.set(entry, shardCount);
  return isWhole;
}

function hasMeaning(entry: BlockEntry, shardCount: number): boolean {
  const { file, id, shard, level, minMs, maxMs, series, samples, sizeBytes } = entry;
  return (
    /^[0-9a-f]{32}$/.test(id) &&
    [shard, series, samples, sizeBytes].every(isCount) &&
    shard < shardCount &&
    LEVELS.includes(level) &&
    isTime(minMs) &&
    isTime(maxMs) &&
    minMs < maxMs &&
    file === fileNameOf(entry)
  );
}
