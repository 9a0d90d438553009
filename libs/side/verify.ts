// libs/side/verify.ts: reads all of a file of side data, so that every checksum is verified.
import { errorText, type FileSystem } from "../env/index.ts";
import type { ColumnKernel } from "../kernel/index.ts";
import { CorruptionError, decodeSeriesKey } from "../model/index.ts";
import { SideFileReader } from "./side-file.ts";

/** A place of a file that can't be read. */
export interface SideDamage {
  readonly offset: number;
  readonly message: string;
}

/** What is wrong with a file: nothing, a place for each series that is damaged, or one for all of it. Errors: InvalidError for a later version. */
export function verifySideFile(fs: FileSystem, path: string, kernel: ColumnKernel): SideDamage[] {
  const damage: SideDamage[] = [];
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      damage.push({ offset: error.offset, message: errorText(error) });
    }
  };
  attempt(() => {
    const reader = new SideFileReader(fs, path, kernel);
    try {
      for (const entry of reader.directory()) {
        attempt(() => {
          decodeSeriesKey(entry.key);
          reader.read(entry);
        });
      }
    } finally {
      reader.close();
    }
  });
  return damage;
}
