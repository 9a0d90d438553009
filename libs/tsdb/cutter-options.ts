// libs/tsdb/cutter-options.ts: what a cutter works with.
import type { BlockBuilder, BlockEntry, BlockRegistry } from "../block/index.ts";
import type { FileSystem, Random } from "../env/index.ts";
import type { SideFiles } from "./side-files.ts";
import type { DbState } from "./state.ts";
import type { StoredBlock } from "./stored-block.ts";

export interface CutterOptions {
  readonly state: DbState;
  readonly fs: FileSystem;
  readonly dataDir: string;
  readonly registry: BlockRegistry;
  readonly builder: BlockBuilder;
  readonly random: Random;
  /** Whether the storage is empty. */
  readonly isNew: boolean;
  /** Length of a window; windows end at its multiples. */
  readonly windowMs: number;
  /** How long after its end a window still takes samples. */
  readonly lateWindowMs: number;
  /** Opens a block that is live. Errors: CorruptionError. */
  readonly openBlock: (entry: BlockEntry) => StoredBlock;
  /** The live blocks by file name; the cutter keeps it. */
  readonly stored: Map<string, StoredBlock>;
  readonly sideFiles: SideFiles;
  /** What all blocks may take together. */
  readonly retentionBytes: number;
  /** What an operator wants to read in the log. */
  readonly onNotice: (notice: string) => void;
  /** What could not be done now and is tried again. */
  readonly onProblem: (problem: string) => void;
  /** Nothing may be built on this directory any more: the process must stop. */
  readonly onFailure: (error: Error) => void;
}
