// services/select/match-parameter.ts: series selectors given as match[] parameters.
import { compileMatcher, InvalidError, type Matcher } from "../../libs/model/index.ts";
import { parseMetricSelector } from "../../libs/promql/index.ts";

/**
 * The matchers of each selector. Errors: InvalidError with the parser's text, also for a selector that every series
 * would satisfy by having no labels.
 */
export function matcherSets(selectors: readonly string[]): Matcher[][] {
  return selectors.map((text) => {
    const matchers = [...parseMetricSelector(text).matchers];
    if (!matchers.some((m) => !compileMatcher(m).matchesEmpty)) {
      throw new InvalidError("match[] must contain at least one non-empty matcher");
    }
    return matchers;
  });
}
