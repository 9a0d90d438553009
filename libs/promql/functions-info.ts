// libs/promql/functions-info.ts: info(v, selector): adds to each series the labels of the info series of its target.
// An info series belongs to the series with the same job and instance. Of several ones with the same name, the one with
// the newest sample counts, step by step, so a series' labels may change over time.
import {
  type CompiledMatcher,
  compileMatcher,
  ExecutionError,
  escapeRegex,
  type Grid,
  type Labels,
  labelsKey,
  labelValue,
  type Matcher,
  METRIC_NAME,
  onlyLabels,
  setLabel,
} from "../model/index.ts";
import { type Column, hasPoint, mergeSameLabels, normalizePresent, replicate } from "./column.ts";
import type { Scope } from "./evaluation.ts";
import { formatLabels } from "./go-text.ts";
import type { InfoPlan } from "./plan-node.ts";

const IDENTIFYING = new Set(["instance", "job"]);
const TARGET_INFO: Matcher = { type: "=", name: METRIC_NAME, value: "target_info" };
const ANY_INFO: Matcher = { type: "=~", name: METRIC_NAME, value: ".+_info" };

/** Enriches the evaluated first argument. Errors: ExecutionError for info series that contradict each other. */
export async function evaluateInfo(plan: InfoPlan, base: readonly Column[], scope: Scope): Promise<readonly Column[]> {
  const matchers = plan.selector?.matchers ?? [TARGET_INFO];
  const nameMatchers = effectiveNameMatchers(matchers.filter((m) => m.name === METRIC_NAME));
  const dataMatchers = (plan.selector?.matchers ?? []).filter((m) => m.name !== METRIC_NAME);
  const compiledNames = nameMatchers.map(compileMatcher);
  const isInfo = (labels: Labels) => compiledNames.every((m) => m.matches(labelValue(labels, METRIC_NAME)));
  const plain = base.filter((column) => !isInfo(column.labels));
  const info = await fetchInfo(plan, plain, [...dataMatchers, ...nameMatchers], scope);
  const enricher = new Enricher(dataMatchers.map(compileMatcher), info, scope.grid.count);
  const out: Column[] = [];
  for (const column of base) {
    if (isInfo(column.labels)) out.push(column);
    else out.push(...enricher.enrich(column));
  }
  return mergeSameLabels(out);
}

/** Negative matchers alone restrict all info metrics; without any, target_info is meant. */
function effectiveNameMatchers(matchers: readonly Matcher[]): readonly Matcher[] {
  if (matchers.some((m) => m.type === "=" || m.type === "=~")) return matchers;
  return matchers.length > 0 ? [ANY_INFO, ...matchers] : [TARGET_INFO];
}

/** The info series of the targets that occur in `base`; their values are the times of their samples. */
async function fetchInfo(
  plan: InfoPlan,
  base: readonly Column[],
  matchers: readonly Matcher[],
  scope: Scope,
): Promise<readonly Column[]> {
  const identity: Matcher[] = [];
  for (const name of IDENTIFYING) {
    const values = new Set(base.map((column) => labelValue(column.labels, name)).filter((value) => value !== ""));
    if (values.size > 0) identity.push({ type: "=~", name, value: [...values].sort().map(escapeRegex).join("|") });
  }
  if (identity.length === 0) return [];
  const { grid, run, notes } = scope;
  const leafGrid: Grid = plan.atMs === undefined ? grid : { startMs: plan.atMs, stepMs: 0, count: 1 };
  const result = await run.leaves.evaluate({
    matchers: [...identity, ...matchers],
    grid: leafGrid,
    rollup: "timestamp",
    rangeMs: run.lookbackMs,
    offsetMs: plan.offsetMs,
    args: [],
    dropName: false,
  });
  for (const warning of result.warnings) notes.addStorageWarning(warning);
  const odd = result.notes?.find((note) => note.kind === "histogram_times");
  if (odd !== undefined) {
    const series = result.columns.find(({ labels }) => labelValue(labels, METRIC_NAME) === odd.metric);
    throw new ExecutionError(
      `this should be an info metric, with float samples: ${formatLabels(series?.labels ?? [])}`,
    );
  }
  const columns = result.columns.map(({ labels, values, present }) => ({ labels, values, present, dropName: false }));
  const value = leafGrid === grid ? columns : replicate({ kind: "vector", columns }, grid.count);
  return Array.isArray(value) ? value : (value as { columns: readonly Column[] }).columns;
}

/** Matches series with info series by target. */
class Enricher {
  readonly #matchers: readonly CompiledMatcher[];
  readonly #count: number;
  /** By target, then by metric name: the info series. */
  readonly #info = new Map<string, Map<string, Column[]>>();
  /** Whether a series without any info series is in the result. */
  readonly #keepsUnmatched: boolean;

  constructor(matchers: readonly CompiledMatcher[], info: readonly Column[], count: number) {
    this.#matchers = matchers;
    this.#count = count;
    this.#keepsUnmatched = matchers.every((m) => m.matchesEmpty);
    for (const column of info) {
      const target = labelsKey(onlyLabels(column.labels, IDENTIFYING));
      const name = labelValue(column.labels, METRIC_NAME);
      const metrics = this.#info.get(target) ?? new Map<string, Column[]>();
      this.#info.set(target, metrics);
      metrics.set(name, [...(metrics.get(name) ?? []), column]);
    }
  }

  /** The series with the labels of its info series: one column per set of info series that were current together. */
  enrich(base: Column): Column[] {
    const metrics = this.#info.get(labelsKey(onlyLabels(base.labels, IDENTIFYING)));
    const variants = new Map<string, { labels: Labels; present: Uint8Array }>();
    for (let s = 0; s < this.#count; s++) {
      if (!hasPoint(base.present, s)) continue;
      const current = metrics === undefined ? [] : currentSeries(metrics, s);
      if (current.length === 0 && !this.#keepsUnmatched) continue;
      const labels = this.#join(base.labels, current);
      const key = labelsKey(labels);
      const variant = variants.get(key) ?? { labels, present: new Uint8Array(this.#count) };
      variants.set(key, variant);
      variant.present[s] = 1;
    }
    return [...variants.values()].map(({ labels, present }) => ({
      ...base,
      labels,
      present: normalizePresent(present),
    }));
  }

  /** Labels that the series has itself win; two info series must not disagree. */
  #join(base: Labels, current: readonly Column[]): Labels {
    let labels = base;
    const added = new Map<string, string>();
    for (const column of current) {
      for (let i = 0; i < column.labels.length; i += 2) {
        const name = column.labels[i]!;
        const value = column.labels[i + 1]!;
        if (name === METRIC_NAME) continue;
        if (this.#matchers.length > 0 && !this.#matchers.some((m) => m.name === name)) continue;
        const before = added.get(name);
        if (before !== undefined && before !== value) throw new ExecutionError(`conflicting label: ${name}`);
        if (labelValue(base, name) !== "") continue;
        added.set(name, value);
        labels = setLabel(labels, name, value);
      }
    }
    return labels;
  }
}

/** Of each metric the info series with the newest sample. Errors: ExecutionError when two are equally new. */
function currentSeries(metrics: ReadonlyMap<string, readonly Column[]>, step: number): Column[] {
  const out: Column[] = [];
  for (const columns of metrics.values()) {
    let newest: Column | undefined;
    for (const column of columns) {
      if (!hasPoint(column.present, step)) continue;
      if (newest === undefined || column.values[step]! > newest.values[step]!) newest = column;
      else if (column.values[step] === newest.values[step]) {
        const timeMs = Math.round(column.values[step]! * 1000);
        throw new ExecutionError(
          `found duplicate series for info metric: existing ${formatLabels(newest.labels)} @ ${timeMs}, new ${formatLabels(column.labels)} @ ${timeMs}`,
        );
      }
    }
    if (newest !== undefined) out.push(newest);
  }
  return out;
}
