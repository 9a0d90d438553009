// services/select/match-parameter.ts: series selectors given as match[] parameters.
import { compileMatcher, InvalidError, type Matcher } from "../../libs/model/index.ts";
import { parseMetricSelector, QUERY_REGEX_LENGTH_MAX } from "../../libs/promql/index.ts";

/**
 * The matchers of each selector. Errors: InvalidError with the parser's text, or when the selectors have more of regular expressions together than a
 * query may have.
 */
export function parseSelectors(selectors: readonly string[]): (readonly Matcher[])[] {
  const patterns = new Set<string>();
  let length = 0;
  return selectors.map((text) => {
    const { matchers } = parseMetricSelector(text);
    for (const { type, value } of matchers) {
      if ((type !== "=~" && type !== "!~") || patterns.has(value)) continue;
      patterns.add(value);
      length += value.length;
      if (length <= QUERY_REGEX_LENGTH_MAX) continue;
      const max = `${QUERY_REGEX_LENGTH_MAX} characters of regular expressions`;
      throw new InvalidError(`cannot use selectors: got more than ${max}; want at most that many in one request`);
    }
    return matchers;
  });
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
