// libs/promql/functions-label.ts: label_replace and label_join: they change labels and never values.
import {
  compileRegex,
  ExecutionError,
  InvalidError,
  type Labels,
  labelValue,
  METRIC_NAME,
  setLabel,
} from "../model/index.ts";
import { mergeEachKind } from "./both-kinds.ts";
import { type Budget, labelTextBytes } from "./budget.ts";
import type { Column, VectorValue } from "./column.ts";
import type { Steps } from "./stride.ts";

/** A match's groups: by number, and by name ("" for a group that does not exist or did not take part). */
interface Groups {
  byNumber(index: number): string;
  byName(name: string): string;
}

/**
 * Changes labels, a column in each step. Errors: ExecutionError when series become equal that overlap, others that do are joined; LimitError when the
 * new texts are more than the budget has room for.
 */
export type Relabeling = (columns: readonly Column[], budget: Budget) => Steps<VectorValue>;

/**
 * What label_replace or label_join with these texts does to a vector; undefined for other functions. Texts are checked before
 * there is a vector, as in Prometheus, so that their errors come first. Errors: ExecutionError for a bad pattern or name.
 */
export function relabelingOf(func: string, texts: readonly string[]): Relabeling | undefined {
  if (func === "label_replace") return labelReplace(...(texts as [string, string, string, string]));
  if (func !== "label_join") return undefined;
  const [destination, separator, ...sources] = texts as [string, string, ...string[]];
  return labelJoin(destination, separator, sources);
}

/** Where the whole source value matches, the destination label becomes the expanded replacement. */
function labelReplace(destination: string, replacement: string, source: string, pattern: string): Relabeling {
  const match = matcherOf(pattern);
  if (!isLabelName(destination)) {
    throw new ExecutionError(`invalid destination label name in label_replace(): ${destination}`);
  }
  const template = new Template(replacement);
  return (columns, budget) =>
    relabelEach(columns, budget, destination, "", (labels) => {
      const groups = match(labelValue(labels, source));
      return groups && template.expand(groups);
    });
}

function labelJoin(destination: string, separator: string, sources: readonly string[]): Relabeling {
  for (const source of sources) {
    if (!isLabelName(source)) throw new ExecutionError(`invalid source label name in label_join(): ${source}`);
  }
  if (!isLabelName(destination)) {
    throw new ExecutionError(`invalid destination label name in label_join(): ${destination}`);
  }
  const partsOf = (labels: Labels) => sources.map((source) => labelValue(labels, source));
  return (columns, budget) => relabelEach(columns, budget, destination, separator, partsOf);
}

/** Sets a label to the parts of its text, joined; undefined parts leave it as it is. */
function* relabelEach(
  columns: readonly Column[],
  budget: Budget,
  name: string,
  separator: string,
  partsOf: (labels: Labels) => readonly string[] | undefined,
): Steps<VectorValue> {
  const out: Column[] = [];
  let textBytes = 0;
  for (const column of columns) {
    const parts = partsOf(column.labels);
    if (parts === undefined) out.push(column);
    else {
      // A text that cannot be held is refused before it is built.
      let length = separator.length * (parts.length - 1);
      for (const part of parts) length += part.length;
      const bytes = labelTextBytes(length);
      budget.hold(0, bytes);
      textBytes += bytes;
      out.push(relabel(column, name, parts.join(separator)));
    }
    yield;
  }
  // The result is counted by whoever asked for it.
  budget.release(0, textBytes);
  return { kind: "vector", columns: mergeEachKind(out), textBytes };
}

/** Any text is a label name but the empty one and such as no UTF-8 has (whose bytes are unpaired surrogates here). */
export function isLabelName(name: string): boolean {
  return name !== "" && !/\p{Surrogate}/u.test(name);
}

/** A name that was set by hand is not removed at the end of the query. */
function relabel(column: Column, name: string, value: string): Column {
  const dropName = name === METRIC_NAME ? false : column.dropName;
  return { ...column, labels: setLabel(column.labels, name, value), dropName };
}

function matcherOf(pattern: string): (text: string) => Groups | undefined {
  let regex: ReturnType<typeof compileRegex>;
  try {
    regex = compileRegex(pattern);
  } catch (cause) {
    if (!(cause instanceof InvalidError)) throw cause;
    throw new ExecutionError(`invalid regular expression in label_replace(): ${pattern}`, { cause });
  }
  const names = regex.namedGroups();
  return (text) => {
    const matcher = regex.matcher(text);
    if (!matcher.matches()) return undefined;
    return {
      byNumber: (index) => (index <= matcher.groupCount() ? (matcher.group(index) ?? "") : ""),
      byName: (name) => (Object.hasOwn(names, name) ? (matcher.group(name) ?? "") : ""),
    };
  };
}

// $$, $name and ${name}; a name is as long as it can be, so `$1x` is the group "1x".
const REFERENCE = /\$(?:(\$)|([\p{L}\p{Nd}_]+)|\{([\p{L}\p{Nd}_]+)\})/gu;

/** What Go's Regexp.Expand expands. A reference to a group that does not exist is empty; a lone $ stands for itself. */
class Template {
  /** Text, or the place of a reference among the references. */
  private readonly parts: (string | number)[] = [];
  /** Names and numbers of groups, each once. */
  private readonly references: string[] = [];

  constructor(text: string) {
    const places = new Map<string, number>();
    let end = 0;
    for (const { 0: found, 1: dollar, 2: bare, 3: braced, index } of text.matchAll(REFERENCE)) {
      if (index > end) this.parts.push(text.slice(end, index));
      end = index + found.length;
      const name = bare ?? braced!;
      if (dollar === undefined && !places.has(name)) places.set(name, this.references.push(name) - 1);
      this.parts.push(dollar ?? places.get(name)!);
    }
    if (end < text.length) this.parts.push(text.slice(end));
  }

  /** Parts of the text, in order. */
  expand(groups: Groups): string[] {
    const found = this.references.map((name) =>
      /^\d+$/.test(name) ? groups.byNumber(Number(name)) : groups.byName(name),
    );
    return this.parts.map((part) => (typeof part === "string" ? part : found[part]!));
  }
}
