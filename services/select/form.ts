// services/select/form.ts: parameters of a query request: the URL's and, for POST, the form body's, body first.
// Percent-decoding is Go's: a pair with a malformed escape or a semicolon is dropped and remembered as an error, which only
// some endpoints report. Bytes that are not UTF-8 become U+FFFD.
import { quote } from "../../libs/promql/index.ts";

/** Parameters by name, values in order. */
export class Form {
  readonly #values = new Map<string, string[]>();
  #error = "";

  constructor(...encoded: readonly string[]) {
    for (const text of encoded) this.#parse(text);
  }

  /** The first value, or "" when there is none. */
  get(name: string): string {
    return this.#values.get(name)?.[0] ?? "";
  }

  getAll(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** What was wrong with the first malformed pair; "" when nothing was. */
  get error(): string {
    return this.#error;
  }

  #parse(text: string): void {
    if (text === "") return;
    for (const pair of text.split("&")) {
      if (pair === "") continue;
      if (pair.includes(";")) {
        this.#error ||= "invalid semicolon separator in query";
        continue;
      }
      const cut = pair.indexOf("=");
      const name = decode(cut < 0 ? pair : pair.slice(0, cut));
      const value = cut < 0 ? "" : decode(pair.slice(cut + 1));
      if (name === undefined || value === undefined) {
        const malformed = /%(?![0-9A-Fa-f]{2}).{0,2}/.exec(pair)![0];
        this.#error ||= `invalid URL escape ${quote(malformed)}`;
        continue;
      }
      const known = this.#values.get(name);
      if (known === undefined) this.#values.set(name, [value]);
      else known.push(value);
    }
  }
}

/** Undefined for a malformed escape. */
function decode(text: string): string | undefined {
  const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
  if (!spaced.includes("%")) return spaced;
  if (/%(?![0-9A-Fa-f]{2})/.test(spaced)) return undefined;
  try {
    return decodeURIComponent(spaced);
  } catch {
    const bytes = spaced.replace(/%([0-9A-Fa-f]{2})|[^%]+/g, (part, hex?: string) => {
      return hex === undefined ? Buffer.from(part).toString("latin1") : String.fromCharCode(Number.parseInt(hex, 16));
    });
    return Buffer.from(bytes, "latin1").toString("utf8");
  }
}
