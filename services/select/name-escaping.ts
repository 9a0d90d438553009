// services/select/name-escaping.ts: names of any UTF-8 text made to fit where only letters, digits, `_` and `:` may stand,
// and what a scraper says it can take. Reference: prometheus/common, escaping schemes and content negotiation.

export type EscapingScheme = "allow-utf-8" | "underscores" | "dots" | "values";

const SCHEMES: ReadonlySet<string> = new Set<EscapingScheme>(["allow-utf-8", "underscores", "dots", "values"]);
const PROTOBUF_TYPE = "application/vnd.google.protobuf";
const FAMILY_MESSAGE = "io.prometheus.client.MetricFamily";
const LEGACY_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/** Whether a name may stand without quotes. */
export function isLegacyName(name: string): boolean {
  return LEGACY_NAME.test(name);
}

/** The name as the scheme writes it; legacy names stay as they are. */
export function escapeName(name: string, scheme: EscapingScheme): string {
  if (scheme === "allow-utf-8" || isLegacyName(name)) return name;
  let out = scheme === "values" ? "U__" : "";
  let at = 0;
  for (const character of name) {
    const isFirst = at === 0;
    at += character.length;
    const isLegal = isFirst ? /^[a-zA-Z_:]$/.test(character) : /^[a-zA-Z0-9_:]$/.test(character);
    if (scheme === "underscores") out += isLegal ? character : "_";
    else if (character === "_") out += "__";
    else if (scheme === "dots" && character === ".") out += "_dot_";
    else if (isLegal) out += character;
    else out += scheme === "dots" ? "__" : `_${character.codePointAt(0)!.toString(16)}_`;
  }
  return out;
}

/** One clause of an Accept header. */
interface Clause {
  readonly type: string;
  readonly quality: number;
  readonly parameters: ReadonlyMap<string, string>;
}

/** How samples are to be exposed. */
export interface Exposition {
  readonly format: "text" | "protobuf";
  readonly scheme: EscapingScheme;
}

/**
 * The exposition for an Accept header: the first clause that asks for text or for delimited protobuf decides, text without any.
 * An escaping counts up to there; without any, underscores.
 */
export function negotiateExposition(accept: string): Exposition {
  let scheme: EscapingScheme = "underscores";
  for (const { type, parameters } of clauses(accept)) {
    const asked = parameters.get("escaping") ?? "";
    if (SCHEMES.has(asked)) scheme = asked as EscapingScheme;
    const version = parameters.get("version") ?? "";
    if (type === "text/plain" && (version === "" || version === "0.0.4")) break;
    const isFamilies = type === PROTOBUF_TYPE && parameters.get("proto") === FAMILY_MESSAGE;
    if (isFamilies && parameters.get("encoding") === "delimited") return { format: "protobuf", scheme };
  }
  return { format: "text", scheme };
}

/** The clauses in order of preference. */
function clauses(accept: string): Clause[] {
  const found: Clause[] = [];
  for (const part of accept.split(",")) {
    const [type = "", ...rest] = part.split(";").map((one) => one.trim());
    if (type !== "*" && !/^[^/]+\/[^/]+$/.test(type)) continue;
    const parameters = new Map<string, string>();
    let quality = 1;
    for (const parameter of rest) {
      const [name = "", value = "", ...more] = parameter.split("=").map((one) => one.trim());
      if (value === "" || more.length > 0) continue;
      if (name === "q") quality = Number(value) || 0;
      else parameters.set(name, value);
    }
    found.push({ type, quality, parameters });
  }
  return found.sort((a, b) => b.quality - a.quality);
}
