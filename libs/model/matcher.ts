// libs/model/matcher.ts: label matchers (= != =~ !~). Regexes are RE2 (re2js), anchored, dot matches newline.
// Literals, alternations of literals, and literals with "anything" between them never reach the regex engine.
import { RE2JS } from "re2js";
import { InvalidError } from "./errors.ts";
import { type Labels, labelValue } from "./labels.ts";

export type MatchType = "=" | "!=" | "=~" | "!~";

/** A label matcher as data: crosses the wire, is printed, is compiled where it is used. */
export interface Matcher {
  readonly type: MatchType;
  readonly name: string;
  readonly value: string;
}

/** A compiled matcher. */
export interface CompiledMatcher extends Matcher {
  /** Whether a label value (“” for an absent label) satisfies the matcher, negation included. */
  matches(value: string): boolean;
  /** Whether a series without this label satisfies the matcher. */
  readonly matchesEmpty: boolean;
  /** For = and for regexes that are finite alternations of literals: all values the *positive* form accepts. */
  readonly values: readonly string[] | undefined;
  /** For regexes that begin with a literal: every accepted value starts with it. "" when nothing is known. */
  readonly prefix: string;
}

/**
 * Longest regular expression that is compiled, in UTF-16 units; RE2JS takes up to 10 ms for one. Literals and alternations
 * of literals are not compiled and may be longer.
 */
export const REGEX_LENGTH_MAX = 8192;

/** Compiled forms kept for the next query that uses the same pattern. */
const FORMS_MAX = 256;
/** Answers that a matcher remembers. */
const ANSWERS_MAX = 2048;
const forms = new Map<string, RegexForm>();

/** Compiles a matcher. Errors: InvalidError for a regex that RE2 refuses or that is longer than REGEX_LENGTH_MAX. */
export function compileMatcher(m: Matcher): CompiledMatcher {
  if (m.type === "=" || m.type === "!=") {
    const want = m.value;
    const positive = m.type === "=";
    return {
      ...m,
      matches: positive ? (v) => v === want : (v) => v !== want,
      matchesEmpty: (want === "") === positive,
      values: [want],
      prefix: want,
    };
  }
  const form = formOf(m.value);
  const positive = m.type === "=~";
  const test = form.isSlow === true ? remembering(form.test) : form.test;
  return {
    ...m,
    matches: positive ? test : (v) => !test(v),
    matchesEmpty: test("") === positive,
    values: form.values,
    prefix: form.prefix,
  };
}

/** Whether all matchers accept the label set. */
export function matchLabels(matchers: readonly CompiledMatcher[], labels: Labels): boolean {
  for (const m of matchers) if (!m.matches(labelValue(labels, m.name))) return false;
  return true;
}

/** Compiles an anchored RE2 pattern as PromQL uses it. Errors: InvalidError with RE2's reason. */
export function compileRegex(pattern: string): RE2JS {
  if (pattern.length > REGEX_LENGTH_MAX) {
    throw new InvalidError(
      `cannot compile regular expression: got ${pattern.length} characters; want at most ${REGEX_LENGTH_MAX}`,
    );
  }
  try {
    // Alone first: `a)|(b` is malformed although it would be well-formed between our own parentheses.
    RE2JS.compile(pattern);
    return RE2JS.compile(`^(?s:${pattern})$`);
  } catch (cause) {
    // The reason already reads "error parsing regexp: …", as in Prometheus.
    throw new InvalidError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

interface RegexForm {
  readonly test: (value: string) => boolean;
  /** Whether the regex engine is asked. */
  readonly isSlow?: boolean;
  readonly values: readonly string[] | undefined;
  readonly prefix: string;
}

/**
 * A test that knows its first answers: a query asks each shard's block the same few values. It lives as long as the query's matcher.
 */
function remembering(test: (value: string) => boolean): (value: string) => boolean {
  const known = new Map<string, boolean>();
  return (value) => {
    let answer = known.get(value);
    if (answer === undefined) {
      answer = test(value);
      if (known.size < ANSWERS_MAX) known.set(value, answer);
    }
    return answer;
  };
}

const META = /[\\.+*?()|[\]{}^$]/;
/** ASCII punctuation: behind a backslash it stands for itself. */
const ESCAPABLE = /[!-/:-@[-`{-~]/;

/** The form of a pattern, remembered: dashboards ask with the same few patterns again and again. */
function formOf(pattern: string): RegexForm {
  const known = forms.get(pattern);
  if (known !== undefined) return known;
  const form = analyseRegex(pattern);
  const oldest = forms.keys().next().value;
  if (forms.size >= FORMS_MAX && oldest !== undefined) forms.delete(oldest);
  forms.set(pattern, form);
  return form;
}

function analyseRegex(pattern: string): RegexForm {
  if (!META.test(pattern)) return { test: (v) => v === pattern, values: [pattern], prefix: pattern };
  if (pattern === ".*") return { test: () => true, values: undefined, prefix: "" };
  if (pattern === ".+") return { test: (v) => v !== "", values: undefined, prefix: "" };
  const alternatives = literalAlternatives(pattern);
  if (alternatives !== undefined) {
    const set = new Set(alternatives);
    return { test: (v) => set.has(v), values: [...set], prefix: alternatives.length === 1 ? alternatives[0]! : "" };
  }
  const shape = /^(\.[*+])?([^\\.+*?()|[\]{}^$]*)(\.[*+])?$/.exec(pattern);
  if (shape?.[2]) {
    const [, before, literal, after] = shape as unknown as [string, string?, string?, string?];
    const lit = literal!;
    const lead = before === ".+" ? 1 : 0;
    const trail = after === ".+" ? 1 : 0;
    const min = lit.length + lead + trail;
    if (!before) return { test: (v) => v.length >= min && v.startsWith(lit), values: undefined, prefix: lit };
    if (!after) return { test: (v) => v.length >= min && v.endsWith(lit), values: undefined, prefix: "" };
    return {
      test: (v) => {
        // The leftmost occurrence that leaves room before it is the one that leaves most room behind it.
        const at = v.indexOf(lit, lead);
        return at >= 0 && at + lit.length + trail <= v.length;
      },
      values: undefined,
      prefix: "",
    };
  }
  const pieces = literalPieces(pattern);
  if (pieces !== undefined) {
    return { test: (v) => isOfPieces(v, pieces), values: undefined, prefix: pieces.literals[0]! };
  }
  const re = compileRegex(pattern);
  const literalHead = /^[^\\.+*?()|[\]{}^$]*/.exec(pattern)![0];
  const next = pattern[literalHead.length];
  // A quantifier binds to the last literal character (two units beyond the basic plane), so that one is not certain. A
  // group of flags or an empty quotation may stand between the two: `a(?i)*`, `a\Q\E*`.
  const certain = next !== undefined && "*?{(\\".includes(next) ? literalHead.replace(/.$/su, "") : literalHead;
  const prefix = pattern.includes("|") ? "" : certain;
  return { test: (v) => re.matches(v), isSlow: true, values: undefined, prefix };
}

/**
 * `a|b|c`, also as `(a|b|c)` or `(?:a|b)`, with escaped punctuation (`host\.example`): the literals, or undefined when any
 * part is not literal. Grafana joins a variable's values this way.
 */
function literalAlternatives(pattern: string): string[] | undefined {
  const inner = /^\((?:\?:)?(.*[^\\]|)\)$/su.exec(pattern)?.[1] ?? pattern;
  const parts: string[] = [];
  let part = "";
  for (let i = 0; i < inner.length; i++) {
    const c = inner[i]!;
    if (c === "|") {
      parts.push(part);
      part = "";
    } else if (c === "\\") {
      const escaped = inner[++i];
      if (escaped === undefined || !ESCAPABLE.test(escaped)) return undefined;
      part += escaped;
    } else if (META.test(c)) return undefined;
    else part += c;
  }
  parts.push(part);
  return parts;
}

/** Literals, the first and the last perhaps empty, and how many UTF-16 units there must be between one and the next: 0 or 1. */
interface Pieces {
  readonly literals: readonly string[];
  readonly gaps: readonly number[];
}

/** `a.*b`, `.+_total`, `host\..*\.example`: the literals around `.*` and `.+`; undefined when anything else is in the pattern. */
function literalPieces(pattern: string): Pieces | undefined {
  const literals = [""];
  const gaps: number[] = [];
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!;
    const next = pattern[i + 1];
    if (c === "." && (next === "*" || next === "+")) {
      i++;
      const isAfterGap = gaps.length > 0 && literals.at(-1) === "";
      // One unit may be half a character, so that two units aren't what two characters take.
      if (isAfterGap && next === "+" && gaps.at(-1) === 1) return undefined;
      if (isAfterGap) gaps[gaps.length - 1] = Math.max(gaps.at(-1)!, next === "+" ? 1 : 0);
      else {
        gaps.push(next === "+" ? 1 : 0);
        literals.push("");
      }
    } else if (c === "\\") {
      if (next === undefined || !ESCAPABLE.test(next)) return undefined;
      literals[literals.length - 1] += next;
      i++;
    } else if (META.test(c)) return undefined;
    else literals[literals.length - 1] += c;
  }
  return gaps.length === 0 ? undefined : { literals, gaps };
}

/** Whether a value is these pieces with anything between them: what stands leftmost leaves most room for the rest. */
function isOfPieces(value: string, { literals, gaps }: Pieces): boolean {
  const first = literals[0]!;
  if (!value.startsWith(first)) return false;
  let at = first.length;
  const last = literals.length - 1;
  for (let k = 1; k < last; k++) {
    const found = value.indexOf(literals[k]!, at + gaps[k - 1]!);
    if (found < 0) return false;
    at = found + literals[k]!.length;
  }
  return value.length - literals[last]!.length >= at + gaps[last - 1]! && value.endsWith(literals[last]!);
}

/** The regular expression that takes this text alone. */
export function escapeRegex(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");
}
