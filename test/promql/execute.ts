// test/promql/execute.ts: runs the commands of a script against an engine, as Prometheus runs its own.
// An instant eval is run as written; then, unless its result depends on the evaluation time, with `@ T` in every
// selector at five other times; and each of them as a range query around its time. All have to agree.
import {
  compareLabels,
  histogramAt,
  type Labels,
  labelsKey,
  packHistograms,
  type Queryable,
  type QueryContext,
  type StepColumn,
} from "../../libs/model/index.ts";
import {
  type Engine,
  type Expr,
  parseExpr,
  printExpr,
  type QueryResult,
  type QueryValue,
  type SequenceValue,
  TIME_DEPENDENT,
  transform,
  walk,
} from "../../libs/promql/index.ts";
import { almostEqual, type Element, elementOf, elementText, expectedElement, sameElement } from "./elements.ts";
import { SampleQueryable } from "./sample-queryable.ts";
import type { Annotated, Command, EvalCommand } from "./script.ts";
import { type StoredSeries, samplesOfLoad } from "./script-samples.ts";

/** A storage that scripts load and ask. */
export interface ScriptStorage extends Queryable {
  /** Grows when leaves read native histograms, where the storage can tell. */
  readonly nativeMatches: number;
  store(series: StoredSeries): void | Promise<void>;
}

/** The outcome of one eval. */
export interface EvalOutcome {
  readonly line: number;
  readonly expr: string;
  /** Undefined when it passed. */
  readonly failure: string | undefined;
  /** Whether native histograms took part: in the data that was read, in the query or in the expected result. */
  readonly native: boolean;
}

/** Runs all commands of a script on storages that `open` makes; each eval is judged on its own. */
export async function executeScript(
  commands: readonly Command[],
  engine: Engine,
  open: () => ScriptStorage = () => new SampleQueryable(),
): Promise<EvalOutcome[]> {
  const outcomes: EvalOutcome[] = [];
  let storage = open();
  for (const command of commands) {
    if (command.kind === "clear") storage = open();
    else if (command.kind === "load") for (const series of samplesOfLoad(command)) await storage.store(series);
    else if (command.kind === "eval") outcomes.push(await judge(command, storage, engine));
    else outcomes.push({ line: command.line, expr: command.text, failure: command.reason, native: false });
  }
  return outcomes;
}

async function judge(command: EvalCommand, storage: ScriptStorage, engine: Engine): Promise<EvalOutcome> {
  const before = storage.nativeMatches;
  const failure = await new Judge(command, storage, engine).run();
  const written = command.expected.kind === "series" && command.expected.series.some((s) => hasHistogram(s.values));
  return {
    line: command.line,
    expr: command.expr,
    failure,
    native: written || storage.nativeMatches > before,
  };
}

function hasHistogram(values: readonly SequenceValue[]): boolean {
  return values.some((value) => value.kind === "histogram");
}

/** A query to run for an eval, and the time to run it at. */
interface Variant {
  readonly expr: string;
  readonly timeMs: number;
}

class Judge {
  readonly #command: EvalCommand;
  readonly #storage: ScriptStorage;
  readonly #engine: Engine;
  readonly #context: QueryContext = {
    tenant: "default",
    signal: new AbortController().signal,
    deadlineMs: Number.MAX_SAFE_INTEGER,
    samplesMax: 10_000,
  };

  constructor(command: EvalCommand, storage: ScriptStorage, engine: Engine) {
    this.#command = command;
    this.#storage = storage;
    this.#engine = engine;
  }

  /** Undefined when the eval passes, else what is wrong. */
  async run(): Promise<string | undefined> {
    const { expr, startMs, endMs, stepMs, range } = this.#command;
    if (range) {
      return this.#check(
        expr,
        () => this.#engine.range(this.#storage, expr, startMs, endMs, stepMs, this.#context),
        "range query",
      );
    }
    for (const variant of [{ expr, timeMs: endMs }, ...fixedVariants(expr, endMs)]) {
      const failure = await this.#instant(variant);
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  async #instant(variant: Variant): Promise<string | undefined> {
    const { expr, timeMs } = variant;
    const where = `${expr} at ${timeMs} ms`;
    const ask = () => this.#engine.instant(this.#storage, expr, timeMs, this.#context);
    const failure = await this.#check(expr, ask, where);
    if (failure !== undefined || this.#command.fails || !this.#command.alsoAsRange) return failure;
    if (/(start|end|range|step)\(\)/.test(expr)) return undefined;
    return this.#aroundInstant(variant, where);
  }

  /** The same query as a range query of three steps has to have the same value at the middle one. */
  async #aroundInstant({ expr, timeMs }: Variant, where: string): Promise<string | undefined> {
    const minute = 60_000;
    const place = `${where} in range mode`;
    let result: QueryResult;
    try {
      result = await this.#engine.range(this.#storage, expr, timeMs - minute, timeMs + minute, minute, this.#context);
    } catch (error) {
      return `${place}: ${(error as Error).message}`;
    }
    if (this.#command.ordered || result.value.type !== "matrix") return undefined;
    const { columns } = result.value;
    const unsorted = sortFailure(columns);
    if (unsorted !== undefined) return `${place}: ${unsorted}`;
    const middle = columns.filter((c) => c.present === null || c.present[1] === 1);
    const { expected } = this.#command;
    if (expected.kind === "scalar") {
      const value = middle[0]?.values[1];
      const same = value !== undefined && almostEqual(value, expected.value);
      return same ? undefined : `${place}: got scalar ${value}; want ${expected.value}`;
    }
    const vector = middle.map((c) => {
      const list = [c.histograms && histogramAt(c.histograms, 1)];
      const histograms = packHistograms(list);
      const column = { labels: c.labels, values: c.values.slice(1, 2), present: null };
      return histograms === undefined ? column : { ...column, histograms };
    });
    return prefix(place, this.#compare({ type: "vector", timeMs, columns: vector }));
  }

  async #check(expr: string, ask: () => Promise<QueryResult>, where: string): Promise<string | undefined> {
    let result: QueryResult;
    try {
      result = await ask();
    } catch (error) {
      const { message } = error as Error;
      if (!this.#command.fails) return `${where}: ${message}`;
      const wrong = this.#command.failures.find((expected) => !expected(message));
      return wrong === undefined ? undefined : `${where}: got another error: ${message}`;
    }
    if (this.#command.fails) return `${where}: got a result; want an error`;
    const notes =
      annotationFailure("warn", this.#command.warnings, result.warnings, expr) ??
      annotationFailure("info", this.#command.infos, result.infos, expr);
    return prefix(where, notes ?? this.#compare(result.value));
  }

  #compare(value: QueryValue): string | undefined {
    const { expected } = this.#command;
    if (value.type === "scalar") {
      if (expected.kind !== "scalar") return "got a scalar; want series";
      return almostEqual(value.value, expected.value) ? undefined : `got ${value.value}; want ${expected.value}`;
    }
    if (value.type === "string") {
      const want = expected.kind === "string" ? expected.value : undefined;
      return value.value === want ? undefined : `got string ${JSON.stringify(value.value)}; want ${want}`;
    }
    if (expected.kind !== "series") return `got a ${value.type}; want a ${expected.kind}`;
    return value.type === "vector" ? this.#compareVector(value.columns) : this.#compareMatrix(value);
  }

  #compareVector(columns: readonly StepColumn[]): string | undefined {
    const expected = this.#expectedSeries();
    for (const [position, column] of columns.entries()) {
      const want = expected.get(labelsKey(column.labels));
      if (want === undefined) return `got unexpected ${show(column.labels)} ${elementText(elementOf(column, 0))}`;
      if (this.#command.ordered && want.position !== position) {
        return `got ${show(column.labels)} at position ${position}; want it at ${want.position}`;
      }
      const [first] = want.values;
      if (first === undefined || !sameElement(expectedElement(first), elementOf(column, 0))) {
        return `got ${elementText(elementOf(column, 0))} for ${show(column.labels)}; want ${first === undefined ? "" : text(first)}`;
      }
    }
    return missing(expected, columns);
  }

  #compareMatrix(value: QueryValue & { type: "matrix" }): string | undefined {
    if (this.#command.ordered) return "got a matrix; want an ordered vector";
    const unsorted = sortFailure(value.columns);
    if (unsorted !== undefined) return unsorted;
    const expected = this.#expectedSeries();
    for (const column of value.columns) {
      const want = expected.get(labelsKey(column.labels));
      if (want === undefined) return `got unexpected ${show(column.labels)} ${points(column, value)}`;
      const failure = this.#comparePoints(column, want.values, value);
      if (failure !== undefined) return failure;
    }
    return missing(expected, value.columns);
  }

  #comparePoints(
    column: StepColumn,
    want: readonly SequenceValue[],
    value: QueryValue & { type: "matrix" },
  ): string | undefined {
    const { startMs, stepMs, endMs } = this.#command;
    const got = pointsOf(column, value);
    const wanted: [number, SequenceValue][] = [];
    for (const [i, expected] of want.entries()) {
      const timeMs = startMs + i * stepMs;
      if (timeMs > endMs) return `cannot return ${want.length} points for ${show(column.labels)} in this range`;
      if (expected.kind !== "omitted") wanted.push([timeMs, expected]);
    }
    const same =
      got.length === wanted.length &&
      got.every(([timeMs, v], i) => {
        const [wantedMs, expected] = wanted[i]!;
        return timeMs === wantedMs && sameElement(expectedElement(expected), v);
      });
    if (same) return undefined;
    const wantText = wanted.map(([timeMs, v]) => `${text(v)}@${timeMs}`).join(" ");
    return `got ${points(column, value)} for ${show(column.labels)}; want ${wantText}`;
  }

  #expectedSeries(): Map<string, ExpectedSeries> {
    const { expected } = this.#command;
    const out = new Map<string, ExpectedSeries>();
    if (expected.kind !== "series") return out;
    expected.series.forEach(({ labels, values }, position) => {
      out.set(labelsKey(labels), { labels, values, position });
    });
    return out;
  }
}

interface ExpectedSeries {
  readonly labels: Labels;
  readonly values: readonly SequenceValue[];
  readonly position: number;
}

/**
 * The query with `@ T` in every selector and subquery that has none, at times around T. None when a function in it
 * depends on the evaluation time. What stands inside a subquery is left alone.
 */
function fixedVariants(text: string, timeMs: number): Variant[] {
  const expr = parseExpr(text);
  let dependent = false;
  walk(expr, (node) => {
    if (node.kind === "call" && TIME_DEPENDENT.has(node.func)) dependent = true;
    return node.kind !== "subquery";
  });
  if (dependent) return [];
  const at = { kind: "time", ms: timeMs } as const;
  const fixed = transform(expr, (node): Expr | undefined => {
    if (node.kind === "subquery") return node.at === undefined ? { ...node, at } : node;
    return node.kind === "selector" && node.at === undefined ? { ...node, at } : undefined;
  });
  const printed = printExpr(fixed);
  const times = timeMs === 0 ? [-1000, 0, 1000] : [-10 * timeMs, 0, Math.trunc(timeMs / 5), timeMs, 10 * timeMs];
  return times.map((time) => ({ expr: printed, timeMs: time }));
}

function annotationFailure(kind: string, want: Annotated, got: readonly string[], expr: string): string | undefined {
  if (want.none && got.length > 0) return `got ${kind} ${got.join("; ")} for ${expr}; want none`;
  if ((want.any || want.matching.length > 0) && got.length === 0) return `got no ${kind}; want one`;
  if (want.matching.length === 0) return undefined;
  if (want.matching.some((expected) => !got.some(expected))) return `got ${kind} ${got.join("; ")}; want another`;
  const unexpected = got.find((actual) => !want.matching.some((expected) => expected(actual)));
  return unexpected === undefined ? undefined : `got unexpected ${kind} ${unexpected}`;
}

function sortFailure(columns: readonly StepColumn[]): string | undefined {
  for (let i = 1; i < columns.length; i++) {
    if (compareLabels(columns[i - 1]!.labels, columns[i]!.labels) > 0) {
      return `got ${show(columns[i]!.labels)} behind ${show(columns[i - 1]!.labels)}; want series sorted by labels`;
    }
  }
  return undefined;
}

function missing(expected: Map<string, ExpectedSeries>, columns: readonly StepColumn[]): string | undefined {
  const seen = new Set(columns.map((column) => labelsKey(column.labels)));
  for (const [key, { labels }] of expected) if (!seen.has(key)) return `got no ${show(labels)}; want it`;
  return undefined;
}

function pointsOf(column: StepColumn, value: QueryValue & { type: "matrix" }): [number, Element][] {
  const { startMs, stepMs } = value.grid;
  const out: [number, Element][] = [];
  for (let s = 0; s < column.values.length; s++) {
    if (column.present !== null && column.present[s] === 0) continue;
    out.push([column.times === undefined ? startMs + s * stepMs : column.times[s]!, elementOf(column, s)]);
  }
  return out;
}

function points(column: StepColumn, value: QueryValue & { type: "matrix" }): string {
  return pointsOf(column, value)
    .map(([timeMs, v]) => `${elementText(v)}@${timeMs}`)
    .join(" ");
}

function show(labels: Labels): string {
  const parts: string[] = [];
  for (let i = 0; i < labels.length; i += 2) parts.push(`${labels[i]}=${JSON.stringify(labels[i + 1])}`);
  return `{${parts.join(", ")}}`;
}

function text(value: SequenceValue): string {
  return value.kind === "float" || value.kind === "histogram"
    ? elementText(expectedElement(value).element)
    : value.kind;
}

function prefix(where: string, failure: string | undefined): string | undefined {
  return failure === undefined ? undefined : `${where}: ${failure}`;
}
