// libs/env/file-description.ts: what is in a file, for people: its parts in order, each with its offset, length and meaning.
// Codecs describe their own files, each beside its code; who has all describers (services/cli) finds the one for a file. A description
// goes on behind damage as far as the format allows, and names it.
import type { FileSystem } from "./fs.ts";

export interface FilePart {
  readonly offset: number;
  readonly sizeBytes: number;
  readonly text: string;
  /** What is wrong with it; undefined when its checksum is right. */
  readonly damage?: string;
  /** Inside of the part before; 0 when left out. */
  readonly depth?: number;
}

/** One kind of file. */
export interface FileDescriber {
  /** Such as "WAL segment". */
  readonly kind: string;
  /** Whether a file of this name that begins with these bytes (256 at most) is of the kind, damaged ones by either included. */
  recognises(name: string, head: Uint8Array): boolean;
  /** The parts, in order. Damage is no error. Errors: InvalidError for a later release's file; those of the file system. */
  describe(fs: FileSystem, path: string): Iterable<FilePart>;
}

export const HEAD_BYTES = 256;

/** The describer of a file: the first that recognises it. */
export function describerOf(
  describers: readonly FileDescriber[],
  fs: FileSystem,
  path: string,
): FileDescriber | undefined {
  const file = fs.open(path, "read");
  try {
    const head = new Uint8Array(HEAD_BYTES);
    const bytes = head.subarray(0, file.read(head, 0));
    const name = path.slice(path.lastIndexOf("/") + 1);
    return describers.find((describer) => describer.recognises(name, bytes));
  } finally {
    file.close();
  }
}

/** A part as a line: offset, length, meaning, damage. */
export function formatPart({ offset, sizeBytes, text, damage, depth = 0 }: FilePart): string {
  const place = `${String(offset).padStart(10)} ${String(sizeBytes).padStart(9)}  `;
  return `${place}${"  ".repeat(depth)}${text}${damage === undefined ? "" : `  DAMAGED: ${damage}`}`;
}

/** The lines of a text file as parts; `damage` is the last line's. */
export function* describeLines(bytes: Uint8Array, damage: string | undefined): Generator<FilePart> {
  let at = 0;
  while (at < bytes.length) {
    const newline = bytes.indexOf(10, at);
    const end = newline < 0 ? bytes.length : newline + 1;
    const text = new TextDecoder().decode(bytes.subarray(at, newline < 0 ? end : newline));
    const isLast = end === bytes.length;
    yield { offset: at, sizeBytes: end - at, text, ...(isLast && damage !== undefined ? { damage } : {}) };
    at = end;
  }
  if (bytes.length === 0) yield { offset: 0, sizeBytes: 0, text: "empty", damage: damage ?? "no bytes" };
}
