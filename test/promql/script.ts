// test/promql/script.ts: Prometheus' test language: load, clear and eval commands, parsed from a file.
// Reference: Prometheus, promql/promqltest/README.md. Lines are trimmed, comment lines are empty, a block of a command
// ends at the first empty line.
import { RE2JS } from "re2js";
import { type Labels, labelsKey } from "../../libs/model/index.ts";
import { parseDuration, parseExpr, parseSeriesDescription, type SequenceValue } from "../../libs/promql/index.ts";

export interface ScriptSeries {
  readonly labels: Labels;
  readonly values: readonly SequenceValue[];
  /** Start timestamps of an @st line, one per value. */
  readonly starts: readonly SequenceValue[] | undefined;
}

export interface LoadCommand {
  readonly kind: "load";
  readonly stepMs: number;
  /** load_with_nhcb: classic histograms are also stored as native ones with custom buckets. */
  readonly withNhcb: boolean;
  readonly series: readonly ScriptSeries[];
}

/** A text that must occur, or a pattern that must match somewhere. */
export type Expectation = (text: string) => boolean;

export interface EvalCommand {
  readonly kind: "eval";
  readonly line: number;
  readonly expr: string;
  readonly range: boolean;
  /** An instant query has startMs = endMs and stepMs 0, unless it expects a range vector. */
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
  readonly ordered: boolean;
  readonly fails: boolean;
  readonly failures: readonly Expectation[];
  readonly warnings: Annotated;
  readonly infos: Annotated;
  readonly expected: Expected;
  /** Whether the query is also run as a range query around its time. */
  readonly alsoAsRange: boolean;
}

/** What is expected of one kind of annotation. */
export interface Annotated {
  /** At least one, of any text (the old eval_warn and eval_info). */
  readonly any: boolean;
  readonly none: boolean;
  readonly matching: readonly Expectation[];
}

export type Expected =
  | { readonly kind: "scalar"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "series"; readonly series: readonly { labels: Labels; values: readonly SequenceValue[] }[] };

/** A command that does not parse: it fails on its own, as an eval would, and the rest of the script goes on. */
export interface BrokenCommand {
  readonly kind: "broken";
  readonly line: number;
  readonly text: string;
  readonly reason: string;
}

export type Command = { readonly kind: "clear" } | LoadCommand | EvalCommand | BrokenCommand;

/** Parses a script. */
export function parseScript(text: string): Command[] {
  return new ScriptParser(text).parse();
}

const LOAD = /^load(?:_(with_nhcb))?\s+(.+?)$/;
const EVAL_INSTANT = /^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$/;
const EVAL_RANGE = /^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$/;
const EXPECT = /^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$/;
const EXPECT_RANGE = /^expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)$/;
const EXPECT_STRING = "expect string";

/** An eval command while its block is read. */
interface Draft {
  startMs: number;
  endMs: number;
  stepMs: number;
  ordered: boolean;
  fails: boolean;
  failures: Expectation[];
  warnings: { any: boolean; none: boolean; matching: Expectation[] };
  infos: { any: boolean; none: boolean; matching: Expectation[] };
  expected: Expected;
  alsoAsRange: boolean;
  rangeVector: boolean;
}

class ScriptParser {
  readonly #lines: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#lines = text.split("\n").map((line) => (line.trim().startsWith("#") ? "" : line.trim()));
  }

  parse(): Command[] {
    const commands: Command[] = [];
    for (; this.#at < this.#lines.length; this.#at++) {
      const text = this.#lines[this.#at]!;
      if (text === "") continue;
      try {
        commands.push(this.#command(text));
      } catch (error) {
        commands.push({ kind: "broken", line: this.#at + 1, text, reason: (error as Error).message });
        while (this.#next() !== undefined);
      }
    }
    return commands;
  }

  #command(line: string): Command {
    const word = line.split(/[\t ]+/, 1)[0]!.toLowerCase();
    if (word === "clear") return { kind: "clear" };
    if (word.startsWith("load")) return this.#load(line);
    if (word.startsWith("eval")) return this.#eval(line);
    return this.#fail(`cannot parse command: got ${JSON.stringify(line)}; want clear, load or eval`);
  }

  #fail(reason: string): never {
    throw new Error(reason);
  }

  /** The next line of the block, or undefined at its end. */
  #next(): string | undefined {
    const line = this.#lines[this.#at + 1];
    if (line === undefined || line === "") return undefined;
    this.#at++;
    return line;
  }

  #series(line: string) {
    try {
      return parseSeriesDescription(line);
    } catch (error) {
      return this.#fail((error as Error).message);
    }
  }

  #duration(text: string): number {
    try {
      return parseDuration(text);
    } catch (error) {
      return this.#fail((error as Error).message);
    }
  }

  #load(line: string): LoadCommand {
    const [, nhcb, step] = LOAD.exec(line) ?? this.#fail(`cannot parse load: got ${JSON.stringify(line)}`);
    // A series that is defined twice in one block is what the last line says.
    const series = new Map<string, ScriptSeries>();
    let starts: ReturnType<typeof parseSeriesDescription> | undefined;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const parsed = this.#series(next);
      if (parsed.startTimestamps) {
        if (starts !== undefined) this.#fail("cannot use @st line: got no samples behind it; want a sample line");
        starts = parsed;
        continue;
      }
      if (starts !== undefined) {
        if (labelsKey(starts.labels) !== labelsKey(parsed.labels) || starts.values.length !== parsed.values.length) {
          this.#fail("cannot use @st line: got another series or length than the sample line's; want the same");
        }
      }
      series.set(labelsKey(parsed.labels), { labels: parsed.labels, values: parsed.values, starts: starts?.values });
      starts = undefined;
    }
    if (starts !== undefined) this.#fail("cannot use @st line: got no samples behind it; want a sample line");
    return {
      kind: "load",
      stepMs: this.#duration(step!),
      withNhcb: nhcb !== undefined,
      series: [...series.values()],
    };
  }

  #eval(line: string): EvalCommand {
    const number = this.#at + 1;
    const instant = EVAL_INSTANT.exec(line);
    const range = EVAL_RANGE.exec(line);
    const modifier = (instant ?? range)?.[1];
    const expr = instant?.[3] ?? range?.[5] ?? this.#fail(`cannot parse eval: got ${JSON.stringify(line)}`);
    try {
      parseExpr(expr);
    } catch (error) {
      this.#fail((error as Error).message);
    }
    const startMs = this.#duration(instant ? (instant[2] ?? "") : range![2]!);
    const endMs = instant ? startMs : this.#duration(range![3]!);
    if (endMs < startMs) this.#fail("cannot use range: got an end before its start; want it behind");
    const draft: Draft = {
      startMs,
      endMs,
      stepMs: instant ? 0 : this.#duration(range![4]!),
      ordered: modifier === "ordered",
      fails: modifier === "fail",
      failures: [],
      warnings: { any: modifier === "warn", none: false, matching: [] },
      infos: { any: modifier === "info", none: false, matching: [] },
      expected: { kind: "series", series: [] },
      alsoAsRange: instant !== null,
      rangeVector: false,
    };
    this.#expectations(draft, instant !== null);
    const { rangeVector: _, ...rest } = draft;
    return { kind: "eval", line: number, expr, range: instant === null, ...rest };
  }

  /** Reads the block behind an eval line. */
  #expectations(draft: Draft, instant: boolean): void {
    const series: { labels: Labels; values: readonly SequenceValue[] }[] = [];
    draft.expected = { kind: "series", series };
    for (let line = this.#next(); line !== undefined; line = this.#next()) {
      if (draft.fails && line.startsWith("expected_fail_message")) {
        draft.failures.push(sameText(line.slice("expected_fail_message".length).trim()));
        return;
      }
      if (draft.fails && line.startsWith("expected_fail_regexp")) {
        draft.failures.push(pattern(line.slice("expected_fail_regexp".length).trim()));
        return;
      }
      if (line.startsWith("expect range vector")) {
        this.#expectRange(line, draft);
        continue;
      }
      if (line.startsWith(EXPECT_STRING)) {
        draft.expected = { kind: "string", value: this.#unquote(line.slice(EXPECT_STRING.length).trim()) };
        draft.alsoAsRange = false;
        continue;
      }
      if (line.split(" ", 1)[0] === "expect") {
        this.#expect(line, draft);
        continue;
      }
      const number = parseNumber(line);
      if (number !== undefined) {
        draft.expected = { kind: "scalar", value: number };
        return;
      }
      const parsed = this.#series(line);
      if (parsed.values.length > 1 && instant && !draft.rangeVector) {
        this.#fail("cannot use expected series: got several values in an instant query; want one");
      }
      series.push({ labels: parsed.labels, values: parsed.values });
    }
  }

  #expectRange(line: string, draft: Draft): void {
    const [, from, to, step] = EXPECT_RANGE.exec(line) ?? this.#fail(`cannot parse: got ${JSON.stringify(line)}`);
    draft.startMs = this.#duration(from!);
    draft.endMs = this.#duration(to!);
    draft.stepMs = this.#duration(step!);
    draft.rangeVector = true;
    draft.alsoAsRange = false;
  }

  #expect(line: string, draft: Draft): void {
    const parts = EXPECT.exec(line) ?? this.#fail(`cannot parse expect line: got ${JSON.stringify(line)}`);
    const [, kind, how, text] = parts;
    const test = how === undefined ? () => true : how === "msg" ? sameText(text!.trim()) : pattern(text!.trim());
    switch (kind) {
      case "ordered":
        draft.ordered = true;
        break;
      case "fail":
        if (draft.failures.length > 0) this.#fail("cannot expect failure: got it twice; want it once");
        draft.fails = true;
        draft.failures.push(test);
        break;
      case "warn":
        draft.warnings.matching.push(test);
        break;
      case "info":
        draft.infos.matching.push(test);
        break;
      case "no_warn":
        draft.warnings.none = true;
        break;
      default:
        draft.infos.none = true;
    }
    for (const { none, matching } of [draft.warnings, draft.infos]) {
      if (none && matching.length > 0) this.#fail("cannot expect annotations: got some and none of a kind; want one");
    }
  }

  /** A quoted string of Go, by the language's own string literals. */
  #unquote(text: string): string {
    const expr = parseExpr(text);
    return expr.kind === "string" ? expr.value : this.#fail(`cannot unquote: got ${text}; want a quoted string`);
  }
}

function sameText(want: string): Expectation {
  return (text) => text === want;
}

function pattern(source: string): Expectation {
  const regex = RE2JS.compile(source);
  return (text) => regex.matcher(text).find();
}

const INTEGER = /^[+-]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)$/;
const FLOAT = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])$/;

/** A bare number, as Go reads integers of any base and floats; undefined for anything else. */
export function parseNumber(text: string): number | undefined {
  if (INTEGER.test(text)) {
    const sign = text.startsWith("-") ? -1 : 1;
    const digits = text.replace(/^[+-]/, "");
    const octal = /^0[0-7]+$/.test(digits);
    return sign * Number(octal ? `0o${digits.slice(1)}` : digits);
  }
  if (!FLOAT.test(text)) return undefined;
  if (/nan$/i.test(text)) return Number.NaN;
  if (/inf/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  return Number(text);
}
