// services/select/deletion-endpoints.ts: Prometheus' admin/tsdb/delete_series and clean_tombstones, and admin/tsdb/undelete_series, our own:
// GET lists what can be undone, POST undoes. Without --enable-admin-api they refuse with Prometheus' words. Never by GET alone: a link must
// not delete.
import { type Deletable, InvalidError, type PendingDeletion } from "../../libs/model/index.ts";
import type { Route } from "../../libs/runtime/index.ts";
import { type ApiRequest, apiRoutes, type Endpoint } from "./api.ts";
import { renderData, renderError } from "./json.ts";
import { matcherSets } from "./match-parameter.ts";
import { invalidParameter, MAX_TIME_MS, MIN_TIME_MS, timeParameter } from "./params.ts";

export interface DeletionRoutesOptions {
  /** Called per request, and only once the process is ready. */
  readonly deletable: () => Deletable;
  readonly enabled: boolean;
  readonly bodyMaxBytes: number;
  /** 16 hex digits that were never there before. */
  readonly makeId: () => string;
  /** Hears of what was deleted and undone. */
  readonly onChange: (what: string, details: object) => void;
}

const WRITES = ["POST", "PUT"] as const;

export function deletionRoutes(options: DeletionRoutesOptions): Route[] {
  const { deletable, makeId, onChange } = options;

  const deleteSeries = async ({ tenant, form }: ApiRequest): Promise<"empty"> => {
    if (form.error !== "") throw new InvalidError(`error parsing form values: ${form.error}`);
    const selectors = form.getAll("match[]");
    if (selectors.length === 0) throw new InvalidError("no match[] parameter provided");
    const minMs = timeParameter(form, "start", MIN_TIME_MS);
    const maxMs = timeParameter(form, "end", MAX_TIME_MS);
    const request = { id: makeId(), tenant, sets: namedMatcherSets(selectors), selectors, minMs, maxMs };
    const made = await deletable().deleteSeries(request);
    if (made !== undefined) onChange("series deleted", made);
    return "empty";
  };

  const clean = async (): Promise<"empty"> => {
    await deletable().cleanTombstones();
    onChange("tombstones cleaned", {});
    return "empty";
  };

  const list = async ({ tenant }: ApiRequest): Promise<Uint8Array> => {
    return renderData((await deletable().deletions(tenant)).map(shown));
  };

  const undelete = async ({ tenant, form }: ApiRequest): Promise<Uint8Array> => {
    const id = form.get("id");
    if (id === "") throw invalidParameter("id", "want the id of a deletion, as GET lists them");
    const undone = await deletable().undelete(tenant, id);
    onChange("deletion undone", undone);
    return renderData({ id: undone.id, series: undone.series });
  };

  const endpoints: Endpoint[] = [
    { path: "admin/tsdb/delete_series", acceptsPost: true, methods: WRITES, answer: deleteSeries },
    { path: "admin/tsdb/clean_tombstones", acceptsPost: true, methods: WRITES, answer: clean },
    { path: "admin/tsdb/undelete_series", acceptsPost: false, answer: list },
    { path: "admin/tsdb/undelete_series", acceptsPost: true, methods: WRITES, answer: undelete },
  ];
  const routes = apiRoutes(endpoints, options.bodyMaxBytes);
  return options.enabled ? routes : routes.map(refusing);
}

/** As Prometheus answers while its admin API is off. */
function refusing(route: Route): Route {
  return {
    ...route,
    needsEngine: false,
    handle: (exchange) => exchange.send(500, "application/json", renderError("unavailable", "admin APIs disabled")),
  };
}

function namedMatcherSets(selectors: readonly string[]): ReturnType<typeof matcherSets> {
  try {
    return matcherSets(selectors);
  } catch (error) {
    throw error instanceof InvalidError ? invalidParameter("match[]", error.message) : error;
  }
}

/** As JSON; a time that is none, because the range is open there, is null. */
function shown({ id, selectors, minMs, maxMs, madeMs, series, undoUntilMs }: PendingDeletion): object {
  return {
    id,
    selectors,
    start: minMs <= MIN_TIME_MS ? null : minMs / 1000,
    end: maxMs >= MAX_TIME_MS ? null : maxMs / 1000,
    series,
    deletedAt: new Date(madeMs).toISOString(),
    undoUntil: new Date(undoUntilMs).toISOString(),
  };
}
