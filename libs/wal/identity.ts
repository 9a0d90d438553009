// libs/wal/identity.ts: who a data directory belongs to: `tidemark.json`, written once when the directory is made.
// Layout: FORMAT.md, "Identity". Its directory id and hash seed never change: WAL checksums and series ids are made with them.
import { crc32 } from "node:zlib";
import { ensureDirectory, errorText, type FileSystem, type Random, readWhole, replaceFile } from "../env/index.ts";
import { InvalidError, type StorageIdentity } from "../model/index.ts";
import { listSegments, walFolder } from "./segment.ts";
import { suspicionOf } from "./suspect.ts";

const FORMAT = "tidemark data directory";
const VERSION = 1;

export interface DirectoryIdentity extends StorageIdentity {
  /** 16 bytes, drawn when the directory was made. */
  readonly directoryId: Uint8Array;
}

/** What a directory must be, or is to become. Parts that are left out are taken as found, or drawn. */
export interface WantedIdentity {
  readonly shardCount: number;
  readonly clusterId?: string | undefined;
  readonly nodeId?: string | undefined;
  /** 16 bytes: joining a cluster whose seed is drawn already. */
  readonly hashSeed?: Uint8Array | undefined;
}

export function identityPath(dataDir: string): string {
  return `${dataDir}/tidemark.json`;
}

/**
 * Opens the directory's identity, or makes it in an empty directory (which is made too). Afterwards the directory, its identity
 * and its WAL folder are there durably. Errors: InvalidError when the file is
 * damaged, of a newer version, missing beside a WAL, or says something else than `wanted`.
 */
export function openIdentity(
  fs: FileSystem,
  dataDir: string,
  wanted: WantedIdentity,
  random: Random,
): DirectoryIdentity {
  ensureDirectory(fs, dataDir, "data-directory");
  const path = identityPath(dataDir);
  const bytes = readWhole(fs, path);
  if (bytes === undefined) return createIdentity(fs, dataDir, wanted, random);
  const found = parse(path, bytes);
  // Nothing is built on a directory that is suspect.
  if (suspicionOf(fs, dataDir) === undefined) {
    makeWalFolder(fs, dataDir);
    // The process that renamed the file into place may have died before the name was durable.
    fs.fsyncDir(dataDir, "identity-found");
  }
  check(path, "shard count", found.shardCount, wanted.shardCount);
  check(path, "cluster id", found.clusterId, wanted.clusterId);
  check(path, "node id", found.nodeId, wanted.nodeId);
  check(path, "hash seed", hex(found.hashSeed), wanted.hashSeed === undefined ? undefined : hex(wanted.hashSeed));
  return found;
}

/** Reads an identity, and changes nothing. Errors: InvalidError when there is none, or it is damaged or of a newer version. */
export function readIdentity(fs: FileSystem, path: string): DirectoryIdentity {
  const bytes = readWhole(fs, path);
  if (bytes === undefined) throw new InvalidError(`cannot open ${path}: got no such file; want a data directory`);
  return parse(path, bytes);
}

function createIdentity(fs: FileSystem, dataDir: string, wanted: WantedIdentity, random: Random): DirectoryIdentity {
  const path = identityPath(dataDir);
  if (listSegments(fs, dataDir).segments.length > 0) {
    throw new InvalidError(
      `cannot open ${dataDir}: got segments in ${walFolder(dataDir)} but no ${path}; want it restored from a backup, ` +
        "or an empty directory",
    );
  }
  const identity: DirectoryIdentity = {
    clusterId: wanted.clusterId ?? `c-${hex(random.bytes(8))}`,
    nodeId: wanted.nodeId ?? `n-${hex(random.bytes(4))}`,
    hashSeed: wanted.hashSeed ?? random.bytes(16),
    shardCount: wanted.shardCount,
    directoryId: random.bytes(16),
  };
  // The sync of the identity's name makes this folder's durable too.
  makeWalFolder(fs, dataDir);
  replaceFile(fs, path, format(identity), "identity");
  return identity;
}

function makeWalFolder(fs: FileSystem, dataDir: string): void {
  if (fs.stat(walFolder(dataDir)) === undefined) fs.makeDirectory(walFolder(dataDir));
}

function format(identity: DirectoryIdentity): Uint8Array {
  const fields = {
    format: FORMAT,
    version: VERSION,
    clusterId: identity.clusterId,
    nodeId: identity.nodeId,
    directoryId: hex(identity.directoryId),
    hashSeed: hex(identity.hashSeed),
    shardCount: identity.shardCount,
  };
  return new TextEncoder().encode(`${JSON.stringify({ ...fields, checksum: checksumOf(fields) }, undefined, 2)}\n`);
}

function checksumOf(fields: object): string {
  return crc32(JSON.stringify(fields)).toString(16).padStart(8, "0");
}

function parse(path: string, bytes: Uint8Array): DirectoryIdentity {
  const { checksum, ...fields } = parseObject(path, bytes);
  const { format: name, version, clusterId, nodeId, directoryId, hashSeed, shardCount } = fields;
  if (typeof version === "number" && version > VERSION && name === FORMAT) {
    throw new InvalidError(`cannot open ${path}: got version ${version}; want ${VERSION}: start a newer release`);
  }
  const whole =
    name === FORMAT &&
    checksum === checksumOf(fields) &&
    typeof clusterId === "string" &&
    typeof nodeId === "string" &&
    typeof shardCount === "number" &&
    typeof directoryId === "string" &&
    typeof hashSeed === "string";
  if (!whole) {
    throw new InvalidError(`cannot open ${path}: got a damaged or edited file; want it restored from a backup`);
  }
  return { clusterId, nodeId, shardCount, directoryId: unhex(directoryId), hashSeed: unhex(hashSeed) };
}

function parseObject(path: string, bytes: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value === "object" && value !== null) return { ...value };
  } catch (error) {
    throw new InvalidError(`cannot open ${path}: got ${errorText(error)}; want it restored from a backup`);
  }
  throw new InvalidError(`cannot open ${path}: got something else than an object; want it restored from a backup`);
}

function check(path: string, what: string, found: string | number, wanted: string | number | undefined): void {
  if (wanted === undefined || found === wanted) return;
  throw new InvalidError(`cannot open ${path}: got ${what} ${found}; want ${wanted}`);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function unhex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "hex"));
}
