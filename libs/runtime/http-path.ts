// libs/runtime/http-path.ts: from a request target to a path, its segments and its query, and from those to a route.
// Accepted targets: origin form (`/a/b?c`), absolute form (`http://host/a/b?c`) and `*` for OPTIONS. Runs of slashes count
// as one. Dot segments, written plainly or percent-encoded, are refused: no route has any, so they are only ever attempts.
import { HttpError } from "./http-errors.ts";

export interface Target {
  /** Without empty segments, still percent-encoded: `/api/v1/label/a%2Fb/values`. */
  readonly path: string;
  /** After the first `?`, without it. */
  readonly query: string;
}

/** Splits a request target. Errors: HttpError 400 for a target of another form and for dot segments. */
export function parseTarget(url: string): Target {
  let rest = url;
  if (rest.charCodeAt(0) !== 47) {
    const absolute = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]*/.exec(rest);
    if (absolute === null && rest !== "*")
      throw new HttpError(400, "cannot route request: got a target without a path; want /path");
    rest = absolute === null ? "/" : rest.slice(absolute[0].length);
  }
  const mark = rest.indexOf("?");
  const query = mark < 0 ? "" : rest.slice(mark + 1);
  const raw = mark < 0 ? rest : rest.slice(0, mark);
  const path = raw.includes("//") || raw === "" ? `/${raw.split("/").filter(Boolean).join("/")}` : raw;
  if (/\/(?:\.|%2e){1,2}(?:\/|$)/i.test(path)) {
    throw new HttpError(400, "cannot route request: got a path with a dot segment; want one without");
  }
  return { path, query };
}

/** Decodes one segment of a path. Errors: HttpError 400 for malformed escapes and for bytes that are not UTF-8. */
export function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new HttpError(400, "cannot route request: got a malformed escape in the path; want percent-encoded UTF-8");
  }
}

/** A path, or a part of it, as literal routes spell it; what no route can mean stays as it is. */
export function decodeLiteral(path: string): string {
  if (!path.includes("%")) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** A pattern such as `/api/v1/label/:name/values`: literal segments and named ones, which match any one segment. */
export class PathPattern {
  readonly #segments: readonly string[];

  constructor(pattern: string) {
    this.#segments = pattern.split("/").slice(1);
  }

  /** Whether it has named segments. */
  get isLiteral(): boolean {
    return !this.#segments.some((s) => s.startsWith(":"));
  }

  /** Whether a path is of this form. */
  matches(segments: readonly string[]): boolean {
    if (segments.length !== this.#segments.length) return false;
    return segments.every((segment, i) => {
      const want = this.#segments[i]!;
      return want.startsWith(":") ? segment !== "" : decodeLiteral(segment) === want;
    });
  }

  /** The decoded named segments of a path that matches. Errors: HttpError 400 as decodeSegment. */
  paramsOf(segments: readonly string[]): Record<string, string> {
    const params: Record<string, string> = Object.create(null);
    this.#segments.forEach((s, i) => {
      if (s.startsWith(":")) params[s.slice(1)] = decodeSegment(segments[i]!);
    });
    return params;
  }
}
