// test/contract/harness.ts: what a contract suite needs of an implementation: a way in, a way out, and its clock.
import { expect } from "vitest";
import {
  type IngestSession,
  type IngestTarget,
  type Labels,
  labelsFromRecord,
  type Queryable,
  type QueryContext,
} from "../../libs/model/index.ts";
import { register, rows, writeBatch } from "./ingest-batch.ts";

/** An empty storage. */
export interface StorageHarness {
  readonly target: IngestTarget;
  readonly queryable: Queryable;
  /** The storage's present; samples around it are neither too old nor in the future. */
  readonly nowMs: number;
  close(): Promise<void>;
}

export type OpenStorage = () => Promise<StorageHarness>;

export const TENANT = "default";

/** What a query carries when nothing of it matters. */
export function contextOf(overrides: Partial<QueryContext> = {}): QueryContext {
  return {
    tenant: TENANT,
    signal: new AbortController().signal,
    deadlineMs: Date.now() + 30_000,
    samplesMax: 1e9,
    ...overrides,
  };
}

export interface SeriesRows {
  readonly labels: Readonly<Record<string, string>>;
  /** Time in ms, value. */
  readonly samples: readonly (readonly [number, number])[];
}

/** Writes series through a session of their own and waits until they are durable. */
export async function writeSeries(target: IngestTarget, series: readonly SeriesRows[], tenant = TENANT): Promise<void> {
  const session = await target.connect();
  await writeTo(session, series, tenant);
  await session.close();
}

/** Writes series as references 1, 2, … of one batch. */
export async function writeTo(session: IngestSession, series: readonly SeriesRows[], tenant = TENANT): Promise<void> {
  const registrations = series.map((s, i) => register(session.identity, i + 1, tenant, labelsFromRecord(s.labels)));
  const samples = rows(series.flatMap((s, i) => s.samples.map(([timeMs, value]) => [i + 1, timeMs, value] as const)));
  const ack = await session.append(writeBatch({ seq: 1, registrations, ...samples }));
  expect(ack).toEqual({ seq: 1, status: "stored", unknownRefs: new Uint32Array(0), rejections: [] });
}

/** All raw samples of the series that have this metric name, as one text line per sample with the value's bits. */
export async function rawSamples(storage: StorageHarness, metric: string, tenant = TENANT): Promise<string[]> {
  const rangeMs = 30 * 86_400_000;
  const result = await storage.queryable.evaluate(
    {
      matchers: [{ type: "=", name: "__name__", value: metric }],
      grid: { startMs: storage.nowMs + 3_600_000, stepMs: 1, count: 1 },
      rollup: "samples",
      rangeMs,
      offsetMs: 0,
      args: [],
      dropName: false,
    },
    contextOf({ tenant }),
  );
  const lines: string[] = [];
  for (const { labels, values, times } of result.columns) {
    values.forEach((_, i) => {
      lines.push(`${textOf(labels)} ${times![i]! - storage.nowMs} ${bitsOf(values, i)}`);
    });
  }
  return lines.sort();
}

function textOf(labels: Labels): string {
  const pairs: string[] = [];
  for (let i = 0; i < labels.length; i += 2) {
    if (labels[i] !== "__name__") pairs.push(`${labels[i]}=${labels[i + 1]}`);
  }
  return `{${pairs.join(",")}}`;
}

/** The value's bits in hex, most significant first. */
export function bitsOf(values: Float64Array, index: number): string {
  const bytes = Buffer.from(values.buffer, values.byteOffset + 8 * index, 8);
  return Buffer.from(bytes).swap64().toString("hex");
}

/** The bits of a number, as rawSamples shows them. */
export function bits(value: number): string {
  return bitsOf(Float64Array.of(value), 0);
}
