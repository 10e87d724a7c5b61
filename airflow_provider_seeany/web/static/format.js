/** Texts of numbers, money, times and task instances. No elements, no requests. */

/**
 * Whether an address may become a link or media: absolute, and http or https.
 * @param {unknown} url
 * @returns {url is string}
 */
export function isWebUrl(url) {
  if (typeof url !== "string") return false;
  try {
    return ["http:", "https:"].includes(new URL(url).protocol);
  } catch {
    return false;
  }
}

/**
 * Whether an address looks like that of a picture.
 * @param {string} url
 */
export function isPicture(url) {
  return isWebUrl(url) && /\.(avif|gif|jpe?g|png|webp)$/i.test(new URL(url).pathname);
}

/** @param {string} text @returns {[bigint, number] | null} the number without its point, and its decimals */
function scaled(text) {
  const parts = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (!parts) return null;
  const decimals = parts[3] ?? "";
  return [BigInt(`${parts[1]}${parts[2]}${decimals}`), decimals.length];
}

/**
 * Add decimal numbers exactly: 0.1 and 0.2 are 0.3.
 * @param {string[]} numbers
 * @returns {string}
 */
export function sum(numbers) {
  const known = numbers.map(scaled);
  if (known.some((each) => each === null)) return String(numbers.reduce((total, each) => total + Number(each), 0));
  const terms = /** @type {[bigint, number][]} */ (known);
  const maximum = Math.max(0, ...terms.map(([, decimals]) => decimals));
  const total = terms.reduce((result, [digits, decimals]) => result + digits * 10n ** BigInt(maximum - decimals), 0n);
  const text = String(total < 0n ? -total : total).padStart(maximum + 1, "0");
  const number = maximum ? `${text.slice(0, -maximum)}.${text.slice(-maximum)}` : text;
  return total < 0n ? `-${number}` : number;
}

/**
 * Add up the amounts of each currency.
 * @param {import("./types").Money[]} amounts
 * @returns {import("./types").Money[]}
 */
export function totals(amounts) {
  const units = [...new Set(amounts.map(({ unit }) => unit))].sort();
  return units.map((unit) => ({
    unit,
    amount: sum(amounts.filter((each) => each.unit === unit).map(({ amount }) => amount)),
  }));
}

const SIGNS = /** @type {Record<string, string>} */ ({ CNY: "¥", USD: "$", EUR: "€", GBP: "£" });

/**
 * Money as in the log, whatever the language: ¥0.70, 12.00 credits.
 * @param {import("./types").Money} money
 */
export function moneyText({ unit, amount }) {
  // As text: a browser formats every digit of it, where a number would lose some.
  const value = /** @type {any} */ (amount);
  const number = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 6 }).format(value);
  return SIGNS[unit] ? `${SIGNS[unit]}${number}` : `${number} ${unit}`;
}

/** @param {import("./types").Money[]} amounts */
export function costText(amounts) {
  return amounts.map(moneyText).join(" + ");
}

/** @param {number} count @param {string} language a number, with a decimal or two if it has them */
export function countText(count, language) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: 2 }).format(count);
}

/** @param {number} bytes @param {string} language a size with a unit, such as 1.5 GiB */
export function bytesText(bytes, language) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return `${countText(bytes / 1024 ** power, language)} ${units[power]}`;
}

/**
 * A time as Airflow's UI writes it, 2026-11-26 07:57:24; a dash if it is beyond the range of dates.
 * @param {number} seconds Unix time
 * @param {string} [zone] of the viewer by default
 */
export function momentText(seconds, zone = viewersZone()) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "–";
  const style = /** @type {const} */ ({ dateStyle: "short", timeStyle: "medium", timeZone: zone });
  return new Intl.DateTimeFormat("sv-SE", style).format(date);
}

/** @param {number} seconds Unix time */
export function shortMomentText(seconds) {
  return momentText(seconds).replace(/:\d\d$/, "");
}

/** @param {number} seconds a duration as Airflow's UI writes it: 00:01:05, 1d02:03:04 */
export function durationText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
  const text = parts.map((part) => String(part).padStart(2, "0")).join(":");
  return whole < 86_400 ? text : `${Math.floor(whole / 86_400)}d${text}`;
}

/** @param {string} day as 2026-11-24 @param {string} language */
export function dayText(day, language) {
  const style = /** @type {const} */ ({ month: "short", day: "numeric", timeZone: "UTC" });
  return new Intl.DateTimeFormat(language, style).format(new Date(`${day}T00:00:00Z`));
}

/** The name of the time zone chosen in Airflow's UI, else of the browser's. */
export function viewersZone() {
  try {
    const chosen = JSON.parse(localStorage.getItem("timezone") ?? "null");
    if (chosen) return new Intl.DateTimeFormat("en", { timeZone: chosen }).resolvedOptions().timeZone;
  } catch {
    // No storage in this browser, or a time zone that it does not know.
  }
  return new Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/**
 * The days of a range, each as 2026-11-24 in the viewer's time zone.
 * @param {number} since Unix time
 * @param {number} until Unix time
 */
export function daysOf(since, until) {
  const style = /** @type {const} */ ({ year: "numeric", month: "2-digit", day: "2-digit" });
  const day = new Intl.DateTimeFormat("en-CA", { ...style, timeZone: viewersZone() });
  const days = new Set();
  for (let moment = since; moment < until; moment += 6 * 3600) days.add(day.format(moment * 1000));
  days.add(day.format((until - 1) * 1000));
  return /** @type {string[]} */ ([...days].sort());
}

/**
 * A key for React. With the moment: a task instance that waits again may still have the record of an earlier wait.
 * @param {import("./types").Result} result
 */
export function resultKey(result) {
  return [result.dag_id, result.run_id, result.task_id, result.map_index, result.state, result.at].join("\n");
}

/**
 * @param {{ dag_id: string, run_id: string, task_id: string, map_index: number }} task
 * @returns {string} the path of the tab of a task instance
 */
export function tabPath({ dag_id, run_id, task_id, map_index }) {
  const [dag, run, task] = [dag_id, run_id, task_id].map(encodeURIComponent);
  const mapped = map_index >= 0 ? `/mapped/${map_index}` : "";
  return `/dags/${dag}/runs/${run}/tasks/${task}${mapped}/plugin/seeany-result`;
}

/** @param {string} dag_id @returns {string} the path of the page, filtered by a DAG */
export function resultsPath(dag_id) {
  return `/plugin/seeany?dag=${encodeURIComponent(dag_id)}`;
}

/** @param {{ task_id: string, map_index: number }} task */
export function taskName({ task_id, map_index }) {
  return map_index >= 0 ? `${task_id} [${map_index}]` : task_id;
}

/** @param {{ dag_id: string }} of @returns {string} the path of a DAG's page */
export function dagPath({ dag_id }) {
  return `/dags/${encodeURIComponent(dag_id)}`;
}

/** @param {{ dag_id: string, run_id: string }} of @returns {string} the path of a DAG run's page */
export function runPath({ dag_id, run_id }) {
  return `${dagPath({ dag_id })}/runs/${encodeURIComponent(run_id)}`;
}
