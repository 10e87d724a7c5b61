/** Every text of the UI in English and Chinese, and the choice between them by the language of Airflow's UI. */

import { useSyncExternalStore } from "./elements.js";

/** @type {Record<string, string>} */
const SPEND_RANGES = {
  1: "last 24 hours",
  7: "last 7 days",
  30: "last 30 days",
  90: "last 90 days",
  366: "last year",
};

export const ENGLISH = {
  title: "SeeAny results",
  intro: "Results and cost of the SeeAny tasks that your DAGs waited for. Not your account's bill.",
  states: {
    waiting: "Waiting",
    created: "Created",
    downloading: "Downloading",
    completed: "Completed",
    failed: "Failed",
    timed_out: "Timed out",
  },
  dag: "DAG",
  connection: "Connection",
  state: "State",
  time: "Time",
  all: "All",
  ranges: /** @type {Record<string, string>} */ ({
    1: "Last 24 hours",
    7: "Last 7 days",
    30: "Last 30 days",
    90: "Last 90 days",
    366: "Last year",
  }),
  gallery: "Gallery",
  table: "Table",
  view: "View",
  spendPerDay: "Spend per day",
  spendPerDag: "Spend per DAG",
  andMore: (/** @type {string} */ count) => `and ${count} more`,
  results: "Results",
  task: "Task",
  result: "Result",
  cost: "Cost",
  finishedAt: "Finished at",
  createdAt: "Created at",
  createdOnly: "This task created it, and does not wait for it.",
  lastUpdate: "Last update",
  day: "Day",
  seeanyTask: "SeeAny task",
  duration: "Duration",
  resolution: "Resolution",
  seconds: (/** @type {string} */ seconds) => `${seconds} s`,
  video: "Video",
  files: (/** @type {number} */ count) => `${count} ${count === 1 ? "file" : "files"}`,
  filesOf: (/** @type {string} */ count, /** @type {string} */ total) => `${count} of ${total} files`,
  copies: "Copies",
  size: "Size",
  folder: "Folder",
  downloadFailed: "The download failed",
  downloadFailures: (/** @type {string} */ stored, /** @type {number} */ failed) =>
    `Files stored: ${stored}, which a retry keeps. ` +
    (failed ? `Failed: ${failed}. The log lists the failures.` : "See the log."),
  image: (/** @type {number} */ number) => `Image ${number}`,
  copyUrl: (/** @type {number} */ count) => `Copy ${count === 1 ? "URL" : "URLs"}`,
  copied: "Copied",
  notCopied: "Not copied",
  openOriginal: "Open original",
  cannotEmbed: "Cannot be shown here.",
  progress: "Progress",
  left: (/** @type {number} */ seconds) => {
    if (seconds < 100) return `about ${Math.round(seconds)} s left`;
    return seconds < 6000 ? `about ${Math.round(seconds / 60)} min left` : `about ${Math.round(seconds / 3600)} h left`;
  },
  noProgress: "Waiting. The log shows the progress.",
  notStarted: "The wait has not started yet.",
  notSeeAny: "This task does not wait for SeeAny.",
  noRecord: "This wait ended without a record to show. See the log.",
  notRun: "This task did not wait: it did not run.",
  failedWith: "SeeAny's error",
  failedAs: { failed: "The wait failed", timed_out: "The wait timed out" },
  partial: "Partial",
  partialResult: "Partial result: some of the files failed",
  batchTotals: (
    /** @type {string} */ completed,
    /** @type {string} */ total,
    /** @type {number} */ failed,
    /** @type {number} */ partial,
  ) =>
    `${completed} of ${total} completed${partial ? `, ${partial} of them in part` : ""}` +
    (failed ? `, ${failed} failed` : ""),
  notDone: (/** @type {string} */ count) => `, ${count} not done`,
  batch: "Batch",
  shownOnly: (/** @type {string} */ shown, /** @type {string} */ total) => `Only ${shown} of ${total} are listed.`,
  batchEmpty: "The batch is too large for a table here. Its results stay available by their ids.",
  emptyTitle: "Nothing here yet",
  emptyFiltered: "No result matches these filters.",
  emptyHow: "Add this DAG and run it. Its result appears here when its task ends.",
  connections: "To the connections",
  loading: "Loading …",
  failedToLoad: "Could not load",
  signIn: "You are signed out. Reload the page to sign in again.",
  forbidden: "You may not read this.",
  notThere: "This task instance does not exist.",
  noResponse: "Airflow does not respond. Retrying …",
  busy: "Airflow is busy. Retrying …",
  httpError: (/** @type {number} */ status) => `Airflow responded with HTTP ${status}. See its log.`,
  search: "Search",
  searchFor: "SeeAny id, DAG or run",
  filters: "Filters",
  clearFilters: "Clear filters",
  sort: "Sort by",
  orders: { newest: "Newest", oldest: "Oldest", highest_cost: "Highest cost", lowest_cost: "Lowest cost" },
  run: "Run",
  copyAt: "Copy: ",
  shownOf: (/** @type {string} */ range, /** @type {string} */ total) => `${range} of ${total}`,
  waitingCount: (/** @type {string} */ count) => `${count} waiting`,
  pages: "Pages",
  pageNumber: (/** @type {string} */ number) => `Page ${number}`,
  previous: "Previous",
  next: "Next",
  exportCsv: "Export CSV",
  exportSums: "Export sums as CSV",
  copyAllUrls: "Copy all URLs",
  copyDag: "Copy DAG",
  spend: "Spend",
  spendIn: (/** @type {string} */ days) => `Spend, ${SPEND_RANGES[days]}: `,
  spendBefore: (/** @type {string} */ cost, /** @type {string} */ change) =>
    `Period before: ${cost}${change && ` (${change})`}`,
  nothingBefore: "Period before: nothing",
  spendPerConnection: "Spend per connection",
  less: "Show less",
  emptyConnect: "Add a connection of type SeeAny, then this DAG. Its result appears here when its task ends.",
};

/** @type {typeof ENGLISH} */
const CHINESE = {
  title: "SeeAny 结果",
  intro: "您的 DAG 等待过的 SeeAny 任务的结果与花费，并非账户账单。",
  states: {
    waiting: "等待中",
    created: "已创建",
    downloading: "下载中",
    completed: "已完成",
    failed: "失败",
    timed_out: "超时",
  },
  dag: "DAG",
  connection: "连接",
  state: "状态",
  time: "时间",
  all: "全部",
  ranges: { 1: "最近 24 小时", 7: "最近 7 天", 30: "最近 30 天", 90: "最近 90 天", 366: "最近一年" },
  gallery: "画廊",
  table: "表格",
  view: "视图",
  spendPerDay: "每日花费",
  spendPerDag: "各 DAG 花费",
  andMore: (count) => `另有 ${count} 个`,
  results: "结果",
  task: "任务",
  result: "结果",
  cost: "花费",
  finishedAt: "完成时间",
  createdAt: "创建时间",
  createdOnly: "由此任务创建，此任务不等待其完成。",
  lastUpdate: "最近更新",
  day: "日期",
  seeanyTask: "SeeAny 任务",
  duration: "时长",
  resolution: "分辨率",
  seconds: (seconds) => `${seconds} 秒`,
  video: "视频",
  files: (count) => `${count} 个文件`,
  filesOf: (count, total) => `${count} / ${total} 个文件`,
  copies: "副本",
  size: "大小",
  folder: "目录",
  downloadFailed: "下载失败",
  downloadFailures: (stored, failed) =>
    `已存储 ${stored} 个文件，重试时保留。` + (failed ? `失败 ${failed} 个，原因见日志。` : "详情见日志。"),
  image: (number) => `图片 ${number}`,
  copyUrl: () => "复制链接",
  copied: "已复制",
  notCopied: "复制失败",
  openOriginal: "打开原文件",
  cannotEmbed: "无法在此显示。",
  progress: "进度",
  left: (seconds) => {
    if (seconds < 100) return `约剩 ${Math.round(seconds)} 秒`;
    return seconds < 6000 ? `约剩 ${Math.round(seconds / 60)} 分钟` : `约剩 ${Math.round(seconds / 3600)} 小时`;
  },
  noProgress: "等待中，进度见日志。",
  notStarted: "尚未开始等待。",
  notSeeAny: "此任务不等待 SeeAny。",
  noRecord: "此等待已结束，没有可显示的记录，详情见日志。",
  notRun: "此任务没有运行，也就没有等待。",
  failedWith: "SeeAny 错误",
  failedAs: { failed: "等待失败", timed_out: "等待超时" },
  partial: "部分成功",
  partialResult: "部分成功：部分文件生成失败",
  batchTotals: (completed, total, failed, partial) =>
    `已完成 ${completed} / ${total}${partial ? `（其中部分成功 ${partial}）` : ""}${failed ? `，失败 ${failed}` : ""}`,
  notDone: (count) => `，未结束 ${count}`,
  batch: "批次",
  shownOnly: (shown, total) => `仅列出 ${total} 个中的 ${shown} 个。`,
  batchEmpty: "批次过大，无法在此列表显示；结果仍可按 id 获取。",
  emptyTitle: "暂无内容",
  emptyFiltered: "没有符合筛选条件的结果。",
  emptyHow: "添加并运行如下 DAG；任务结束后，结果会显示在这里。",
  connections: "前往连接",
  loading: "加载中 …",
  failedToLoad: "无法加载",
  signIn: "您已退出登录，请刷新页面重新登录。",
  forbidden: "您没有查看权限。",
  notThere: "任务实例不存在。",
  noResponse: "Airflow 没有响应，正在重试 …",
  busy: "Airflow 正忙，正在重试 …",
  httpError: (status) => `Airflow 返回错误（HTTP ${status}），详情见其日志。`,
  search: "搜索",
  searchFor: "SeeAny id、DAG 或运行",
  filters: "筛选",
  clearFilters: "清除筛选条件",
  sort: "排序",
  orders: { newest: "最新", oldest: "最早", highest_cost: "花费从高到低", lowest_cost: "花费从低到高" },
  run: "运行",
  copyAt: "副本：",
  shownOf: (range, total) => `第 ${range} 条，共 ${total} 条`,
  waitingCount: (count) => `${count} 个等待中`,
  pages: "分页",
  pageNumber: (number) => `第 ${number} 页`,
  previous: "上一页",
  next: "下一页",
  exportCsv: "导出 CSV",
  exportSums: "导出汇总 CSV",
  copyAllUrls: "复制全部链接",
  copyDag: "复制 DAG",
  spend: "花费",
  spendIn: (days) => `${CHINESE.ranges[days]}花费：`,
  spendBefore: (cost, change) => `上一周期：${cost}${change && `（${change}）`}`,
  nothingBefore: "上一周期：无",
  spendPerConnection: "各连接花费",
  less: "收起",
  emptyConnect: "添加一个 SeeAny 类型的连接，再添加如下 DAG；任务结束后，结果会显示在这里。",
};

function language() {
  let chosen = null;
  try {
    chosen = localStorage.getItem("i18nextLng");
  } catch {
    // No storage in this browser.
  }
  return [chosen, document.documentElement.lang, navigator.language].find(isLanguage) ?? "en";
}

/** @param {string | null} tag @returns {tag is string} whether Intl can format numbers and dates in it */
function isLanguage(tag) {
  try {
    return Boolean(tag) && Intl.getCanonicalLocales(tag ?? "").length > 0;
  } catch {
    return false;
  }
}

/** @param {() => void} changed */
function watchLanguage(changed) {
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });
  return () => observer.disconnect();
}

/**
 * The current language of Airflow's UI, and the texts in it.
 * @returns {{ words: typeof ENGLISH, language: string }}
 */
export function useWords() {
  const chosen = useSyncExternalStore(watchLanguage, language);
  return { words: chosen.toLowerCase().startsWith("zh") ? CHINESE : ENGLISH, language: chosen };
}
