// services/insert/side-intake.ts: what a request holds besides float samples: native histograms, exemplars, start times. The kernel
// counts them; only a request that has some is read again here, in plain TypeScript, and only as far as they need it.
import { isUtf8 } from "node:buffer";
import type { RequestView } from "../../libs/kernel/index.ts";
import { type Exemplar, InvalidError, type Labels, labelsFromPairs } from "../../libs/model/index.ts";
import {
  type HistogramSample,
  orderedSide,
  SIDE_TIME_MAX,
  type SideSeries,
  type StartTime,
} from "../../libs/side/index.ts";
import { readLabel, showLabels } from "./canonical.ts";
import { readHistogram } from "./histogram-wire.ts";
import type { RefusalReason, Refusals, RefusedKind } from "./refusals.ts";
import type { WireVersion } from "./request-form.ts";
import { isStartNews, type SidePlace, type SidePlaces } from "./side-places.ts";
import { FieldReader } from "./wire.ts";

/** Prometheus' bound for the names and values of an exemplar together, in characters. */
const EXEMPLAR_CHARACTERS_MAX = 128;

/** What one request brings of a series. */
export interface SideEntry {
  readonly place: SidePlace;
  readonly side: SideSeries;
}

/** Side data of a request, and how much of it there is. */
export interface SideRequest {
  readonly entries: readonly SideEntry[];
  readonly histograms: number;
  readonly exemplars: number;
}

interface Collected {
  readonly histograms: HistogramSample[];
  readonly exemplars: Exemplar[];
  readonly starts: StartTime[];
}

/** The side data of a request; undefined when it has none. What can't be stored is counted in `refusals`. */
export function readSide(
  view: RequestView,
  version: WireVersion,
  tenant: string,
  places: SidePlaces,
  refusals: Refusals,
): SideRequest | undefined {
  if (view.histograms + view.exemplars + view.starts === 0) return undefined;
  const reader = new SideReader(version, tenant, places, refusals, view.starts > 0);
  return reader.read(view.messageCopy());
}

class SideReader {
  private readonly version: WireVersion;
  private readonly tenant: string;
  private readonly places: SidePlaces;
  private readonly refusals: Refusals;
  private readonly wantsStarts: boolean;
  private readonly symbols: Uint8Array[] = [];
  private readonly bySeries = new Map<SidePlace, Collected>();
  private histograms = 0;
  private exemplars = 0;

  constructor(version: WireVersion, tenant: string, places: SidePlaces, refusals: Refusals, wantsStarts: boolean) {
    this.version = version;
    this.tenant = tenant;
    this.places = places;
    this.refusals = refusals;
    this.wantsStarts = wantsStarts;
  }

  read(message: Uint8Array): SideRequest {
    const seriesField = this.version === 1 ? 1 : 5;
    const series: Uint8Array[] = [];
    const fields = new FieldReader(message);
    while (fields.next()) {
      if (!fields.isBytes) continue;
      if (fields.field === seriesField) series.push(fields.bytes);
      else if (this.version === 2 && fields.field === 4) this.symbols.push(fields.bytes);
    }
    for (const one of series) this.readSeries(one);
    const entries = Array.from(this.bySeries, ([place, collected]) => ({ place, side: orderedSide(collected) }));
    return { entries, histograms: this.histograms, exemplars: this.exemplars };
  }

  private readSeries(message: Uint8Array): void {
    const [histogramField, exemplarField] = this.version === 1 ? [4, 3] : [3, 4];
    const histograms: Uint8Array[] = [];
    const exemplars: Uint8Array[] = [];
    const samples: Uint8Array[] = [];
    const fields = new FieldReader(message);
    while (fields.next()) {
      if (!fields.isBytes) continue;
      if (fields.field === histogramField) histograms.push(fields.bytes);
      else if (fields.field === exemplarField) exemplars.push(fields.bytes);
      else if (fields.field === 2 && this.wantsStarts) samples.push(fields.bytes);
    }
    if (histograms.length + exemplars.length + samples.length === 0) return;
    const pairs = this.version === 1 ? labelPairsOf(message) : this.pairsOfRefs(message);
    // Their samples are refused, and told, elsewhere.
    const refuseAll = (reason: RefusalReason, why: () => string): void => {
      this.refuse("histogram", histograms.length, reason, why);
      this.refuse("exemplar", exemplars.length, reason, why);
    };
    if (pairs === undefined) {
      refuseAll("refs", () => `label references beyond the ${this.symbols.length} symbols, or an odd number of them`);
      return;
    }
    const place = this.places.find(this.tenant, pairs);
    if ("fault" in place) {
      refuseAll(place.fault, () => `${place.text}, in ${showLabels(pairs)}`);
      return;
    }
    const into = this.collected(place);
    for (const one of histograms) this.takeHistogram(one, into, place, pairs);
    for (const one of exemplars) this.takeExemplar(one, into, pairs);
    for (const one of samples) takeStart(one, into, place);
  }

  private collected(place: SidePlace): Collected {
    let found = this.bySeries.get(place);
    if (found === undefined) {
      found = { histograms: [], exemplars: [], starts: [] };
      this.bySeries.set(place, found);
    }
    return found;
  }

  private refuse(kind: RefusedKind, count: number, reason: RefusalReason, why: () => string): void {
    if (count > 0) this.refusals.add(kind, count, reason, this.refusals.wantsExample ? why() : "");
  }

  private takeHistogram(message: Uint8Array, into: Collected, place: SidePlace, pairs: readonly Uint8Array[]): void {
    const read = readHistogram(message);
    const fault = typeof read === "string" ? read : undefined;
    if (typeof read === "string" || Math.abs(read.timeMs) > SIDE_TIME_MAX) {
      const reason = fault === undefined ? "time" : "native-histogram";
      this.refuse("histogram", 1, reason, () => `${fault ?? TOO_FAR}, in ${showLabels(pairs)}`);
      return;
    }
    const { timeMs, startMs, histogram } = read;
    this.histograms++;
    into.histograms.push({ timeMs, histogram });
    noteStart(into, place, timeMs, startMs);
  }

  private takeExemplar(message: Uint8Array, into: Collected, pairs: readonly Uint8Array[]): void {
    let value = 0;
    let timeMs = 0;
    const fields = new FieldReader(message);
    while (fields.next()) {
      if (fields.field === 2 && fields.isFixed64) value = fields.double;
      else if (fields.field === 3 && !fields.isBytes && !fields.isFixed64) timeMs = fields.int64;
    }
    if (Math.abs(timeMs) > SIDE_TIME_MAX) {
      this.refuse("exemplar", 1, "time", () => `${TOO_FAR}, in ${showLabels(pairs)}`);
      return;
    }
    const own = this.version === 1 ? labelPairsOf(message) : this.pairsOfRefs(message);
    const labels = own === undefined ? "label references beyond the symbols, or an odd number of them" : labelsOf(own);
    if (typeof labels === "string") {
      this.refuse("exemplar", 1, "exemplar", () => `${labels}, in ${showLabels(pairs)}`);
      return;
    }
    this.exemplars++;
    into.exemplars.push({ timeMs, value, labels });
  }

  /** Names and values that label references stand for; undefined when one of them stands for nothing. */
  private pairsOfRefs(message: Uint8Array): Uint8Array[] | undefined {
    const pairs: Uint8Array[] = [];
    let bad = false;
    const take = (ref: number): void => {
      const symbol = this.symbols[ref];
      if (symbol === undefined) bad = true;
      else pairs.push(symbol);
    };
    const fields = new FieldReader(message);
    while (fields.next()) {
      if (fields.field !== 1) continue;
      if (!fields.isBytes) {
        take(fields.uint64);
        continue;
      }
      const refs = new FieldReader(fields.bytes);
      while (refs.nextVarint()) take(refs.uint64);
    }
    return bad || pairs.length % 2 !== 0 ? undefined : pairs;
  }
}

const TOO_FAR = "timestamps must be within ±2^51 ms";

/** An exemplar's labels, or what is wrong with them. */
function labelsOf(pairs: readonly Uint8Array[]): Labels | string {
  if (!pairs.every((part) => isUtf8(part))) return "exemplar labels that are not UTF-8";
  const texts = pairs.map((part) => Buffer.from(part).toString());
  if (texts.reduce((n, text) => n + [...text].length, 0) > EXEMPLAR_CHARACTERS_MAX) {
    return `label length for exemplar exceeds maximum of ${EXEMPLAR_CHARACTERS_MAX} UTF-8 characters`;
  }
  const named: [string, string][] = [];
  for (let i = 0; i < texts.length; i += 2) named.push([texts[i]!, texts[i + 1]!]);
  try {
    return labelsFromPairs(named);
  } catch (error) {
    if (error instanceof InvalidError) return error.message;
    throw error;
  }
}

/** Names and values of a version 1 message whose labels are field 1. */
function labelPairsOf(message: Uint8Array): Uint8Array[] {
  const pairs: Uint8Array[] = [];
  const fields = new FieldReader(message);
  while (fields.next()) if (fields.field === 1 && fields.isBytes) pairs.push(...readLabel(fields.bytes));
  return pairs;
}

/** Takes the start time of a version 2 Sample. */
function takeStart(sample: Uint8Array, into: Collected, place: SidePlace): void {
  let timeMs = 0;
  let startMs = 0;
  const fields = new FieldReader(sample);
  while (fields.next()) {
    if (fields.isBytes || fields.isFixed64) continue;
    if (fields.field === 2) timeMs = fields.int64;
    else if (fields.field === 3) startMs = fields.int64;
  }
  if (Math.abs(timeMs) <= SIDE_TIME_MAX) noteStart(into, place, timeMs, startMs);
}

function noteStart(into: Collected, place: SidePlace, timeMs: number, startMs: number): void {
  if (!Number.isSafeInteger(startMs)) return;
  const last = into.starts.at(-1);
  const before = last === undefined ? place : { ...place, startMs: last.startMs, sentMs: last.timeMs };
  if (isStartNews(before, timeMs, startMs)) into.starts.push({ timeMs, startMs });
}
