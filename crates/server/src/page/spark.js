// Small lines of what was.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [120, 28];

/** A line that is drawn anew with `show`. */
class Spark {
  constructor() {
    this.node = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" });
    this.area = svg("path", { class: "spark-area" });
    this.line = svg("path", { class: "spark-line", "vector-effect": "non-scaling-stroke" });
    this.node.append(this.area, this.line);
  }

  /** The newest value is at the right end; null is a gap. */
  show(values, most = 0) {
    const top = Math.max(most, ...values.filter((value) => value !== null), 1e-9);
    const x = (i) => round(WIDTH - ((values.length - 1 - i) * WIDTH) / (KEPT - 1));
    const y = (value) => round(HEIGHT - 2 - (value / top) * (HEIGHT - 4));
    let line = "";
    let area = "";
    let run = [];
    const close = () => {
      if (run.length > 1) {
        const points = run.map((i) => `${x(i)} ${y(values[i])}`).join("L");
        line += `M${points}`;
        area += `M${x(run[0])} ${HEIGHT}L${points}L${x(run.at(-1))} ${HEIGHT}Z`;
      }
      run = [];
    };
    values.forEach((value, i) => (value === null ? close() : run.push(i)));
    close();
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
  }
}

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const round = (value) => Math.round(value * 10) / 10;
