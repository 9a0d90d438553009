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
import { type InsertLimits, LIMIT_FLAGS } from "./limits.ts";
import type { RefusalReason, Refusals, RefusedKind } from "./refusals.ts";
import type { WireVersion } from "./request-form.ts";
import { isStartNews, type SidePlace, type SidePlaces } from "./side-places.ts";
import { FieldReader } from "./wire.ts";

/** Prometheus' bound for the names and values of an exemplar together, in characters. */
const EXEMPLAR_CHARACTERS_MAX = 128;

/** Fields read between two looks at the time. */
const FIELDS_PER_STEP = 16;

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

/** What a request says of its sender. */
export interface SideOrigin {
  readonly version: WireVersion;
  readonly tenant: string;
}

/**
 * Reads the side data of a request, a few items in each step; undefined when it has none. What can't be stored is counted in `refusals`. The view is
 * not looked at again once this returns. Errors: InvalidError when there is more than `limits` allow, and, of the steps, when it is malformed.
 */
export function readSide(
  view: RequestView,
  { version, tenant }: SideOrigin,
  places: SidePlaces,
  refusals: Refusals,
  limits: InsertLimits,
): Generator<void, SideRequest> | undefined {
  const items = view.histograms + view.exemplars;
  if (items + view.starts === 0) return undefined;
  if (items > limits.writeSideMax) {
    throw tooManyItems("native histograms and exemplars", items, limits.writeSideMax);
  }
  const reader = new SideReader(version, tenant, places, refusals, view.starts > 0, limits.writeSideMax);
  return reader.read(view.messageCopy());
}

function tooManyItems(what: string, got: number | string, max: number): InvalidError {
  const want = `want at most ${max} in one request (${LIMIT_FLAGS.writeSideMax})`;
  return new InvalidError(`cannot store request: got ${got} ${what}; ${want}`);
}

class SideReader {
  private readonly version: WireVersion;
  private readonly tenant: string;
  private readonly places: SidePlaces;
  private readonly refusals: Refusals;
  private readonly wantsStarts: boolean;
  private readonly itemsMax: number;
  private readonly symbols: Uint8Array[] = [];
  private readonly bySeries = new Map<SidePlace, Collected>();
  private histograms = 0;
  private exemplars = 0;
  private starts = 0;
  private fieldsRead = 0;

  constructor(
    version: WireVersion,
    tenant: string,
    places: SidePlaces,
    refusals: Refusals,
    wantsStarts: boolean,
    itemsMax: number,
  ) {
    this.itemsMax = itemsMax;
    this.version = version;
    this.tenant = tenant;
    this.places = places;
    this.refusals = refusals;
    this.wantsStarts = wantsStarts;
  }

  *read(message: Uint8Array): Generator<void, SideRequest> {
    // Symbols may stand anywhere.
    if (this.version === 2) yield* this.readSymbols(message);
    const seriesField = this.version === 1 ? 1 : 5;
    const fields = new FieldReader(message);
    while (fields.next()) {
      if (fields.isBytes && fields.field === seriesField) yield* this.readSeries(fields.bytes);
      if (this.isTimeToYield()) yield;
    }
    const entries: SideEntry[] = [];
    for (const [place, collected] of this.bySeries) {
      entries.push({ place, side: orderedSide(collected) });
      yield;
    }
    return { entries, histograms: this.histograms, exemplars: this.exemplars };
  }

  private *readSymbols(message: Uint8Array): Generator<void> {
    const fields = new FieldReader(message);
    while (fields.next()) {
      if (fields.isBytes && fields.field === 4) this.symbols.push(fields.bytes);
      if (this.isTimeToYield()) yield;
    }
  }

  private isTimeToYield(): boolean {
    return ++this.fieldsRead % FIELDS_PER_STEP === 0;
  }

  /** Once through for what there is, once to take it: lists of hostile messages' items would be many times as long as they. */
  private *readSeries(message: Uint8Array): Generator<void> {
    const [histogramField, exemplarField] = this.version === 1 ? [4, 3] : [3, 4];
    const samplesField = this.wantsStarts ? 2 : undefined;
    let histograms = 0;
    let exemplars = 0;
    let samples = 0;
    const counted = new FieldReader(message);
    while (counted.next()) {
      if (!counted.isBytes) continue;
      if (counted.field === histogramField) histograms++;
      else if (counted.field === exemplarField) exemplars++;
      else if (counted.field === samplesField) samples++;
      if (this.isTimeToYield()) yield;
    }
    if (histograms + exemplars + samples === 0) return;
    const pairs = this.version === 1 ? labelPairsOf(message) : this.pairsOfRefs(message);
    // Their samples are refused, and told, elsewhere.
    const refuseAll = (reason: RefusalReason, why: () => string): void => {
      this.refuse("histogram", histograms, reason, why);
      this.refuse("exemplar", exemplars, reason, why);
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
    const fields = new FieldReader(message);
    while (fields.next()) {
      if (!fields.isBytes) continue;
      if (fields.field === histogramField) this.takeHistogram(fields.bytes, into, place, pairs);
      else if (fields.field === exemplarField) this.takeExemplar(fields.bytes, into, pairs);
      else if (fields.field === samplesField) this.takeStart(fields.bytes, into, place);
      if (this.isTimeToYield()) yield;
    }
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
    this.noteStart(into, place, timeMs, startMs);
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

  /** Takes the start time of a version 2 Sample. */
  private takeStart(sample: Uint8Array, into: Collected, place: SidePlace): void {
    let timeMs = 0;
    let startMs = 0;
    const fields = new FieldReader(sample);
    while (fields.next()) {
      if (fields.isBytes || fields.isFixed64) continue;
      if (fields.field === 2) timeMs = fields.int64;
      else if (fields.field === 3) startMs = fields.int64;
    }
    if (Math.abs(timeMs) <= SIDE_TIME_MAX) this.noteStart(into, place, timeMs, startMs);
  }

  private noteStart(into: Collected, place: SidePlace, timeMs: number, startMs: number): void {
    if (!Number.isSafeInteger(startMs)) return;
    const last = into.starts.at(-1);
    const before = last === undefined ? place : { ...place, startMs: last.startMs, sentMs: last.timeMs };
    if (!isStartNews(before, timeMs, startMs)) return;
    if (++this.starts > this.itemsMax)
      throw tooManyItems("start times that differ", `more than ${this.itemsMax}`, this.itemsMax);
    into.starts.push({ timeMs, startMs });
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
