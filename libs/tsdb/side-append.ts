// libs/tsdb/side-append.ts: a side batch on its way into a storage: its series are those of the catalogue, registered as samples' are;
// bounds of time hold as for samples; what is news is logged.
import { decodeSeriesKey, type SideAck, type SideKind, type SideRejection, UnavailableError } from "../model/index.ts";
import {
  decodeSideBatch,
  encodeSideRecord,
  type NamedSide,
  type NumberedSide,
  newestSideMs,
  type SideSeries,
} from "../side/index.ts";
import { RECORD, RegistrationBody } from "../wal/index.ts";
import { registerSeries, type SeriesName } from "./register.ts";
import { rejectionText } from "./rejection-text.ts";
import type { DbState } from "./state.ts";

/** A WAL record holds about so much; the log's buffer takes many. */
const RECORD_BYTES = 512 * 1024;

/** Applies a side batch; settles when it is durable. Errors: InvalidError for a malformed batch, UnavailableError. */
export async function appendSideBatch(state: DbState, batch: Uint8Array): Promise<SideAck> {
  const parts = decodeSideBatch(batch, state.identity.shardCount);
  // Registrations lie in the log twice; a record repeats no key.
  state.wal.admit(3 * batch.length);
  if (state.side.isFull) throw sideFullError(state.side.bytesMax);
  // A batch has data of one request.
  const refused = new Refused(state, parts.length === 0 ? "" : decodeSeriesKey(parts[0]!.name.key).tenant);
  const admitted: NumberedSide[] = [];
  const registrations = new RegistrationBody();
  try {
    for (const part of parts) {
      const side = refused.withinBounds(part.side);
      const series = seriesOf(state, part, registrations);
      if (typeof series === "string") refused.all(side, series === "id-collision" ? series : "series-limit", series);
      else admitted.push({ series, side });
    }
  } finally {
    if (registrations.sizeBytes > 0) state.wal.append(RECORD.registrations, registrations.body());
  }
  const { stored, duplicates, outvoted } = state.side.windows.append(admitted);
  logSide(state, stored);
  state.stats.countSide(stored, duplicates, outvoted);
  // What was there before is durable when the group that brought it is.
  await state.wal.durable(state.wal.position);
  return { rejections: refused.rejections() };
}

function logSide({ wal }: DbState, stored: readonly NumberedSide[]): void {
  for (let from = 0; from < stored.length; ) {
    let to = from;
    let bytes = 0;
    while (to < stored.length && bytes < RECORD_BYTES) bytes += weightOf(stored[to++]!.side);
    const records = stored.slice(from, to);
    const newestMs = Math.max(...records.map(({ side }) => newestSideMs(side)));
    wal.append(RECORD.side, encodeSideRecord(records), newestMs);
    from = to;
  }
}

/** Bytes that side data takes in a record, about. */
function weightOf({ histograms, exemplars, starts }: SideSeries): number {
  const ofHistograms = histograms.reduce((sum, { histogram }) => sum + 64 + 8 * (histogram?.buckets.length ?? 0), 0);
  return ofHistograms + 200 * exemplars.length + 16 * starts.length;
}

function seriesOf(state: DbState, { name }: NamedSide, registrations: RegistrationBody): number | string {
  const { shard, homeLow, homeHigh, id, key } = name;
  const idView = new DataView(id.buffer, id.byteOffset, id.byteLength);
  const series: SeriesName = { shard, home: { low: homeLow, high: homeHigh }, idView, idAt: 0, key };
  return registerSeries(state, series, registrations);
}

export function sideFullError(bytesMax: number): UnavailableError {
  return new UnavailableError(
    `cannot append histograms: got ${bytesMax} bytes of them that are not in files yet; want less (--head-memory)`,
    5,
  );
}

/** Counts what a batch can't bring. */
class Refused {
  private readonly tooOldText: () => string;
  private readonly minMs: number;
  private readonly maxMs: number;
  private limitText = "";
  private readonly counts = new Map<string, { kind: SideKind; reason: SideRejection["reason"]; count: number }>();

  constructor(state: DbState, tenant: string) {
    const now = state.clock.nowMs();
    this.tooOldText = () => state.retention.boundText(tenant, now);
    this.minMs = state.retention.writeFromMs(tenant, now);
    this.maxMs = now + state.maxFutureMs;
  }

  /** The part within the bounds of time. */
  withinBounds({ histograms, exemplars, starts }: SideSeries): SideSeries {
    const inside = ({ timeMs }: { readonly timeMs: number }): boolean => timeMs >= this.minMs && timeMs <= this.maxMs;
    const checked = <T extends { readonly timeMs: number }>(kind: SideKind, list: readonly T[]): readonly T[] => {
      for (const { timeMs } of list) {
        if (timeMs > this.maxMs) this.add(kind, "future", 1);
        else if (timeMs < this.minMs) this.add(kind, "too-old", 1);
      }
      return list.filter(inside);
    };
    return {
      histograms: checked("histogram", histograms),
      exemplars: checked("exemplar", exemplars),
      starts: starts.filter(inside),
    };
  }

  all({ histograms, exemplars }: SideSeries, reason: "series-limit" | "id-collision", text: string): void {
    this.limitText = text;
    this.add("histogram", reason, histograms.length);
    this.add("exemplar", reason, exemplars.length);
  }

  private add(kind: SideKind, reason: SideRejection["reason"], count: number): void {
    if (count === 0) return;
    const name = `${kind} ${reason}`;
    const known = this.counts.get(name);
    if (known === undefined) this.counts.set(name, { kind, reason, count });
    else known.count += count;
  }

  rejections(): SideRejection[] {
    return Array.from(this.counts.values(), (one) => ({
      ...one,
      text: rejectionText(this.limitText, one.reason, this.tooOldText, this.maxMs),
    }));
  }
}
