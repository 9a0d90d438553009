// libs/tsdb/quarantine.ts: blocks, and files of side data, that are not served: found damaged when they were opened, read or merged; or missing.
// A damaged block leaves the sources at once, and answers say what they lack, by its times. Then it is put aside durably: its file gets a
// name in DIR/quarantine, and the registry forgets it (cutter.ts, putAside). Nothing there is ever read or removed: who has repaired a block or
// has no use for it moves the file. What its name says is what a start knows of it.
import { isBlockFile, LEVELS, type Level } from "../block/index.ts";
import { errorCode, errorText, type FileSystem } from "../env/index.ts";
import { CorruptionError } from "../model/index.ts";
import { isSideFile } from "../side/index.ts";
import { type Loss, lossOf, noteLoss, quarantineFolder } from "./quarantine-folder.ts";

/** A block or a file of side data that is not served, and the times (minMs, maxMs] of what is in it. */
export interface MissingBlock {
  readonly file: string;
  readonly minMs: number;
  readonly maxMs: number;
  readonly sizeBytes: number;
}

/** By level: up to when its samples, or rows, are past their retention. */
export type PastTimes = Readonly<Record<Level, number>>;

const levelOf = ({ file }: MissingBlock): Level => LEVELS.find((level) => file.startsWith(`${level}-`)) ?? "raw";

const TIMES = /^(?:[^-]+-)?\d+-(-?\d+)-(-?\d+)-[0-9a-f]{8}\./;

export class Quarantine {
  private readonly byFile = new Map<string, MissingBlock>();
  /** Names in the folder at the start. */
  private readonly aside = new Set<string>();
  private readonly onProblem: (problem: string) => void;
  /** Takes the block of a path out of the sources, and returns what the registry says of it; undefined when it is in none. */
  private takeOut: (path: string) => MissingBlock | undefined = () => undefined;
  private found = 0;
  private readonly losses: Loss[] = [];
  private readonly fs: FileSystem;
  private readonly dataDir: string;

  /** Looks which blocks were put aside before. */
  constructor(fs: FileSystem, dataDir: string, onProblem: (problem: string) => void) {
    this.onProblem = onProblem;
    this.fs = fs;
    this.dataDir = dataDir;
    const folder = quarantineFolder(dataDir);
    if (fs.stat(folder) === undefined) return;
    for (const file of fs.list(folder)) {
      const loss = lossOf(file);
      if (loss !== undefined) this.losses.push(loss);
      const times = isBlockFile(file) || isSideFile(file) ? TIMES.exec(file) : null;
      if (times === null) continue;
      this.aside.add(file);
      const sizeBytes = fs.stat(`${folder}/${file}`)?.sizeBytes ?? 0;
      this.byFile.set(file, { file, minMs: Number(times[1]), maxMs: Number(times[2]), sizeBytes });
    }
  }

  /** Who takes blocks out of service. */
  attach(takeOut: (path: string) => MissingBlock | undefined): void {
    this.takeOut = takeOut;
  }

  /** All blocks that are not served. */
  get missing(): readonly MissingBlock[] {
    return [...this.byFile.values()];
  }

  /** Blocks found damaged since the start. */
  get foundCount(): number {
    return this.found;
  }

  /** Whether a block was in quarantine at the start: also when the registry, after a crash, still names it. */
  wasAside(file: string): boolean {
    return this.aside.has(file);
  }

  /** Notes a block that is not served, and says so once. */
  add({ file, minMs, maxMs, sizeBytes }: MissingBlock, reason: string): void {
    if (this.byFile.has(file)) return;
    this.byFile.set(file, { file, minMs, maxMs, sizeBytes });
    this.found++;
    const what = isSideFile(file) ? "file of histograms" : "block";
    this.onProblem(`damaged ${what}, not served any more: ${file}: ${reason}`);
  }

  /** Notes for good that the WAL may have lost samples; `lines` say where it is damaged. A disk that refuses is told of. */
  addLoss(loss: Loss, lines: readonly string[]): void {
    try {
      if (noteLoss(this.fs, this.dataDir, loss, lines)) this.losses.push(loss);
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      this.losses.push(loss);
      this.onProblem(`cannot note what the WAL has lost: got ${errorText(error)}; want room for a small file`);
    }
  }

  /** Takes the block that an error names out of service. Returns whether there was one: the work can be done again without it. */
  report(error: unknown): boolean {
    if (!(error instanceof CorruptionError)) return false;
    const entry = this.takeOut(error.path);
    if (entry === undefined) return false;
    this.add(entry, errorText(error));
    return true;
  }

  /**
   * What a result over [lowMs, highMs] lacks, as warnings. Samples up to what `pastMs` says of their level would not be served anyway; of
   * coarser levels what the samples of raw blocks do not answer for is missed.
   */
  warnings(lowMs: number, highMs: number, pastMs: PastTimes): string[] {
    if (this.byFile.size === 0 && this.losses.length === 0) return [];
    const affects = ({ minMs, maxMs }: Loss): boolean => minMs < highMs && maxMs >= lowMs && maxMs > pastMs.raw;
    const fileAffects = (missing: MissingBlock): boolean => {
      const level = levelOf(missing);
      if (level === "raw") return affects(missing);
      const { minMs, maxMs } = missing;
      const alone = { minMs, maxMs: Math.min(maxMs, pastMs.raw) };
      return alone.minMs < alone.maxMs && alone.minMs < highMs && alone.maxMs >= lowMs && maxMs > pastMs[level];
    };
    const files = [...this.byFile.values()].filter(fileAffects);
    const blocks = files.filter(({ file }) => !isSideFile(file));
    const side = files.filter(({ file }) => isSideFile(file));
    const lost = this.losses.filter(affects);
    const what = blocks.length === 1 ? "a damaged block was" : `${blocks.length} damaged blocks were`;
    const beside = side.length === 1 ? "a damaged file was" : `${side.length} damaged files were`;
    return [
      ...gap(blocks, `${what} taken out of service`),
      ...gap(side, `${beside} taken out of service`, "histograms, exemplars"),
      ...gap(lost, "the write-ahead log was damaged"),
    ];
  }
}

/** One warning, or none where nothing is missing. */
function gap(parts: readonly Loss[], what: string, lacking = "samples"): string[] {
  if (parts.length === 0) return [];
  const from = parts.reduce((least, { minMs }) => Math.min(least, minMs + 1), Number.POSITIVE_INFINITY);
  const to = parts.reduce((most, { maxMs }) => Math.max(most, maxMs), Number.NEGATIVE_INFINITY);
  return [`incomplete: ${what}; ${lacking} from ${iso(from)} to ${iso(to)} may be missing`];
}

function iso(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${ms} ms`;
}
