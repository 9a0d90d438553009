// services/select/status-endpoints.ts: endpoints that clients ask to learn whom they talk to, and what has no data here:
// rules and alerts answer with valid, empty lists after checking their parameters as Prometheus does.
import { InvalidError } from "../../libs/model/index.ts";
import { quote } from "../../libs/promql/index.ts";
import type { ApiRequest, Endpoint } from "./api.ts";
import { Form } from "./form.ts";
import { renderData } from "./json.ts";
import { matcherSets } from "./match-parameter.ts";
import { invalidParameter } from "./params.ts";

/** The Prometheus whose HTTP API we equal; clients choose features by it. Our own version is tidemark_build_info. */
export const PROMETHEUS_VERSION = "3.14.0";

/** What clients are told they talk to. */
export function buildInfo(version: string): object {
  return {
    version: PROMETHEUS_VERSION,
    revision: `tidemark-${version}`,
    branch: "",
    buildUser: "",
    buildDate: "",
    goVersion: "",
  };
}

/** `status/buildinfo`, `rules`, `alerts`. */
export function statusEndpoints(version: string): Endpoint[] {
  const build = buildInfo(version);
  return [
    { path: "status/buildinfo", acceptsPost: false, answer: () => renderData(build) },
    { path: "rules", acceptsPost: false, answer: rules },
    { path: "alerts", acceptsPost: false, answer: () => renderData({ alerts: [] }) },
  ];
}

function rules({ exchange }: ApiRequest): Uint8Array {
  // These are read from the URL only.
  const form = new Form(exchange.target.query);
  if (form.error !== "") throw new InvalidError(`error parsing form values: ${form.error}`);
  matcherSets(form.getAll("match[]"));
  const type = form.get("type").toLowerCase();
  if (type !== "" && type !== "alert" && type !== "record") {
    throw invalidParameter("type", `not supported value ${quote(type)}`);
  }
  const exclude = form.get("exclude_alerts").toLowerCase();
  if (!["", "1", "t", "true", "0", "f", "false"].includes(exclude)) {
    const reason = `strconv.ParseBool: parsing ${quote(exclude)}: invalid syntax`;
    throw invalidParameter("exclude_alerts", `error converting exclude_alerts: ${reason}`);
  }
  checkPage(form.get("group_limit"), form.get("group_next_token"));
  return renderData({ groups: [] });
}

function checkPage(limit: string, token: string): void {
  if (limit === "" && token !== "") {
    const reason = "group_limit needs to be present in order to paginate over the groups";
    throw invalidParameter("group_next_token", reason);
  }
  if (limit === "") return;
  const isWhole = /^[+-]?\d+$/.test(limit);
  if (!isWhole || Math.abs(Number(limit)) >= 2 ** 31) {
    const reason = `strconv.ParseInt: parsing ${quote(limit)}: ${isWhole ? "value out of range" : "invalid syntax"}`;
    throw invalidParameter("group_limit", `group_limit needs to be a valid number: ${reason}`);
  }
  if (Number(limit) <= 0) throw invalidParameter("group_limit", "group_limit needs to be greater than 0");
  if (token !== "") {
    throw invalidParameter("group_next_token", `invalid group_next_token '${token}'. were rule groups changed?`);
  }
}
