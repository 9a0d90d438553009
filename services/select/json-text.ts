// services/select/json-text.ts: strings and plain values as JSON, with the escapes that Prometheus' encoders choose.
// There are two: labels of series keep what JSON lets stand; all other text has <, >, & and the line separators U+2028 and U+2029
// escaped, so that it may stand in a script. Bytes that are no UTF-8 (lone surrogates here) become U+FFFD, in labels too.

/** Escapes of JSON.stringify, and what it lets stand where Prometheus escapes it. */
const ESCAPED = /\\(?:u[dD][89a-fA-F][0-9a-fA-F]{2}|.)|[<>&\u2028\u2029]/g;
/** Those that need no second look are most. */
const NEEDS_LOOK = /\\[bfu]|[<>&\u2028\u2029]/;
const LABEL_NEEDS_LOOK = /\\[bfu]/;

/** A plain value as JSON: what Prometheus writes of everything but labels of series. */
export function goJson(value: unknown): string {
  const text = JSON.stringify(value);
  return NEEDS_LOOK.test(text) ? text.replace(ESCAPED, escapeText) : text;
}

/** A string as JSON: a name or value of a series' labels. */
export function labelJson(text: string): string {
  const quoted = JSON.stringify(text);
  return LABEL_NEEDS_LOOK.test(quoted) ? quoted.replace(ESCAPED, escapeLabel) : quoted;
}

/** The value of a string query: Go's own encoder writes it, which has short forms of \b and \f. */
export function stringValueJson(text: string): string {
  return JSON.stringify(text).replace(ESCAPED, (found) => (/^\\[bf]$/.test(found) ? found : escapeText(found)));
}

function escapeText(found: string): string {
  if (found.length === 1) return `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`;
  if (found.length > 2) return "\\ufffd";
  return escapeControl(found);
}

function escapeLabel(found: string): string {
  return found.length > 2 ? "\ufffd" : escapeControl(found);
}

function escapeControl(found: string): string {
  if (found === "\\b") return "\\u0008";
  return found === "\\f" ? "\\u000c" : found;
}
