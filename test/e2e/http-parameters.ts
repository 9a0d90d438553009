// test/e2e/http-parameters.ts: every kind of parameter in every form that may or may not be one, for comparing two servers.

const TIMES = [
  "0 -0 +1 1. 1e 1e5 1E5 1e+5 0x1F 0x1p-2 0b1 0o7 1__0 _1 1_ 1.5_5 1,5 1.0005 1.0004999 -1.0005 -0.0004 1e",
  "2023-01-01T00:00:00.Z 2023-01-01T00:00:00,5Z 2023-01-01T00:00:00.5+00:00 2023-01-01T00:00:00+24:00",
  "2023-01-01T00:00:00+23:59 2023-01-01T00:00:00+2:00 2023-01-01T00:00:00-00:00 2023-01-01T00:00:60Z",
  "2023-1-01T00:00:00Z 2023-02-29T00:00:00Z 2024-02-29T00:00:00Z 10000-01-01T00:00:00Z 2023-01-01T00:00:00z",
].flatMap((line) => line.split(" ")).concat(" ", "1 ", "2023-01-01 00:00:00Z"); // biome-ignore format: by kind

const DURATIONS = [
  "0 0s 1 1.5 +1 -1 1e3 1h 1h30m 30m1h 1h1h 1.5h 1d 1w 1y 1y2w3d4h5m6s7ms 1M 1H ms 1ms 0.5 0.0009 1e-10 inf nan 0x10",
  "1_0 1h_ 292y 300y 9223372036 9223372037 106751d 106752d 1µs 1ns",
].flatMap((line) => line.split(" ")).concat("1 h", " 1h"); // biome-ignore format: by kind

const SELECTORS = [
  ..."up up{} {} {a=''} {a!=''} {a=~''} {a=~'.*'} {a=~'.+'} {a!~'.+'} {a='b',} {,} {a} {a=} {a=b} {'up'}".split(" "),
  ..."up{'up'} {__name__='up'} up{__name__='down'} {a=~'('} {a=~'[a'} up[5m] sum(up) (up) -up 1 'up'".split(" "),
  ..."up,up up} {a='b'}} é {é='a'} {'é'='a'} a:b:c 0up {a='\\xff'} {a='\\u00e9'} {a=`x`} NaN inf by sum".split(" "),
  ..."bool start offset {a==b} {a=~'b','c'!='d'} {'x','y'} x{'y'}".split(" "),
  "{'a b'='c'}",
  "up offset 5m",
  "up @ 5",
  "up up",
  "# c\nup",
  "up # c",
  "{a='b' c='d'}",
];

const LIMITS = "0 1 +1 -1 -0 1.0 1e1 0x1 01 1_0 9223372036854775807 9223372036854775808 -9223372036854775809".split(
  " ",
);

const RAW = "a% a%zz a;b a=b=c + %2B %00 %ff && = query".split(" ");

/** Queries with numbers, times and durations at the end of what there is. */
const EXTREMES = [
  "up @ 9223372036854775807",
  "up @ 9223372036854775",
  "up @ 1e300",
  "up @ -1e300",
  "up @ inf",
  "up @ nan",
  "up @ -1e18",
  "up @ 0x10",
  "up @ 1e15",
  "up offset 292y",
  "up offset 300y",
  "up offset -292y",
  "up offset -293y",
  "count_over_time(up[292y])",
  "up[293y]",
  "up[0]",
  "up[-5m]",
  "up[1e300]",
  "up[9223372036]",
  "up[9223372037]",
  "up offset 9223372037",
  "up offset 1e300",
  "up offset -1e300",
  "up offset 1ms",
  "up offset 0.0001",
  "sum_over_time(up[5m:0s])",
  "sum_over_time(up[5m:-1s])",
  "sum_over_time(up[300y:1d])",
  "9223372036854775807",
  "9223372036854775808",
  "0xffffffffffffffff",
  "1e309",
  "1e-400",
  "-0x8000000000000000",
  "topk(1e300, up)",
  "topk(-1e300, up)",
  "topk(9223372036854775807, up)",
  "topk(9223372036854775808, up)",
  "topk(nan, up)",
  "topk(inf, up)",
  "bottomk(-inf, up)",
  "quantile(nan, up)",
  "quantile(inf, up)",
  "round(up, 0)",
  "round(up, 1e-320)",
  "clamp(up, inf, -inf)",
  "histogram_quantile(nan, latency_bucket)",
  "predict_linear(up[5m], 1e300)",
  "label_replace(up, 'x', '$9999999999', 'job', '(.*)')",
  "label_replace(up, 'x', '${1', 'job', '(.*)')",
  "up == bool inf",
  "1 % 0",
  "0 ^ -1",
  "-1 ^ 0.5",
  "1 atan2 -0",
  "hour(vector(1e300))",
  "year(vector(-1e300))",
  "days_in_month(vector(inf))",
  "day_of_year(vector(nan))",
  "timestamp(up @ 1e15)",
  "count_values('v', up offset -1y)",
  "absent_over_time(up[1y] @ 0)",
  "rate(http_requests_total[1ms])",
  "holt_winters(up[5m],1,1)",
  "up[1m:1m]",
  "up[1m:]",
  "1y1w",
  "1w1y",
  "5m5m",
  "0x",
  "1_",
  "1__0",
  '"\\xff\\',
  '{__name__=""}',
  "vector(1) @ 5",
  "-up @ start()",
  "up @ end() offset -1y",
  "sum by () (up)",
  "sum without (job, job) (up)",
  'up{job="a",job="b"}',
];

/** What a value is put behind; `{E}` and `{S}` as in http-table.ts. */
const TIME_PLACES = ["query?query=1&time=", "query_range?query=1&end={E}&step=1e15&start=", "labels?start="];
const DURATION_PLACES = ["query_range?query=1&start={S}&end={E}&step=", "query?query=old&time={E}&lookback_delta="];
const SELECTOR_PLACES =
  "series?match[]= labels?match[]= label/job/values?match[]= query?time={E}&query= query_exemplars?query= rules?match[]= targets/metadata?match_target=".split(
    " ",
  );
const QUERY_PLACES = ["query?time={E}&query=", "query_range?start={S}&end={E}&step=300&query="];
const LIMIT_PLACES =
  "series?match[]=up&limit= labels?limit= query?query=up&time={E}&limit= metadata?limit= rules?group_limit= targets/metadata?limit= metadata?limit_per_metric=".split(
    " ",
  );
const RAW_PLACES = "series?match[]=up&x= labels?x= query?query=1&time=1&x= rules?x= series?match[]= query?time=1&query=".split(" "); // biome-ignore format: places in one row

/** The requests, as those of http-table.ts. */
export const PARAMETER_REQUESTS: readonly string[] = [
  ...crossed(TIME_PLACES, TIMES.map(encodeURIComponent)),
  ...crossed(DURATION_PLACES, DURATIONS.map(encodeURIComponent)),
  ...crossed(["query?query=1&time=1&timeout="], DURATIONS.filter(isLongEnough).map(encodeURIComponent)),
  ...crossed(SELECTOR_PLACES, SELECTORS.map(encodeURIComponent)),
  ...crossed(QUERY_PLACES, EXTREMES.map(encodeURIComponent)),
  ...crossed(LIMIT_PLACES, LIMITS.map(encodeURIComponent)),
  ...crossed(RAW_PLACES, RAW),
];

function crossed(places: readonly string[], values: readonly string[]): string[] {
  return places.flatMap((place) => values.map((value) => `GET ${place}${value}`));
}

/** What else it depends on whether the query is done in time. */
function isLongEnough(duration: string): boolean {
  return !["0", "0s", "-1", "1e-10", "nan", "1ms", "0.0009", "0.5", "1", "+1", "1.5"].includes(duration);
}
