// libs/tsdb/exemplars.ts: the exemplars of series, from stores and files of side data.
import { LimitError, type Matcher, type QueryContext, type SeriesExemplars, type TimeRange } from "../model/index.ts";
import type { SeriesCatalog } from "./catalog.ts";
import type { Pace } from "./pace.ts";
import { selectLive } from "./selector.ts";
import type { SideData } from "./side-data.ts";
import { CapturedSide } from "./side-sources.ts";

/** Exemplars with times in the range, ends included. Errors: LimitError beyond context.samplesMax; CorruptionError; those of the pace. */
export async function findExemplars(
  sets: readonly (readonly Matcher[])[],
  { minMs, maxMs }: TimeRange,
  context: QueryContext,
  catalog: SeriesCatalog,
  side: Pick<SideData, "sources">,
  pace: Pace,
): Promise<SeriesExemplars[]> {
  const captured = CapturedSide.of(side, ["exemplars"], minMs, maxMs);
  if (captured === undefined) return [];
  try {
    await captured.load(pace);
    const wanted = new Set<number>();
    for (const set of sets) {
      const series = await selectLive(catalog.index, context.tenant, set, pace);
      const members = captured.membersOf(series);
      members?.forEach((is, i) => {
        if (is === 1) wanted.add(series[i]!);
      });
      if (pace.isDue) await pace.rest();
    }
    const out: SeriesExemplars[] = [];
    let count = 0;
    for (const one of wanted) {
      if (pace.isDue) await pace.rest();
      const { exemplars } = captured.read(one);
      if (exemplars.length === 0) continue;
      count += exemplars.length;
      if (count > context.samplesMax) {
        throw new LimitError("query-samples-max", `got more than ${context.samplesMax} exemplars; want fewer`);
      }
      out.push({ labels: catalog.index.labelsOf(one), exemplars });
    }
    return out;
  } finally {
    captured.release();
  }
}
