// libs/tsdb/index-folder.ts: where a storage's persistent index lies: in level, in a folder of the data directory. A start never fails because of it.
import { errorText, type FileSystem } from "../env/index.ts";
import { LevelPieceStore, MemoryPieceStore, type PieceStore } from "../index/index.ts";
import { PieceIndex } from "./piece-index.ts";

const INDEX_FOLDER = "index";

export interface IndexFolderOptions {
  readonly fs: FileSystem;
  readonly dataDir: string;
  /** worker: on the real file system; inline: in memory, unless a store is given. */
  readonly walMode: "worker" | "inline";
  readonly pieceStore?: PieceStore;
}

/** Opens the index. One that can't be had on disk is made in memory. */
export async function openIndex(
  { fs, dataDir, walMode, pieceStore }: IndexFolderOptions,
  onProblem: (problem: string) => void,
): Promise<PieceIndex> {
  if (pieceStore !== undefined || walMode === "inline") {
    return new PieceIndex(pieceStore ?? new MemoryPieceStore(), onProblem);
  }
  const folder = `${dataDir}/${INDEX_FOLDER}`;
  try {
    const { store, problem } = await LevelPieceStore.open(folder);
    if (problem !== undefined) onProblem(`cannot open ${folder}: got ${problem}; want the index, which is made again`);
    return new PieceIndex(store, onProblem, () => sizeOf(fs, folder));
  } catch (error) {
    onProblem(`cannot make ${folder}: got ${errorText(error)}; want the index on disk; it is made in memory`);
    return new PieceIndex(new MemoryPieceStore(), onProblem);
  }
}

function sizeOf(fs: FileSystem, folder: string): number {
  return fs.list(folder).reduce((sum, name) => sum + (fs.stat(`${folder}/${name}`)?.sizeBytes ?? 0), 0);
}
