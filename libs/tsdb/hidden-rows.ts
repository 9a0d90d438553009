// libs/tsdb/hidden-rows.ts: what a deletion hides of rows: whole ones, or none. Where raw samples of a day are still there, rows are remade of what
// is left, and until then not used; where rows are all there is, a range of times that has some of a row's samples and not the others can't be
// deleted: it is refused, and said which could. A row tells by its first and last sample, not by its bounds, whether a range has them all.
import type { DeletionEntry, Tombstone } from "../block/index.ts";
import { encodePlaces } from "../block/index.ts";
import { InvalidError, ROW, ROW_MS, type RowLevel } from "../model/index.ts";
import { dayOfTime } from "./fresh-rows.ts";
import type { StoredBlock } from "./stored-block.ts";

/** Which ends of a range cut rows of which level, the coarsest that does. */
export interface CutRows {
  start?: RowLevel;
  end?: RowLevel;
}

/** What a deletion hides of one block of rows. */
export class HiddenRows {
  private readonly block: StoredBlock;
  private readonly alone: ReadonlySet<number>;
  private readonly minMs: number;
  private readonly maxMs: number;
  private readonly level: RowLevel;
  /** By range: the places it is hidden of. */
  private readonly ranges = new Map<string, { readonly minMs: number; readonly maxMs: number; places: number[] }>();
  /** What can't be hidden. */
  readonly cut: CutRows = {};

  /** `alone`: days of which rows are all there is. */
  constructor(
    block: StoredBlock,
    alone: ReadonlySet<number>,
    { minMs, maxMs }: Pick<DeletionEntry, "minMs" | "maxMs">,
  ) {
    this.block = block;
    this.alone = alone;
    this.minMs = minMs;
    this.maxMs = maxMs;
    this.level = block.reader.footer.level as RowLevel;
  }

  /** Looks at the series at a place; places ascend. Returns whether there is anything to be hidden of it. Errors: CorruptionError. */
  add(place: number): boolean {
    const { reader } = this.block;
    const ms = ROW_MS[this.level];
    const ends = reader.times(reader.column(place).times);
    let from = 0;
    while (from < ends.length && ends[from]! < this.minMs) from++;
    let to = from;
    while (to < ends.length && ends[to]! - ms < this.maxMs) to++;
    if (from === to) return false;
    const isHidden = this.judge(place, ends);
    if (!isHidden(from)) from++;
    if (from < to && !isHidden(to - 1)) to--;
    if (from === to) return false;
    const [minMs, maxMs] = [ends[from]! - ms + 1, ends[to - 1]!];
    const known = this.ranges.get(`${minMs} ${maxMs}`);
    if (known === undefined) this.ranges.set(`${minMs} ${maxMs}`, { minMs, maxMs, places: [place] });
    else if (known.places.at(-1) !== place) known.places.push(place);
    return true;
  }

  /** Whether a row at an end of the range is hidden; notes rows that would be in part. */
  private judge(place: number, ends: Float64Array): (row: number) => boolean {
    const { minMs, maxMs } = this;
    const ms = ROW_MS[this.level];
    const columns = new Map<number, Float64Array>();
    const numberOf = (which: number, row: number): number => {
      let values = columns.get(which);
      if (values === undefined) {
        values = new Float64Array(ends.length);
        const { reader } = this.block;
        reader.readValues(reader.column(place, which), values);
        columns.set(which, values);
      }
      return values[row]!;
    };
    return (row) => {
      const begin = ends[row]! - ms;
      if (begin + 1 >= minMs && ends[row]! <= maxMs) return true;
      if (numberOf(ROW.COUNT, row) === 0) return false;
      const firstMs = begin + numberOf(ROW.FIRST_MS, row);
      const lastMs = ends[row]! - numberOf(ROW.LAST_MS, row);
      if (lastMs < minMs || firstMs > maxMs) return false;
      // Others are to be remade.
      if (!this.alone.has(dayOfTime(ends[row]!))) return true;
      if (firstMs < minMs) this.cut.start = this.level;
      if (lastMs > maxMs) this.cut.end = this.level;
      return true;
    };
  }

  /** What is to be said of the block. */
  tombstones(deletion: string): Tombstone[] {
    return [...this.ranges.values()].map(({ minMs, maxMs, places }) => {
      return { deletion, minMs, maxMs, places: encodePlaces(places) };
    });
  }
}

/** The coarser of what blocks say. */
export function coarsest(cuts: readonly CutRows[]): CutRows {
  const of = (which: keyof CutRows): RowLevel | undefined =>
    (["1h", "1m"] as const).find((level) => cuts.some((cut) => cut[which] === level));
  const [start, end] = [of("start"), of("end")];
  return { ...(start && { start }), ...(end && { end }) };
}

/** Errors: InvalidError when a range cuts rows; it names the range of whole rows. */
export function checkCut({ start, end }: CutRows, minMs: number, maxMs: number): void {
  if (start === undefined && end === undefined) return;
  const startMs = start === undefined ? 1 : ROW_MS[start];
  const endMs = end === undefined ? 1 : ROW_MS[end];
  let from = Math.ceil((minMs - 1) / startMs) * startMs + 1;
  let to = Math.floor(maxMs / endMs) * endMs;
  if (from > to) {
    // No whole row is inside: the rows that it cuts, then.
    from = Math.floor((minMs - 1) / startMs) * startMs + 1;
    to = Math.ceil(maxMs / endMs) * endMs;
  }
  const level = start === "1h" || end === "1h" ? "1h" : "1m";
  const wanted = [start && `start=${iso(from)}`, end && `end=${iso(to)}`].filter(Boolean).join(" and ");
  const got = [start && `start=${iso(minMs)}`, end && `end=${iso(maxMs)}`].filter(Boolean).join(" and ");
  throw new InvalidError(
    `cannot delete series: got ${got}, inside a row of ${level} whose samples are past --retention raw, so that only all of it can go; want ${wanted}`,
  );
}

const iso = (ms: number): string => new Date(ms).toISOString();
