// The numbers beside the chat.

const NONE = "–";
const MEANS = "Times and prefix hits are means of the last minute.";

const history = new History();

/** What each card shows: a text, and values over time. Of times and shares it is the mean of the last minute. */
const CARDS = [
  {
    title: "Tokens a second",
    of: () => {
      const rates = history.rates("tokens");
      return { text: rates.length ? whole(rates.at(-1)) : NONE, values: rates };
    },
  },
  {
    title: "Running",
    of: () => gauge((each) => each.running),
  },
  {
    title: "Queue",
    of: () => gauge((each) => each.waiting),
  },
  {
    title: "First token",
    of: () => ratio("firstSum", "firstCount", duration),
  },
  {
    title: "Each token",
    of: () => ratio("eachSum", "eachCount", duration),
  },
  {
    title: "KV cache",
    of: () => {
      const share = (each) => (each.blocks ? each.used / each.blocks : null);
      const values = history.values(share);
      return { text: percent(values.at(-1)), values, most: 1 };
    },
  },
  {
    title: "Prefix hits",
    of: () => ({ ...ratio("cached", "prompt", percent), most: 1 }),
  },
];

function gauge(of) {
  const values = history.values(of);
  return { text: values.length ? whole(values.at(-1)) : NONE, values, most: 1 };
}

function ratio(over, under, words) {
  const values = history.ratios(over, under);
  return { text: words(values.at(-1)), values };
}

const whole = (value) => Math.round(value).toLocaleString("en");

function percent(value) {
  if (value === null || value === undefined) return NONE;
  return `${(value * 100).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds >= 1) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const milliseconds = seconds * 1000;
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}

function makeCards() {
  for (const card of CARDS) {
    card.value = element("span", { class: "value" }, NONE);
    card.spark = new Spark();
    const shown = element("dd", {}, card.value, card.spark.node);
    byId("cards").append(element("div", { class: "card" }, element("dt", {}, card.title), shown));
  }
  const wide = matchMedia("(min-width: 900px)");
  const fit = () => (byId("numbers").open = wide.matches);
  wide.addEventListener("change", fit);
  fit();
}

function showNumbers() {
  for (const card of CARDS) {
    const { text, values, most } = card.of();
    card.value.textContent = text;
    card.spark.show(values, most);
  }
  const [speed, running] = [CARDS[0].value.textContent, CARDS[1].value.textContent];
  byId("headline").textContent = speed === NONE ? "" : `${speed} tokens/s, ${running} running`;
}

/** Asks for the numbers. Without them everything else works. */
async function refreshNumbers() {
  try {
    const response = await ask("/metrics", { signal: AbortSignal.timeout(5000) });
    history.add(sample(readMetrics(await response.text()), performance.now() / 1000));
    byId("numbers-note").textContent = MEANS;
  } catch (error) {
    if (error.status === 401) throw error;
    byId("numbers-note").textContent = "The numbers do not come.";
  }
  showNumbers();
}
