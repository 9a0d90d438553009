// services/select/scrape-endpoints.ts: endpoints about scraping and alerting, which Tidemark leaves to others: valid, empty
// lists after checking the parameters as Prometheus does.
import { InvalidError } from "../../libs/model/index.ts";
import { parseMetricSelector, quote } from "../../libs/promql/index.ts";
import type { ApiRequest, Endpoint } from "./api.ts";
import { renderData } from "./json.ts";
import { countParameter, invalidParameter } from "./params.ts";

/** `targets`, `targets/metadata`, `targets/relabel_steps`, `scrape_pools`, `scrape_pools/config`, `alertmanagers`. */
export function scrapeEndpoints(): Endpoint[] {
  const alertmanagers = { activeAlertmanagers: [], droppedAlertmanagers: [] };
  return [
    { path: "targets", acceptsPost: false, answer: targets },
    { path: "targets/metadata", acceptsPost: false, answer: targetMetadata },
    { path: "targets/relabel_steps", acceptsPost: false, answer: relabelSteps },
    { path: "scrape_pools", acceptsPost: false, answer: () => renderData({ scrapePools: [] }) },
    { path: "scrape_pools/config", acceptsPost: false, answer: ({ form }) => unknownPool(form.get("scrapePool")) },
    { path: "alertmanagers", acceptsPost: false, answer: () => renderData(alertmanagers) },
  ];
}

function targets({ form }: ApiRequest): Uint8Array {
  // Without dropped targets in it, an answer has no map for their counts either.
  const showsDropped = ["", "any", "dropped"].includes(form.get("state").toLowerCase());
  return renderData({ activeTargets: [], droppedTargets: [], droppedTargetCounts: showsDropped ? {} : null });
}

function targetMetadata({ form }: ApiRequest): Uint8Array {
  countParameter(form.get("limit"), "limit");
  const selector = form.get("match_target");
  try {
    if (selector !== "") parseMetricSelector(selector);
  } catch (error) {
    throw error instanceof InvalidError ? invalidParameter("match_target", error.message) : error;
  }
  return renderData([]);
}

function relabelSteps({ form }: ApiRequest): never {
  const pool = form.get("scrapePool");
  if (pool !== "") {
    const labels = form.get("labels");
    if (labels === "") throw new InvalidError("no labels parameter provided");
    if (!isLabelRecord(labels)) throw new InvalidError("error parsing labels: got no JSON object of strings");
  }
  return unknownPool(pool);
}

function isLabelRecord(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && Object.values(value).every((one) => typeof one === "string");
  } catch {
    return false;
  }
}

function unknownPool(pool: string): never {
  if (pool === "") throw new InvalidError("no scrapePool parameter provided");
  throw new InvalidError(`error retrieving scrape config: scrape pool ${quote(pool)} not found`);
}
