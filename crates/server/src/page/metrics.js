// What /metrics says, over time.

/** How many samples are kept, and how many of them a mean is of: two minutes and one, at one each two seconds. */
const KEPT = 60;
const MEANT = 30;

/** Each metric's value, summed over its labels, from Prometheus' text. */
function readMetrics(text) {
  const values = new Map();
  for (const line of text.split("\n")) {
    if (line.startsWith("#") || line === "") continue;
    const labels = line.lastIndexOf("}");
    const name = line.slice(0, line.search(/[{ ]/));
    if (name.endsWith("_bucket")) continue;
    const value = Number(line.slice(labels < 0 ? name.length : labels + 1).trim().split(" ")[0]);
    if (Number.isFinite(value)) values.set(name, (values.get(name) ?? 0) + value);
  }
  return values;
}

/** Of the metrics what is shown. MAX counts tokens while they are made, the front end when an answer ends. */
function sample(values, at) {
  const get = (name) => values.get(name) ?? 0;
  return {
    at,
    tokens: values.get("maxserve_num_output_tokens_total") ?? get("mxfp4_completion_tokens_total"),
    running: get("mxfp4_answers_running"),
    waiting: get("mxfp4_answers_waiting"),
    firstSum: get("mxfp4_time_to_first_token_seconds_sum"),
    firstCount: get("mxfp4_time_to_first_token_seconds_count"),
    eachSum: get("mxfp4_time_per_output_token_seconds_sum"),
    eachCount: get("mxfp4_time_per_output_token_seconds_count"),
    prompt: get("mxfp4_prompt_tokens_total"),
    cached: get("mxfp4_cached_prompt_tokens_total"),
    blocks: values.get("maxserve_cache_num_total_blocks"),
    used: get("maxserve_cache_num_used_blocks"),
  };
}

/** The last samples, and what follows from them. */
class History {
  constructor() {
    this.clear();
  }

  clear() {
    this.samples = [];
  }

  add(next) {
    const last = this.samples.at(-1);
    // Counts that went back are another server's.
    if (last && (next.tokens < last.tokens || next.firstCount < last.firstCount || next.prompt < last.prompt)) this.clear();
    this.samples.push(next);
    if (this.samples.length > KEPT) this.samples.shift();
  }

  /** A count's growth a second, between each two samples. */
  rates(name) {
    return this.samples.slice(1).map((each, i) => {
      const before = this.samples[i];
      return each.at > before.at ? (each[name] - before[name]) / (each.at - before.at) : 0;
    });
  }

  /** One count's growth by another's, at each sample over those before it; null where the other did not grow. */
  ratios(over, under) {
    return this.samples.slice(1).map((each, i) => {
      const before = this.samples[Math.max(0, i + 1 - MEANT)];
      const grown = each[under] - before[under];
      return grown > 0 ? (each[over] - before[over]) / grown : null;
    });
  }

  values(of) {
    return this.samples.map(of);
  }
}
