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
import type { Column } from "./column.ts";

/** A match's groups: by number, and by name ("" for a group that does not exist or did not take part). */
interface Groups {
  byNumber(index: number): string;
  byName(name: string): string;
}

/** Changes labels. Errors: ExecutionError when series become equal that overlap; others that do are joined. */
export type Relabeling = (columns: readonly Column[]) => readonly Column[];

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
  const replaced = (column: Column): Column => {
    const groups = match(labelValue(column.labels, source));
    return groups === undefined ? column : relabel(column, destination, expand(replacement, groups));
  };
  return (columns) => mergeEachKind(columns.map(replaced));
}

function labelJoin(destination: string, separator: string, sources: readonly string[]): Relabeling {
  for (const source of sources) {
    if (!isLabelName(source)) throw new ExecutionError(`invalid source label name in label_join(): ${source}`);
  }
  if (!isLabelName(destination)) {
    throw new ExecutionError(`invalid destination label name in label_join(): ${destination}`);
  }
  const joined = (labels: Labels) => sources.map((source) => labelValue(labels, source)).join(separator);
  return (columns) => mergeEachKind(columns.map((column) => relabel(column, destination, joined(column.labels))));
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

/** Go's Regexp.Expand. A reference to a group that does not exist is empty; a lone $ stands for itself. */
function expand(template: string, groups: Groups): string {
  return template.replace(REFERENCE, (_, dollar: string | undefined, bare?: string, braced?: string) => {
    if (dollar !== undefined) return "$";
    const name = bare ?? braced!;
    return /^\d+$/.test(name) ? groups.byNumber(Number(name)) : groups.byName(name);
  });
}
