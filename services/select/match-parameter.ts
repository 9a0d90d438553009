// services/select/match-parameter.ts: series selectors given as match[] parameters.
import { compileMatcher, InvalidError, type Matcher } from "../../libs/model/index.ts";
import { parseMetricSelector, QUERY_REGEX_LENGTH_MAX } from "../../libs/promql/index.ts";

/** Bounds the regular expressions of all selectors of a request, as those of a query are; repeated ones count once. */
export class RegexBound {
  private readonly patterns = new Set<string>();
  private length = 0;

  /** The matchers. Errors: InvalidError when they have too much together with those before. */
  add(matchers: readonly Matcher[]): readonly Matcher[] {
    for (const { type, value } of matchers) {
      if ((type !== "=~" && type !== "!~") || this.patterns.has(value)) continue;
      this.patterns.add(value);
      this.length += value.length;
      if (this.length <= QUERY_REGEX_LENGTH_MAX) continue;
      const max = `${QUERY_REGEX_LENGTH_MAX} characters of regular expressions`;
      throw new InvalidError(`cannot use selectors: got more than ${max}; want at most that many in one request`);
    }
    return matchers;
  }
}

/** The matchers of each selector. Errors: InvalidError with the parser's text, and as RegexBound. */
export function parseSelectors(selectors: readonly string[]): (readonly Matcher[])[] {
  const bound = new RegexBound();
  return selectors.map((text) => bound.add(parseMetricSelector(text).matchers));
}

/**
 * The matchers of each selector. Errors: as parseSelectors, also for a selector that every series
 * would satisfy by having no labels.
 */
export function matcherSets(selectors: readonly string[]): (readonly Matcher[])[] {
  const sets = parseSelectors(selectors);
  if (sets.some((matchers) => matchers.every((m) => compileMatcher(m).matchesEmpty))) {
    throw new InvalidError("match[] must contain at least one non-empty matcher");
  }
  return sets;
}
