// test/unit/kernel/compare-walks.ts: whether kernel and twin read the same from a message.
import { WalkError, type Walked, type WalkLimits, walkV1, walkV2 } from "../../../libs/kernel/twin/walk.ts";
import type { GuardedKernel } from "./guarded-kernel.ts";

const COUNTS = [
  "exemplars",
  "histograms",
  "starts",
  "timeRefused",
  "empty",
  "refsRefused",
  "refsRefusedSamples",
] as const;

function sameBytes(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((one, i) => Buffer.compare(one, b[i]!) === 0);
}

function sameList<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((one, i) => one === b[i]);
}

/** The first difference, in words; "" when there is none. */
export function differ(a: Walked, b: Walked): string {
  for (const count of COUNTS) if (a[count] !== b[count]) return `${count}: ${a[count]} and ${b[count]}`;
  if (!sameBytes(a.metadata, b.metadata)) return "metadata";
  if (!sameBytes(a.symbols, b.symbols)) return "symbols";
  if (a.series.length !== b.series.length) return `series: ${a.series.length} and ${b.series.length}`;
  for (let i = 0; i < a.series.length; i++) {
    const x = a.series[i]!;
    const y = b.series[i]!;
    if (!sameBytes([x.labels], [y.labels])) return `labels of series ${i}`;
    if (!sameList(x.times, y.times)) return `times of series ${i}: ${x.times} and ${y.times}`;
    if (!sameList(x.bits, y.bits)) return `values of series ${i}: ${x.bits} and ${y.bits}`;
    if (!sameList(x.family, y.family)) return `family of series ${i}: ${x.family} and ${y.family}`;
  }
  return "";
}

/** The twin's result, or its error. */
export function twinWalk(message: Uint8Array, version: 1 | 2, limits: WalkLimits): Walked | WalkError {
  try {
    return version === 1 ? walkV1(message, limits) : walkV2(message, limits);
  } catch (error) {
    if (error instanceof WalkError) return error;
    throw error;
  }
}

/** Walks a message with both. Returns what differs ("" for nothing), and whether the message was accepted. */
export function walkBoth(
  guarded: GuardedKernel,
  message: Uint8Array,
  version: 1 | 2,
  tenant: number,
  behind?: Uint8Array,
): { difference: string; accepted: boolean } {
  const code = guarded.walk(message, version, tenant, behind);
  const twin = twinWalk(message, version, guarded.sizes);
  if (twin instanceof WalkError) {
    const offset = twin.offset < 0 ? -1 : guarded.word("offset");
    const same = code === twin.code && offset === twin.offset;
    return { difference: same ? "" : `code ${code} at ${offset}, twin ${twin.message}`, accepted: false };
  }
  if (code !== 0) return { difference: `code ${code} at ${guarded.word("offset")}, twin accepts`, accepted: true };
  return { difference: differ(guarded.walked(version), twin), accepted: true };
}
