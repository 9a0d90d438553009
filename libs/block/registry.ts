// libs/block/registry.ts: the live blocks of a data directory, and what the WAL need not replay for them: DIR/blocks/registry.json.
// Invariants: a block is live when the registry names it, and only then; its file was durable before that, and is removed only once a
// registry without it is durable. So after a crash there is the old list or the new one, with all files of either; what no list
// names is removed at the next start. Layout: FORMAT.md, "Registry".
import { errorCode, errorText, type FileSystem, readWhole, replaceFile, replaceFileSoon } from "../env/index.ts";
import { CorruptionError, InternalError, UnavailableError } from "../model/index.ts";
import { type BlockEntry, isBlockFile, isDraftFile, withTombstones } from "./block-entry.ts";
import { classifyingFileSystem } from "./disk-errors.ts";
import { LEVELS } from "./footer.ts";
import {
  decodeRegistry,
  encodeRegistry,
  faultOf,
  NO_DELETIONS,
  type RegistryDeletions,
  type RegistryIdentity,
  type RegistryState,
  type SideTombstones,
  type WalCoverage,
} from "./registry-file.ts";
import type { Tombstone } from "./tombstone.ts";

const REGISTRY_FILE = "registry.json";

export function blocksFolder(dataDir: string): string {
  return `${dataDir}/blocks`;
}

export function blockPath(dataDir: string, file: string): string {
  return `${blocksFolder(dataDir)}/${file}`;
}

/**
 * What the registry of a directory says, which is not changed; undefined when there is none. Errors: CorruptionError, InvalidError as those
 * of BlockRegistry.open.
 */
export function readRegistry(fs: FileSystem, dataDir: string, identity: RegistryIdentity): RegistryState | undefined {
  const path = blockPath(dataDir, REGISTRY_FILE);
  const bytes = fs.stat(blocksFolder(dataDir)) === undefined ? undefined : readWhole(fs, path);
  return bytes === undefined ? undefined : decodeRegistry(path, bytes, identity);
}

export function registryPath(dataDir: string): string {
  return blockPath(dataDir, REGISTRY_FILE);
}

/** A file that should be gone and is not. It holds nothing that is missed; the next start tries again. */
export interface RegistryProblem {
  readonly path: string;
  readonly message: string;
}

/** One change. Parts that are left out stay as they are. */
export interface RegistryChange {
  /** Entries of blocks whose files are durable. */
  readonly add?: readonly BlockEntry[];
  /** Entries that are live now. */
  readonly remove?: readonly BlockEntry[];
  /** By file: what deletions hide of live blocks from now on, in the place of what was said before. */
  readonly tombstones?: ReadonlyMap<string, readonly Tombstone[]>;
  /** What deletions hide of files of side data from now on: all there is, in the place of what was said before. */
  readonly side?: readonly SideTombstones[];
  /** Its number never goes back. */
  readonly deletions?: RegistryDeletions;
  /** Never goes back. */
  readonly cutoffMs?: number;
  /** Never goes back. */
  readonly covered?: WalCoverage;
  /** Never goes back, and never beyond `covered.segment`. */
  readonly walFrom?: number;
}

/** What the start found in the folder. */
export interface RegistryFindings {
  /** There was no registry: the directory never had a block. A WAL that doesn't begin at its first segment contradicts that. */
  readonly made: boolean;
  /** Files that no entry names: drafts and blocks. Unless read-only they are gone but for those in `problems`. */
  readonly orphans: readonly string[];
  /** Names that are none of ours; they stay. */
  readonly strangers: readonly string[];
  /** Live blocks whose file is missing or has another size. */
  readonly damaged: readonly BlockEntry[];
  readonly problems: readonly RegistryProblem[];
}

const NOTHING: RegistryState = {
  covered: { maxMs: Number.MIN_SAFE_INTEGER, segment: 1 },
  walFrom: 1,
  deletions: NO_DELETIONS,
  cutoffMs: Number.NEGATIVE_INFINITY,
  side: [],
  blocks: [],
};

export class BlockRegistry {
  readonly findings: RegistryFindings;
  private readonly fs: FileSystem;
  private readonly dataDir: string;
  private readonly identity: RegistryIdentity;
  private state: RegistryState;
  private readonly live: Map<string, BlockEntry>;
  private failure: string | undefined;
  private isChanging = false;

  /**
   * Reads the registry, or makes it where there is neither a registry nor a block; then removes what no entry names. `dataDir` exists,
   * durably. Read-only, it changes nothing, now and later. Errors: CorruptionError when the registry is damaged, or missing beside blocks; InvalidError when it is a later release's or
   * another directory's; UnavailableError; InternalError when the disk refuses.
   */
  static open(fs: FileSystem, dataDir: string, identity: RegistryIdentity, readOnly = false): BlockRegistry {
    return new BlockRegistry(fs, dataDir, identity, readOnly);
  }

  private constructor(fs: FileSystem, dataDir: string, identity: RegistryIdentity, readOnly: boolean) {
    this.fs = classifyingFileSystem(fs);
    this.dataDir = dataDir;
    this.identity = identity;
    const folder = blocksFolder(dataDir);
    const bytes = this.fs.stat(folder) === undefined ? undefined : readWhole(this.fs, this.path);
    if (readOnly) {
      this.state = bytes === undefined ? NOTHING : decodeRegistry(this.path, bytes, identity);
      this.failure = `cannot change ${this.path}: got a read-only directory; want one that is verified`;
    } else if (bytes === undefined) {
      this.makeFolder(folder);
      this.state = NOTHING;
      this.write(NOTHING);
    } else {
      this.state = decodeRegistry(this.path, bytes, identity);
      // The process that renamed it into place may have died before the name was durable. Nothing goes before the list without it stays.
      this.fs.fsyncDir(folder, "block-registry-found");
    }
    this.live = new Map(this.state.blocks.map((entry) => [entry.file, entry]));
    this.findings = { made: bytes === undefined, ...this.clear(folder, readOnly) };
  }

  /** Path of the registry's file. */
  get path(): string {
    return blockPath(this.dataDir, REGISTRY_FILE);
  }

  /** The live blocks by shard, level and time; the list of now, which never changes. */
  get blocks(): readonly BlockEntry[] {
    return this.state.blocks;
  }

  get covered(): WalCoverage {
    return this.state.covered;
  }

  get walFrom(): number {
    return this.state.walFrom;
  }

  get cutoffMs(): number {
    return this.state.cutoffMs;
  }

  /** What deletions hide of files of side data. */
  get side(): readonly SideTombstones[] {
    return this.state.side;
  }

  get deletions(): RegistryDeletions {
    return this.state.deletions;
  }

  /**
   * Makes one change, one at a time: once it settles, the change is durable, and the removed blocks' files are gone but for those it returns.
   * What is said here changes then. Errors: InternalError for a change that contradicts the registry, which does nothing; UnavailableError (disk full), which
   * does nothing either; InternalError for a sync that failed: afterwards the disk may hold either list, and every further change is refused.
   */
  async replace(change: RegistryChange): Promise<RegistryProblem[]> {
    if (this.failure !== undefined) throw new InternalError(this.failure);
    if (this.isChanging) throw new InternalError(`cannot change ${this.path}: got two changes at once; want one`);
    const removed = change.remove ?? [];
    const next = this.changed(change);
    this.isChanging = true;
    try {
      await replaceFileSoon(this.fs, this.path, encodeRegistry(next, this.identity), "block-registry");
    } catch (error) {
      if (!(error instanceof UnavailableError)) {
        this.failure = `cannot change ${this.path}: got ${errorText(error)} before; want a new start`;
      }
      throw error;
    } finally {
      this.isChanging = false;
    }
    this.state = next;
    for (const entry of removed) this.live.delete(entry.file);
    for (const entry of next.blocks) this.live.set(entry.file, entry);
    return this.unlink(removed.map((entry) => entry.file));
  }

  private changed(change: RegistryChange): RegistryState {
    const { add = [], remove = [], covered = this.covered, walFrom = this.walFrom, tombstones } = change;
    const { deletions = this.deletions, cutoffMs = this.cutoffMs, side = this.side } = change;
    const contradiction = (got: string, want: string): InternalError =>
      new InternalError(`cannot change ${this.path}: got ${got}; want ${want}`);
    for (const { file } of remove) {
      if (!this.live.has(file)) throw contradiction(`${file} to be removed`, "a live block");
    }
    for (const { file, sizeBytes } of add) {
      const found = this.fs.stat(blockPath(this.dataDir, file))?.sizeBytes;
      if (found !== sizeBytes) throw contradiction(`${file} of ${found ?? "no"} bytes`, `a file of ${sizeBytes}`);
    }
    if (covered.maxMs < this.covered.maxMs || covered.segment < this.covered.segment || walFrom < this.walFrom) {
      throw contradiction("less of the WAL in blocks than before", "as much at least");
    }
    if (cutoffMs < this.cutoffMs) throw contradiction("an earlier cut-off than before", "one as late at least");
    if (deletions.last < this.deletions.last) throw contradiction("fewer deletions than before", "as many at least");
    const gone = new Set(remove.map(({ file }) => file));
    const kept = this.blocks
      .filter(({ file }) => !gone.has(file))
      .map((entry) => {
        const hidden = tombstones?.get(entry.file);
        return hidden === undefined ? entry : Object.freeze(withTombstones(entry, hidden));
      });
    const blocks = [...kept, ...add.map((entry) => Object.freeze({ ...entry }))].sort(inOrder);
    const next = {
      covered: Object.freeze({ ...covered }),
      walFrom,
      deletions,
      cutoffMs,
      side,
      blocks: Object.freeze(blocks),
    };
    const fault = faultOf(next, this.identity.shardCount);
    if (fault !== undefined) throw contradiction(fault, "each block once, as its file says");
    return next;
  }

  private write(state: RegistryState): void {
    replaceFile(this.fs, this.path, encodeRegistry(state, this.identity), "block-registry");
  }

  private makeFolder(folder: string): void {
    if (this.fs.stat(folder) === undefined) this.fs.makeDirectory(folder);
    // Who made it may have died before its name was durable.
    this.fs.fsyncDir(this.dataDir, "blocks-folder");
    // Drafts, too, are written only where there is a registry.
    const blocks = this.fs.list(folder).filter((name) => isBlockFile(name) || isDraftFile(name));
    if (blocks.length === 0) return;
    throw new CorruptionError(
      `cannot open ${this.path}: got no such file beside ${blocks.length} of blocks (${blocks[0]}); want it restored from a backup ` +
        "together with them; if they are not needed, move them elsewhere",
      this.path,
      0,
    );
  }

  /** Removes what no entry names, unless read-only, and compares the rest with the entries. */
  private clear(folder: string, readOnly: boolean): Omit<RegistryFindings, "made"> {
    const orphans: string[] = [];
    const strangers: string[] = [];
    const whole = new Set<string>();
    for (const name of this.fs.stat(folder) === undefined ? [] : this.fs.list(folder)) {
      if (name === REGISTRY_FILE) continue;
      const found = this.fs.stat(blockPath(this.dataDir, name));
      const entry = this.live.get(name);
      const ours = isBlockFile(name) || isDraftFile(name) || name === `${REGISTRY_FILE}.tmp`;
      if (entry !== undefined) {
        if (found?.kind === "file" && found.sizeBytes === entry.sizeBytes) whole.add(name);
      } else if (ours && found?.kind === "file") orphans.push(name);
      else strangers.push(name);
    }
    const damaged = this.blocks.filter(({ file }) => !whole.has(file));
    return { orphans, strangers, damaged, problems: readOnly ? [] : this.unlink(orphans) };
  }

  /** Removes files. Not synced: what comes back after a crash is removed at the next start. */
  private unlink(files: readonly string[]): RegistryProblem[] {
    const problems: RegistryProblem[] = [];
    for (const file of files) {
      const path = blockPath(this.dataDir, file);
      try {
        this.fs.unlink(path);
      } catch (error) {
        const code = errorCode((error as Error).cause);
        if (code === undefined) throw error;
        if (code !== "ENOENT") problems.push({ path, message: errorText(error) });
      }
    }
    return problems;
  }
}

function inOrder(a: BlockEntry, b: BlockEntry): number {
  const level = LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level);
  return a.shard - b.shard || level || a.minMs - b.minMs || a.maxMs - b.maxMs || (a.id < b.id ? -1 : 1);
}
