// libs/index/divide.ts: divides series into groups by some of their labels, without building the labels of each.
import type { Labels } from "../model/index.ts";
import type { SeriesGroups } from "./selection-cache.ts";

/** Label pairs of series, by number: those of a series are arena[start] … arena[start + length − 1], by name. */
export interface SeriesPairs {
  readonly starts: Uint32Array;
  readonly lengths: Uint16Array;
  readonly arena: Uint32Array;
  readonly pairCount: number;
  nameOf(pair: number): string;
  valueOf(pair: number): string;
}

/** Whether the labels of a pair's name tell groups apart; 0 is not known yet. */
const KEPT = 1;
const LEFT_OUT = 2;

interface GroupNode {
  readonly next: Map<number, GroupNode>;
  group: number;
}

/** Two series are in one group exactly when their labels agree after keeping (`without` false) or dropping (`without` true) `names`. */
export function divide(series: Uint32Array, of: SeriesPairs, names: readonly string[], without: boolean): SeriesGroups {
  const { starts, lengths, arena } = of;
  const groupOf = new Uint32Array(series.length);
  if (names.length === 0 && !without) return { groupOf, labels: series.length === 0 ? [] : [[]] };
  const wanted = new Set(names);
  const labels: Labels[] = [];
  // Groups are found by walking a trie of pair numbers: Map per node only where groups really differ.
  const root: GroupNode = { next: new Map(), group: -1 };
  // By pair number: what is known about its name. A look-up by name for each label of each series would cost more.
  const fates = new Uint8Array(of.pairCount);
  for (let s = 0; s < series.length; s++) {
    const start = starts[series[s]!]!;
    const end = start + lengths[series[s]!]!;
    let node = root;
    for (let i = start; i < end; i++) {
      const pair = arena[i]!;
      let fate = fates[pair]!;
      if (fate === 0) {
        fate = wanted.has(of.nameOf(pair)) !== without ? KEPT : LEFT_OUT;
        fates[pair] = fate;
      }
      if (fate === LEFT_OUT) continue;
      let child = node.next.get(pair);
      if (child === undefined) {
        child = { next: new Map(), group: -1 };
        node.next.set(pair, child);
      }
      node = child;
    }
    if (node.group < 0) {
      node.group = labels.length;
      const kept: string[] = [];
      for (let i = start; i < end; i++) {
        if (fates[arena[i]!] === KEPT) kept.push(of.nameOf(arena[i]!), of.valueOf(arena[i]!));
      }
      labels.push(kept);
    }
    groupOf[s] = node.group;
  }
  return { groupOf, labels };
}

/** Adds what `textOf` says of the pairs of series, each distinct pair asked once. */
export function addTexts(
  series: Uint32Array,
  { starts, lengths, arena, pairCount }: SeriesPairs,
  textOf: (pair: number) => string | undefined,
  to: Set<string>,
): void {
  const seen = new Uint8Array(pairCount);
  for (const one of series) {
    const end = starts[one]! + lengths[one]!;
    for (let i = starts[one]!; i < end; i++) {
      const pair = arena[i]!;
      if (seen[pair] === 1) continue;
      seen[pair] = 1;
      const text = textOf(pair);
      if (text !== undefined) to.add(text);
    }
  }
}
